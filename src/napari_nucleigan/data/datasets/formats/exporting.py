"""Data sets of our layout to those of others."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.base.files import discard_folder, output_error, publish_folder, stage_folder
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.datasets.formats import EXPORTS, FORMATS
from napari_nucleigan.data.images.files import SOFTWARE

if TYPE_CHECKING:
    from napari_nucleigan.data.datasets.formats import Pairs


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Attributes
    ----------
    out : str
        The folder.
    format : str
        Name of the format.
    images, nuclei : int
        How many.
    """

    out: str
    format: str
    images: int
    nuclei: int

    def to_json(self) -> dict[str, Any]:
        """Represent the report by a dictionary."""
        return asdict(self)


def export_dataset(form: str, source: str | Path, out: str | Path, *, split: str | None = None) -> Job[ExportReport]:
    """Export a data set, with its ``split.csv``. The folder appears when it is whole, or not at all.

    Parameters
    ----------
    form : str
        A name of `formats.EXPORTS`.
    source : str or Path
        Folder of the data set.
    out : str or Path
        Folder to make: absent, or empty.
    split : str, optional
        Only the images of this split.

    Yields
    ------
    Progress
        Closing the generator stops the work and removes what was written.

    Returns
    -------
    ExportReport

    Raises
    ------
    DatasetError, ImageError, LabelsError
        If the data set cannot be read, or has no images of this split.
    OutputError
        If `out` holds something, or cannot be written.
    """
    source, out = Path(source), Path(out)
    if form not in EXPORTS:
        advice = "it is for import only; " if form in FORMATS else ""
        raise DatasetError(f"Cannot export to {form!r}: {advice}the formats are {', '.join(EXPORTS)}.")
    data = Dataset.open(source)
    chosen = data.subset(split) if split else data
    if not len(chosen):
        there = ", ".join(sorted(set(data.splits.values())))
        raise DatasetError(f"{source} has no images of the split {split!r}; its splits are {there}.")
    work = stage_folder(
        out, "exporting", {"software": SOFTWARE, "format": form, "source": str(source), "split": split}, afresh=True
    )
    nuclei = 0

    def pairs() -> Pairs:
        nonlocal nuclei
        for name in chosen.names:
            image, labels = chosen.pair(name)
            nuclei += int(np.count_nonzero(np.unique(labels)))
            yield name, image, labels

    try:
        began = time.perf_counter()
        yield Progress(0, len(chosen), f"exporting {chosen.names[0]}")
        for done, name in enumerate(FORMATS[form].write(work, pairs()), 1):
            left = (time.perf_counter() - began) / done * (len(chosen) - done)
            yield Progress(done, len(chosen), f"exporting {name}", left)
        if (source / "split.csv").is_file():
            shutil.copyfile(source / "split.csv", work / "split.csv")
        report = ExportReport(str(out), form, len(chosen), nuclei)
        publish_folder(work, out, {"report": report.to_json()})
    except OSError as error:
        raise output_error(out, error) from error
    finally:
        discard_folder(work)
    return report
