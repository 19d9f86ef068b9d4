"""Measurements of a set of pictures, crop by crop: consistency with the masks, features, colours and texture."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import DatasetError, LabelsError
from napari_nucleigan.base.events import Note, Progress
from napari_nucleigan.evaluation.synthetic.appearance import (
    Colours,
    Texture,
    diversity,
    lab_of,
    mean_colours,
    sum_colours,
)
from napari_nucleigan.evaluation.synthetic.autocorrelation import repetition
from napari_nucleigan.evaluation.synthetic.report import SetFigures
from napari_nucleigan.metrics import aji, overlaps
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.segmentation.segmenter import Segmenter
from napari_nucleigan.segmentation.settings import SegmentSettings
from napari_nucleigan.tiling import Scale, resize_image, resize_labels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.data.datasets.dataset import Dataset
    from napari_nucleigan.evaluation.synthetic.features import Depth, Encoder, PretrainedEncoder

_ALIGNED = 8  # crops begin at multiples of it, so that grids of all crops of an image lie upon one another
_BATCH = 32  # crops


@dataclass(frozen=True, eq=False)
class SetMeasurements:
    """What was measured on the crops of a set.

    Attributes
    ----------
    names : tuple of str
        Names of the images.
    groups : ndarray of int, shape (n,)
        Index of the image that each crop was cut from.
    features : dict of str to ndarray of float32, shape (n, d)
        As `Encoder` gives them, and `PretrainedEncoder` where it is there.
    scores : ndarray of float64, shape (n,)
        Consistency of each crop.
    means : ndarray of float64, shape (n, 2, 3)
        As `napari_nucleigan.evaluation.synthetic.mean_colours`.
    colours : tuple of Colours
        Of each image.
    texture : Texture
        Of all crops.
    repetitions : ndarray of float64, shape (n,)
        As `napari_nucleigan.evaluation.synthetic.repetition`, of each crop.
    """

    names: tuple[str, ...]
    groups: NDArray[np.intp]
    features: dict[Depth, NDArray[np.float32]]
    scores: NDArray[np.float64]
    means: NDArray[np.float64]
    colours: tuple[Colours, ...]
    texture: Texture
    repetitions: NDArray[np.float64]

    @property
    def all_features(self) -> NDArray[np.float32]:
        """Deep and fine features side by side, (n, d)."""
        return np.concatenate([self.features["deep"], self.features["fine"]], axis=1)

    @property
    def image_names(self) -> NDArray[np.str_]:
        """Name of the image that each crop was cut from, (n,)."""
        return np.array(self.names)[self.groups]

    def figures(self) -> SetFigures:
        """Sum the set up."""
        scores = {name: float(self.scores[self.groups == index].mean()) for index, name in enumerate(self.names)}
        return SetFigures(
            images=len(self.names),
            crops=len(self.groups),
            scores=scores,
            colours=sum_colours(self.colours).moments(),
            diversity=diversity(self.means, self.groups),
            deep_diversity=self._deep_diversity(),
            sharpness=self.texture.sharpness,
            slope=self.texture.slope,
            blocks=self.texture.blocks,
            grid=self.texture.grid,
            repetition=_mean(self.repetitions),
            repetition_std=self._spread_over_images(self.repetitions),
        )

    def _deep_diversity(self) -> float:
        deep = self.features["deep"].astype(np.float64)
        return diversity(deep[:, None] / np.sqrt(deep.shape[1]), self.groups)

    def _spread_over_images(self, values: NDArray[np.float64]) -> float:
        means = np.array([_mean(values[self.groups == index]) for index in range(len(self.names))])
        known = means[np.isfinite(means)]
        return float(known.std()) if len(known) else float("nan")

    def only(self, chosen: NDArray[np.intp]) -> SetMeasurements:
        """Return the features and colours of some images, by their indices; the texture stays that of all."""
        kept = np.isin(self.groups, chosen)
        return replace(
            self,
            groups=self.groups[kept],
            features={depth: rows[kept] for depth, rows in self.features.items()},
            scores=self.scores[kept],
            means=self.means[kept],
            repetitions=self.repetitions[kept],
            colours=tuple(self.colours[index] for index in chosen),
        )


def consistency(
    images: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.integer]],
    model: Segmenter | Model | str | Path,
    *,
    device: str = "auto",
    views: int | None = None,
    mpp: float | None = None,
) -> NDArray[np.float64]:
    """Score synthetic pairs: the AJI of what a segmenter finds in the image against the mask.

    Parameters
    ----------
    images : sequence of ndarray of uint8, shape (H, W, 3)
        RGB.
    labels : sequence of ndarray of int, shape (H, W)
        The masks that made them; 0 is background.
    model : Segmenter, Model, str or Path
        The segmenter. Who scores many batches makes a `Segmenter` once.
    device : str
        Where to compute; a `Segmenter` has its own.
    views : int, optional
        Views to average over, by default what the model asks for. The bundled segmenter asks for two;
        one takes two thirds of the time and scores lower by 0.006. A `Segmenter` has its own.
    mpp : float, optional
        Microns per pixel of the images; by default those of the model.

    Returns
    -------
    ndarray of float64, shape (n,)
        0 to 1; 1 where an empty mask gave an image in which nothing is found.

    Raises
    ------
    LabelsError
        If there are not as many label images as images, or one has another size.
    ModelError, DeviceError, ImageError
        If the segmenter cannot work.
    """
    if len(images) != len(labels):
        raise LabelsError(f"There are {len(images)} images but {len(labels)} label images; give one for each.")
    for index, (image, mask) in enumerate(zip(images, labels, strict=True)):
        if image.shape[:2] != mask.shape:
            raise LabelsError(f"Image and labels {index} differ in size: {image.shape[:2]} and {mask.shape}.")
    if not isinstance(model, Segmenter):
        loaded = model if isinstance(model, Model) else load_model(model, "segmenter")
        model = Segmenter.of_patches(loaded, SegmentSettings(model=loaded.card.name, device=device, tta=views))
    scores = [aji(overlaps(truth, found)) for truth, found in zip(labels, _found(images, model, mpp), strict=True)]
    return np.array(scores, dtype=np.float64)


def _found(images: Sequence[NDArray[np.uint8]], segmenter: Segmenter, mpp: float | None) -> list[NDArray[np.int32]]:
    """Segment batch by batch, so that no more fields than those of a batch are held."""
    step = segmenter.predictor.batch
    groups = [images[start : start + step] for start in range(0, len(images), step)]
    return [labels for group in groups for labels in segmenter.patches(group, mpp)]


def measure(
    data: Dataset,
    segmenter: Segmenter,
    encoder: Encoder,
    crop: int,
    what: str,
    first: int,
    total: int,
    pretrained: PretrainedEncoder | None = None,
) -> Job[SetMeasurements]:
    """Measure the crops of a set.

    Parameters
    ----------
    data : Dataset
        Images and their labels. All are brought to the scale of the encoder's model.
    segmenter : Segmenter
        Finds the nuclei.
    encoder : Encoder
        Gives the features.
    crop : int
        Side of the crops in pixels, a multiple of 32.
    what : str
        Which set, for people.
    first, total : int
        Images done before, and of all sets, for the progress.
    pretrained : PretrainedEncoder, optional
        Gives further features.

    Yields
    ------
    Progress or Note
        After each image.

    Returns
    -------
    SetMeasurements

    Raises
    ------
    DatasetError
        If an image is smaller than a crop, or does not fit its labels.
    """
    mpp = encoder.model.card.mpp
    texture = Texture()
    colours: list[Colours] = []
    groups: list[int] = []
    means: list[NDArray[np.float64]] = []
    repetitions: list[float] = []
    features: dict[Depth, list[NDArray[np.float32]]] = defaultdict(list)
    scores: list[NDArray[np.float64]] = []
    patches: list[NDArray[np.uint8]] = []
    masks: list[NDArray[np.int32]] = []

    def show_networks() -> None:
        """Show them what has come together, several crops at once."""
        for eye in (encoder, pretrained):
            for depth, rows in eye(patches).items() if eye else ():
                features[depth].append(rows)
        scores.append(consistency(patches, masks, segmenter, mpp=mpp))
        patches.clear()
        masks.clear()

    unknown = 0
    started = time.monotonic()
    for index, name in enumerate(data.names):
        left = (time.monotonic() - started) / index * (total - first - index) if index else None
        yield Progress(first + index, total, f"{what}: {name}", left)
        image, labels = data.pair(name)
        unknown += image.mpp is None
        scale = Scale.of((labels.shape[0], labels.shape[1]), image.mpp or mpp, mpp)
        pixels = resize_image(image.pixels, scale.model_shape)
        labels = resize_labels(labels, scale.model_shape)
        places = crop_places(scale.model_shape, crop)
        if not places:
            height, width = scale.model_shape
            raise DatasetError(
                f"{name!r} of {data.folder} has {height}x{width} pixels at {mpp:g} microns per pixel, which hold no "
                f"crop of {crop}x{crop}; make larger images or take smaller crops."
            )
        colours.append(Colours())
        for top, left in places:
            box = slice(top, top + crop), slice(left, left + crop)
            patches.append(np.ascontiguousarray(pixels[box]))
            masks.append(labels[box])
            lab, nuclei = lab_of(patches[-1]), masks[-1] > 0
            colours[-1].add(lab, nuclei)
            means.append(mean_colours(lab, nuclei))
            texture.add(lab[..., 0])
            repetitions.append(repetition(lab[..., 0], nuclei))
            if len(patches) == _BATCH:
                show_networks()
        groups += [index] * len(places)
    if unknown:
        yield Note(f"{unknown} images of {data.folder} do not say their microns per pixel; {mpp:g} was taken.")
    if patches:
        show_networks()
    return SetMeasurements(
        data.names,
        np.array(groups),
        {depth: np.concatenate(rows) for depth, rows in features.items()},
        np.concatenate(scores),
        np.stack(means),
        tuple(colours),
        texture,
        np.array(repetitions),
    )


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def crop_places(shape: tuple[int, int], crop: int) -> list[tuple[int, int]]:
    """Place square crops evenly over an image; they overlap by about an eighth of their side at most.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image in pixels.
    crop : int
        Side of the crops in pixels.

    Returns
    -------
    list of (int, int)
        First row and column of each, multiples of 8; empty where none fits.
    """
    rows, columns = (_starts(length, crop) for length in shape)
    return [(top, left) for top in rows for left in columns]


def _starts(length: int, crop: int) -> list[int]:
    if length < crop:
        return []
    overlap = crop // 8
    count = (length - overlap) // (crop - overlap)
    starts = np.linspace(0, length - crop, count)
    return [int(start) // _ALIGNED * _ALIGNED for start in starts]
