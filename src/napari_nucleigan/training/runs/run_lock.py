"""Run lock: the process that fills a run folder, what it tells of itself, and what is asked of it."""

from __future__ import annotations

import errno
import json
import os
import platform
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import psutil

from napari_nucleigan.base.errors import NucleiganError, OutputError, RunError, StopRequested
from napari_nucleigan.base.events import Job, Progress, to_json
from napari_nucleigan.base.files import output_error, write_text
from napari_nucleigan.base.locks import FileLock
from napari_nucleigan.training.runs.run_files import OrderFile, ProcessFile, ProgressFile, read_run_file

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG, LOCK = "log.txt", "lock"
PROCESS, PROGRESS, CONTROL, ORDER = "process.json", "progress.json", "control.json", "order.json"
TRAINING, PAUSED, STOPPING = "training", "paused", "stopping"
"""What the loop's progress is about; done and total are steps."""

Request: TypeAlias = Literal["pause", "stop"]
"""What may be asked of a training process."""

POLL = 0.2
"""Seconds between two looks at ``control.json``, and between two writings of ``progress.json``."""

_NO_PROGRESS = ProgressFile().model_dump()
_TOLERANCE = 2.0  # seconds by which the start of a process may seem to move when the clock is set
_PATIENCE = 2.0  # seconds in which the lock is tried again: who asks whether it is held, holds it for a moment
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ROOM = 2048  # bytes of process.json, so that a failure can still be written into it when the disk is full


@dataclass(frozen=True)
class ProcessRecord:
    """What ``process.json`` says of the process that fills a run folder, or was the last to do so.

    Attributes
    ----------
    pid : int
        Its number.
    born : float
        When it started, in seconds since 1970; number and start together are one process.
    host : str
        Its machine.
    token : str
        Random name: requests are addressed to it, so that a later process never obeys an old one.
    dedicated : bool
        Whether the process does nothing but train, so that it may be killed.
    time : float
        When this was written.
    ended : str
        How it ended: ``""`` (not yet, or without a word), ``"finished"``, ``"stopped"``, ``"failed"``, ``"killed"``.
    error : str
        Why it failed.
    """

    pid: int
    born: float
    host: str
    token: str
    dedicated: bool = False
    time: float = field(default_factory=time.time)
    ended: str = ""
    error: str = ""

    @classmethod
    def of(cls, token: str, *, pid: int | None = None, dedicated: bool = False) -> ProcessRecord:
        """Describe a process of this machine; by default this one.

        Raises
        ------
        psutil.NoSuchProcess
            If there is none of that number.
        """
        process = psutil.Process(pid)
        return cls(process.pid, process.create_time(), platform.node(), token, dedicated)

    @property
    def here(self) -> bool:
        """Whether the process belongs to this machine, so that its life can be seen."""
        return self.host == platform.node()

    @property
    def is_this(self) -> bool:
        """Whether it is the process that asks."""
        return self.here and self.pid == os.getpid()

    def find(self) -> psutil.Process | None:
        """Return the living process; None where it is gone, or its number belongs to another now."""
        if not self.here:
            return None
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.born) > _TOLERANCE or process.status() == psutil.STATUS_ZOMBIE:
                return None
        except psutil.Error:
            return None
        return process


