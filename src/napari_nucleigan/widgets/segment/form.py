"""The form of the Segment widget: fields in, `SegmentSettings` out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from napari_nucleigan.widgets.base.fields import (
    add_row,
    combo,
    form_layout,
    menu_button,
    set_text,
    silent,
    small_label,
    spin,
    tooltip,
)
from napari_nucleigan.widgets.base.layers import ADD, REPLACE
from napari_nucleigan.widgets.base.method_form import MethodForm, objective_button
from napari_nucleigan.widgets.base.pickers import ask_image_files, ask_image_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QWidget

    from napari_nucleigan.widgets.segment.slide_form import SlideFields


ALL_IMAGES = "all"
WHOLE, VIEW, DRAWN = "whole", "view", "drawn"


class SegmentForm(MethodForm):
    """All fields of the Segment widget; it knows nothing of viewers or jobs.

    Parameters
    ----------
    drawn : QWidget
        Where drawn regions are chosen; shown for these only.
    slide : SlideFields
        What is asked for slides; shown for these only.
    """

    image_changed = Signal()
    """Another image was chosen."""
    mpp_typed = Signal(float, bool)
    """The user gives the microns per pixel, 0 for not known; and whether the field was left like that."""
    paths_chosen = Signal(list)
    """Image files, or a folder, to open."""

    def __init__(self, drawn: QWidget, slide: SlideFields) -> None:
        super().__init__()
        self.drawn, self.slide = drawn, slide
        self.image = combo({}, "The image to segment. All open image layers are listed.")
        self.open = menu_button(
            "Open",
            "Open H&E images from files or a folder.",
            {"Files…": self._choose_files, "Folder…": self._choose_folder},
        )
        self.mpp = spin(20.0, 0.01, 4, "not known", " µm", tooltip("mpp"))
        self.magnification = objective_button(self.mpp)
        self.mpp_source = small_label()
        self.region = combo(
            {"Whole image": WHOLE, "Current view": VIEW, "Drawn region": DRAWN},
            "Segment the whole image, only the part that the canvas shows now, or what you draw. Unless it is as large "
            "as a slide, a part counts as an image of its own, also for its stains.",
        )
        self.rerun = combo(
            {"Replace the same result": REPLACE, "Add a new layer": ADD},
            "What a run does where the same image was already segmented with the same model, "
            "microns per pixel, stain normalisation and region: replace that result, or add "
            "another layer.",
        )
        self._rows = form_layout(self)
        self._arrange()
        self._connect()
        self._show_drawn()
        self._show_slide(False)

    def set_images(self, names: Sequence[str], chosen: int | str | None) -> None:
        """List the images.

        Parameters
        ----------
        names : sequence of str
            Their names; the value of each entry is its position.
        chosen : int, "all" or None
            The entry to choose.
        """
        with silent(self.image):
            self.image.clear()
            for index, name in enumerate(names):
                self.image.addItem(name, index)
            if len(names) > 1:
                self.image.addItem(f"All {len(names)} images", ALL_IMAGES)
            self.image.setCurrentIndex(self.image.findData(chosen) if chosen is not None else -1)

    def set_mpp(self, mpp: float | None, source: str) -> None:
        """Show the microns per pixel of the chosen image, and where they come from."""
        # Setting the same value again would move the cursor of a user who is typing.
        if abs(self.mpp.value() - (mpp or 0.0)) > 1e-9:
            with silent(self.mpp):
                self.mpp.setValue(mpp or 0.0)
        set_text(self.mpp_source, source)

    def _arrange(self) -> None:
        form = self._rows
        add = partial(add_row, form)
        add("Image", self.image, self.open)
        add("Pixel size", self.mpp, self.magnification)
        form.addRow(self.mpp_source)
        add("Region", self.region)
        add("Shapes", self.drawn)
        add("Results", self.slide.folder)
        form.addRow(self.slide.replaced)
        add("Cluster", self.slide.cluster)
        self._add_method(form)
        add("Re-run", self.rerun)

    def _connect(self) -> None:
        self.image.currentIndexChanged.connect(lambda _: self.image_changed.emit())
        self.mpp.valueChanged.connect(lambda mpp: self.mpp_typed.emit(mpp, False))
        self.mpp.editingFinished.connect(lambda: self.mpp.value() or self.mpp_typed.emit(0.0, True))
        for box in (self.region, self.rerun):
            box.currentIndexChanged.connect(lambda _: self.changed.emit())
        for signal in (self.image_changed, self.mpp_typed):
            signal.connect(lambda *_: self.changed.emit())
        self.region.currentIndexChanged.connect(lambda _: self._show_drawn())
        self.slide.wanted.connect(self._show_slide)

    def _show_slide(self, shown: bool) -> None:
        for part in (self.slide.folder, self.slide.cluster):
            self._rows.setRowVisible(part, shown)

    def _show_drawn(self) -> None:
        self._rows.setRowVisible(self.drawn, self.region.currentData() == DRAWN)

    def _choose_files(self) -> None:
        if paths := ask_image_files(self):
            self.paths_chosen.emit(paths)

    def _choose_folder(self) -> None:
        if folder := ask_image_folder(self):
            self.paths_chosen.emit([folder])
