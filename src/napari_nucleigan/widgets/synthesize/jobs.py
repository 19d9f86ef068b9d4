"""Jobs of the Synthesize dock: masks painted, once or live, pairs saved, data sets made; no Qt here, and no viewer."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.base.files import make_folder, output_error
from napari_nucleigan.data.datasets.dataset import LABEL_SUFFIXES
from napari_nucleigan.data.images.files import IMAGE_SUFFIXES, read_image, read_labels, write_image, write_labels
from napari_nucleigan.labels.regions import check_labels
from napari_nucleigan.masks.polygons import TISSUE
from napari_nucleigan.models import load_model, resolve
from napari_nucleigan.models.tissue import classes_on
from napari_nucleigan.synthesis.pair_log import PROVENANCE
from napari_nucleigan.synthesis.settings import SetSettings
from napari_nucleigan.tissue.features import mask_grid
from napari_nucleigan.widgets.base.layers import file_name, read_cells

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.masks.polygons import PolygonMasks
    from napari_nucleigan.models import Model
    from napari_nucleigan.synthesis import LiveCanvas, Synthesis, SynthesisSettings
    from napari_nucleigan.synthesis.datasets import SetReport
    from napari_nucleigan.tiling import Box
    from napari_nucleigan.widgets.base.image_sources import Source
    from napari_nucleigan.widgets.base.mask_layers import Reader

FIT, ITSELF = "fit:", "itself:"
"""Masks drawn like the chosen one, and the chosen one itself; any other value is a preset, which has no colon."""

_BESIDE_IMAGES = ("labels", TISSUE, "regions")  # folders of a data set


class ModelCache:
    """Keeps the model that was loaded last, so that a new seed does not read it from the disk again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[Path, int] | None = None
        self._model: Model | None = None

    def load(self, name: str) -> Model:
        """Load a synthesizer, unless it is the one at hand and its file is unchanged."""
        path = resolve(name)
        key = (path, path.stat().st_mtime_ns)
        with self._lock:
            if self._model is None or key != self._key:
                self._model, self._key = load_model(path, "synthesizer"), key
            return self._model


@dataclass(frozen=True)
class Appearance:
    """How is painted.

    Attributes
    ----------
    settings : SynthesisSettings
        The style and the stains of `references` are left out there.
    references : mapping of str to Source
        Open images whose look is to be taken, by the field of the settings: ``style`` or ``restain``.
    """

    settings: SynthesisSettings
    references: Mapping[str, Source] = field(default_factory=dict)

    def images(self) -> dict[str, HEImage]:
        """Make images of the references; for a worker, since it may load from disk."""
        return {name: source.image() for name, source in self.references.items()}

    def written(self, folder: Path) -> SynthesisSettings:
        """Fill the references in as files of a folder.

        Raises
        ------
        OutputError
            If there is another image under such a name, or the folder cannot be written to.
        """
        paths = {}
        for name, image in self.images().items():
            path = folder / name / f"{file_name(image.name)}.tif"
            if not path.exists():
                write_image(path, image.pixels, image.mpp)
            elif not np.array_equal(read_image(path).pixels, image.pixels):
                raise OutputError(f"{path} is another image than “{image.name}”; choose another folder.")
            paths[name] = str(path)
        return self.settings.model_copy(update=paths)

    def described(self, provenance: dict[str, Any]) -> dict[str, Any]:
        """Name the references in a provenance as the user knows them."""
        named = {name: f"layer “{source.name}”" for name, source in self.references.items()}
        return {**provenance, "settings": {**provenance["settings"], **named}}


@dataclass(frozen=True)
class PaintRequest:
    """What is to be painted, and how.

    Attributes
    ----------
    read : callable
        Makes the mask.
    look : Appearance
        How.
    mpp : float or None
        Microns per pixel of the mask, where its layer says them.
    tissue : callable or None
        Makes the tissue map; None where the tissue is unknown.
    """

    read: Reader
    look: Appearance
    mpp: float | None = None
    tissue: Reader | None = None

    def read_tissue(self) -> np.ndarray[Any, Any] | None:
        """Make the tissue map, if there is one, as it is now; for a worker."""
        return None if self.tissue is None else np.array(self.tissue())


