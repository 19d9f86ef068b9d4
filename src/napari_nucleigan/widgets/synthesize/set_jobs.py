"""The job that makes a data set for the Synthesize widget; nothing here touches Qt or a viewer."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.data.images.files import read_labels, write_labels
from napari_nucleigan.synthesis.pair_log import PROVENANCE
from napari_nucleigan.synthesis.settings import SetSettings
from napari_nucleigan.widgets.base.file_names import file_name

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nucleigan.masks.sampler.sample import PolygonMasks
    from napari_nucleigan.synthesis.datasets import SetReport
    from napari_nucleigan.widgets.base.mask_layers import Reader
    from napari_nucleigan.widgets.synthesize.jobs import Appearance, ModelCache

FIT, ITSELF = "fit:", "itself:"
"""Masks drawn like the chosen one, and the chosen one itself; any other value is a preset, which has no colon."""


@dataclass(frozen=True)
class SetOrder:
    """A data set to be made.

    Attributes
    ----------
    out : Path
        Its folder.
    masks : str
        `FIT`, `ITSELF`, or a preset.
    look : Appearance
        How is painted.
    values : dict
        Further fields of `SetSettings`.
    read : callable or None
        Makes the chosen mask, where it is needed.
    name : str
        Name of the mask's layer.
    mpp : float or None
        Microns per pixel of the chosen mask; None where they are not known.
    """

    out: Path
    masks: str
    look: Appearance
    values: dict[str, Any]
    read: Reader | None = None
    name: str = ""
    mpp: float | None = None


def make_set(order: SetOrder, shelf: ModelCache) -> Job[SetReport]:
    """Make a data set, or go on with it.

    Masks and images of open layers are kept in its folder, so that it can be gone on with when they are gone.

    Parameters
    ----------
    order : SetOrder
        What to make.
    shelf : ModelCache
        Where the model is kept.
    """
    from napari_nucleigan.synthesis.datasets import synthesize_set

    yield Progress(0, 1, "loading the model")
    model = shelf.load(order.look.settings.model)
    mpp = order.mpp or model.card.mpp
    references, kept = order.out / "references", order.out / f"{file_name(order.name)}.tif"
    new = [path for path in (references, kept) if not path.exists()]
    try:
        values = order.look.written(references).model_dump() | {"mpp": None} | order.values
        masks: PolygonMasks | Path | None = None
        if order.read is None:
            values["like"] = order.masks
        elif order.masks == FIT:
            from napari_nucleigan.masks.sampler.sample import fit

            yield Progress(0, 1, "learning from the mask")
            masks, values["mpp"] = fit([order.read()], mpp), mpp
        else:
            masks = _kept(kept, np.array(order.read()), mpp)
            values["size"] = None
        return (yield from synthesize_set(order.out, SetSettings.checked(**values), masks, model))
    finally:
        if not (order.out / PROVENANCE).is_file():  # the folder was no place for it
            _remove(new)


def _kept(path: Path, labels: np.ndarray[Any, Any], mpp: float) -> Path:
    if not path.exists():
        write_labels(path, labels, mpp)
    elif not np.array_equal(read_labels(path), labels):
        raise OutputError(f"{path} is another mask: the data set was begun with it; choose another folder.")
    return path


def _remove(paths: list[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
