"""Form of the widget that segments folders: which images, where to, and how."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLineEdit, QWidget

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.events import Progress
from napari_nucleigan.segmentation.file_plan import ResumeLog, plan_files, results_folder
from napari_nucleigan.segmentation.formats import FORMATS, IMAGE_FORMATS, SLIDE_FORMATS
from napari_nucleigan.segmentation.pixel_sizes import ask_for_pixel_size, without_pixel_size
from napari_nucleigan.widgets.base.fields import (
    check,
    forward,
    objective_button,
    pixel_size,
    row,
)
from napari_nucleigan.widgets.base.model_picker import TIPS, MethodForm
from napari_nucleigan.widgets.base.path_fields import DebouncedCheck, FolderField, images_button
from napari_nucleigan.widgets.base.preferences import recall, remember
from napari_nucleigan.widgets.base.scale_offer import ScaleOffer, file_reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.segmentation import SegmentSettings
    from napari_nucleigan.segmentation.file_plan import FileTask

_LOOKED_AT = 3  # images whose scale is estimated; the middle one counts

RESULTS = "nuclei"
"""Name of the folder that is proposed for results, inside that of the images."""


@dataclass(frozen=True)
class BatchOrder:
    """Images to be segmented.

    Attributes
    ----------
    inputs : tuple of Path
        Files and folders.
    out : Path
        Folder of the results.
    formats : tuple of str
        Suffixes of the results.
    recursive : bool
        Whether subfolders are meant too.
    again : bool
        Whether to do again what is done.
    """

    inputs: tuple[Path, ...]
    out: Path
    formats: tuple[str, ...]
    recursive: bool = False
    again: bool = False


@dataclass(frozen=True)
class BatchImages:
    """The images of an order.

    Attributes
    ----------
    tasks : list of FileTask
        All of them.
    silent : list of FileTask
        Those that do not say their microns per pixel.
    """

    tasks: list[FileTask]
    silent: list[FileTask]

    @property
    def text(self) -> str:
        """How many there are, for people."""
        count = len(self.tasks)
        without = f" · {len(self.silent)} without pixel size" if self.silent else ""
        return f"{count} image{'' if count == 1 else 's'}{without}"


def look_into(order: BatchOrder) -> Job[BatchImages]:
    """Find the images of an order.

    Raises
    ------
    ImageError, OutputError
        If there are none, or they cannot be segmented into that folder.
    """
    yield Progress(0, 1, "looking for images")
    for path in order.inputs:
        if not path.exists():
            raise ImageError(f"There is no {path}; choose a folder of images, or image files.")
    results = ResumeLog(results_folder(order.inputs, order.out)).results()
    tasks = plan_files(
        order.inputs,
        order.out,
        IMAGE_FORMATS,
        order.formats,
        recursive=order.recursive,
        results=results,
        slides=SLIDE_FORMATS,
    )
    return BatchImages(tasks, (yield from without_pixel_size(tasks)))


class ImagesField(QWidget):
    """A line for a folder of images, and a button that looks for one, or for files."""

    changed = Signal()
    folder_chosen = Signal(object)
    """The folder that the user has looked for."""

    def __init__(self) -> None:
        super().__init__()
        self._files: tuple[Path, ...] = ()
        self.line = QLineEdit()
        self.line.setPlaceholderText("Choose a folder or files")
        tip = "Look for a folder of images, or for image files."
        self.choose = images_button("Choose", tip, self, self._chosen, folder_first=True)
        for part in (self, self.line):
            part.setToolTip("The images to segment: a folder of PNG, JPEG, TIFF or slide files, or chosen files.")
        self.setLayout(row(self.line, self.choose))
        self.line.textChanged.connect(lambda _: self.changed.emit())

    @property
    def paths(self) -> tuple[Path, ...]:
        """What is chosen; files only as long as the line says so."""
        text = self.line.text().strip()
        if self._files and text == _summary(self._files):
            return self._files
        return (Path(text).expanduser(),) if text else ()

    def set_paths(self, paths: Sequence[str | Path]) -> None:
        """Choose a folder, or files."""
        self._files = tuple(map(Path, paths)) if len(paths) > 1 else ()
        self.line.setText(_summary(self._files) if self._files else "".join(map(str, paths)))

    def _chosen(self, paths: Sequence[str]) -> None:
        folder = Path(paths[0]) if Path(paths[0]).is_dir() else Path(paths[0]).parent
        remember("folder", str(folder))
        self.folder_chosen.emit(folder)
        self.set_paths(paths)


class BatchForm(MethodForm):
    """All fields of the widget, and the images that they stand for."""

    def __init__(self) -> None:
        super().__init__()
        self._proposed: Path | None = None
        self.looker = DebouncedCheck(self, self._look, "looking for images", attrgetter("text"))
        self.images = self.add("Images", ImagesField(), call=self.looker.look)
        out = FolderField("Where the results go, under the names of the images; it may be a new folder.", "the results")
        self.out = self.add("Results", out, call=self.looker.look)
        self.formats = {each.suffix: check(each.title, each.tooltip) for each in FORMATS if each.title}
        for each in FORMATS:
            if each.title and each.missing:
                self.formats[each.suffix].setEnabled(False)
                self.formats[each.suffix].setToolTip(f"{each.tooltip} {each.missing}")
        self.recursive = check(
            "Subfolders too", "Take the images of subfolders too; the results lie in subfolders of the same names."
        )
        self.again = check(
            "Redo what is done",
            "Segment all images anew, and replace the results of earlier runs. Without it, images whose results are "
            "there, made from the same image with the same model and settings, are skipped.",
        )
        kinds = list(self.formats.values())
        self.rows.addRow("Kinds", _in_pairs(kinds))
        self.rows.addRow("", self.recursive)
        self.rows.addRow("", self.again)
        self.remark = self.looker.remark
        self.rows.addRow(self.remark)
        mpp = pixel_size("from files", TIPS["mpp"])
        self.mpp = self.add("Pixel size", mpp, objective_button(mpp))
        self.scale = ScaleOffer()
        self.rows.addRow(self.scale)
        self.scale.taken.connect(self.mpp.setValue)
        self.add_method()
        self._recall()
        self.images.folder_chosen.connect(self._propose)
        for box in (*kinds, self.recursive):
            box.toggled.connect(self.looker.look)
        forward(self.changed, self.again.toggled)
        self.looker.look()

    @property
    def found(self) -> BatchImages | None:
        """The images; None where they cannot be segmented, or are being looked for."""
        return self.looker.found

    def order(self) -> BatchOrder:
        """Return what is to be done."""
        formats = tuple(suffix for suffix, box in self.formats.items() if box.isChecked())
        out = self.out.path or Path()
        return BatchOrder(self.images.paths, out, formats, self.recursive.isChecked(), self.again.isChecked())

    def settings(self) -> SegmentSettings:
        """Return the settings as given; raises `RecipeError` if a value is not valid."""
        return super().settings().model_copy(update={"mpp": self.mpp.value() or None})

    def problem(self) -> str:
        """Why nothing can be segmented; empty where it can."""
        if text := self._misses() or self.looker.fault:
            return text
        if (found := self.found) is None:
            return "Looking for images…"
        how = "type it above in microns, choose the objective, or have it estimated"
        unscaled = 0 if self.mpp.value() else len(found.silent)
        return ask_for_pixel_size(unscaled, len(found.tasks), how) or super().problem()

    def offer_scale(self) -> None:
        """Offer to estimate the microns per pixel where images do not say theirs, and none are typed."""
        silent = self.found.silent[:_LOOKED_AT] if self.found is not None and not self.mpp.value() else []
        paths = tuple(task.source for task in silent)
        self.scale.look(paths, [file_reader(path) for path in paths], self.picker.path, self.device.currentData())

    def remember(self) -> None:
        """Offer these files and folders the next time."""
        order = self.order()
        remember("batch_images", [str(path) for path in order.inputs])
        remember("batch_results", str(order.out))
        remember("batch_formats", list(order.formats))

    def _misses(self) -> str:
        paths, out = self.images.paths, self.out.path
        if not paths:
            return "Choose the images: a folder, or files."
        if out is None:
            return "Choose the folder of the results: it may be a new one."
        if not all(path.is_absolute() for path in (*paths, out)):
            return "Give whole paths of the folders, or look for them."
        return "" if any(box.isChecked() for box in self.formats.values()) else "Choose at least one kind of results."

    def _look(self) -> Job[BatchImages] | None:
        return None if self._misses() else look_into(self.order())

    def _propose(self, folder: Path) -> None:
        if self.out.path is None or self.out.path == self._proposed:
            self._proposed = folder / RESULTS
            self.out.line.setText(str(self._proposed))

    def _recall(self) -> None:
        self.images.set_paths(recall("batch_images", []))
        self.out.line.setText(recall("batch_results", ""))
        chosen = recall("batch_formats", [".tif"])
        for suffix, box in self.formats.items():
            box.setChecked(suffix in chosen and box.isEnabled())


def _in_pairs(boxes: Sequence[QCheckBox]) -> QGridLayout:
    grid = QGridLayout()
    for at, box in enumerate(boxes):
        grid.addWidget(box, *divmod(at, 2))
    grid.setColumnStretch(1, 1)
    return grid


def _summary(files: tuple[Path, ...]) -> str:
    return f"{len(files)} files of {files[0].parent}"
