"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result
    from numpy.typing import NDArray

# How long one example takes says nothing on a busy machine.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

REPOSITORY = Path(__file__).resolve().parents[1]
# Optical density of haematoxylin and eosin in red, green and blue (Ruifrok and Johnston, 2001).
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11])

# A run must not fail because a machine is busy, nor for luck: the same code gets the same examples.
# `--hypothesis-profile=search` looks for new ones.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """Give each process of tests a display and a core of its own.

    A clipboard, a pointer and a focus that no other test takes; and no threads of torch that wait for one another on
    cores that other tests keep busy, which took a third of the processor time of trainings.
    """
    # Who is started in the background of a script ignores Ctrl-C, and would hand that on to the commands under test.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # napari's settings are the user's own, and would be read and written whenever a viewer is made.
    os.environ["NAPARI_CONFIG"] = ""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return
    if "DISPLAY" in os.environ and shutil.which("Xvfb"):
        config.add_cleanup(_own_display())
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


def _own_display() -> Callable[[], None]:
    """Start a display server and name it to the tests; returns what ends it."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1400x900x24", "+extension", "GLX"]
    server = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as told:
        os.environ["DISPLAY"] = f":{told.readline().strip()}"

    def end() -> None:
        server.terminate()
        server.wait()

    return end


