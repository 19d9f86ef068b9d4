"""Bad inputs run one by one: each in a fork of a process that has imported everything, or as the command itself."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import shutil
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from _bad_case import SECONDS, Case, Outcome, faults, listing

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND = Path(sys.executable).with_name("nucleigan")
_VARIABLES = ("MODELS", "CONFIG", "RUNS", "QUEUE")
_ADDRESSES = 16 << 30  # bytes of address space: what takes more must not take the machine along
_ROOMS = (
    "adaptation classification cli.app comparison data.datasets.formats.exchange data.datasets.formats.outlines "
    "data.datasets.formats.label_images data.images.files data.slides.czi data.slides.dicom data.slides.label_pyramids "
    "data.slides.openslide data.slides.remote data.slides.tiff data.slides.tile_folders data.slides.zarr evaluation "
    "labels.geojson masks.polygons metrics models.exchange networks.registry segmentation.folders segmentation.image "
    "segmentation.class_training segmentation.slides.job segmentation.slides.worker segmentation.stores.nuclei stains "
    "synthesis.datasets training.estimate training.segmenter training.synthesizer training.runs.processes "
    "training.runs.run_library"
).split()
_OTHERS = "torch scipy.io scipy.optimize skimage.measure skimage.segmentation sklearn.linear_model PIL.Image zarr"


def preload() -> None:
    """Import what commands import; nothing is computed here, so that no thread runs when this process forks."""
    for name in _OTHERS.split():
        import_module(name)
    for room in _ROOMS:
        import_module(f"napari_nucleigan.{room}")
    gc.collect()
    gc.freeze()  # so that forks share these pages


def run_case(case: Case, place: Path, models: Path | None = None, *, real: bool = False) -> tuple[Outcome, list[str]]:
    """Make a bad input, run the command on it, and judge what became of it.

    Parameters
    ----------
    case : Case
        What to do.
    place : Path
        A folder that is emptied for it.
    models : Path, optional
        A folder of models that the user is to have.
    real : bool
        Whether to run the command in a process of its own rather than in a fork of this one.

    Returns
    -------
    outcome : Outcome
    wrong : list of str
        What is wrong with it.
    """
    shutil.rmtree(place, ignore_errors=True)
    folder = place / "here"
    folder.mkdir(parents=True)
    for name in _VARIABLES:
        (place / name).mkdir()
        if name == "MODELS" and models is not None:
            for path in models.iterdir():
                shutil.copy(path, place / name)
        os.environ[f"NUCLEIGAN_{name}"] = str(place / name)
    outcome = _run(case, place, folder, real)
    listed = place / "before"
    if not listed.is_file():
        return outcome, ["the input could not be made"]
    before = {name: tuple(state) for name, state in json.loads(listed.read_text("utf-8")).items()}
    return outcome, faults(case, outcome, folder, before)


def make_models(folder: Path) -> None:
    """Make small models of random weights, in a fork: torch's threads must not run in this process."""
    from _bad_files import model_file

    folder.mkdir()
    pid = os.fork()
    if pid == 0:
        _leave(
            lambda: (
                0
                if model_file(folder / "tiny.safetensors")
                and model_file(folder / "painter.safetensors", "synthesizer", name="painter")
                else 1
            )
        )
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise SystemExit("The small models could not be made.")


def _run(case: Case, place: Path, folder: Path, real: bool) -> Outcome:
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _leave(lambda: _commanded(case, place, folder, real))

    def end(number: int, frame: object) -> None:
        os.killpg(pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.alarm(int(SECONDS) + 15)
    _, status, used = os.wait4(pid, 0)
    signal.alarm(0)
    began = float((place / "began").read_text()) if (place / "began").is_file() else began
    texts = [
        (place / name).read_text("utf-8", "replace") if (place / name).is_file() else ""
        for name in ("stdout", "stderr")
    ]
    return Outcome(os.waitstatus_to_exitcode(status), *texts, used.ru_maxrss / 1e3, time.monotonic() - began)


def _commanded(case: Case, place: Path, folder: Path, real: bool) -> int:
    os.setsid()
    os.chdir(folder)
    case.make(folder)
    (place / "before").write_text(json.dumps(listing(folder)), "utf-8")
    # What it took to make the input does not count.
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    (place / "began").write_text(str(time.monotonic()))
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    if case.stdout:
        os.dup2(os.open(case.stdout, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if case.bound:
        _drop_rights()
    if real:
        os.execv(COMMAND, [str(COMMAND), *case.arguments])
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, "r" if number == 0 else "w", closefd=False) for number in range(3)
    )
    sys.argv = ["nucleigan", *case.arguments]
    from napari_nucleigan.cli import main

    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _leave(work: Callable[[], int]) -> None:
    """Do something in a fork, and end it as the interpreter ends: wait for threads, write what is held back."""
    import atexit
    import threading
    import traceback

    code = 97
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _drop_rights() -> None:
    """Give up root's right to pass permissions, for good; others have none."""
    if os.geteuid():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    kept = (ctypes.c_uint32 * 6)()
    libc.capget(header, kept)
    for place in (0, 1):  # effective and permitted: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
        kept[place] &= ~0b110
    if libc.capset(header, kept):
        raise OSError(ctypes.get_errno(), "capset")
