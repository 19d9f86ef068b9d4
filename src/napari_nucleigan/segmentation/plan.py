"""Which file becomes which: images in, results out, and nothing overwritten by accident."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.errors import ImageError, OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SAME_AS = {".tiff": ".tif", ".json": ".geojson"}


@dataclass(frozen=True)
class FileTask:
    """An image and the files to make of it."""

    source: Path
    outputs: tuple[Path, ...]


def plan_files(
    inputs: Sequence[str | Path], out: str | Path, known: Sequence[str], formats: Sequence[str] = ()
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
    sources = _sources(inputs)
    one = len(inputs) == 1 and not Path(inputs[0]).is_dir()
    if one and target.suffix and not target.is_dir():
        first = known_suffix(target.suffix, known)
        others = [target.with_suffix(suffix) for suffix in suffixes if suffix != first]
        tasks = [FileTask(sources[0], (target, *others))]
    elif not one and _SAME_AS.get(target.suffix, target.suffix) in known:
        raise OutputError(f"Several images cannot be written to the one file {target}; give a folder.")
    else:
        tasks = [
            FileTask(path, tuple(target / f"{path.stem}{suffix}" for suffix in suffixes or known[:1]))
            for path in sources
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


def _sources(inputs: Sequence[str | Path]) -> list[Path]:
    from napari_nucleigan.data.images import list_images

    sources: dict[str, Path] = {}
    for item in map(Path, inputs):
        found = list_images(item) if item.is_dir() else [item]
        if not found:
            raise ImageError(f"There are no images in {item}; choose another folder.")
        for path in found:
            sources.setdefault(_key(path), path)
    return list(sources.values())


def _refuse_collisions(tasks: Sequence[FileTask]) -> None:
    sources = {_key(task.source) for task in tasks}
    taken: dict[str, Path] = {}
    for task in tasks:
        for path in task.outputs:
            if _key(path) in sources:
                raise OutputError(f"{path} would overwrite an input image; choose another folder or name.")
            other = taken.setdefault(_key(path), task.source)
            if other != task.source:
                raise OutputError(
                    f"{other} and {task.source} would both be written to {path}; write them into separate folders."
                )


def _key(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))