_modules = 0


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish() -> None:
    """Keep the garbage collector off what big modules brought in: napari's fixture calls it several times a test.

    It has to look only at what tests make: torch and napari themselves took half of the time of the widgets' tests.
    """
    global _modules
    if len(sys.modules) > _modules + 200:
        _modules = len(sys.modules)
        gc.collect()
        gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests marked ``gpu`` where torch finds no CUDA device."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders for one test after another; pytest would look through all that there are for each new one's number."""
    folder = tmp_path_factory.mktemp("users")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_folders(users: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own models and settings out of the tests, and the tests out of them."""
    user = next(users)
    user.mkdir()
    for what in ("MODELS", "CONFIG", "RUNS", "QUEUE"):
        (user / what.lower()).mkdir()
        monkeypatch.setenv(f"NUCLEIGAN_{what}", str(user / what.lower()))


@pytest.fixture(autouse=True)
def trainings_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings not stand back: they are what a test waits for, on a machine that has other things to do."""
    if (processes := sys.modules.get("napari_nucleigan.training.runs.processes")) is not None:
        monkeypatch.setattr(processes, "NICENESS", 0)


@pytest.fixture
def nucleigan() -> Callable[..., Result]:
    """Run the application in this process."""
    from typer.testing import CliRunner

    from napari_nucleigan.cli.app import app

    def command(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return command


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a memory file system with the options given; only root may."""
    mounted: list[Path] = []

    def make(options: str) -> Path:
        folder = tmp_path / f"mount{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs the right to mount a file system")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(mount: Callable[[str], Path]) -> Iterator[Path]:
    """A disk of six megabytes; what trains on it is ended with the test."""
    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.training.runs.processes import kill

    disk = mount("size=6m")
    yield disk
    for path in disk.iterdir():
        with suppress(NucleiganError):
            kill(path)


def _shared(part: str) -> Path:
    root = Path(os.environ.get("NUCLEIGAN_DATA", REPOSITORY.parent / "shared"))
    path = root / part
    if not path.exists():
        pytest.skip(f"{path} is absent; NUCLEIGAN_DATA names the folder that holds {part}")
    return path


@pytest.fixture(scope="session")
def kumar() -> Path:
    """The Kumar data set in the data-set layout; never choose anything by its test tiles."""
    return _shared("data/kumar")


@pytest.fixture(scope="session")
def monuseg_original() -> Path:
    """Two tiles as published: LZW TIFF and Aperio XML."""
    return _shared("data/monuseg_original")


@pytest.fixture(scope="session")
def metrics_pair() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """True and predicted labels whose scores are known."""
    with np.load(_shared("reference/metrics_pair.npz")) as arrays:
        return arrays["gt"].astype(np.int32), arrays["pred"].astype(np.int32)


@pytest.fixture
def save_synthesizer() -> Callable[..., Path]:
    """Return `make_synthesizer`."""
    return make_synthesizer


def make_synthesizer(name: str = "painter", styles: bool = True, tissue: dict[str, Any] | None = None) -> Path:
    """Put a small synthesizer of random weights into the user's folder, under the name of its network."""
    import torch

    from napari_nucleigan.models import ModelCard, save_model
    from napari_nucleigan.networks import build_synthesizer

    architecture = {
        "painter": {"name": "painter", "widths": [8, 8, 8, 8], "style_size": 4},
        "noisy-resnet": {"name": "noisy-resnet", "width": 4, "blocks": 2},
        "tissue-unet": {"name": "tissue-unet", "classes": 3, "widths": [8, 8, 8, 8], "style_size": 4, "features": 8},
    }[name]
    torch.manual_seed(0)
    codes = {"liver": [[1.0, 1, -1, -1], [-1, 1, -1, 1]], "breast": [[1.0, -1, 1, -1]]}
    card = ModelCard(
        name=name,
        kind="synthesizer",
        architecture=architecture,
        mpp=0.25,
        styles=codes if styles else {},
        tissue=tissue,
    )
    path = Path(os.environ["NUCLEIGAN_MODELS"]) / f"{name}.safetensors"
    state = build_synthesizer(architecture).state_dict()
    # The tissue shall show: random weights alone say little of it.
    state = {key: 8 * value if key.startswith("modulate") else value for key, value in state.items()}
    save_model(path, state, card)
    return path


@pytest.fixture(scope="session")
def tiny_he() -> Callable[..., tuple[NDArray[np.uint8], NDArray[np.int32]]]:
    """Return `make_he`, the maker of small images."""
    return make_he


def make_he(
    height: int = 96, width: int = 96, nuclei: int = 8, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Paint haematoxylin ellipses, none touching another, on an eosin ground.

    Parameters
    ----------
    height, width : int
        Size in pixels.
    nuclei : int
        Most ellipses to place (fewer where there is no room), of radii 4 to 8 pixels.
    seed : int
        The same seed gives the same image.

    Returns
    -------
    rgb : ndarray of uint8, shape (height, width, 3)
        The image.
    labels : ndarray of int32, shape (height, width)
        0 = background, 1... = nuclei.
    """
    rgb, labels = _paint_he(height, width, nuclei, seed)
    return rgb.copy(), labels.copy()


@lru_cache(64)  # many tests begin with the same image
def _paint_he(height: int, width: int, nuclei: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.int32)
    taken = np.zeros((height, width), bool)
    for _ in range(20 * nuclei):
        if labels.max() == nuclei:
            break
        row, column = random.uniform(0, (height, width))
        first, second = random.uniform(4, 8, 2)
        angle = random.uniform(0, np.pi)
        near = tuple(slice(max(0, int(middle) - 12), int(middle) + 13) for middle in (row, column))
        down, right = rows[near] - row, columns[near] - column
        along = down * np.cos(angle) + right * np.sin(angle)
        across = right * np.cos(angle) - down * np.sin(angle)
        inside = (along / first) ** 2 + (across / second) ** 2 <= 1
        if inside.sum() < 20 or (inside & taken[near]).any():
            continue
        labels[near][inside] = labels.max() + 1
        taken[near] |= (along / (first + 2)) ** 2 + (across / (second + 2)) ** 2 <= 1
    haematoxylin = np.where(labels > 0, 1.3, 0.08) * random.uniform(0.85, 1.15, labels.shape)
    eosin = np.where(labels > 0, 0.25, 0.55) * random.uniform(0.85, 1.15, labels.shape)
    density = haematoxylin[..., None] * HAEMATOXYLIN + eosin[..., None] * EOSIN
    return np.rint(255 * np.exp(-density)).astype(np.uint8), labels
