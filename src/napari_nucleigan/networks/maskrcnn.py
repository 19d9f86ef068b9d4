"""Mask R-CNN: nuclei one by one, out of boxes, instead of pixel by pixel. Needs torchvision (extra ``maskrcnn``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_nucleigan.base.errors import ExtraError
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.networks.generators import Generator

try:
    from torchvision.models import get_model
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.image_list import ImageList
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.models.detection.roi_heads import RoIHeads
    from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
    from torchvision.ops import MultiScaleRoIAlign
except ModuleNotFoundError as error:
    raise ExtraError(
        "Mask R-CNN needs torchvision, which is not installed; install napari-nucleigan[maskrcnn], its torchvision "
        "made for the torch that is installed."
    ) from error
except Exception as error:  # whatever a build for another torch says
    raise ExtraError(
        f"Mask R-CNN needs torchvision, but the one installed does not load beside torch {torch.__version__}: {error}. "
        "Install the builds of torch and torchvision that belong together."
    ) from error


LEVELS = ("0", "1", "2", "3")
"""Levels of the feature pyramid from which boxes are cut: 1/4, 1/8, 1/16 and 1/32 of the resolution."""

CHANNELS = 128
"""Channels of the heads."""

BOXES = 64
"""Boxes of a crop from which a step learns: for the area of 256x256, twice as many as large photographs get."""


class MaskRCNN(Generator):
    """Mask R-CNN with a residual network and a feature pyramid, of one class: nucleus.

    It is built of torchvision's parts. Images are taken as they are, neither resized nor normalised further. In
    evaluation, what it finds is painted as the field that `napari_nucleigan.masks.encode` makes, so that it serves
    wherever a generator does.

    Parameters
    ----------
    backbone : str
        ``"resnet18"``, ``"resnet50"``, ...; trained from the start, no weights are fetched.
    score : float
        Least score of a nucleus, in [0, 1].
    overlap : float
        Intersection over union of two boxes above which the one of the lower score is dropped.
    most : int
        Most nuclei in an image, or in a tile of it.
    channels : int
        Channels of the feature pyramid. Half of the usual 256 take less than half of the time.

    Notes
    -----
    He et al., "Mask R-CNN", ICCV 2017; Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017.
    """

    stride = 32
    halo = 128

    def __init__(
        self,
        backbone: str = "resnet18",
        score: float = 0.5,
        overlap: float = 0.4,
        most: int = 3000,
        channels: int = 256,
    ) -> None:
        super().__init__()
        self.backbone = _pyramid(backbone, channels)
        # One size a level, the last level pooled from the one before: 8 to 128 pixels, 2 to 32 microns.
        anchors = AnchorGenerator(tuple((size,) for size in (8, 16, 32, 64, 128)), ((0.5, 1.0, 2.0),) * 5)
        per_place = anchors.num_anchors_per_location()[0]
        self.proposals = RegionProposalNetwork(
            anchors,
            RPNHead(channels, per_place),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 2000, "testing": 2 * most},
            post_nms_top_n={"training": 1000, "testing": most},
            nms_thresh=0.7,
        )
        size = 7
        self.heads = RoIHeads(
            MultiScaleRoIAlign(list(LEVELS), size, sampling_ratio=2, canonical_scale=64, canonical_level=4),
            TwoMLPHead(channels * size**2, 2 * CHANNELS),
            FastRCNNPredictor(2 * CHANNELS, 2),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=BOXES,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=score,
            nms_thresh=overlap,
            detections_per_img=most,
            mask_roi_pool=MultiScaleRoIAlign(
                list(LEVELS), 2 * size, sampling_ratio=2, canonical_scale=64, canonical_level=4
            ),
            mask_head=MaskRCNNHeads(channels, (CHANNELS,) * 4, 1),
            mask_predictor=MaskRCNNPredictor(CHANNELS, CHANNELS, 2),
        )
        # Bfloat16 holds the coordinates of boxes to a pixel or two: what is computed of scores and shifts is exact.
        for last in (self.proposals.head, self.heads.box_predictor, self.heads.mask_predictor):
            last.register_forward_hook(_to_float)

    def losses(self, images: Tensor, labels: list[NDArray[np.int32]]) -> dict[str, Tensor]:
        """Return the losses of Mask R-CNN on a batch.

        Parameters
        ----------
        images : (N, 3, H, W) tensor
            H&E in [-1, 1].
        labels : list of (H, W) arrays of int32
            The nuclei of each; 0 is background.

        Returns
        -------
        dict of str to tensor
            Of proposals and of what becomes of them: class, box, mask.
        """
        targets = [_instances(each, images.device) for each in labels]
        features, batch = self._features(images)
        boxes, first = self.proposals(batch, features, targets)
        _, second = self.heads(features, boxes, batch.image_sizes, targets)
        losses: dict[str, Tensor] = {**first, **second}
        return losses

    def forward(self, images: Tensor) -> Tensor:
        """Find nuclei, and paint them as a field of the mask domain."""
        features, batch = self._features(images)
        boxes, _ = self.proposals(batch, features)
        found, _ = self.heads(features, boxes, batch.image_sizes)
        height, width = images.shape[2:]
        fields = [encode(paste(each, height, width)) for each in found]
        return torch.from_numpy(np.stack(fields)).to(images)

    def _features(self, images: Tensor) -> tuple[dict[str, Tensor], ImageList]:
        features = {name: level.float() for name, level in self.backbone(images).items()}
        height, width = images.shape[2:]
        return features, ImageList(images, [(height, width)] * len(images))


def _to_float(module: nn.Module, given: Any, output: Any) -> Any:
    """Return what a module gives, a tensor or tuples and lists of them, in float32; a forward hook."""
    if isinstance(output, Tensor):
        return output.float()
    return type(output)(_to_float(module, given, each) for each in output)


def _pyramid(backbone: str, channels: int) -> BackboneWithFPN:
    """Return a residual network of torchvision with random weights, and a feature pyramid on its four stages."""
    network = get_model(backbone, weights=None)
    stages = {f"layer{number}": level for number, level in enumerate(LEVELS, start=1)}
    widths = [network.fc.in_features // 2 ** (len(LEVELS) - number) for number in range(1, len(LEVELS) + 1)]
    return BackboneWithFPN(network, stages, widths, channels)


def paste(found: dict[str, Tensor], height: int, width: int) -> NDArray[np.int32]:
    """Draw what was found in an image; where two nuclei overlap, that of the higher score is on top.

    Parameters
    ----------
    found : dict of str to tensor
        ``"boxes"`` (n, 4) as left, top, right, bottom; ``"scores"`` (n,); ``"masks"`` (n, 1, h, w) probabilities
        within each box.
    height, width : int
        Size of the image.

    Returns
    -------
    (height, width) array of int32
        0 is background.
    """
    labels = np.zeros((height, width), dtype=np.int32)
    boxes = found["boxes"].round().int().cpu().numpy()
    masks = found["masks"].float()
    for name, index in enumerate(found["scores"].argsort().tolist(), start=1):
        left, top, right, bottom = boxes[index]
        size = (max(int(bottom - top), 1), max(int(right - left), 1))
        mask = nn.functional.interpolate(masks[index : index + 1], size, mode="bilinear", align_corners=False)
        window = labels[max(top, 0) : top + size[0], max(left, 0) : left + size[1]]
        inside = (mask[0, 0] >= 0.5).cpu().numpy()[max(-top, 0) :, max(-left, 0) :]
        window[inside[: window.shape[0], : window.shape[1]]] = name
    return labels


def _instances(labels: NDArray[np.int32], device: torch.device) -> dict[str, Any]:
    """Return boxes, classes and masks of the nuclei of an image, as torchvision takes them."""
    from scipy import ndimage

    boxes, names = [], []
    for name, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            rows, columns = box
            boxes.append([columns.start, rows.start, columns.stop, rows.stop])
            names.append(name)
    masks = labels == np.array(names, dtype=np.int32)[:, None, None]
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32, device=device).reshape(-1, 4),
        "labels": torch.ones(len(names), dtype=torch.int64, device=device),
        "masks": torch.from_numpy(masks.astype(np.uint8)).to(device),
    }
