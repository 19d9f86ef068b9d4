"""Form of the Segment widget: fields in, `SegmentSettings` out, and what only slides need."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QLineEdit

from napari_nucleigan.segmentation.formats import USUAL
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.fields import (
    add_row,
    combo,
    forward,
    list_choices,
    objective_button,
    on_typed,
    pixel_size,
    set_text,
    show_pixel_size,
    small_label,
)
from napari_nucleigan.widgets.base.layers import ADD, REPLACE, file_name
from napari_nucleigan.widgets.base.model_picker import TIPS, MethodForm
from napari_nucleigan.widgets.base.path_fields import FolderField, images_button
from napari_nucleigan.widgets.base.preferences import recall, remember
from napari_nucleigan.widgets.base.scale_offer import ScaleOffer, layer_reader
from napari_nucleigan.widgets.segment.colours import KIND, OWN, SURE, Legend
from napari_nucleigan.widgets.segment.jobs import SlideJob
from napari_nucleigan.widgets.segment.slide_filter import ClassChoice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image
    from qtpy.QtWidgets import QWidget

    from napari_nucleigan.segmentation import SegmentSettings
    from napari_nucleigan.widgets.base.image_sources import Region

_MEMORY = "slide_results"
_BYTES = 0.2  # of disk for a pixel of a slide a third of which is tissue: results, and as much again for tiles

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
    label_images : QWidget
        What is said of images that hold labels.
    filtered : QWidget
        What writes the nuclei of a slide that filters leave.
    """

    image_changed = Signal()
    """Another image was chosen."""
    mpp_typed = Signal(float)
    """The user gives the microns per pixel; 0 for not known."""
    colours_changed = Signal()
    """Nuclei are to be coloured otherwise."""
    paths_chosen = Signal(list)
    """Image files, or a folder, to open."""

    def __init__(self, drawn: QWidget, slide: SlideFields, label_images: QWidget, filtered: QWidget) -> None:
        super().__init__()
        self.drawn, self.slide, self.filtered = drawn, slide, filtered
        forward(self.changed, self.image_changed, self.mpp_typed)
        self.open = images_button("Open", "Open H&E images from files or a folder.", self, self.paths_chosen.emit)
        image = combo({}, "The image to segment. All open image layers are listed.")
        self.image = self.add("Image", image, self.open, self.image_changed.emit)
        self.rows.addRow(label_images)
        self.mpp = pixel_size("not known", TIPS["mpp"])
        self.magnification = objective_button(self.mpp)
        add_row(self.rows, "Pixel size", self.mpp, self.magnification)
        on_typed(self.mpp, self.mpp_typed.emit)
        self.mpp_source = self.add_remark()
        self.scale = ScaleOffer()
        self.rows.addRow(self.scale)
        self.scale.taken.connect(self.mpp.setValue)
        region = combo(
            {"Whole image": WHOLE, "Current view": VIEW, "Drawn region": DRAWN},
            "Segment the whole image, only the part that the canvas shows now, or what you draw. Unless it is as large "
            "as a slide, a part counts as an image of its own, also for its stains.",
        )
        self.region = self.add("Region", region)
        self.region.currentIndexChanged.connect(lambda _: self._show_drawn())
        self.add("Shapes", drawn)
        self.add("Results", slide.folder)
        self.rows.addRow(slide.replaced)
        self.add("Cluster", slide.cluster)
        slide.wanted.connect(self._show_slide)
        self.add_method()
        self.classes = ClassChoice()
        add_row(self.rows, "Classes", self.classes)
        self.classes.changed.connect(self.filters_changed.emit)
        self.rows.addRow(filtered)
        self.show_filtered((), False)
        rerun = combo(
            {"Replace the same result": REPLACE, "Add a new layer": ADD},
            "What a run does where the same image was already segmented with the same model, "
            "microns per pixel, stain normalisation and region: replace that result, or add "
            "another layer.",
        )
        self.rerun = self.add("Re-run", rerun)
        colours = combo(
            {"Each its own": OWN, "By confidence": SURE, "By class": KIND},
            "Give each nucleus a colour of its own, the colour of how likely it is one, if the model tells, or that of "
            "its class, if there is a classifier.",
        )
        self.colours = self.add("Colours", colours, call=self.colours_changed.emit)
        self.legend = Legend()
        self.rows.addRow(self.legend)
        self.kinds = self.add_remark()
        self.classifier.changed.connect(self._offer_kinds)
        self.colours.currentIndexChanged.connect(lambda _: self._show_legend())
        self._show_legend()
        self._show_drawn()
        self._show_slide(False)

    def set_images(self, names: Sequence[str], chosen: int | str | None, together: int) -> None:
        """List the images.

        Parameters
        ----------
        names : sequence of str
            Their names; the value of each entry is its position.
        chosen : int, "all" or None
            The entry to choose.
        together : int
            How many can be chosen together.
        """
        everything = [(f"All {together} images", ALL_IMAGES)] if together > 1 else []
        list_choices(self.image, [*((name, index) for index, name in enumerate(names)), *everything], chosen)

    def set_mpp(self, mpp: float | None, source: str) -> None:
        """Show the microns per pixel of the chosen image, and where they come from."""
        show_pixel_size(self.mpp, self.mpp_source, mpp, source)

    def offer_scale(self, image: Image | None) -> None:
        """Offer to estimate the microns per pixel of an image; None where nobody needs that."""
        read = [] if image is None else [layer_reader(image)]
        self.scale.look(image and image.unique_id, read, self.picker.path, self.device.currentData())

    def show_filtered(self, classes: Sequence[str], hidden: bool) -> None:
        """Offer the classes of a slide's result, and to write it where nuclei of it are hidden."""
        self.classes.offer(classes)
        self.rows.setRowVisible(self.classes, bool(classes))
        self.rows.setRowVisible(self.filtered, hidden)

    def show_kinds(self, legend: str) -> None:
        """Show the classes of nuclei that are coloured by them, and their numbers."""
        set_text(self.kinds, legend if self.colours.currentData() == KIND else "")

    def _offer_kinds(self) -> None:
        """Colour nuclei by class once there is a classifier, and not where there is none any more."""
        before, after = (OWN, KIND) if self.classifier.path else (KIND, OWN)
        if self.colours.currentData() == before:
            self.colours.setCurrentIndex(self.colours.findData(after))

    def _show_slide(self, shown: bool) -> None:
        for part in (self.slide.folder, self.slide.cluster):
            self.rows.setRowVisible(part, shown)

    def _show_legend(self) -> None:
        self.rows.setRowVisible(self.legend, self.colours.currentData() == SURE)

    def _show_drawn(self) -> None:
        self.rows.setRowVisible(self.drawn, self.region.currentData() == DRAWN)


