"""Painted images: the layers that show them, live mode, and saving them with their masks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_nucleigan.widgets.base.fields import combo, set_text, small_label
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import (
    CONTOUR,
    METADATA_KEY,
    labels_place,
    move_layer,
    nuclei_colormap,
    selection_kept,
)
from napari_nucleigan.widgets.base.mask_layers import LiveUpdater, is_labels, mask_reader
from napari_nucleigan.widgets.base.path_fields import FolderField
from napari_nucleigan.widgets.base.preferences import recall, remember
from napari_nucleigan.widgets.synthesize.jobs import (
    ModelCache,
    PaintRequest,
    Patch,
    Reshaped,
    begin,
    follow,
    pair_files,
    save_pair,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.base.events import Job
    from napari_nucleigan.synthesis import LiveCanvas
    from napari_nucleigan.widgets.base.mask_layers import MaskLayer

_USUAL = "label_colormap"
"""What napari calls the colours that it gives to labels by itself."""

_FOLDER_KEY = "pairs"
_FORBIDDEN = '<>:"/\\|?*'


@dataclass(eq=False)
class PaintedImage:
    """A painted mask.

    Attributes
    ----------
    mask : MaskLayer
        The layer that was painted.
    image : Image
        The layer that shows it.
    labels : ndarray of integers, shape (H, W)
        The mask as the picture shows it; the layer's own may have been edited since.
    mpp : float
        Microns per pixel.
    provenance : dict
        How it was made, ready for JSON.
    """

    mask: MaskLayer
    image: Image
    labels: np.ndarray[Any, Any]
    mpp: float
    provenance: dict[str, Any]

    def patch(self, patch: Patch) -> None:
        """Bring a part of the picture up to date."""
        self.image.data[patch.box.slices] = patch.pixels
        if self.labels.dtype != patch.labels.dtype:
            self.labels = self.labels.astype(np.result_type(self.labels, patch.labels))
        self.labels[patch.box.slices] = patch.labels
        self.image.refresh(extent=False, highlight=False)


class PaintedImages:
    """The pictures of one widget in one viewer."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._all: list[PaintedImage] = []

    def prune(self) -> None:
        """Forget pictures whose layer was removed from the viewer."""
        layers = self._viewer.layers
        self._all = [item for item in self._all if item.image in layers]

    def clear(self) -> None:
        """Forget all pictures; their layers stay."""
        self._all = []

    def of(self, mask: MaskLayer | None) -> PaintedImage | None:
        """Return the newest picture of a mask."""
        self.prune()
        return next((item for item in reversed(self._all) if item.mask is mask), None)

    def show(
        self,
        mask: MaskLayer,
        pixels: np.ndarray[Any, Any],
        labels: np.ndarray[Any, Any],
        mpp: float,
        provenance: dict[str, Any],
        replace: bool,
    ) -> PaintedImage:
        """Show a picture as an Image layer, just below its mask and in the same place and units.

        Parameters
        ----------
        mask : MaskLayer
            The layer that was painted.
        pixels : ndarray of uint8, shape (H, W, 3)
            The picture; the layer takes it as its own.
        labels : ndarray of integers, shape (H, W)
            The mask as the picture shows it, a copy.
        mpp, provenance
            As of `PaintedImage`.
        replace : bool
            Whether the newest picture of the same mask is replaced.
        """
        painted = self.of(mask) if replace else None
        if painted is None:
            with selection_kept(self._viewer):
                image = self._viewer.add_image(pixels, name=f"{mask.name} H&E", rgb=True, **labels_place(mask))
                layers = self._viewer.layers
                if mask in layers:
                    layers.move(layers.index(image), layers.index(mask))
            painted = PaintedImage(mask, image, labels, mpp, provenance)
            self._all.append(painted)
        else:
            # A new array even of the same shape: whoever has kept the old picture keeps it as it was.
            painted.image.data = pixels
            move_layer(painted.image, labels_place(mask))
            painted.labels, painted.mpp, painted.provenance = labels, mpp, provenance
        painted.image.metadata = {**painted.image.metadata, METADATA_KEY: {**provenance, "mask": mask.name}}
        return painted