@dataclass(frozen=True)
class Patch:
    """A part of a picture that was painted again.

    Attributes
    ----------
    box : Box
        Where.
    pixels : ndarray of uint8, shape (h, w, 3)
        The new picture there.
    labels : ndarray of integers, shape (h, w)
        The mask there.
    """

    box: Box
    pixels: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Reshaped:
    """The mask has another shape than the canvas, which must begin again."""


def paint(request: PaintRequest, cache: ModelCache) -> Job[Synthesis]:
    """Paint a mask.

    Parameters
    ----------
    request : PaintRequest
        What, and how.
    cache : ModelCache
        Where the model is kept.
    """
    from napari_nucleigan.synthesis import synthesize

    yield Progress(0, 1, "loading the model")
    model = cache.load(request.look.settings.model)
    # The user may go on editing: what is painted is the mask as it was when Run was pressed.
    labels = np.array(request.read())
    tissue = request.read_tissue()
    made = yield from synthesize(labels, request.look.settings, model, request.mpp, request.look.images(), tissue)
    return replace(made, provenance=request.look.described(made.provenance))


def begin(request: PaintRequest, cache: ModelCache) -> Job[LiveCanvas]:
    """Make a canvas that follows the mask, with its first picture."""
    from napari_nucleigan.synthesis import LiveCanvas

    yield Progress(0, 1, "loading the model")
    model = cache.load(request.look.settings.model)
    yield Progress(0, 1, "painting")
    look, tissue = request.look, request.read_tissue()
    canvas = LiveCanvas(request.read(), look.settings, model, request.mpp, look.images(), tissue)
    yield from canvas.notes()
    return canvas


def follow(canvas: LiveCanvas, read: Reader, tissue: Reader | None = None) -> Job[Patch | Reshaped | None]:
    """Let a canvas follow its mask and its tissue map.

    Returns
    -------
    Patch, Reshaped or None
        None where nothing has to be painted again.
    """
    yield from ()
    labels = check_labels(read())
    if labels.shape != canvas.labels.shape:
        return Reshaped()
    boxes = [canvas.update(labels), canvas.update_tissue(np.array(tissue())) if tissue else None]
    changed = [box for box in boxes if box is not None]
    if not changed:
        return None
    box = changed[0] | changed[-1]
    # Copies: the canvas goes on changing in this thread while the viewer shows the patch.
    return Patch(box, canvas.pixels[box.slices].copy(), canvas.labels[box.slices].copy())


def pair_files(folder: Path, name: str) -> list[Path]:
    """Return the files that a data set has under a name; tissue and regions would be those of another picture."""
    images = [folder / "images" / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES]
    beside = [folder / kind / f"{name}{suffix}" for kind in _BESIDE_IMAGES for suffix in LABEL_SUFFIXES]
    return [path for path in (*images, *beside) if path.exists()]


def save_pair(
    pixels: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    mpp: float,
    folder: Path,
    name: str,
    *,
    suffix: str,
    replace: bool,
) -> Job[Path]:
    """Write ``images/NAME.SUFFIX`` and ``labels/NAME.tif``.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        The picture, RGB.
    labels : ndarray of integers, shape (H, W)
        The mask.
    mpp : float
        Microns per pixel.
    folder : Path
        The data set; it may be new.
    name : str
        Name without suffix.
    suffix : {".png", ".tif"}
        Format of the picture.
    replace : bool
        Whether files of that name are written over.

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    OutputError
        If there are such files and they are not to be replaced, or the folder cannot be written to.
    LabelsError
        If the mask is no label image.
    """
    yield Progress(0, 2, "writing the picture")
    before = pair_files(folder, name)
    if before and not replace:
        raise OutputError(f"{folder} has a pair {name!r} already; give another name, or replace it.")
    image, mask = folder / "images" / f"{name}{suffix}", folder / "labels" / f"{name}.tif"
    # Aside first: what can fail has then happened before anything in the data set is touched.
    aside = make_folder(folder) / f".{token_hex(4)}.part"
    try:
        write_image(aside / image.name, pixels, mpp)
        yield Progress(1, 2, "writing the mask")
        write_labels(aside / "labels.tif", labels, mpp)
        for target in (image, mask):
            make_folder(target.parent)
        # A mask without a picture is no part of a data set, so a stop between the two leaves a whole one.
        os.replace(aside / "labels.tif", mask)
        os.replace(aside / image.name, image)
        for path in before:
            if path not in (image, mask):
                path.unlink()
    except OSError as error:
        raise output_error(image, error) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(aside)
    return image


