"""Resume log: what a folder of results remembers, so that segmenting many images can go on after any end."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.files import append_records, read_records, write_text
from napari_nucleigan.base.tables import to_csv
from napari_nucleigan.segmentation.file_plan import FileTask, file_key

if TYPE_CHECKING:
    from pathlib import Path

RECORD, REPORT = "nucleigan-segment.jsonl", "nucleigan-segment.csv"
BEGUN, DONE, FAILED = "begun", "done", "failed"

_COLUMNS = ("image", "state", "nuclei", "seconds", "error")


class ResumeLog:
    """The record of what was segmented into a folder.

    An image adds a line before its results are written, from when on those of an earlier run do not count any more,
    and a line when they are. As lines are only ever added, several runs may fill one folder.

    Parameters
    ----------
    folder : Path or None
        Where results go, named by their places below it, so that it may be moved; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._of_result: dict[str, dict[str, Any]] = {}
        self._of_image: dict[str, dict[str, Any]] = {}
        if folder is not None:
            for record in filter(_is_whole, read_records(folder / RECORD)):
                self._take(record)

    def results(self) -> set[str]:
        """Return the keys, as of `file_plan.file_key`, of the results that were ever written."""
        return {file_key(self._folder / name) for name in self._of_result} if self._folder is not None else set()

    def find(self, task: FileTask, asked: str) -> dict[str, Any] | None:
        """Find what an earlier run noted of an image.

        Parameters
        ----------
        task : FileTask
            The image, and the results that are wanted.
        asked : str
            What the results depend on beside the image.

        Returns
        -------
        dict or None
            What `add` was given; None where not all results are there, the image has changed, or something else was
            asked for.
        """
        same = {"state": DONE, "asked": asked, **_identity(task)}
        record: dict[str, Any] | None = None
        for path in task.outputs:
            record = self._of_result.get(self._name(path))
            if record is None or any(record.get(key) != value for key, value in same.items()) or not path.exists():
                return None
        return record

    def begin(self, task: FileTask) -> dict[str, Any]:
        """Note that results are about to be written.

        Returns
        -------
        dict
            The image as it is now, for `add`.

        Raises
        ------
        OutputError
            If that cannot be written.
        """
        outputs = [self._name(path) for path in task.outputs]
        # Results outlive a power cut, and so must the note that they are other ones now.
        flush = any(self._of_result.get(name, {}).get("state") == DONE for name in outputs)
        identity = _identity(task)
        self._add({"state": BEGUN, "source": identity["source"], "outputs": outputs}, flush)
        return identity

    def add(self, task: FileTask, begun: dict[str, Any], asked: str, what: dict[str, Any]) -> None:
        """Note what has become of an image.

        Parameters
        ----------
        task : FileTask
            The image and its results.
        begun : dict
            As `begin` returned it.
        asked : str
            As for `find`.
        what : dict
            What is known of it, ready for JSON: the keys of the report, with the reason under ``"error"`` where it
            failed, and any others.

        Raises
        ------
        OutputError
            If that cannot be written.
        """
        failed = bool(what.get("error"))
        outputs = [] if failed else [self._name(path) for path in task.outputs]
        state = FAILED if failed else DONE
        self._add({**what, "state": state, "asked": asked, **begun, "outputs": outputs})

    def report(self) -> None:
        """Bring the report up to date, a table with a row for each image.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if self._folder is None:
            return
        rows = []
        for source, record in sorted(self._of_image.items()):
            if all((self._folder / name).exists() for name in record["outputs"]):
                nuclei = "" if record["state"] == FAILED else record.get("nuclei")
                row = {**record, "image": source, "nuclei": nuclei}
                rows.append([row.get(name) for name in _COLUMNS])
        text = to_csv(_COLUMNS, rows)
        path = self._folder / REPORT
        # A folder that nothing is added to need not be one that can be written to.
        with suppress(OSError):
            if path.read_text("utf-8") == text:
                return
        write_text(path, text)

    def _add(self, record: dict[str, Any], flush: bool = False) -> None:
        if self._folder is not None:
            append_records(self._folder / RECORD, [record], flush=flush)
            self._take(record)

    def _take(self, record: dict[str, Any]) -> None:
        for name in record["outputs"]:
            self._of_result[name] = record
        if record["state"] != BEGUN:
            self._of_image[record["source"]] = record

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix() if self._folder is not None else path.name


def _identity(task: FileTask) -> dict[str, Any]:
    """Tell an image from another, and from itself when it has changed."""
    identity: dict[str, Any] = {"source": file_key(task.source), "size": None, "mtime_ns": None}
    with suppress(OSError):  # one that has gone fails when it is read
        stat = task.source.stat()
        identity |= {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    return identity


def _is_whole(record: dict[str, Any]) -> bool:
    outputs = record.get("outputs")
    return (
        record.get("state") in (BEGUN, DONE, FAILED)
        and isinstance(record.get("source"), str)
        and isinstance(outputs, list)
        and all(isinstance(name, str) for name in outputs)
    )
