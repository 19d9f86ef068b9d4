"""The jobs that the Synthesize widget runs in threads; nothing here touches Qt or a viewer."""

from __future__ import annotations

import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.data.images.files import read_image, write_image
from napari_nucleigan.labels.checks import check_labels
from napari_nucleigan.models import load_model, resolve
from napari_nucleigan.widgets.base.file_names import file_name
from napari_nucleigan.widgets.base.layers import he_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_nucleigan.models import Model
    from napari_nucleigan.synthesis import LiveCanvas, Synthesis, SynthesisSettings
    from napari_nucleigan.tiling.tiles import Box
    from napari_nucleigan.widgets.base.image_sources import Source
    from napari_nucleigan.widgets.base.mask_layers import Reader


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

    @contextmanager
    def resolved(self) -> Iterator[SynthesisSettings]:
        """Fill the references in: as files, which is what the settings know, for as long as the block lasts."""
        if not self.references:
            yield self.settings
            return
        with tempfile.TemporaryDirectory(prefix="nucleigan-", ignore_cleanup_errors=True) as folder:
            yield self.written(Path(folder))

    def written(self, folder: Path) -> SynthesisSettings:
        """Fill the references in as files of a folder.

        Raises
        ------
        OutputError
            If there is another image under such a name, or the folder cannot be written to.
        """
        paths = {}
        for name, source in self.references.items():
            image = he_image(source.data, source.name, source.mpp, None, source.channel_first)
            path = folder / name / f"{file_name(source.name)}.tif"
            if not path.exists():
                write_image(path, image.pixels, source.mpp)
            elif not np.array_equal(read_image(path).pixels, image.pixels):
                raise OutputError(f"{path} is another image than “{source.name}”; choose another folder.")
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
    """

    read: Reader
    look: Appearance
    mpp: float | None = None


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
    """The mask has another shape than the canvas, which must begin anew."""


def paint(order: PaintRequest, shelf: ModelCache) -> Job[Synthesis]:
    """Paint a mask.

    Parameters
    ----------
    order : PaintRequest
        What, and how.
    shelf : ModelCache
        Where the model is kept.
    """
    from napari_nucleigan.synthesis import synthesize

    yield Progress(0, 1, "loading the model")
    model = shelf.load(order.look.settings.model)
    # The user may go on editing: what is painted is the mask as it was when Run was pressed.
    labels = np.array(order.read())
    with order.look.resolved() as settings:
        made = yield from synthesize(labels, settings, model, order.mpp)
    return replace(made, provenance=order.look.described(made.provenance))


def begin(order: PaintRequest, shelf: ModelCache) -> Job[LiveCanvas]:
    """Make a canvas that follows the mask, with its first picture."""
    from napari_nucleigan.synthesis import LiveCanvas

    yield Progress(0, 1, "loading the model")
    model = shelf.load(order.look.settings.model)
    yield Progress(0, 1, "painting")
    with order.look.resolved() as settings:
        canvas = LiveCanvas(order.read(), settings, model, order.mpp)
    yield from canvas.notes()
    return canvas


def follow(canvas: LiveCanvas, read: Reader) -> Job[Patch | Reshaped | None]:
    """Let a canvas follow its mask.

    Returns
    -------
    Patch, Reshaped or None
        None where nothing has to be painted again.
    """
    yield from ()
    labels = check_labels(read())
    if labels.shape != canvas.labels.shape:
        return Reshaped()
    box = canvas.update(labels)
    if box is None:
        return None
    # Copies: the canvas goes on changing in this thread while the viewer shows the patch.
    return Patch(box, canvas.pixels[box.slices].copy(), canvas.labels[box.slices].copy())
