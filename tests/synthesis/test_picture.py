from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import DeviceError, ImageError, LabelsError, ModelError, RecipeError
from napari_nucleigan.base.events import Note, Progress, run
from napari_nucleigan.data.images.files import write_image
from napari_nucleigan.synthesis import SynthesisSettings, synthesize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from napari_nucleigan.models import Model

EXACT = SynthesisSettings(model="painter", device="cpu", precision="float32", style="liver")


def _giant(shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return ((rows - shape[0] / 2) ** 2 + (columns - shape[1] / 2) ** 2 < (min(shape) * 0.45) ** 2).astype(np.int32)


def _many(side: int, pitch: int) -> np.ndarray:
    """Squares on a grid, each apart from the next."""
    count = side // pitch
    names = np.arange(1, count * count + 1, dtype=np.int32).reshape(count, count)
    labels = np.kron(names, np.pad(np.ones((pitch - 2, pitch - 2), np.int32), 1))
    return np.pad(labels, [(0, side - count * pitch)] * 2)


class TestAnyMask:
    @pytest.mark.parametrize("shape", [(1, 1), (37, 1001), (8, 8), (130, 65)])
    def test_of_any_size(self, model: Model, mask: Callable[..., np.ndarray], shape: tuple[int, int]) -> None:
        labels = mask(*shape, 20)
        made = run(synthesize(labels, EXACT, model))
        assert made.pixels.shape == (*shape, 3)
        assert made.pixels.dtype == np.uint8
        np.testing.assert_array_equal(made.labels, labels)

    def test_without_nuclei(self, model: Model) -> None:
        empty = run(synthesize(np.zeros((64, 96), int), EXACT, model)).pixels
        assert empty.std() > 0

    def test_one_giant_nucleus(self, model: Model) -> None:
        labels = _giant((300, 300))
        pixels = run(synthesize(labels, EXACT, model)).pixels
        empty = run(synthesize(np.zeros_like(labels), EXACT, model)).pixels
        assert (pixels != empty)[labels > 0].mean() > 0.5

    def test_five_thousand_nuclei(self, model: Model) -> None:
        labels = _many(720, 10)
        assert labels.max() > 5000
        made = run(synthesize(labels, EXACT, model))
        assert made.pixels.shape == (720, 720, 3)

    def test_names_do_not_matter(self, model: Model, mask: Callable[..., np.ndarray]) -> None:
        labels = mask(96, 96)
        names = np.r_[0, 2**31 - 1 - 7 * np.arange(labels.max())]
        first = run(synthesize(labels, EXACT, model)).pixels
        np.testing.assert_array_equal(run(synthesize(names[labels], EXACT, model)).pixels, first)
        np.testing.assert_array_equal(run(synthesize(labels.astype(np.uint8), EXACT, model)).pixels, first)

    @pytest.mark.parametrize(
        ("labels", "why"),
        [
            (np.zeros((5, 5), np.float32), "float32"),
            (np.full((5, 5), -1), "negative"),
            (np.zeros((4, 5, 5), int), "shape"),
            (np.zeros((5, 5, 3), np.uint8), "colours"),
            (np.zeros((5, 5), bool), "number the nuclei"),
            (np.zeros((0, 5), int), "shape"),
        ],
    )
    def test_what_is_no_mask_is_refused(self, model: Model, labels: np.ndarray, why: str) -> None:
        with pytest.raises(LabelsError, match=why):
            run(synthesize(labels, EXACT, model))


class TestScale:
    def test_a_mask_of_another_scale_is_painted_at_the_models(
        self, model: Model, mask: Callable[..., np.ndarray]
    ) -> None:
        labels = mask(128, 96)
        fine = np.kron(labels, np.ones((2, 2), np.int32))
        made = run(synthesize(labels, EXACT, model, mpp=0.25))
        resampled = run(synthesize(fine, EXACT, model, mpp=0.125))
        assert resampled.pixels.shape == (256, 192, 3)
        shrunk = resampled.pixels.reshape(128, 2, 96, 2, 3).mean(axis=(1, 3))
        assert np.corrcoef(shrunk.ravel(), made.pixels.ravel())[0, 1] > 0.9
        assert resampled.mpp == 0.125
        assert any("resampled to the mask's 0.125" in note for note in resampled.notes)
        assert made.notes == ()

    def test_the_settings_come_first(self, model: Model, mask: Callable[..., np.ndarray]) -> None:
        settings = EXACT.model_copy(update={"mpp": 0.5})
        assert run(synthesize(mask(40, 40), settings, model, mpp=0.1)).mpp == 0.5

    def test_a_scale_that_cannot_be(self, model: Model) -> None:
        with pytest.raises(LabelsError, match=r"30 microns per pixel.*right value"):
            run(synthesize(np.zeros((9, 9), int), EXACT, model, mpp=30))


class TestRandomness:
    def test_the_same_seed_gives_the_same_picture(self, model: Model, mask: Callable[..., np.ndarray]) -> None:
        labels = mask(96, 96)
        first, again = (run(synthesize(labels, EXACT, model)).pixels for _ in range(2))
        np.testing.assert_array_equal(first, again)

    def test_another_seed_gives_another_picture_of_the_same_nuclei(
        self, model: Model, mask: Callable[..., np.ndarray]
    ) -> None:
        labels = mask(96, 96)
        first = run(synthesize(labels, EXACT, model)).pixels
        other = run(synthesize(labels, EXACT.model_copy(update={"seed": 1}), model)).pixels
        assert (first != other).mean() > 0.5

    def test_the_style_shows(self, model: Model, mask: Callable[..., np.ndarray]) -> None:
        labels = mask(96, 96)
        first = run(synthesize(labels, EXACT, model))
        other = run(synthesize(labels, EXACT.model_copy(update={"style": "breast"}), model))
        assert (first.style, other.style) == ("liver", "breast")
        assert np.abs(first.pixels.mean((0, 1)) - other.pixels.mean((0, 1))).max() > 1


class TestRestain:
    def test_to_the_reference_and_to_an_image(
        self, tmp_path: Path, model: Model, tiny_he: Callable[..., tuple[np.ndarray, np.ndarray]]
    ) -> None:
        from napari_nucleigan import stains

        _, labels = tiny_he(200, 200, 60)
        plain = run(synthesize(labels, EXACT, model)).pixels
        write_image(tmp_path / "ref.png", tiny_he(200, 200, 60, 3)[0])
        for wanted, target in (
            ("reference", stains.REFERENCE),
            (str(tmp_path / "ref.png"), stains.fit(tiny_he(200, 200, 60, 3)[0])),
        ):
            made = run(synthesize(labels, EXACT.model_copy(update={"restain": wanted}), model))
            np.testing.assert_array_equal(made.pixels, stains.normalize(plain, target))

    def test_what_is_not_there(self, model: Model) -> None:
        with pytest.raises(RecipeError, match="no stain preset and no image 'teal'"):
            run(synthesize(np.zeros((9, 9), int), EXACT.model_copy(update={"restain": "teal"}), model))

    def test_an_image_without_stains(self, tmp_path: Path, model: Model) -> None:
        write_image(tmp_path / "glass.png", np.full((60, 60, 3), 250, np.uint8))
        settings = EXACT.model_copy(update={"restain": str(tmp_path / "glass.png")})
        with pytest.raises(ImageError, match=r"stains of .* cannot be taken"):
            run(synthesize(np.zeros((9, 9), int), settings, model))


class TestJob:
    def test_progress_of_tiles_and_cancel(self, model: Model, mask: Callable[..., np.ndarray]) -> None:
        labels = mask(200, 200)
        events: list[object] = []
        run(synthesize(labels, EXACT.model_copy(update={"tile": 64}), model), events.append)
        steps = [event for event in events if isinstance(event, Progress) and event.what == "painting"]
        assert [step.done for step in steps] == list(range(steps[-1].total + 1))
        job = synthesize(labels, EXACT.model_copy(update={"tile": 64}), model)
        for event in job:
            if isinstance(event, Progress) and event.done == 2:
                break
        job.close()
        with pytest.raises(StopIteration):
            next(job)

    def test_provenance_is_complete_and_ready_for_json(self, model: Model, mask: Callable[..., np.ndarray]) -> None:
        made = run(synthesize(mask(40, 40), EXACT, model))
        record = json.loads(json.dumps(made.provenance))
        assert record["model"] == "painter"
        assert record["sha256"] == model.card.sha256
        assert record["settings"]["seed"] == 0
        assert (record["style"], record["device"], record["precision"]) == ("liver", "cpu", "float32")
        assert len(record["code"]) == 4

    def test_the_model_is_found_by_its_name(self, model: Model, mask: Callable[..., np.ndarray]) -> None:
        by_name = run(synthesize(mask(40, 40), EXACT)).pixels
        np.testing.assert_array_equal(by_name, run(synthesize(mask(40, 40), EXACT, model)).pixels)
        with pytest.raises(ModelError, match="no model named 'nothing'"):
            run(synthesize(mask(40, 40), EXACT.model_copy(update={"model": "nothing"})))

    def test_a_segmenter_cannot_paint(self) -> None:
        with pytest.raises(ModelError, match="is a segmenter"):
            run(synthesize(np.zeros((9, 9), int), SynthesisSettings(model="nucleigan-he")))

    def test_an_unknown_device(self, model: Model) -> None:
        with pytest.raises(DeviceError, match="no device 'tpu'"):
            run(synthesize(np.zeros((9, 9), int), EXACT.model_copy(update={"device": "tpu"}), model))

    def test_faults_of_the_network_are_our_errors(self, model: Model) -> None:
        def broken(*_: object) -> torch.Tensor:
            raise RuntimeError("kernel panic")

        model.network.forward = broken
        with pytest.raises(DeviceError, match="The network failed: kernel panic"):
            run(synthesize(np.zeros((9, 9), int), EXACT, model))

    def test_notes_come_as_events_too(self, model: Model) -> None:
        events: list[object] = []
        made = run(synthesize(np.zeros((9, 9), int), EXACT, model, mpp=0.5), events.append)
        assert tuple(event.text for event in events if isinstance(event, Note)) == made.notes


def test_a_mixing_network_paints_too(mixing_model: Model, mask: Callable[..., np.ndarray]) -> None:
    settings = SynthesisSettings(device="cpu", precision="float32", tile=64)
    made = run(synthesize(mask(150, 90), settings, mixing_model))
    assert made.pixels.shape == (150, 90, 3)
    assert made.style == ""


def test_settings_that_are_not_valid() -> None:
    with pytest.raises(RecipeError, match=r"seed: .*greater than or equal to 0"):
        SynthesisSettings.checked(seed=-1)
