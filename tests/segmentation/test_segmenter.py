from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_nucleigan.base.errors import DeviceError, ImageError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.models import DEFAULT_SEGMENTER, load_model
from napari_nucleigan.segmentation import SegmentSettings, segment
from napari_nucleigan.segmentation.predictor import Predictor, is_blank
from napari_nucleigan.segmentation.segmenter import Segmenter
from oracle import SIGNS, Contextual, Oracle

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.models import Model


class Hungry(Oracle):
    """Fault injection: memory runs out for more than `most` windows at once, or off the CPU."""

    def __init__(self, most: int, fault: Exception | None = None) -> None:
        super().__init__()
        self.most = most
        self.fault = fault or torch.OutOfMemoryError("CUDA out of memory.")
        self.sizes: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise self.fault
        return super().forward(images)


def _windows(*shapes: tuple[int, int]) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 230, (*shape, 3), dtype=np.uint8) for shape in shapes]


def _field(window: np.ndarray) -> np.ndarray:
    return (np.moveaxis(window, -1, 0) / 127.5 - 1) * SIGNS.numpy()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (31, 33), (64, 64), (100, 257)])
def test_windows_of_any_size_keep_their_place(shape: tuple[int, int]) -> None:
    (window,) = _windows(shape)
    (field,) = Predictor(Oracle(), "cpu")([window])
    assert field.dtype == np.float16
    np.testing.assert_allclose(field, _field(window), atol=1e-3)


def test_windows_of_different_sizes_share_a_call() -> None:
    windows = _windows((40, 40), (64, 32), (40, 40), (40, 40))
    network = Hungry(99)
    fields = Predictor(network, "cpu", batch=2)(windows)
    assert network.sizes == [2, 1, 1]
    for window, field in zip(windows, fields, strict=True):
        np.testing.assert_allclose(field, _field(window), atol=1e-3)


def test_empty_glass_never_reaches_the_network() -> None:
    network = Hungry(0)
    (field,) = Predictor(network, "cpu")([np.full((50, 40, 3), 240, np.uint8)])
    assert network.sizes == []
    assert (field == -1).all()
    assert not is_blank(np.full((5, 5, 3), 200, np.uint8))


@pytest.mark.parametrize(
    ("tta", "turns"),
    [
        (2, [lambda image: image[::-1, ::-1]]),
        (4, [lambda image: image[::-1], lambda image: image[:, ::-1]]),
        (8, [lambda image: image[::-1], lambda image: image.swapaxes(0, 1)]),
    ],
)
def test_the_mean_over_views_turns_with_the_image(tta: int, turns: list[Callable[[np.ndarray], np.ndarray]]) -> None:
    class Slanted(Oracle):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.roll(images, (3, 1), (2, 3))

    (window,) = _windows((64, 96))
    predictor = Predictor(Slanted(), "cpu", tta=tta)
    (plain,) = predictor([window])
    for turn in turns:
        (field,) = predictor([turn(window)])
        expected = turn(np.moveaxis(plain, 0, -1))
        np.testing.assert_allclose(np.moveaxis(field, 0, -1), expected, atol=2e-3)


@pytest.mark.parametrize("tta", [1, 2, 4, 8])
def test_views_leave_an_even_network_alone(tta: int) -> None:
    (window,) = _windows((64, 96))
    one = Predictor(Contextual(), "cpu", "float32")([window])[0]
    mean = Predictor(Contextual(), "cpu", "float32", tta=tta)([window])[0]
    np.testing.assert_allclose(one.astype(float), mean, atol=5e-3)


def test_when_memory_runs_out_the_batch_is_halved_and_that_is_said() -> None:
    windows = _windows(*[(32, 32)] * 8)
    network = Hungry(2)
    predictor = Predictor(network, "cpu", batch=8)
    fields = predictor(windows)
    assert network.sizes == [8, 4, 2, 2, 2, 2]
    assert [note.text[:30] for note in predictor.notes()] == ["Memory of cpu ran out; going o"] * 2
    assert predictor.notes() == []
    for window, field in zip(windows, fields, strict=True):
        np.testing.assert_allclose(field, _field(window), atol=1e-3)


class _OnAccelerator(Hungry):
    """Fails wherever its weights were moved off the plain CPU; ``cpu:0`` plays the accelerator."""

    def __init__(self) -> None:
        super().__init__(99)
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.elsewhere = True

    def to(self, device: str, **rest: object) -> _OnAccelerator:
        self.elsewhere = device != "cpu"
        return super().to(device, **rest)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.most = 0 if self.elsewhere else 99
        return super().forward(images)


