from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleigan.base.errors import DeviceError
from napari_nucleigan.base.events import run
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.networks import build_synthesizer
from napari_nucleigan.networks.synthesizers import Synthesizer
from napari_nucleigan.synthesis.tiled_generator import BLOCK, TiledGenerator, Window, _ramp, noise_map
from napari_nucleigan.tiling import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

places = st.integers(-3 * BLOCK, 3 * BLOCK)
lengths = st.integers(1, 2 * BLOCK)
STYLE = np.array([1, -1, 1, -1], np.float32)


@pytest.fixture(scope="module")
def network() -> Synthesizer:
    torch.manual_seed(1)
    return build_synthesizer({"name": "painter", "widths": [8, 8, 8, 8], "style_size": 4}).eval().requires_grad_(False)


def _far(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference; single steps of one grey level are rounding."""
    return int(np.abs(one.astype(int) - other).max())


class Flat(Synthesizer):
    """Paints the interior channel, or the noise; has no context at all."""

    stride = 4
    halo = 0
    local = True
    noise = ((1, 1), (2, 4))

    def __init__(self, show: str = "field", most: int = 99, fault: Exception | None = None) -> None:
        super().__init__()
        self.show, self.most, self.fault = show, most, fault or torch.OutOfMemoryError("CUDA out of memory.")
        self.sizes: list[int] = []

    def forward(self, fields: torch.Tensor, noise: Sequence[torch.Tensor], style: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(fields))
        if len(fields) > self.most:
            raise self.fault
        assert noise[1].shape[2:] == (fields.shape[2] // 4, fields.shape[3] // 4)
        return fields if self.show == "field" else noise[0].expand(-1, 3, -1, -1).clamp(-1, 1)


@pytest.mark.parametrize("shape", [(1, 1), (37, 101), (64, 64), (3, 200)])
def test_pixels_keep_their_place_and_range(shape: tuple[int, int]) -> None:
    field = np.random.default_rng(0).uniform(-1, 1, (3, *shape)).astype(np.float32)
    field[:, 0, 0] = (-1, 0, 1)
    pixels = TiledGenerator(Flat(), "cpu", "float32").paint(field)
    assert pixels.dtype == np.uint8
    assert pixels[0, 0].tolist() == [0, 128, 255]
    np.testing.assert_allclose(np.moveaxis(pixels, -1, 0) / 127.5 - 1, field, atol=1 / 255 + 1e-6)


@pytest.mark.parametrize("tile", [64, 100, 128])
@pytest.mark.parametrize("shape", [(300, 170), (37, 501)])
def test_tiles_of_a_local_network_give_the_whole(
    network: Synthesizer, mask: Callable[..., np.ndarray], tile: int, shape: tuple[int, int]
) -> None:
    field = encode(mask(*shape, 60))
    whole = TiledGenerator(network, "cpu", "float32", tile=16384).paint(field, 5, STYLE)
    tiled = TiledGenerator(network, "cpu", "float32", tile=tile).paint(field, 5, STYLE)
    assert whole.std() > 5
    assert _far(whole, tiled) <= 1
    assert (whole != tiled).mean() < 1e-3


@settings(max_examples=25)
@given(st.data())
def test_a_region_is_painted_as_in_the_whole(network: Synthesizer, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 200))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    box = Box(top, data.draw(st.integers(top + 1, height)), left, data.draw(st.integers(left + 1, width)))
    field = np.random.default_rng(height).uniform(-1, 1, (3, height, width)).astype(np.float32)
    painter = TiledGenerator(network, "cpu", "float32")
    whole = painter.paint(field, 2, STYLE)
    part = run(painter.painting(field, 2, STYLE, box))
    assert part.shape == (*box.shape, 3)
    assert _far(part, whole[box.slices]) <= 1


def test_noise_belongs_to_the_place() -> None:
    field = np.zeros((3, 64, 64), np.float32)
    painter = TiledGenerator(Flat("noise"), "cpu", "float32")
    whole = painter.paint(field, 4)
    (part,) = painter.windows([Window(field[:, :16, :16], 4, np.empty(0, np.float32), (32, 48))])
    np.testing.assert_array_equal(part, whole[32:48, 48:])
    assert (painter.paint(field, 5) != whole).mean() > 0.9
    with pytest.raises(ValueError, match="not a multiple of the stride"):
        painter.windows([Window(field, 4, np.empty(0, np.float32), (2, 0))])


def test_tiles_of_a_network_that_mixes_are_blended(mask: Callable[..., np.ndarray]) -> None:
    torch.manual_seed(0)
    mixing = build_synthesizer({"name": "noisy-resnet", "width": 4, "blocks": 2}).eval()
    field = encode(mask(300, 420, 100))
    painter = TiledGenerator(mixing, "cpu", "float32", tile=128)
    blended = painter.paint(field)
    # Tiles side by side would jump where they meet.
    steps = np.abs(np.diff(blended.astype(int), axis=1)).mean(axis=(0, 2))
    seams = [column - 1 for column in range(128, 420, 128)]
    assert steps[seams].mean() < 1.3 * steps.mean()
    box = Box(100, 200, 150, 300)
    assert _far(run(painter.painting(field, region=box)), blended[box.slices]) <= 1


@pytest.mark.parametrize("halo", [1, 8, 100])
def test_the_weights_of_neighbours_sum_to_one(halo: int) -> None:
    border, end = 300, 600
    total = np.zeros(end)
    total[: border + halo] += _ramp(0, border + halo, end, halo)
    total[border - halo :] += _ramp(border - halo, end, end, halo)
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_windows_of_different_sizes_share_a_call() -> None:
    fields = [np.full((3, *shape), level, np.float32) for shape, level in (((8, 8), -1), ((4, 9), 0), ((8, 8), 1))]
    network = Flat()
    pictures = TiledGenerator(network, "cpu", batch=8).windows(
        [Window(field, 0, np.empty(0, np.float32)) for field in fields]
    )
    assert network.sizes == [2, 1]
    assert [(picture.shape[:2], int(picture[0, 0, 0])) for picture in pictures] == [
        ((8, 8), 0),
        ((4, 9), 128),
        ((8, 8), 255),
    ]


def test_when_memory_runs_out_the_batch_is_halved_and_that_is_said() -> None:
    network = Flat(most=1)
    painter = TiledGenerator(network, "cpu", tile=64, batch=4)
    events: list[object] = []
    field = np.zeros((3, 128, 128), np.float32)
    pixels = run(painter.painting(field), events.append)
    assert network.sizes == [4, 2, 1, 1, 1, 1]
    assert (pixels == 128).all()
    assert sum("Memory of cpu ran out" in getattr(event, "text", "") for event in events) == 2


def test_without_any_memory_there_is_one_clear_error() -> None:
    with pytest.raises(DeviceError, match="not enough memory"):
        TiledGenerator(Flat(most=0), "cpu").paint(np.zeros((3, 8, 8), np.float32))


def test_other_faults_are_not_taken_for_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="something else"):
        TiledGenerator(Flat(most=0, fault=RuntimeError("something else")), "cpu").paint(np.zeros((3, 8, 8), np.float32))


def test_bfloat16_is_close_to_float32(network: Synthesizer, mask: Callable[..., np.ndarray]) -> None:
    field = encode(mask(96, 96))
    exact = TiledGenerator(network, "cpu", "float32").paint(field, 1, STYLE)
    rough = TiledGenerator(network, "cpu", "bfloat16").paint(field, 1, STYLE)
    assert np.abs(exact.astype(int) - rough).mean() < 2


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives(network: Synthesizer, mask: Callable[..., np.ndarray]) -> None:
    field = encode(mask(300, 200, 60))
    on_cpu = TiledGenerator(network, "cpu", "float32").paint(field, 1, STYLE)
    on_gpu = TiledGenerator(network, "cuda", "float32", tile=64).paint(field, 1, STYLE)
    assert _far(on_cpu, on_gpu) <= 2


@given(places, places, lengths, lengths, st.data())
def test_every_window_shows_the_same_values(top: int, left: int, height: int, width: int, data: st.DataObject) -> None:
    whole = noise_map(3, 1, 2, (top, left), (height, width))
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    part = noise_map(3, 1, 2, (top + row, left + column), (height - row, width - column))
    np.testing.assert_array_equal(part, whole[:, row:, column:])


def test_values_are_standard_normal_and_independent() -> None:
    values = noise_map(0, 0, 3, (-256, -256), (512, 512)).astype(float)
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    assert abs((values[:, 1:] * values[:, :-1]).mean()) < 0.01
    assert abs((values[0] * values[1]).mean()) < 0.01
    quadrants = [
        values[0, rows, columns] for rows in (slice(256), slice(256, 512)) for columns in (slice(256), slice(256, 512))
    ]
    for index, one in enumerate(quadrants):
        for other in quadrants[index + 1 :]:
            assert abs((one * other).mean()) < 0.02


def test_seeds_and_maps_differ() -> None:
    given = [noise_map(seed, level, 1, (0, 0), (8, 8)) for seed, level in ((0, 0), (1, 0), (0, 1), (2**63, 0))]
    assert len({values.tobytes() for values in given}) == 4


def test_the_bytes_stay_what_they_are() -> None:
    values = noise_map(7, 2, 1, (60, -4), (16, 16))
    assert hashlib.sha256(values.tobytes()).hexdigest()[:16] == "16ce6d52cade0e38"