class RunLock:
    """A folder that one process at a time may fill.

    Parameters
    ----------
    path : str or Path
        The folder; it need not exist yet.
    token : str
        Name of this process in ``process.json``; by default a random one.
    dedicated : bool
        Whether this process does nothing but fill the folder, so that it may be killed.
    """

    def __init__(self, path: str | Path, *, token: str = "", dedicated: bool = False) -> None:
        self.path = Path(path)
        self._lock = FileLock(self.path / LOCK)
        self._token = token or secrets.token_hex(8)
        self._dedicated = dedicated
        self._own: ProcessRecord | None = None
        self._polled = -POLL
        self._asked: Request | None = None
        self._told: dict[str, Any] = {}
        self._told_at = -POLL

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from training in this folder, and note in ``process.json`` how this one ends.

        Raises
        ------
        RunError
            If one does already.
        OutputError
            If the folder cannot be written to.
        """
        with self.claimed():
            self._sweep()
            own = self._announce()
            how, why = "failed", ""
            try:
                yield
                how = "finished"
            except (GeneratorExit, StopRequested):
                how = "stopped"
                raise
            except KeyboardInterrupt:
                why = "Interrupted by hand; the steps since the last checkpoint are lost."
                raise
            except BaseException as error:
                why = str(error) if isinstance(error, NucleiganError) else f"{type(error).__name__}: {error}"
                raise
            finally:
                # A disk that is full, or gone, must not hide what went wrong.
                with suppress(OutputError):
                    self.write_process(replace(own, ended=how, error=why))
                self._own = None

    def waiting(self, job: Job[None]) -> Job[None]:
        """Pass on the progress of a job that comes before the training, and obey requests meanwhile.

        Raises
        ------
        RunError
            If another process is training here.
        StopRequested
            If ``control.json`` asks for it.
        """
        with self.claimed():
            own = self._announce()
        try:
            for event in job:
                if isinstance(event, Progress):
                    self.tell(event)
                yield event
                if self.asked() == "stop":
                    raise StopRequested("Stopped before it began.")
        except BaseException:
            with suppress(OutputError):
                self.write_process(replace(own, ended="stopped"))
            raise
        finally:
            job.close()
            self._own = None

    def _announce(self) -> ProcessRecord:
        """Write ``process.json``, and forget what was asked of another process."""
        own = self._own = ProcessRecord.of(self._token, dedicated=self._dedicated)
        self._asked, self._polled = None, -POLL
        request = self.request()
        if request is not None and request[1] != own.token:
            (self.path / CONTROL).unlink(missing_ok=True)
        self.write_process(own)
        return own

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the lock, and nothing else.

        Raises
        ------
        RunError
            If another process holds it.
        OutputError
            If the folder cannot be written to.
        """

        def refusal(owner: str) -> RunError:
            return RunError(f"Another process is training in {self.path} ({owner}); wait for it, or stop it first.")

        with self._lock.held(refusal, _PATIENCE):
            yield

    @property
    def held(self) -> bool:
        """Whether a process is training here now."""
        return self._lock.taken

    def process(self) -> ProcessRecord | None:
        """Return the process that trains here or was the last to; None where that is not known."""
        try:
            return ProcessRecord(**read_run_file(self.path / PROCESS, ProcessFile))
        except RunError:
            return None

    def write_process(self, record: ProcessRecord) -> None:
        """Write ``process.json``.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        path = self.path / PROCESS
        text = json.dumps({**asdict(record), "error": record.error[: _ROOM // 4]}).ljust(_ROOM)
        try:
            # Not flushed: that the machine went down is told by the process being gone.
            write_text(path, text, flush=False)
        except OutputError as refusal:
            if not (isinstance(refusal.__cause__, OSError) and refusal.__cause__.errno in _FULL):
                raise
            # There is no room aside, but the room of the old record can be had again.
            try:
                with path.open("r+b") as handle:
                    handle.write(text.encode())
            except OSError as error:
                raise output_error(path, error) from error

    def progress(self) -> dict[str, Any]:
        """Return ``progress.json``: done, total, what, seconds_left, time, step, steps; empty if there is none."""
        with suppress(RunError):
            return {**_NO_PROGRESS, **read_run_file(self.path / PROGRESS, ProgressFile)}
        return {}

    def order(self) -> dict[str, Any] | None:
        """Return what a run started in the background was told to do; None for other runs.

        Raises
        ------
        RunError
            If ``order.json`` cannot be read, and nothing else says what is trained.
        """
        if not os.path.lexists(self.path / ORDER):
            return None
        try:
            return read_run_file(self.path / ORDER, OrderFile)
        except RunError:
            if os.path.isfile(self.path / "recipe.json"):
                return None
            raise

    def request(self) -> tuple[Request, str] | None:
        """Return what is asked, and of which process (its token)."""
        values: dict[str, Any] = {}
        with suppress(RunError):
            values = read_run_file(self.path / CONTROL)
        asked, token = values.get("ask"), values.get("token")
        return (asked, str(token)) if asked in ("pause", "stop") else None

    def asked(self) -> Request | None:
        """Return what is asked of this process while it trains here; cheap enough for every step."""
        now = time.monotonic()
        if self._own is not None and now - self._polled >= POLL:
            self._polled = now
            request = self.request()
            self._asked = request[0] if request is not None and request[1] == self._own.token else None
        return self._asked

    def tell(self, event: Progress | None) -> None:
        """Write the progress, not too often; at the end (None) what was not written yet."""
        now = time.monotonic()
        if event is not None:
            told = {**to_json(event), "time": round(time.time(), 3)}
            del told["event"]
            steps: dict[str, Any] = {"step": event.done, "steps": event.total}
            if event.what not in (TRAINING, PAUSED, STOPPING) or not event.total:
                before = self._told or self.progress()
                steps = {name: before.get(name) for name in steps}
            changed = event.what != self._told.get("what")
            self._told = {**told, **steps}
            if not changed and now - self._told_at < POLL:
                return
        if self._told and self._own is not None:
            self._told_at = now
            # Renamed into place but not flushed to the disk, which would cost more than it tells.
            aside = self.path / f".{PROGRESS}.part"
            with suppress(OSError):
                aside.write_text(json.dumps(self._told), "utf-8")
                os.replace(aside, self.path / PROGRESS)

    def _sweep(self) -> None:
        """Remove what a process that was killed while it wrote a model or a picture has left."""
        for pattern in (".best.*", "previews/.*", "checkpoints/.*"):
            for path in self.path.glob(pattern):
                if is_left(path):
                    with suppress(OSError):
                        path.unlink()


def is_left(path: Path) -> bool:
    """Tell whether a file was being written aside, as `files.atomic_write` does, when its writer was killed."""
    return path.name.startswith(".") and ".part" in path.suffixes
