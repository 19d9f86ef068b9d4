from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from napari_nucleigan import stains
from napari_nucleigan.base.errors import DeviceError, ImageError, ModelError
from napari_nucleigan.base.events import Note, Progress, run
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.masks.encoding import decode, encode
from napari_nucleigan.segmentation import Segmentation, SegmentSettings, refilter, segment
from napari_nucleigan.segmentation import image as core
from oracle import SIGNS, Contextual, Noisy, Oracle, alike, f1, model, picture, scatter

if TYPE_CHECKING:
    from napari_nucleigan.models import Model


def _segment(image: HEImage, oracle: Model | None = None, **settings: object) -> Segmentation:
    # The CPU's own arithmetic, so that what an oracle paints comes through unchanged.
    chosen = SegmentSettings(**{"device": "cpu", "precision": "float32", **settings})
    return run(segment(image, chosen, oracle or model()))


@pytest.fixture(params=["kept", "streamed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways through the tiles: with a kept field, and without, as for images too large."""
    if request.param == "streamed":
        monkeypatch.setattr(core, "KEPT_PIXELS", 0)
    return request.param


def test_an_image_of_known_nuclei_gives_them_back() -> None:
    labels = scatter((300, 400))
    found = _segment(picture(labels))
    assert alike(found.labels, decode(encode(labels)))
    assert found.labels.dtype == np.int32
    assert found.features["label"].tolist() == list(range(1, found.labels.max() + 1))
    assert found.field.shape == (3, 300, 400)
    assert found.field.dtype == np.float16


@pytest.mark.parametrize("network", [Oracle, Contextual, Noisy])
@pytest.mark.parametrize("tile", [256, 512])
def test_one_tile_or_many_give_the_same_nuclei(way: str, network: type[Oracle], tile: int) -> None:
    # Between touching nuclei an oracle's field is flat, and any noise would settle who gets its pixels.
    labels = scatter((700, 700), 20, touching=network is not Noisy)
    image = picture(labels)
    one = _segment(image, model(network()), tile=2048).labels
    many = _segment(image, model(network()), tile=tile).labels
    assert one.max() > 1000
    if network is not Noisy:
        assert alike(one, many, pixels=0 if network is Oracle else 20)
    assert f1(one, many, 0.5) >= 0.997
    assert f1(one, many, 0.9) >= 0.995


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    tile=st.integers(64, 200),
    seed=st.integers(0, 1000),
)
@hypothesis(max_examples=15, deadline=None)
def test_any_size_of_image_and_tile_gives_the_same_nuclei(height: int, width: int, tile: int, seed: int) -> None:
    labels = scatter((height, width), seed=seed)
    whole = decode(encode(labels))
    small_halo = Oracle()
    small_halo.halo = 40
    assert alike(_segment(picture(labels), model(small_halo), tile=tile).labels, whole)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (5, 7), (33, 31)])
def test_images_smaller_than_the_stride(shape: tuple[int, int], way: str) -> None:
    random = np.random.default_rng(0)
    image = HEImage(random.integers(0, 255, (*shape, 3), dtype=np.uint8), 0.25)
    assert _segment(image).labels.shape == shape