class Outlines:
    """Shows masks as bright outlines while their pictures are looked at, and gives them back as they were."""

    def __init__(self) -> None:
        self._before: dict[MaskLayer, dict[str, Any]] = {}

    def show(self, mask: MaskLayer) -> None:
        """Draw a Labels layer as outlines, unless the user draws it so already."""
        if not is_labels(mask) or mask.contour:
            return
        drawn: dict[str, Any] = {"contour": CONTOUR, "opacity": 1.0}
        if mask.colormap.name == _USUAL:  # colours that the user chose have a meaning
            drawn["colormap"] = nuclei_colormap()
        self._before[mask] = {name: getattr(mask, name) for name in drawn}
        for name, value in drawn.items():
            setattr(mask, name, value)

    def hide(self) -> None:
        """Draw all masks as they were before, but those whose outlines the user has changed since."""
        for mask, before in self._before.items():
            if mask.contour == CONTOUR:
                for name, value in before.items():
                    setattr(mask, name, value)
        self._before.clear()

    def forget(self) -> None:
        """Let go of all masks; they stay as they are."""
        self._before.clear()


class LivePainting(LiveUpdater):
    """Paints again what an edit of a mask layer can be seen in, on one canvas.

    Parameters
    ----------
    cache : ModelCache
        Where the model is kept.
    parent : QObject
        The widget that owns it.
    """

    progressed = Signal(object)
    """`events.Progress` of the first picture."""
    begun = Signal(object)
    """A new `LiveCanvas`, with its first picture."""
    patched = Signal(object)
    """A `Patch` to show."""
    noted = Signal(object)

    def __init__(self, cache: ModelCache, parent: QObject) -> None:
        super().__init__("painting what was edited", parent)
        self._cache = cache
        self._order: Callable[[], PaintRequest] | None = None
        self._canvas: LiveCanvas | None = None
        self._runner.progressed.connect(self.progressed.emit)
        self._runner.noted.connect(self.noted.emit)

    @property
    def mask(self) -> MaskLayer | None:
        """The layer that is followed; None where live mode is off."""
        return self._layers[0] if self._layers else None

    @property
    def beginning(self) -> bool:
        """Whether the first picture is still being painted."""
        return self.mask is not None and self._canvas is None

    def start(self, mask: MaskLayer, order: Callable[[], PaintRequest]) -> None:
        """Begin to follow a mask, or begin again with other settings.

        Parameters
        ----------
        mask : MaskLayer
            The layer to follow.
        order : callable
            Gives the order of the first picture; asked for again where the mask changes its shape.
        """
        if mask is not self.mask:
            self.watch([mask])
        self._order = order
        self._begin()

    def stop(self) -> None:
        """Stop to follow; what has been shown stays."""
        super().stop()
        self._order = self._canvas = None

    def _begin(self) -> None:
        assert self._order is not None
        self._canvas = self._marked = None
        self._runner.start(begin(self._order(), self._cache), "painting")

    def _job(self) -> Job[Patch | Reshaped | None] | None:
        if self.mask is None or self._canvas is None:
            return None
        return follow(self._canvas, mask_reader(self.mask))

    def _finished(self, result: Any) -> None:
        if self.beginning:
            self._canvas = result
            self.begun.emit(result)
        elif isinstance(result, Reshaped):
            self._begin()
            return
        elif isinstance(result, Patch):
            self.patched.emit(result)
            self._tell_followed()
        self._next()

    def _failed(self, error: NucleiganError) -> None:
        """End live mode."""
        self.stop()
        self.failed.emit(error)