@dataclass(frozen=True)
class SetRequest:
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
    tissue : callable or None
        Makes its tissue map; None where the tissue is unknown.
    """

    out: Path
    masks: str
    look: Appearance
    values: dict[str, Any]
    read: Reader | None = None
    name: str = ""
    mpp: float | None = None
    tissue: Reader | None = None


def make_set(request: SetRequest, cache: ModelCache) -> Job[SetReport]:
    """Make a data set, or go on with it.

    Masks, their tissue maps and images of open layers are kept in its folder, so that it can be gone on with when they
    are gone.

    Parameters
    ----------
    request : SetRequest
        What to make.
    cache : ModelCache
        Where the model is kept.
    """
    from napari_nucleigan.masks.polygons import TISSUE, fit, fit_tissue_map
    from napari_nucleigan.synthesis.datasets import synthesize_set

    yield Progress(0, 1, "loading the model")
    model = cache.load(request.look.settings.model)
    mpp = request.mpp or model.card.mpp
    references, kept = request.out / "references", request.out / f"{file_name(request.name)}.tif"
    new = [path for path in (references, kept, kept.with_suffix("")) if not path.exists()]
    try:
        values = request.look.written(references).model_dump() | {"mpp": None} | request.values
        masks: PolygonMasks | Path | None = None
        if request.read is None:
            values["like"] = request.masks
        else:
            labels = np.array(request.read())
            cells, classes = _known_tissue(request, (labels.shape[0], labels.shape[1]), mpp, model)
            if request.masks == FIT:
                yield Progress(0, 1, "learning from the mask")
                masks = fit([labels], mpp) if cells is None else fit_tissue_map(cells, labels, classes, mpp)
                values["mpp"] = mpp
            elif cells is None:
                masks, values["size"] = _kept(kept, labels, mpp), None
            else:
                folder = kept.with_suffix("")
                masks, values["size"] = folder, None
                _kept(folder / "labels" / kept.name, labels, mpp)
                _kept(folder / TISSUE / kept.name, cells.astype(np.int32), mpp * labels.shape[0] / cells.shape[0])
        return (yield from synthesize_set(request.out, SetSettings.checked(**values), masks, model))
    finally:
        if not (request.out / PROVENANCE).is_file():  # the folder was no place for it
            for path in new:
                shutil.rmtree(path, ignore_errors=True)
                with suppress(OSError):
                    path.unlink()


def _known_tissue(
    request: SetRequest, shape: tuple[int, int], mpp: float, model: Model
) -> tuple[np.ndarray[Any, Any] | None, Any]:
    """Make the tissue map of the chosen mask, and the classes that the model knows; no map where all is unknown."""
    classes = classes_on(model.card)
    if request.tissue is None or classes is None:
        return None, classes
    cells = read_cells(request.tissue(), mask_grid(shape, mpp, classes.mpp))
    return (cells if cells.any() else None), classes


def _kept(path: Path, labels: np.ndarray[Any, Any], mpp: float) -> Path:
    if not path.exists():
        write_labels(path, labels, mpp)
    elif not np.array_equal(read_labels(path), labels):
        raise OutputError(f"{path} is another mask: the data set was begun with it; choose another folder.")
    return path
