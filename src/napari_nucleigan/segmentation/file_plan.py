"""Plan of files and resume log: images in, results out, nothing overwritten, and the work goes on after any end."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.errors import ImageError, OutputError
from napari_nucleigan.base.files import append_records, is_whole, read_records, refuse_foreign, says_so, write_text
from napari_nucleigan.base.tables import to_csv
from napari_nucleigan.segmentation.formats import SAME_AS, SLIDE_FORMATS, USUAL, file_suffix, format_of, known_suffix

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


@dataclass(frozen=True)
class FileTask:
    """An image, the files to make of it, and whether it is segmented as a whole slide."""

    source: Path
    outputs: tuple[Path, ...]
    slide: bool = False


def plan_files(
    inputs: Sequence[str | Path],
    out: str | Path,
    known: Sequence[str],
    formats: Sequence[str] = (),
    *,
    recursive: bool = False,
    results: Collection[str] = (),
    slides: Sequence[str] = (),
    whole: bool = False,
) -> list[FileTask]:
    """Decide what is written where, and refuse what would overwrite something else.

    Parameters
    ----------
    inputs : sequence of str or Path
        Image files, and folders whose images are taken.
    out : str or Path
        For one image file: the file to write, its format told by the suffix. Else a folder, which
        gets one file for each image and format, named after the image.
    known : sequence of str
        Suffixes that can be written, with the dot. The first is the default in folders.
    formats : sequence of str
        Those to write, with or without the dot; beside `out` where that is a file.
    recursive : bool
        Whether to take the images of subfolders too, and keep these in the output. The output folder is left out.
    results : collection of str
        Keys, as of `file_key`, of files that are results of earlier runs: folders may hold them beside images.
    slides : sequence of str
        Suffixes that can be written of whole slides, with the dot; without any, slides are images like others.
    whole : bool
        Whether each input is one slide, whatever it looks like.

    Returns
    -------
    list of FileTask

    Raises
    ------
    ImageError
        If a folder holds no images.
    OutputError
        If a format is not known, two images would get the same result, or an image its own.
    """
    target = Path(out)
    single = results_folder(inputs, out, whole=whole) is None
    sources = _sources(inputs, file_key(target) if recursive else None, results, bool(slides), whole)
    if not _is_one_file(inputs, whole) and SAME_AS.get(target.suffix, target.suffix) in known:
        raise OutputError(f"Several images cannot be written to the one file {target}; give a folder.")
    tasks = []
    for path, below in sources:
        slide = bool(slides) and (whole or _is_slide(path))
        wanted = formats if slide else _of_images(formats, known, slides)
        outputs = _outputs(
            path, target if single else target / below, single, slides if slide else known, wanted, slide
        )
        tasks.append(FileTask(path, outputs, slide))
    _refuse_collisions(tasks)
    return tasks


def _of_images(formats: Sequence[str], known: Sequence[str], slides: Sequence[str]) -> Sequence[str]:
    """Leave out, in a folder of images and slides, what only slides are written as."""
    only = {suffix.removeprefix(".") for suffix in slides if suffix not in known}
    return [name for name in formats if name.removeprefix(".") not in only] or formats


def _outputs(
    path: Path, target: Path, single: bool, known: Sequence[str], formats: Sequence[str], slide: bool
) -> tuple[Path, ...]:
    if slide:
        if single and not target.name.lower().endswith(tuple(known)):
            known_suffix(target.suffix, known)
        return plan_outputs(slide_name(path), target, formats)
    suffixes = list(dict.fromkeys(known_suffix(name, known) for name in formats))
    if not single:
        return tuple(target / f"{path.stem}{suffix}" for suffix in suffixes or known[:1])
    first = file_suffix(target, known)
    return target, *(target.with_name(_stem(target, first) + suffix) for suffix in suffixes if suffix != first)


def plan_outputs(name: str, out: str | Path, formats: Sequence[str] = ()) -> tuple[Path, ...]:
    """Decide which files are made of a slide.

    Parameters
    ----------
    name : str
        Name of the slide.
    out : str or Path
        A file, its format told by the suffix, or a folder.
    formats : sequence of str
        Formats, with or without the dot; beside `out` where that is a file. By default, in a folder, `USUAL`.

    Returns
    -------
    tuple of Path

    Raises
    ------
    OutputError
        If a format is not known.
    """
    target = Path(out)
    wanted = [known_suffix(one, SLIDE_FORMATS) for one in formats]
    form = format_of(target)
    if not form or (target.is_dir() and not form.endswith(".zarr")):
        return tuple(target / f"{name}{one}" for one in wanted or USUAL)
    return target, *(target.with_name(_stem(target, form) + one) for one in wanted if one != form)


def _stem(path: Path, suffix: str) -> str:
    return path.name[: -len(suffix)] if path.name.lower().endswith(suffix) else path.stem


def slide_name(path: Path) -> str:
    """Return the name of a slide, as its results have it."""
    # Numbers of DICOM have points in them.
    whole = path.suffix[1:].isdecimal() or (path.is_dir() and path.suffix != ".zarr")
    return path.name if whole else path.stem.removesuffix(".ome")


def results_folder(inputs: Sequence[str | Path], out: str | Path, *, whole: bool = False) -> Path | None:
    """Return the folder that results go to; None where `out` is the one file to write. `whole` as for `plan_files`."""
    target = Path(out)
    folder = target.is_dir() and target.suffix != ".zarr"
    return None if _is_one_file(inputs, whole) and target.suffix and not folder else target


def file_key(path: Path) -> str:
    """Return what two paths share that lead to the same file; of an address, the address."""
    from napari_nucleigan.data.slides import address_of

    return address_of(path) or os.path.normcase(os.path.realpath(path))


def _is_one_file(inputs: Sequence[str | Path], whole: bool = False) -> bool:
    return len(inputs) == 1 and (whole or not Path(inputs[0]).is_dir() or _is_slide(Path(inputs[0])))


def _is_slide(path: Path) -> bool:
    from napari_nucleigan.data.slides import is_slide, zarr

    # One that is damaged is no folder of images for that: to open it tells what is wrong with it.
    return is_slide(path) or zarr.may_be(path)


def _sources(
    inputs: Sequence[str | Path], recursive_but: str | None, results: Collection[str], slides: bool, whole: bool
) -> list[tuple[Path, Path]]:
    """Images, and the subfolders of their inputs that they lie in."""
    from napari_nucleigan.data.images.files import list_images
    from napari_nucleigan.data.slides import list_slides

    sources: dict[str, tuple[Path, Path]] = {}
    for item in map(Path, inputs):
        inside = item.is_dir() and not whole and not (slides and _is_slide(item))
        if inside:
            folders = [item] if recursive_but is None else _folders(item, recursive_but)
            listed = [[*list_images(folder), *(list_slides(folder) if slides else ())] for folder in folders]
            found = [path for folder in listed for path in sorted(folder) if file_key(path) not in results]
        else:
            found = [item]
        if not found:
            # Slides in DICOM often have a folder each.
            deeper = inside and recursive_but is None and any(path.is_dir() for path in item.iterdir())
            rest = ", or take those of its subfolders (--recursive)" if deeper else ""
            raise ImageError(f"There are no images in {item}; choose another folder{rest}.")
        for path in found:
            below = path.parent.relative_to(item) if inside else Path()
            sources.setdefault(file_key(path), (path, below))
    return list(sources.values())


def _folders(top: Path, but: str) -> list[Path]:
    """Return a folder and all below it, by name; hidden ones and one that gets the results are left out."""
    found = []
    for folder, names, _ in os.walk(top):
        names[:] = sorted(
            name
            for name in names
            if not name.startswith(".") and not name.endswith(".zarr") and file_key(Path(folder, name)) != but
        )
        found.append(Path(folder))
    return found


def _refuse_collisions(tasks: Sequence[FileTask]) -> None:
    sources = {file_key(task.source) for task in tasks}
    taken: dict[str, Path] = {}
    for task in tasks:
        for path in task.outputs:
            if file_key(path) in sources:
                raise OutputError(f"{path} would overwrite an input image; choose another folder or name.")
            other = taken.setdefault(file_key(path), task.source)
            if other != task.source:
                raise OutputError(
                    f"{other} and {task.source} would both be written to {path}; write them into separate folders."
                )


RECORD, REPORT = "nucleigan-segment.jsonl", "nucleigan-segment.csv"
BEGUN, DONE, FAILED = "begun", "done", "failed"

_COLUMNS = ("image", "state", "nuclei", "seconds", "mpp", "mpp_source", "error")


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
            for record in filter(_is_valid, read_records(folder / RECORD)):
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
            if record is None or any(record.get(key) != value for key, value in same.items()) or not is_whole(path):
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
            if all(is_whole(self._folder / name) for name in record["outputs"]):
                nuclei = "" if record["state"] == FAILED else record.get("nuclei")
                row = {**record.get("provenance", {}), **record, "image": source, "nuclei": nuclei}
                rows.append([row.get(name) for name in _COLUMNS])
        text = to_csv(_COLUMNS, rows)
        path = self._folder / REPORT
        refuse_foreign(path, lambda there: says_so(there, ",".join(_COLUMNS[:2]).encode()))
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


def _is_valid(record: dict[str, Any]) -> bool:
    """Tell whether a line says what is needed; others, which a sudden end or a hand has left, count for nothing."""
    outputs = record.get("outputs")
    return (
        record.get("state") in (BEGUN, DONE, FAILED)
        and isinstance(record.get("source"), str)
        and isinstance(outputs, list)
        and all(isinstance(name, str) and "\0" not in name for name in outputs)
        and "\0" not in record["source"]
        and (record["state"] != DONE or _tells_result(record))
    )


def _tells_result(record: dict[str, Any]) -> bool:
    notes = record.get("notes", [])
    return (
        isinstance(record.get("nuclei"), int)
        and isinstance(record.get("seconds", 0.0), int | float)
        and isinstance(notes, list)
        and all(isinstance(note, str) for note in notes)
        and isinstance(record.get("provenance", {}), dict)
    )
