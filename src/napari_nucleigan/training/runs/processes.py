"""Processes: training in processes of their own, which outlive the program that starts them."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import psutil

from napari_nucleigan.base.devices import detached
from napari_nucleigan.base.errors import OutputError, RecipeError, RunError
from napari_nucleigan.base.files import output_error, write_text
from napari_nucleigan.models.registry import child_environment
from napari_nucleigan.training.recipe_files import kind_of
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.run_lock import CONTROL, LOG, ORDER, ProcessRecord
from napari_nucleigan.training.runs.status import LOG_HEAD, RunState, RunStatus, ask, state_of, watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_nucleigan.base.events import Event

TOKEN = "NUCLEIGAN_PROCESS"
"""Environment variable that tells a training process its name."""

NICENESS = 10
"""How far a training stands back behind the program that has started it, so that a viewer stays fluid."""

KILLED_WITHIN = 15.0
"""Seconds after which a killed process that is still there is an error."""

Kind: TypeAlias = Literal["segmenter", "synthesizer", "adaptation"]

# Numbers of the processes started here: the system keeps those that have ended until somebody asks for them.
_children: set[int] = set()


class RunProcess:
    """The process of a run, whoever has started it.

    Parameters
    ----------
    run : str, Path or RunFolder
        Folder of the run.
    """

    def __init__(self, run: str | Path | RunFolder) -> None:
        self.run = run if isinstance(run, RunFolder) else RunFolder(run)

    @property
    def path(self) -> Path:
        """Folder of the run."""
        return self.run.path

    def status(self) -> RunStatus:
        """Tell what the run is doing.

        Raises
        ------
        RunError
            If the folder holds no run.
        """
        reap()
        return state_of(self.run)

    def watch(self) -> Iterator[Event]:
        """Yield the events of the run from its beginning until its process ends."""
        return watch(self.run)

    def pause(self) -> None:
        """Let the process wait after the present step; it saves its state first."""
        ask(self.run, "pause")

    def resume(self) -> None:
        """Let a paused process go on, or start a new one that goes on from the newest checkpoint.

        Raises
        ------
        RunError
            If the run has finished, or cannot go on.
        """
        if self.status().state.alive:
            ask(self.run, None)
        else:
            resume(self.run)

    def stop(self) -> None:
        """Let the process save its state after the present step, and end."""
        ask(self.run, "stop")

    def kill(self) -> None:
        """End the process at once; the steps since the last checkpoint are lost.

        Returns when the process is gone.

        Raises
        ------
        RunError
            If there is none, it does more than training, it belongs to another machine, or it cannot be ended.
        """
        kill(self.run)

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait until the process ends.

        Raises
        ------
        TimeoutError
            If it does not within `timeout` seconds.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self.status()).state.alive:
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"{self.path} is still {status.state} after {timeout:g} s.")
            time.sleep(0.05)
        return status


class Asked(Protocol):
    """What is to be done in a run: a recipe, or settings that hold several."""

    @property
    def kind(self) -> Kind:
        """What is done."""

    @property
    def name(self) -> str:
        """What it is called."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Represent it for ``order.json``."""


def start(
    kind: Kind,
    data: str | Path,
    recipe: Asked,
    run: str | Path,
    *,
    device: str = "auto",
    name: str | None = None,
    synthetic: str | Path | None = None,
    queue: bool = False,
) -> RunProcess:
    """Start a training, or an adaptation, in a process of its own.

    Parameters
    ----------
    kind : {"segmenter", "synthesizer", "adaptation"}
        What to train.
    data : str or Path
        The data set; of an adaptation, the unlabelled images.
    recipe : Recipe or AdaptationSettings
        How to train.
    run : str or Path
        Folder of the run, new or empty.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    name : str, optional
        Name on the model's card.
    synthetic : str or Path, optional
        A data set of synthetic pairs to mix in (segmenters only); ``recipe.synthetic_share`` says how many.
    queue : bool
        Wait until no training that started earlier computes on the same device.

    Returns
    -------
    RunProcess

    Raises
    ------
    RunError
        If the folder holds a run already.
    RecipeError
        If the recipe is of the other kind.
    OutputError
        If the folder cannot be written to.
    """
    if recipe.kind != kind:
        raise RecipeError(f"The recipe {recipe.name!r} does not train a {kind}; choose another one.")
    folder = RunFolder(Path(run).absolute())
    if folder.exists or (folder.order() and folder.process()):
        raise RunError(f"{folder.path} holds a training run already; resume it, or choose another folder.")
    order = {
        "kind": kind,
        "data": str(Path(data).absolute()),
        "device": device,
        "name": name,
        "synthetic": None if synthetic is None else str(Path(synthetic).absolute()),
        "queue": queue,
        "recipe": recipe.model_dump(mode="json"),
    }
    return _launch(folder, order)


