"""A training run is a folder.

::

    RUN/recipe.json       what is trained, and how
    RUN/data.json         the data set, and which images train and which validate
    RUN/events.jsonl      one event a line, with its time
    RUN/checkpoints/      STEP.safetensors and STEP.json: all that a resumed run needs
    RUN/previews/         STEP.png
    RUN/best.safetensors  the best model so far
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_nucleigan.errors import RunError
from napari_nucleigan.events import Event, Job, Progress, from_json, to_json
from napari_nucleigan.files import make_folder, output_error, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_nucleigan.training.recipes import Recipe

BEST = "best.safetensors"
_Result = TypeVar("_Result")


class RunFolder:
    """The folder of one training run.

    Parameters
    ----------
    path : str or Path
        The folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

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
        return self.path / "events.jsonl"

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
        foreign = [path.name for path in self.path.iterdir() if path.name != "lock"]
        if foreign:
            raise RunError(f"{self.path} holds other files ({foreign[0]!r}); a new run needs an empty folder.")
        write_text(self.path / "data.json", json.dumps(data, indent=2))
        # Written last: it is what makes the folder a run.
        write_text(self.path / "recipe.json", recipe.model_dump_json(indent=2))

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
            If it cannot be written.
        """
        line = json.dumps({"time": round(time.time(), 3), **to_json(event)}) + "\n"
        try:
            with self._events.open("a", encoding="utf-8") as handle:
                handle.write(line)
        except OSError as error:
            raise output_error(self._events, error) from error

    def recorded(self, job: Job[_Result]) -> Job[_Result]:
        """Pass a job's events on, and record all but the mere progress."""
        try:
            while True:
                event = next(job)
                if not isinstance(event, Progress):
                    self.record(event)
                yield event
        except StopIteration as stop:
            result: _Result = stop.value
            return result
        finally:
            job.close()

    def events(self) -> list[Event]:
        """Return all events so far; a line that is still being written is left for later."""
        if not self._events.is_file():
            return []
        *lines, _ = self._events.read_text("utf-8").split("\n")
        return [from_json(json.loads(line)) for line in lines]

    def rewind(self, size: int) -> None:
        """Forget the events after the first `size` bytes, and with them a torn last line."""
        if self.events_size > size:
            os.truncate(self._events, size)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from training in this folder.

        Raises
        ------
        RunError
            If one does already.
        """
        make_folder(self.path)
        with (self.path / "lock").open("a+b") as handle:
            if not _try_lock(handle.fileno()):
                raise RunError(f"Another process is training in {self.path}; wait for it, or stop it first.")
            # The system drops the lock when the process ends, however it ends.
            yield

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            values = json.loads((self.path / name).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path} is not a training run: {name} cannot be read ({error}).") from error
        if not isinstance(values, dict):
            raise RunError(f"{self.path} is not a training run: {name} is not an object.")
        return values


if os.name == "nt":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