@pytest.mark.parametrize("value", [255, 244, 0])
def test_blank_images_hold_no_nuclei(value: int) -> None:
    class Dark(Oracle):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert images.min() < 0.5, "empty glass must not reach the network"
            return torch.full_like(images, -1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = _segment(
            HEImage(np.full((200, 300, 3), value, np.uint8), 0.25),
            model(Dark(), stain=stains.REFERENCE.to_json()),
        )
    assert found.labels.max() == 0
    assert len(found.features["label"]) == 0


class TestScale:
    def test_an_image_at_10x_is_brought_to_the_models_scale_and_back(self) -> None:
        labels = scatter((400, 400), 40, touching=False)
        fine = picture(labels)
        found = _segment(HEImage(fine.pixels[::2, ::2], 0.5))
        assert found.labels.shape == (200, 200)
        assert found.field.shape[1:] == (400, 400)
        assert f1(labels[::2, ::2], found.labels, 0.6) > 0.95
        assert any("Resampled from 0.5" in note for note in found.notes)

    def test_the_settings_come_before_the_image_and_the_image_before_the_model(self) -> None:
        labels = scatter((100, 100))
        assert _segment(picture(labels, 0.3), mpp=0.5).mpp == 0.5
        assert _segment(picture(labels, 0.3)).mpp == 0.3
        found = _segment(picture(labels, None))
        assert found.mpp == 0.25
        assert any("does not say its microns per pixel" in note for note in found.notes)

    def test_areas_are_those_of_the_image_itself(self) -> None:
        found = _segment(picture(scatter((200, 200)), 0.5))
        np.testing.assert_allclose(found.features["area_um2"], np.bincount(found.labels.ravel())[1:] * 0.25)

    def test_a_scale_that_cannot_be_right_is_one_clear_error(self) -> None:
        with pytest.raises(ImageError, match="give the right value"):
            _segment(picture(scatter((50, 50)), 300.0))


class TestFilters:
    def test_sizes_outside_the_limits_are_left_out(self) -> None:
        image = picture(scatter((300, 300)))
        areas = _segment(image).features["area_um2"]
        low, high = np.percentile(areas, [30, 70])
        found = _segment(image, min_area=low, max_area=high)
        expected = areas[(areas >= low) & (areas <= high)]
        np.testing.assert_allclose(found.features["area_um2"], expected)
        assert found.labels.max() == len(expected)

    def test_the_models_card_gives_the_defaults(self) -> None:
        image = picture(scatter((200, 200)))
        asked = _segment(image, threshold=0.7, prominence=0.2, min_area=10)
        card = {"threshold": 0.7, "prominence": 0.2, "min_area_um2": 10}
        assert np.array_equal(_segment(image, model(decode=card)).labels, asked.labels)

    @pytest.mark.parametrize(
        "filters",
        [{"threshold": 0.8}, {"prominence": 0.6}, {"min_area": 12.0, "max_area": 18.0}, {}],
    )
    @pytest.mark.parametrize("mpp", [0.25, 0.4])
    def test_moving_a_filter_gives_what_segmenting_anew_gives(self, filters: dict[str, float], mpp: float) -> None:
        image = picture(scatter((300, 260)), mpp)
        network = Contextual()
        first = _segment(image, model(network), threshold=0.4)
        again = _segment(image, model(network), **filters)
        network.forward = None  # it must not run
        moved = refilter(first, again.settings)
        assert np.array_equal(moved.labels, again.labels)
        assert moved.features.keys() == again.features.keys()
        for name, column in again.features.items():
            np.testing.assert_array_equal(moved.features[name], column)
        assert moved.provenance["settings"] == again.provenance["settings"]

    def test_other_settings_do_not_move(self) -> None:
        first = _segment(picture(scatter((100, 100))))
        moved = refilter(first, SegmentSettings(threshold=0.6, normalize="macenko", mpp=0.1))
        assert moved.settings == first.settings.model_copy(update={"threshold": 0.6})

    def test_a_large_image_says_why_its_filters_do_not_move(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(core, "KEPT_PIXELS", 0)
        found = _segment(picture(scatter((100, 100))))
        assert found.field is None
        with pytest.raises(ImageError, match="too large to move its filters"):
            refilter(found, SegmentSettings())

    def test_a_kept_field_is_cut_in_pieces_where_it_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        image = picture(scatter((500, 700)))
        whole = _segment(image).labels
        monkeypatch.setattr(core, "BLOCK", 200)
        assert alike(_segment(image).labels, whole)


class TestStains:
    def test_statistics_come_from_the_whole_image(self, tiny_he: object) -> None:
        """Half of the image is glass: its tiles must be painted as the whole is."""
        rgb, _ = tiny_he(256, 256, 60)
        pixels = np.concatenate([rgb, np.full_like(rgb, 246)], axis=1)
        card = {"stain": stains.REFERENCE.to_json()}
        many = _segment(HEImage(pixels, 0.25), model(**card), tile=64)
        one = _segment(HEImage(pixels, 0.25), model(**card), tile=2048)
        seen = (np.asarray(one.field, float) * SIGNS.numpy() + 1) * 127.5
        fit = stains.fit(pixels, "vahadane")
        expected = np.moveaxis(stains.normalize(pixels, stains.REFERENCE, fit), -1, 0)
        tissue = np.s_[:, :, :256]
        np.testing.assert_allclose(seen[tissue], expected[tissue], atol=0.2)
        np.testing.assert_array_equal(many.field[tissue], one.field[tissue])

    def test_a_model_that_does_not_ask_gets_the_image_as_it_is(self, tiny_he: object) -> None:
        rgb, _ = tiny_he(256, 256, 60)
        plain = _segment(HEImage(rgb, 0.25))
        seen = (plain.field.astype(float) * SIGNS.numpy() + 1) * 127.5
        np.testing.assert_allclose(seen, np.moveaxis(rgb, -1, 0), atol=0.2)
        for method in ("vahadane", "reinhard"):
            painted = _segment(HEImage(rgb, 0.25), normalize=method)
            assert not np.array_equal(painted.field, plain.field)
        asked = model(stain=stains.REFERENCE.to_json())
        assert np.array_equal(_segment(HEImage(rgb, 0.25), asked, normalize="none").field, plain.field)

    def test_a_broken_reference_is_one_clear_error(self) -> None:
        with pytest.raises(ModelError, match="stain reference"):
            _segment(picture(scatter((50, 50))), model(stain={"method": "vahadane"}))


class TestJob:
    def test_progress_comes_after_every_tile_with_the_time_left(self) -> None:
        events: list[object] = []
        settings = SegmentSettings(device="cpu", tile=64)
        run(segment(picture(scatter((200, 200))), settings, model()), events.append)
        done = [event.done for event in events if isinstance(event, Progress) and event.what == "segmenting"]
        assert done[:5] == [0, 1, 2, 3, 4]
        left = [event.seconds_left for event in events if isinstance(event, Progress) and event.what == "segmenting"]
        assert left[0] is None
        assert all(value >= 0 for value in left[1:16])

    def test_closing_stops_the_network(self) -> None:
        calls: list[int] = []

        class Counting(Oracle):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                calls.append(1)
                return images

        job = segment(picture(scatter((300, 300))), SegmentSettings(tile=64), model(Counting()))
        for event in job:
            if isinstance(event, Progress) and event.done == 2:
                break
        job.close()
        assert len(calls) == 2

    def test_faults_of_torch_never_come_as_runtime_errors(self) -> None:
        class Broken(Oracle):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                raise RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")

        with pytest.raises(DeviceError, match="CUDNN_STATUS_EXECUTION_FAILED"):
            _segment(picture(scatter((50, 50))), model(Broken()))

    def test_lack_of_memory_for_arrays_is_one_clear_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def exhausted(*_: object) -> None:
            raise MemoryError

        monkeypatch.setattr(core, "plan_tiles", exhausted)
        with pytest.raises(ImageError, match="does not fit into memory"):
            _segment(picture(scatter((50, 50))))

    def test_memory_that_runs_out_is_said(self) -> None:
        class Small(Oracle):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                if len(images) > 1:
                    raise torch.OutOfMemoryError("CUDA out of memory.")
                return images

        labels = scatter((200, 200))
        events: list[object] = []
        settings = SegmentSettings(device="cpu", tile=96, batch=2)
        found = run(segment(picture(labels), settings, model(Small())), events.append)
        assert any(isinstance(event, Note) and "ran out" in event.text for event in events)
        assert any("ran out" in note for note in found.notes)
        assert alike(found.labels, decode(encode(labels)))

    def test_provenance_says_all_that_made_the_result(self) -> None:
        found = _segment(picture(scatter((64, 64))), threshold=0.4)
        record = json.loads(json.dumps(found.provenance))
        assert record["model"] == "oracle"
        assert record["device"] == "cpu"
        assert record["precision"] == "float32"
        assert record["mpp"] == 0.25
        assert record["settings"]["threshold"] == 0.4
        assert record["settings"]["prominence"] == 0.5
        assert record["seconds"] > 0
        assert {"sha256", "version"} <= record.keys()

    def test_what_was_said_of_the_image_stays_with_the_result(self) -> None:
        image = HEImage(picture(scatter((64, 64))).pixels, 0.25, notes=("Greyscale.",))
        assert "Greyscale." in _segment(image).notes


def test_an_image_that_would_be_enlarged_beyond_memory_is_refused_before() -> None:
    image = HEImage(np.full((1000, 1000, 3), 200, np.uint8), 2.5, "far")
    with pytest.raises(ImageError, match=r"does not fit into memory at 0\.1 microns per pixel"):
        run(segment(image, SegmentSettings(device="cpu"), model(mpp=0.1)))
