"""Which file becomes which: images in, results out, and nothing overwritten by accident."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.errors import ImageError, OutputError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_SAME_AS = {".tiff": ".tif", ".json": ".geojson"}


@dataclass(frozen=True)
class FileTask:
    """An image and the files to make of it."""

    source: Path
    outputs: tuple[Path, ...]


def plan_files(
    inputs: Sequence[str | Path],
    out: str | Path,
    known: Sequence[str],
    formats: Sequence[str] = (),
    *,
    recursive: bool = False,
    results: Collection[str] = (),
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
    suffixes = list(dict.fromkeys(known_suffix(name, known) for name in formats))
    sources = _sources(inputs, file_key(target) if recursive else None, results)
    if results_folder(inputs, out) is None:
        first = known_suffix(target.suffix, known)
        others = [target.with_suffix(suffix) for suffix in suffixes if suffix != first]
        tasks = [FileTask(sources[0][0], (target, *others))]
    elif not _is_one_file(inputs) and _SAME_AS.get(target.suffix, target.suffix) in known:
        raise OutputError(f"Several images cannot be written to the one file {target}; give a folder.")
    else:
        tasks = [
            FileTask(path, tuple(target / below / f"{path.stem}{suffix}" for suffix in suffixes or known[:1]))
            for path, below in sources
        ]
    _refuse_collisions(tasks)
    return tasks


def known_suffix(name: str, known: Sequence[str]) -> str:
    """Bring a suffix or the name of a format to one of the suffixes that can be written.

    Raises
    ------
    OutputError
        If it is none of them.
    """
    suffix = f".{name.lower().removeprefix('.')}"
    suffix = _SAME_AS.get(suffix, suffix)
    if suffix not in known:
        raise OutputError(f"Results cannot be written as {name!r}; choose one of {', '.join(known)}.")
    return suffix


def results_folder(inputs: Sequence[str | Path], out: str | Path) -> Path | None:
    """Return the folder that results go to; None where `out` is the one file to write."""
    target = Path(out)
    return None if _is_one_file(inputs) and target.suffix and not target.is_dir() else target


def file_key(path: Path) -> str:
    """Return what two paths share that lead to the same file."""
    return os.path.normcase(os.path.realpath(path))


def _is_one_file(inputs: Sequence[str | Path]) -> bool:
    return len(inputs) == 1 and not Path(inputs[0]).is_dir()


def _sources(
    inputs: Sequence[str | Path], recursive_but: str | None, results: Collection[str]
) -> list[tuple[Path, Path]]:
    """Images, and the subfolders of their inputs that they lie in."""
    from napari_nucleigan.data.images import list_images

    sources: dict[str, tuple[Path, Path]] = {}
    for item in map(Path, inputs):
        if item.is_dir():
            folders = [item] if recursive_but is None else _folders(item, recursive_but)
            found = [path for folder in folders for path in list_images(folder) if file_key(path) not in results]
        else:
            found = [item]
        if not found:
            raise ImageError(f"There are no images in {item}; choose another folder.")
        for path in found:
            below = path.parent.relative_to(item) if item.is_dir() else Path()
            sources.setdefault(file_key(path), (path, below))
    return list(sources.values())


def _folders(top: Path, but: str) -> list[Path]:
    """Return a folder and all below it, by name; hidden ones and one that gets the results are left out."""
    found = []
    for folder, names, _ in os.walk(top):
        names[:] = sorted(name for name in names if not name.startswith(".") and file_key(Path(folder, name)) != but)
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