class SavePairDialog(QDialog):
    """Ask for the data-set folder, the name and the format of a pair.

    Parameters
    ----------
    parent : QWidget
        The widget that asks.
    name : str
        Name to begin with.
    """

    def __init__(self, parent: QWidget, name: str) -> None:
        super().__init__(parent)
        self.setWindowTitle("Save the pair")
        self.folder = FolderField("A data set: the picture goes to its images/, the mask to its labels/.")
        self.folder.line.setText(recall(_FOLDER_KEY, ""))
        self.name = QLineEdit("".join("_" if letter in _FORBIDDEN else letter for letter in name))
        self.name.setToolTip("Name of both files, without suffix.")
        self.format = combo({"PNG": ".png", "TIFF": ".tif"}, "Format of the picture; the mask is always TIFF.")
        self.replace = QCheckBox("Replace the pair of that name")
        self.replace.setToolTip("The data set has a picture or a mask of that name already: tick to write over it.")
        self.remark = small_label()
        kinds = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(kinds.Save | kinds.Cancel)
        self.save_button = self.buttons.button(kinds.Save)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for text, field in (("Folder", self.folder), ("Name", self.name), ("Format", self.format)):
            form.addRow(text, field)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        for part in (self.replace, self.remark, self.buttons):
            layout.addWidget(part)
        self.setMinimumWidth(420)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.folder.changed.connect(self._update)
        self.name.textChanged.connect(lambda _: self._update())
        self.replace.toggled.connect(lambda _: self._update())
        self._update()

    def accept(self) -> None:
        """Remember the folder, and close."""
        remember(_FOLDER_KEY, self.folder.line.text())
        super().accept()

    def problem(self) -> str:
        """Why the pair cannot be saved like that; empty where it can."""
        if text := self.folder.problem():
            return text
        name = self.name.text().strip()
        if not name or name.startswith(".") or any(letter in _FORBIDDEN for letter in name):
            return f"Give a name that does not begin with a dot and has none of {_FORBIDDEN}"
        if self._taken() and not self.replace.isChecked():
            return f"“{name}” is in this data set already: give another name, or tick Replace."
        return ""

    def _taken(self) -> bool:
        folder, name = self.folder.path, self.name.text().strip()
        if folder is None or not name:
            return False
        return bool(pair_files(folder, name))

    def _update(self) -> None:
        taken = self._taken()
        self.replace.setVisible(taken)
        if not taken and self.replace.isChecked():
            self.replace.setChecked(False)
        text = self.problem()
        set_text(self.remark, text)
        self.save_button.setEnabled(not text)
        self.save_button.setToolTip(text or "Write the picture and the mask.")


class PairSaver(QObject):
    """Asks where a pair is to be saved, and saves it.

    Parameters
    ----------
    parent : QWidget
        The widget that asks.
    """

    saved = Signal(object)
    """Path of the picture."""
    noted = Signal(object)
    failed = Signal(object)
    """A `NucleiganError`."""
    changed = Signal()
    """It has begun or ended to write."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._widget = parent
        self._runner = Runner(self, activity=True)
        self._runner.noted.connect(self.noted.emit)
        self._runner.failed.connect(self.failed.emit)
        self._runner.finished.connect(self.saved.emit)
        self._runner.stopped.connect(self.changed.emit)

    @property
    def running(self) -> bool:
        """Whether a pair is being written."""
        return self._runner.running

    def ask(self, painted: PaintedImage | None) -> SavePairDialog | None:
        """Ask where a pair is to be saved; the dialogue does not block."""
        if painted is None:
            return None
        dialog = SavePairDialog(self._widget, painted.mask.name)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(partial(self._save, dialog, painted))
        dialog.open()
        return dialog

    def cancel(self) -> None:
        """Stop to write."""
        self._runner.cancel()

    def _save(self, dialog: SavePairDialog, painted: PaintedImage) -> None:
        folder, name = dialog.folder.path, dialog.name.text().strip()
        assert folder is not None
        suffix: Any = dialog.format.currentData()
        # Copies: live mode may go on painting.
        pixels, labels = painted.image.data.copy(), painted.labels.copy()
        replace = dialog.replace.isChecked()
        job = save_pair(pixels, labels, painted.mpp, folder, name, suffix=suffix, replace=replace)
        self._runner.start(job, f"saving {name}")
        self.changed.emit()