class SlideFields(QObject):
    """Folder of the results and address of a cluster; fields that a form has among its own rows."""

    wanted = Signal(bool)
    """Whether a slide is chosen, so that they are to be shown."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = FolderField(
            "Results of a slide go to this folder: labels (.ome.zarr), polygons for QuPath (.geojson.gz), a row for "
            "each nucleus (.csv) and a map of density (.density.tif). Finished tiles wait in a hidden folder there "
            "until all is done.",
            "the results",
        )
        self.replaced = small_label()
        self.cluster = QLineEdit()
        self.cluster.setPlaceholderText("this machine")
        self.cluster.setToolTip(
            "Address of the scheduler of a dask cluster whose workers segment the tiles, such as tcp://host:8786. They "
            "must find the slide and the model under the same paths. Empty: this machine does it."
        )
        self._image: Image | None = None
        self._proposed = ""
        self.folder.changed.connect(self._say)

    @property
    def scheduler(self) -> str:
        """Address of the cluster; empty for this machine."""
        return self.cluster.text().strip()

    def look(self, image: Image | None) -> None:
        """Take the slide that is chosen, and propose a folder for it, unless the user has named one."""
        self.wanted.emit(image is not None)
        new, self._image = image is not self._image, image
        if new and image is not None and self.folder.line.text().strip() in ("", self._proposed):
            self._proposed = _proposal(image)
            self.folder.line.setText(self._proposed)
        self._say()

    def remember(self) -> None:
        """Keep the folder for slides whose own cannot be written to."""
        remember(_MEMORY, self.folder.line.text().strip())

    def problem(self, image: Image) -> str:
        """Why a slide cannot be segmented; empty where it can, as far as can be told."""
        if text := _pixels_problem(image) or self.folder.problem():
            return text
        folder = self.folder.path
        assert folder is not None
        place = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not os.access(place, os.W_OK | os.X_OK):
            return f"{place} cannot be written to: choose another folder for the results."
        height, width = layers.image_shape(image)
        free, needed = shutil.disk_usage(place).free, _BYTES * height * width
        if free < needed:
            return (
                f"{place} has {free / 1e9:.1f} GB free, but the results may need {needed / 1e9:.1f} GB: free some "
                "space, or choose another folder."
            )
        if self.scheduler and layers.layer_file(image) is None:
            return f"“{image.name}” does not come from a file, which a cluster could open: leave Cluster empty."
        return ""

    def _say(self) -> None:
        folder = self.folder.path
        there = False
        if self._image is not None and folder is not None:
            there = (folder / f"{file_name(self._image.name)}{USUAL[0]}").exists()
        set_text(self.replaced, "Replaces the results there." if there else "")


def slide_job(image: Image, part: Region, settings: SegmentSettings, fields: SlideFields) -> SlideJob:
    """Put together what is wanted of a slide."""
    folder = fields.folder.path
    assert folder is not None
    data = tuple(image.data) if image.multiscale else (image.data,)
    return SlideJob(
        file_name(image.name), layers.layer_file(image), data, folder, settings, part.region, fields.scheduler
    )


def _pixels_problem(image: Image) -> str:
    data = layers.pixels(image)
    if image.rgb and data.shape[-1] == 3 and data.dtype == "uint8":
        return ""
    height, width = layers.image_shape(image)
    kind = f"{data.dtype} with {data.shape[-1]} channels" if image.rgb else f"{data.dtype}, not RGB"
    return (
        f"“{image.name}” has {width} x {height} pixels, too many to convert at once, and is no RGB of 8 bits ({kind}): "
        "choose a smaller region, or convert the file."
    )


def _proposal(image: Image) -> str:
    own = layers.layer_folder(image)
    return own if own and os.access(own, os.W_OK | os.X_OK) else recall(_MEMORY) or str(Path.home())