def resume(
    run: str | Path | RunFolder,
    *,
    data: str | Path | None = None,
    device: str | None = None,
    queue: bool = False,
) -> RunProcess:
    """Start a new process that goes on where a run has ended.

    Parameters
    ----------
    run : str, Path or RunFolder
        The run: stopped, failed or interrupted.
    data : str or Path, optional
        Where the data set is now, if it has moved.
    device : str, optional
        Another device than before.
    queue : bool
        Wait until no training that started earlier computes on the same device.

    Returns
    -------
    RunProcess

    Raises
    ------
    RunError
        If it is running or finished, or nobody knows any more what it was to do.
    OutputError
        If the folder cannot be written to.
    """
    folder = RunFolder((run.path if isinstance(run, RunFolder) else Path(run)).absolute())
    status = state_of(folder)
    if status.state is RunState.FINISHED:
        raise RunError(f"{folder.path} has finished; start a new run that begins with its model instead.")
    if status.state.alive:
        raise RunError(f"{folder.path} is {status.state} already.")
    order = folder.order()
    if folder.exists:
        parts = folder.data()
        synthetic = parts.get("synthetic") or {}
        order = {
            "device": "auto",
            **(order or {}),
            "kind": kind_of(folder.recipe()),
            "data": parts.get("folder", ""),
            "synthetic": synthetic.get("folder"),
        }
    elif order is None:
        raise RunError(f"{folder.path} was stopped before it began; start it again.")
    order |= {"queue": queue}
    if data is not None:
        order["data"] = str(Path(data).absolute())
    if device is not None:
        order["device"] = device
    return _launch(folder, order)


def kill(run: str | Path | RunFolder) -> None:
    """End the process of a run at once, and wait until it is gone.

    Raises
    ------
    RunError
        If there is none, it does more than training, it belongs to another machine, or it cannot be ended.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    status, record = state_of(folder), folder.process()
    if not status.state.alive or record is None:
        raise RunError(f"{folder.path} is {status.state}; there is no process to be killed.")
    if not record.here:
        raise RunError(f"The process that trains in {folder.path} runs on {record.host}; kill it there.")
    if record.is_this or not record.dedicated:
        raise RunError(
            f"The process {record.pid} that trains in {folder.path} is not for that alone; stop the run instead."
        )
    process = record.find()
    if process is None:
        raise RunError(f"The process that trains in {folder.path} cannot be found; stop the run instead.")
    try:
        family = [process, *process.children(recursive=True)]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    except psutil.AccessDenied as error:
        raise RunError(f"The process {record.pid} belongs to another user; you may not kill it.") from error
    end = time.monotonic() + KILLED_WITHIN
    while folder.held or record.find() is not None:
        reap()
        if time.monotonic() > end:
            raise RunError(f"The process {record.pid} was killed but does not end; its device may be hanging.")
        time.sleep(0.01)
    reap()
    with suppress(OutputError):
        folder.write_process(replace(record, ended="killed"))


def reap() -> None:
    """Take notice of the children that have ended, which the system keeps as zombies otherwise."""
    for pid in list(_children):
        try:
            gone = os.name == "nt" or os.waitpid(pid, os.WNOHANG) != (0, 0)
        except ChildProcessError:
            gone = True
        if gone:
            _children.discard(pid)


def _launch(folder: RunFolder, order: dict[str, Any]) -> RunProcess:
    reap()
    words = ["train", "ordered", str(folder.path)]
    token = secrets.token_hex(8)
    # Not this folder's modules (-P): a stray json.py beside an image must not end up in the training.
    line = [sys.executable, "-P", "-m", "napari_nucleigan", *words]
    with folder.claimed():
        (folder.path / CONTROL).unlink(missing_ok=True)
        write_text(folder.path / ORDER, json.dumps(order, indent=2))
        try:
            with (folder.path / LOG).open("ab") as log:
                stamp = time.strftime("%Y-%m-%d %H:%M:%S")
                log.write(f"{LOG_HEAD} {stamp} nucleigan {subprocess.list2cmdline(words)}\n".encode())
                log.flush()
                pid = _spawn(line, log, {**child_environment(), TOKEN: token, "PYTHONUNBUFFERED": "1"})
        except OSError as error:
            raise output_error(folder.path / LOG, error) from error
        _stand_back(pid)
        with suppress(psutil.NoSuchProcess):
            # Until the child takes the lock and writes its own.
            folder.write_process(ProcessRecord.of(token, pid=pid, dedicated=True))
    return RunProcess(folder)


def _stand_back(pid: int) -> None:
    """Let a process have what others leave of the processor, which is all of it while they rest."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        process.nice(max(process.nice(), NICENESS) if os.name != "nt" else psutil.BELOW_NORMAL_PRIORITY_CLASS)
    # Linux deals time out to sessions first, and the process has one of its own: niceness counts only within it.
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS), "ascii")


def _spawn(line: list[str], log: Any, environment: dict[str, str]) -> int:
    child = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, **detached())
    # It outlives this program: nobody here waits for it, and Python need not warn of that.
    child.returncode = 0
    _children.add(child.pid)
    return child.pid
