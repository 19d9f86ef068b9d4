"""A training run is a folder.

::

    RUN/recipe.json       what is trained, and how
    RUN/data.json         the data set, and which images train and which validate
    RUN/events.jsonl      one event a line, with its time
    RUN/checkpoints/      STEP.safetensors and STEP.json: all that a resumed run needs
    RUN/previews/         STEP.png
    RUN/best.safetensors  the best model so far

and what tells of, and speaks to, the process that fills it::

    RUN/lock              held while a process trains here; the system drops it however the process ends
    RUN/process.json      the last process that trained here, and how it ended
    RUN/progress.json     how far it has come
    RUN/control.json      what is asked of it: to pause, to stop
    RUN/order.json        what a run started in the background was told to do
    RUN/log.txt           what it wrote on its terminal
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from napari_nucleigan.errors import NucleiganError, OutputError, RunError, StopRequested
from napari_nucleigan.events import Checkpoint, Event, Finished, Job, Preview, Progress, from_json, to_json
from napari_nucleigan.files import make_folder, output_error, write_text
from napari_nucleigan.training.identity import ProcessRecord
from napari_nucleigan.training.locks import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_nucleigan.training.recipes import Recipe

BEST = "best.safetensors"
EVENTS, LOG, LOCK = "events.jsonl", "log.txt", "lock"
PROCESS, PROGRESS, CONTROL, ORDER = "process.json", "progress.json", "control.json", "order.json"
TRAINING, PAUSED, STOPPING = "training", "paused", "stopping"
"""What the loop's progress is about; done and total are steps."""

Request: TypeAlias = Literal["pause", "stop"]
"""What may be asked of a training process."""

POLL = 0.2
"""Seconds between two looks at ``control.json``, and between two writings of ``progress.json``."""

# Beside these a new run wants an empty folder. data.json alone is left by a start that was cut short.
_OWN = {LOCK, LOG, PROCESS, PROGRESS, CONTROL, ORDER, "data.json"}
_PATIENCE = 2.0  # seconds in which the lock is tried again: who asks whether it is held, holds it for a moment
_ROOM = 2048  # bytes of process.json, so that a failure can still be written into it when the disk is full
_Result = TypeVar("_Result")


