from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_nucleigan.base.errors import ExtraError, ModelError, RecipeError
from napari_nucleigan.base.events import Losses, run
from napari_nucleigan.masks.encoding import decode
from napari_nucleigan.models import ModelCard, load_model, save_model
from napari_nucleigan.networks import build
from napari_nucleigan.training import RunFolder, SegmenterRecipe, train_segmenter
from napari_nucleigan.training.cgan import InstanceTrainer, trainer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TINY = {"name": "mask-rcnn", "most": 50, "channels": 64}


def _recipe(**changes: Any) -> SegmenterRecipe:
    plain: dict[str, Any] = {"generator": TINY, "discriminator_width": 0, "patch": 64, "batch": 2, "warmup_steps": 0}
    return SegmenterRecipe(**{**plain, **changes})


@pytest.fixture(scope="module")
def torchvision() -> None:
    """Skip where torchvision is not to be had."""
    try:
        build(TINY)
    except ExtraError as error:
        pytest.skip(str(error))


def test_without_torchvision_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    # What an import finds where the package is missing; where it is there, it is hidden.
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "napari_nucleigan.networks.maskrcnn", raising=False)
    with pytest.raises(ExtraError, match=r"needs torchvision, which is not installed; install .*\[maskrcnn\]"):
        build(TINY)
    path = tmp_path / "model.safetensors"
    card = ModelCard(name="model", kind="segmenter", architecture=TINY, mpp=0.25)
    save_model(path, {"weight": torch.zeros(1)}, card)
    with pytest.raises(ModelError, match=r"cannot be used here\. Mask R-CNN needs torchvision"):
        load_model(path)


def test_only_mask_rcnn_learns_from_nuclei() -> None:
    assert trainer_of(_recipe()) is InstanceTrainer
    assert trainer_of(SegmenterRecipe()) is not InstanceTrainer
    with pytest.raises(RecipeError, match="set discriminator_width to 0"):
        InstanceTrainer(_recipe(discriminator_width=8))


def test_what_is_found_is_pasted_where_it_lies() -> None:
    pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    from napari_nucleigan.networks.maskrcnn import paste

    masks = torch.ones(3, 1, 28, 28)
    masks[2, :, :, :14] = 0
    boxes = torch.tensor([[2.0, 3, 10, 9], [8, 4, 14, 12], [-4, 16, 4, 22]])
    labels = paste({"boxes": boxes, "scores": torch.tensor([0.9, 0.6, 0.7]), "masks": masks}, 20, 16)
    expected = np.zeros((20, 16), np.int32)
    expected[4:12, 8:14] = 1
    expected[16:20, 0:4] = 2
    expected[3:9, 2:10] = 3
    assert (labels == expected).all()


def test_its_output_is_a_field_that_decodes_to_what_it_found(torchvision: None) -> None:
    torch.manual_seed(0)
    network = build({**TINY, "score": 0.0}).eval()
    with torch.no_grad():
        field = network(torch.randn(1, 3, 64, 96))
    assert field.shape == (1, 3, 64, 96)
    assert field.abs().max() <= 1
    assert decode(field[0].numpy()).max() > 0
    assert network.stride == 32


@pytest.mark.parametrize("bfloat16", [False, True])
def test_crops_without_nuclei_teach_as_well(torchvision: None, bfloat16: bool) -> None:
    trainer = InstanceTrainer(_recipe(), "cpu", bfloat16)
    fields = torch.full((2, 3, 64, 64), -1.0)
    fields[1, :, :32] = float("nan")
    values = trainer.step((torch.randn(2, 3, 64, 64), fields), 0, 1.0)
    assert set(values) == {"objectness", "rpn_box_reg", "classifier", "box_reg", "mask"}
    assert all(np.isfinite(value) for value in values.values())


@pytest.mark.timeout(600)  # a ResNet, on a CPU
def test_it_learns_and_its_model_segments(torchvision: None, tiny_he: Callable[..., Any], tmp_path: Path) -> None:
    import tifffile
    from skimage.io import imsave

    from napari_nucleigan.segmentation import SegmentSettings, segment_files

    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for seed in range(4):
        image, labels = tiny_he(160, 160, 30, seed)
        imsave(tmp_path / "data" / "images" / f"{seed}.png", image, check_contrast=False)
        tifffile.imwrite(tmp_path / "data" / "labels" / f"{seed}.tif", labels)
    still = {"zoom": (1.0, 1.0), "stain": 0.0, "hue": 0.0, "light": 0.0, "blur": 0.0, "noise": 0.0}
    recipe = _recipe(
        patch=96,
        batch=4,
        crops_per_epoch=40,
        epochs_constant=6,
        epochs_decay=0,
        validate_every=6,
        lr=5e-4,
        ema=0.8,
        **still,
    )
    folder = RunFolder(tmp_path / "run")
    run(train_segmenter(tmp_path / "data", recipe, folder, device="cpu"))
    losses = [sum(event.values.values()) for event in folder.events() if isinstance(event, Losses)]
    assert losses[-1] < 0.7 * losses[0]
    settings = SegmentSettings(model=str(folder.path), device="cpu", mpp=0.25)
    (result,) = run(segment_files([tmp_path / "data" / "images" / "0.png"], tmp_path / "0.tif", settings))
    assert not result.error
    assert result.nuclei > 5