def test_when_single_tiles_are_too_much_the_cpu_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_nucleigan.networks.network_runner.choose_device", lambda name: name)
    network = _OnAccelerator()
    predictor = Predictor(network, "cpu:0", batch=2)
    windows = _windows((32, 32), (32, 32), (32, 64))
    fields = predictor(windows)
    assert predictor.on_cpu
    first, second = (note.text for note in predictor.notes())
    assert "a batch of 1" in first
    assert "on the CPU" in second
    for window, field in zip(windows, fields, strict=True):
        np.testing.assert_allclose(field, _field(window), atol=1e-3)


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
)
def test_without_any_memory_there_is_one_clear_error(fault: Exception) -> None:
    with pytest.raises(DeviceError, match=r"not enough memory .* smaller tile"):
        Predictor(Hungry(0, fault), "cpu")(_windows((32, 32)))


def test_other_faults_are_not_taken_for_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="something else"):
        Predictor(Hungry(0, RuntimeError("something else")), "cpu")(_windows((32, 32)))


def test_the_model_itself_stays_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_nucleigan.networks.network_runner.choose_device", lambda name: name)
    network = _OnAccelerator()
    Predictor(network, "cpu:0")
    assert next(network.parameters()).device.type == "cpu"
    assert network.elsewhere  # as it was: a copy went to the device


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(DeviceError, match="no device 'tpu'"):
        Predictor(Oracle(), "tpu")


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    windows = _windows((96, 64), (96, 64), (33, 20))
    on_cpu = Predictor(Contextual(), "cpu", "float32")(windows)
    on_gpu = Predictor(Contextual(), "cuda", "float32")(windows)
    for one, other in zip(on_cpu, on_gpu, strict=True):
        np.testing.assert_allclose(one.astype(float), other, atol=2e-3)


def test_bfloat16_is_close_to_float32() -> None:
    from napari_nucleigan.networks import build

    torch.manual_seed(0)
    network = build({"name": "compact-unet", "widths": [8, 8, 8, 8, 8]}).eval()
    windows = _windows((128, 128))
    exact = Predictor(network, "cpu", "float32")(windows)[0]
    rough = Predictor(network, "cpu", "bfloat16")(windows)[0]
    assert np.abs(exact.astype(float) - rough).max() < 0.05


@pytest.mark.parametrize("name", ["compact-unet", "unet-256", "resnet"])
def test_fusing_normalisation_changes_nothing(name: str) -> None:
    from napari_nucleigan.networks import build

    torch.manual_seed(0)
    network = build({"name": name, "widths": [8] * 5} if name == "compact-unet" else {"name": name, "width": 4})
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
            torch.nn.init.uniform_(layer.weight, 0.5, 2)
    network.eval()
    (window,) = _windows((256, 256))
    with torch.inference_mode():
        images = torch.from_numpy(window).permute(2, 0, 1)[None] / 127.5 - 1
        expected = network(images)[0].numpy()
    (field,) = Predictor(network, "cpu", "float32")([window])
    np.testing.assert_allclose(field, expected, atol=2e-3)
    assert name == "resnet" or any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(DEFAULT_SEGMENTER, "segmenter")


@pytest.mark.parametrize(
    "settings",
    [
        SegmentSettings(device="cpu"),
        SegmentSettings(device="cpu", mpp=0.5, tta=1, min_area=20),
        SegmentSettings(device="cpu", normalize="macenko"),
    ],
    ids=["defaults", "resampled", "normalised"],
)
def test_patches_give_what_segment_finds_in_each(
    model: Model, tiny_he: Callable[..., tuple[np.ndarray, np.ndarray]], settings: SegmentSettings
) -> None:
    patches = [tiny_he(height, width, 12, seed)[0] for seed, (height, width) in enumerate([(96, 96), (70, 129)] * 2)]
    patches.append(np.full((64, 64, 3), 255, np.uint8))
    found = Segmenter.of_patches(model, settings).patches(patches)
    assert len(found) == len(patches)
    for patch, labels in zip(patches, found, strict=True):
        expected = run(segment(HEImage(patch), settings, model)).labels
        # Batches of another size round differently; a pixel of an edge may turn over.
        assert np.count_nonzero((labels > 0) != (expected > 0)) <= 3
        assert labels.max() == expected.max()


def test_patches_of_a_scale_that_cannot_be_are_refused(model: Model) -> None:
    with pytest.raises(ImageError, match="microns per pixel"):
        Segmenter.of_patches(model).patches([np.zeros((32, 32, 3), np.uint8)], mpp=50.0)


def test_failures_of_the_network_are_ours(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter.of_patches(model, SegmentSettings(device="cpu"))

    def broken(windows: object) -> None:
        raise RuntimeError("the kernel is not there")

    monkeypatch.setattr(segmenter, "predictor", broken)
    with pytest.raises(DeviceError, match="the kernel is not there"):
        segmenter.patches([np.zeros((32, 32, 3), np.uint8)])