class RunFolder:
    """The folder of one training run.

    Parameters
    ----------
    path : str or Path
        The folder; it need not exist yet.
    token : str
        Name of this process in ``process.json``; by default a random one.
    dedicated : bool
        Whether this process does nothing but train here, so that it may be killed.
    """

    def __init__(self, path: str | Path, *, token: str = "", dedicated: bool = False) -> None:
        self.path = Path(path)
        self._token = token
        self._dedicated = dedicated
        self._own: ProcessRecord | None = None
        self._polled = -POLL
        self._asked: Request | None = None
        self._told: dict[str, Any] = {}
        self._told_at = -POLL

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return (self.path / "recipe.json").is_file()

    @property
    def best(self) -> Path:
        """The best model so far."""
        return self.path / BEST

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def previews(self) -> Path:
        """Folder of the previews."""
        return self.path / "previews"

    @property
    def events_size(self) -> int:
        """Bytes of ``events.jsonl``: where a checkpoint's story ends."""
        try:
            return self._events.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def _events(self) -> Path:
        return self.path / EVENTS

    def start(self, recipe: Recipe, data: dict[str, Any]) -> None:
        """Write down what is to be trained on what.

        Raises
        ------
        RunError
            If the folder holds a run or other files already.
        OutputError
            If it cannot be written.
        """
        if self.exists:
            raise RunError(f"{self.path} holds a training run already; resume it, or choose another folder.")
        make_folder(self.path)
        foreign = self.foreign()
        if foreign:
            raise RunError(f"{self.path} holds other files ({foreign!r}); a new run needs an empty folder.")
        write_text(self.path / "data.json", json.dumps(data, indent=2))
        # Written last: it is what makes the folder a run.
        write_text(self.path / "recipe.json", recipe.model_dump_json(indent=2))

    def foreign(self) -> str:
        """Return the name of a file that a new run would not have; ``""`` if there is none."""
        names = (path.name for path in self.path.iterdir() if path.name not in _OWN and not _left(path))
        return next(names, "")

    def data(self) -> dict[str, Any]:
        """Return what `start` was given of the data."""
        return self._read_json("data.json")

    def recipe(self) -> dict[str, Any]:
        """Return the fields of the run's recipe."""
        return self._read_json("recipe.json")

    def record(self, event: Event) -> None:
        """Append an event to ``events.jsonl``.

        Raises
        ------
        OutputError
            If it cannot be written; what was there stays as it was.
        """
        line = json.dumps({"time": round(time.time(), 3), **to_json(event)}) + "\n"
        before = self.events_size
        try:
            with self._events.open("a", encoding="utf-8") as handle:
                handle.write(line)
        except OSError as error:
            # Half a line must not end up in the middle, should a later write succeed.
            with suppress(OSError):
                os.truncate(self._events, before)
            raise output_error(self._events, error) from error

    def recorded(self, job: Job[_Result]) -> Job[_Result]:
        """Pass a job's events on, and record all but the mere progress, which goes to ``progress.json``.

        Raises
        ------
        StopRequested
            If ``control.json`` asks for it; the job is closed first.
        """
        try:
            while True:
                event = next(job)
                if isinstance(event, Progress):
                    self._tell(event)
                else:
                    self.record(event)
                yield event
                if self.asked() == "stop":
                    job.close()
                    raise StopRequested("Stopped; the state is saved, and resuming goes on from it.")
        except StopIteration as stop:
            result: _Result = stop.value
            return result
        finally:
            job.close()
            self._tell(None)

    def events(self) -> list[Event]:
        """Return all events so far; a line that is still being written is left for later."""
        if not self._events.is_file():
            return []
        *lines, _ = self._events.read_bytes().split(b"\n")
        return [event for line in lines if (event := self.parse(line)) is not None]

    def parse(self, line: bytes) -> Event | None:
        """Read a line of ``events.jsonl``; None if it is torn.

        Files that a run has taken along when it was moved are named by where they are now.
        """
        try:
            event = from_json(json.loads(line))
        except (ValueError, TypeError, AttributeError):
            return None
        match event:
            case Preview(path=path) if not Path(path).exists():
                return replace(event, path=str(self.previews / Path(path).name))
            case Checkpoint(path=path) if not Path(path).exists():
                return replace(event, path=str(self.checkpoints / Path(path).name))
            case Finished(result=path) if not Path(path).exists():
                return replace(event, result=str(self.best))
        return event

    def rewind(self, size: int) -> None:
        """Forget the events after the first `size` bytes, and with them a torn last line."""
        if self.events_size > size:
            os.truncate(self._events, size)

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
            self._own = ProcessRecord.of(token=self._token, dedicated=self._dedicated)
            self._asked, self._polled = None, -POLL
            request = self.request()
            if request is not None and request[1] != self._own.token:
                (self.path / CONTROL).unlink(missing_ok=True)
            self._sweep()
            self.write_process(self._own)
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
                    self.write_process(replace(self._own, ended=how, error=why))
                self._own = None

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
        make_folder(self.path)
        path = self.path / LOCK
        try:
            handle = path.open("a+b")
        except OSError as error:
            raise output_error(path, error) from error
        with handle:
            give_up = time.monotonic() + _PATIENCE
            while not try_lock(handle.fileno()):
                if time.monotonic() > give_up:
                    raise RunError(f"Another process is training in {self.path}; wait for it, or stop it first.")
                time.sleep(0.02)
            # The system drops the lock when the process ends, however it ends.
            yield

    @property
    def held(self) -> bool:
        """Whether a process is training here now."""
        try:
            with (self.path / LOCK).open("rb") as handle:
                return not try_lock(handle.fileno(), shared=True)
        except OSError:
            return False

    def process(self) -> ProcessRecord | None:
        """Return the process that trains here or was the last to; None where that is not known."""
        try:
            return ProcessRecord.from_json(self._read_json(PROCESS))
        except (RunError, TypeError):
            return None

    def write_process(self, record: ProcessRecord) -> None:
        """Write ``process.json``.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        path = self.path / PROCESS
        text = json.dumps({**record.to_json(), "error": record.error[: _ROOM // 4]}).ljust(_ROOM)
        try:
            write_text(path, text)
        except OutputError:
            # On a full disk there is no room aside, but the room of the old record can be had again.
            try:
                with path.open("r+b") as handle:
                    handle.write(text.encode())
            except OSError as error:
                raise output_error(path, error) from error

    def progress(self) -> dict[str, Any]:
        """Return ``progress.json``: done, total, what, seconds_left, time, step, steps; empty if there is none."""
        try:
            return self._read_json(PROGRESS)
        except RunError:
            return {}

    def order(self) -> dict[str, Any] | None:
        """Return what a run started in the background was told to do; None for other runs."""
        try:
            return self._read_json(ORDER)
        except RunError:
            return None

    def request(self) -> tuple[Request, str] | None:
        """Return what is asked, and of which process (its token)."""
        try:
            values = self._read_json(CONTROL)
        except RunError:
            return None
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

    def _tell(self, event: Progress | None) -> None:
        """Write the progress, not too often; at the end (None) what was not written yet."""
        now = time.monotonic()
        if event is not None:
            told = {**to_json(event), "time": round(time.time(), 3)}
            del told["event"]
            steps: dict[str, Any] = {"step": event.done, "steps": event.total}
            if event.what not in (TRAINING, PAUSED, STOPPING):
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
        for path in (*self.path.glob(".best.*"), *self.previews.glob(".*"), *self.checkpoints.glob(".*")):
            if _left(path):
                with suppress(OSError):
                    path.unlink()

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            values = json.loads((self.path / name).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path} is not a training run: {name} cannot be read ({error}).") from error
        if not isinstance(values, dict):
            raise RunError(f"{self.path} is not a training run: {name} is not an object.")
        return values


def _left(path: Path) -> bool:
    # As files.atomic_write calls what it writes aside.
    return path.name.startswith(".") and ".part" in path.suffixes
