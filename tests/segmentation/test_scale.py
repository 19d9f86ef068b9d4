from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import ImageError, ModelError
from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.data.images.files import HEImage, read_image, write_image
from napari_nucleigan.data.images.samples import synthetic_he
from napari_nucleigan.data.slides import open_slide
from napari_nucleigan.models import DEFAULT_SEGMENTER, load_model
from napari_nucleigan.networks.generators import DecodingUNet
from napari_nucleigan.segmentation import Segmenter, SegmentSettings, estimate_mpp, segment, segment_files
from napari_nucleigan.segmentation.scale import (
    SMALLEST,
    WINDOWS,
    ZOOMS,
    ScaleEstimate,
    check_scale,
    combined,
    darkest_parts,
    estimating,
)
from oracle import SIGNS, model, picture, scatter
from slide_files import write_pyramid

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from napari_nucleigan.models import Model

SETTINGS = SegmentSettings(device="cpu", precision="float32", mpp="auto")


class Seeing(DecodingUNet):
    """Sees in one level what the image shows: its channels are those of the field."""

    stride = 32
    halo = 128

    def levels(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images * SIGNS]

    def levelled(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return images * SIGNS, self.levels(images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * SIGNS


def fitted(exponent: float) -> Model:
    """Make a model that holds every image for one of `0.25 * 2**exponent` microns per pixel."""
    fit = {"weights": [0.0] * 3, "bias": 0.0, "width": 1.0, "slope": 0.0, "offset": exponent}
    return model(Seeing(), scale=fit)


def unscaled(side: int = 300) -> HEImage:
    return picture(scatter((side, side)), None)


def test_the_regression_gives_powers_of_two_of_the_models_scale_within_bounds() -> None:
    image = unscaled()
    assert estimate_mpp(image, fitted(1.0), SETTINGS).mpp == 0.5
    assert estimate_mpp(image.pixels, fitted(-0.3), SETTINGS).mpp == 0.2
    assert estimate_mpp(image.pixels, fitted(9.0), SETTINGS).mpp == 2.0


def test_it_goes_step_by_step_and_can_be_closed() -> None:
    job = estimating(darkest_parts(unscaled()), Segmenter(fitted(1.0), SETTINGS))
    events = []
    assert run(job, events.append).mpp == 0.5
    assert [event.done for event in events if isinstance(event, Progress)] == list(range(len(ZOOMS)))
    begun = estimating(darkest_parts(unscaled()), Segmenter(fitted(1.0), SETTINGS))
    next(begun)
    begun.close()


def test_what_cannot_be_estimated_is_said() -> None:
    with pytest.raises(ImageError, match="too small"):
        estimate_mpp(np.zeros((SMALLEST - 1, 200, 3), np.uint8), fitted(0.0), SETTINGS)
    with pytest.raises(ImageError, match="No nuclei"):
        estimate_mpp(np.full((100, 100, 3), 250, np.uint8), fitted(0.0), SETTINGS)
    whole = {"weights": [1.0, 2.0], "bias": 0.0, "width": 1.0, "slope": 1.0, "offset": 0.0}
    check_scale(model(scale=whole).card)
    for wrong in ({}, {**whole, "weights": "no"}, {**whole, "width": 0.0}, {"weights": [1.0]}, {**whole, "bias": []}):
        with pytest.raises(ModelError, match="cannot estimate"):
            check_scale(model(scale=wrong).card)
    with pytest.raises(ModelError, match="cannot estimate"):  # of another network
        estimate_mpp(unscaled(), model(Seeing(), scale=whole), SETTINGS)
    with pytest.raises(ModelError, match="no levels"):
        estimate_mpp(unscaled(), model(scale=whole), SETTINGS)


def test_views_that_agree_give_what_they_say_and_those_near_the_models_scale_count_most() -> None:
    exponents = np.array([[-0.3], [0.5], [2.0]])
    told = exponents - np.log2(ZOOMS)
    assert np.allclose(combined(told, 1.0), exponents[:, 0])
    told[:, -1] -= 1.0
    moved = exponents[:, 0] - combined(told, 1.0)
    assert moved[0] < 0.01
    assert moved[2] > 0.1


def test_the_bundled_model_has_an_idea_of_the_scale_of_the_sample() -> None:
    pixels = synthetic_he()[0].pixels
    half = pixels.reshape(pixels.shape[0] // 2, 2, pixels.shape[1] // 2, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    fine, coarse = (estimate_mpp(each).mpp for each in (pixels, half))
    assert 0.25 / 1.6 < fine < 0.25 * 1.6
    assert 1.2 < coarse / fine < 2.8


def test_what_the_network_sees_inside_of_nuclei_is_a_mean_weighted_by_the_interior() -> None:
    window = picture(scatter((64, 96))).pixels
    (row,) = Segmenter(fitted(0.0), SETTINGS).predictor.inside([window])
    field = (window.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1) * SIGNS.numpy()
    interior = (field[0] + 1) / 2
    assert row == pytest.approx([interior.mean(), *(field * interior).mean(axis=(1, 2))], abs=1e-4)


def test_parts_are_dark_and_apart() -> None:
    pixels = np.full((1200, 1200, 3), 250, np.uint8)
    pixels[40:190, 40:190] = 120
    pixels[900:1050, 900:1050] = 120
    parts = darkest_parts(pixels)
    assert len(parts) == WINDOWS
    assert [part.shape for part in parts] == [(320, 320, 3)] * WINDOWS
    assert sorted(int((part == 120).all(axis=2).sum()) for part in parts)[-2:] == [150**2, 150**2]


def test_parts_of_a_slide_are_those_of_its_full_resolution(tmp_path: Path) -> None:
    rgb = picture(scatter((700, 900)), None).pixels
    with open_slide(write_pyramid(tmp_path / "slide.tif", rgb)) as slide:
        parts = darkest_parts(slide)
        assert slide.mpp is None
        assert estimate_mpp(slide, fitted(1.0), SETTINGS).mpp == 0.5
        whole = np.lib.stride_tricks.sliding_window_view(slide.region((0, 700, 0, 900)), (320, 320, 3))[:, :, 0]
    assert len(parts) == WINDOWS
    assert all((whole[:, :, 0, 0, 0] == part[0, 0, 0]).any() and part.shape == (320, 320, 3) for part in parts)


def test_auto_takes_the_estimate_only_where_the_image_is_silent_and_says_so() -> None:
    silent, speaking = unscaled(), picture(scatter((200, 200)), 0.3)
    found = run(segment(silent, SETTINGS, fitted(1.0)))
    assert (found.mpp, found.provenance["mpp_source"]) == (0.5, "estimated")
    assert any("about 0.5 microns per pixel (20x) was estimated" in note for note in found.notes)
    found = run(segment(speaking, SETTINGS, fitted(1.0)))
    assert (found.mpp, found.provenance["mpp_source"]) == (0.3, "image")
    found = run(segment(silent, SETTINGS.model_copy(update={"mpp": None}), fitted(1.0)))
    assert (found.mpp, found.provenance["mpp_source"]) == (0.25, "model")
    assert any("'auto'" in note for note in found.notes)
    found = run(segment(silent, SETTINGS.model_copy(update={"mpp": 0.4}), fitted(1.0)))
    assert (found.mpp, found.provenance["mpp_source"]) == (0.4, "given")


def test_folders_say_what_they_took(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "silent.png", unscaled().pixels)
    write_image(tmp_path / "in" / "speaking.png", picture(scatter((200, 200))).pixels, 0.3)
    results = run(segment_files([tmp_path / "in"], tmp_path / "out", SETTINGS, model=fitted(1.0)))
    assert [result.provenance["mpp"] for result in results] == [0.5, pytest.approx(0.3, rel=1e-3)]
    assert any("estimated" in note for note in results[0].notes)
    assert read_image(tmp_path / "in" / "silent.png").mpp is None
    header, first, second = (tmp_path / "out" / "nucleigan-segment.csv").read_text("utf-8").splitlines()
    assert header == "image,state,nuclei,seconds,mpp,mpp_source,error"
    assert ",0.5,estimated," in first
    assert ",image," in second
    broken = model(scale={"weights": []})
    with pytest.raises(ModelError, match="cannot estimate"):
        run(segment_files([tmp_path / "in"], tmp_path / "other", SETTINGS, model=broken))


def test_the_default_model_estimates_for_one_that_cannot() -> None:
    pixels = synthetic_he()[0].pixels
    own = model()
    assert own.card.scale is None
    assert estimate_mpp(pixels, own, SETTINGS) == estimate_mpp(pixels, load_model(DEFAULT_SEGMENTER), SETTINGS)
    segmenter = Segmenter(own, SETTINGS)
    assert segmenter.scale_estimator is segmenter.scale_estimator  # of a whole folder it is loaded once


def test_a_slide_without_scale_is_segmented_at_the_estimate(tmp_path: Path) -> None:
    rgb = picture(scatter((500, 600)), None).pixels
    slide = write_pyramid(tmp_path / "slide.tif", rgb)
    (result,) = run(segment_files([slide], tmp_path / "out", SETTINGS, ["csv"], model=fitted(0.0)))
    assert (result.error, result.provenance["mpp"], result.provenance["mpp_source"]) == ("", 0.25, "estimated")
    assert any("was estimated" in note for note in result.notes)


@pytest.mark.parametrize(
    ("mpp", "said"),
    [
        (0.25, "about 0.25 microns per pixel (40x)"),
        (0.5, "about 0.5 microns per pixel (20x)"),
        (1.1, "about 1.1 microns per pixel (10x)"),
    ],
)
def test_it_is_said_as_people_do(mpp: float, said: str) -> None:
    assert str(ScaleEstimate(mpp)) == said
