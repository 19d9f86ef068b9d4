"""Files of finished results, written again with those nuclei only that a filter leaves, or with other classes.

The results themselves are never changed: what a filter hides comes back with another filter.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import LabelsError, OutputError, explain
from napari_nucleigan.base.events import Job, Note, Progress, relay
from napari_nucleigan.segmentation.file_plan import file_key, plan_outputs
from napari_nucleigan.segmentation.folders import FileResult
from napari_nucleigan.segmentation.formats import OF_NUCLEI, check_results, format_of, known_suffix, write_slide_results
from napari_nucleigan.segmentation.stored import TABLES, StoredNuclei, labels_of, result_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.base.events import Event
    from napari_nucleigan.classification import Classifier
    from napari_nucleigan.segmentation.settings import NucleiFilter

_STEPS = 1000  # of progress within a result


def find_results(paths: Sequence[str | Path]) -> list[Path]:
    """Find finished results.

    Parameters
    ----------
    paths : sequence of str or Path
        Labels (``.ome.zarr``, ``.tif``), any other file of a result, and folders of results.

    Returns
    -------
    list of Path
        Their labels.

    Raises
    ------
    LabelsError
        If something is no result.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        inside = not path.is_dir() or path.name.lower().endswith(".zarr")
        labels = labels_of(path.parent, result_name(path)) if inside else None
        if not inside:
            stems = dict.fromkeys(result_name(table) for end in TABLES for table in sorted(path.glob(f"*{end}")))
            below = [labels_of(path, stem) for stem in sorted(stems)]
            found += [each for each in below if each is not None]
        elif path.exists() and labels is not None:
            found.append(labels)
        if not found or (inside and labels is None):
            raise LabelsError(
                f"{path} is no finished result; give the labels that 'nucleigan segment' has written (.ome.zarr or "
                ".tif) with the table (.csv or .parquet) beside them, or a folder of such."
            )
    return list(dict.fromkeys(found))


def filter_results(
    results: Sequence[str | Path],
    out: str | Path,
    wanted: NucleiFilter | None = None,
    formats: Sequence[str] = (),
    classifier: Classifier | None = None,
) -> Job[list[FileResult]]:
    """Write the files of finished results again, with those nuclei only that a filter leaves.

    Numbers of nuclei stay, in all files alike. The results themselves are left as they are.

    Parameters
    ----------
    results : sequence of str or Path
        As for `find_results`.
    out : str or Path
        Folder; or, of one result, the file to write, its format told by the suffix.
    wanted : NucleiFilter, optional
        Which nuclei count; by default all.
    formats : sequence of str
        What to write, with or without the dot; by default, in a folder, what each result has.
    classifier : Classifier, optional
        Gives the nuclei their classes.

    Yields
    ------
    Progress or Note

    Returns
    -------
    list of FileResult
        One for each result; where several are given, one that fails is among them.

    Raises
    ------
    LabelsError
        If something is no result; of one result, if it cannot be read, or does not say what the filter asks about or
        the classifier looks at.
    ModelError
        If the classifier belongs to another model.
    OutputError
        If a result would be overwritten, or something that is not this program's.
    """
    sources = find_results(results)
    tasks = [(source, _outputs(source, Path(out), formats)) for source in sources]
    written = [file_key(path) for _, paths in tasks for path in paths]
    if len(set(written)) < len(written):
        raise OutputError("Two results have one name, and would get the same files; filter them one after the other.")
    for _, paths in tasks:
        check_results(paths)
    done: list[FileResult] = []
    for number, (source, paths) in enumerate(tasks):
        begun = time.perf_counter()
        yield Progress(_STEPS * number, _STEPS * len(tasks), f"reading {source.name}")
        try:
            found = StoredNuclei(source, wanted, classifier)
            yield from relay(write_slide_results(paths, found), partial(_of_all, number, len(tasks)))
        except Exception as failure:
            error = explain(failure, f"filtering {source.name}")
            if len(tasks) == 1:
                raise error from failure
            done.append(FileResult(source, error=str(error)))
            yield Note(f"{source.name}: {error}", "warning")
            continue
        seconds = time.perf_counter() - begun
        done.append(FileResult(source, paths, found.count, provenance=found.provenance, seconds=seconds))
    return done


def _of_all(number: int, count: int, event: Event) -> Event:
    """Turn progress within one of several results into that of all."""
    if not isinstance(event, Progress):
        return event
    return Progress(int(_STEPS * (number + event.done / max(1, event.total))), _STEPS * count, event.what)


def _outputs(source: Path, out: Path, formats: Sequence[str]) -> tuple[Path, ...]:
    stem = result_name(source)
    there = {suffix: path for suffix in OF_NUCLEI if (path := source.parent / f"{stem}{suffix}").exists()}
    for name in formats:
        known_suffix(name, OF_NUCLEI)
    paths = plan_outputs(stem, out, formats or (() if format_of(out) else tuple(there)))
    for path in paths:
        if file_key(path) in map(file_key, there.values()):
            raise OutputError(f"{path} is the result itself, which stays as it is; choose another folder.")
    return paths
