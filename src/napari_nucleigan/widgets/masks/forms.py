"""Forms of the Masks widget beside the sampler's: a new canvas, and drawing and editing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QSpinBox, QVBoxLayout, QWidget

from napari_nucleigan.widgets.base.fields import (
    add_row,
    combo,
    form_layout,
    menu_button,
    row,
    set_text,
    silent,
    small_label,
    spin,
)
from napari_nucleigan.widgets.base.method_form import MAGNIFICATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EMPTY = -1
LARGEST_SIDE = 16384
SELECTED, VIEW, ALL = "selected", "view", "all"
_EDITS = {
    "jitter": (
        "Jitter",
        "Move each nucleus by up to the amount in a random direction and turn it a little. One that would overlap "
        "another moves less or stays, and so do those that the border of the canvas cuts.",
    ),
    "grow": ("Grow", "Move outlines outwards by the amount, up to their neighbours: touching nuclei stay apart."),
    "shrink": ("Shrink", "Move outlines inwards by the amount. No nucleus vanishes: its heart stays."),
    "copy": ("Copy", "Set a twin of each nucleus nearby, where there is room for it."),
    "split": ("Split parts", "Make a nucleus of its own of each part of a nucleus that is in several parts."),
    "delete": ("Delete", "Delete nuclei."),
}


class CanvasForm(QWidget):
    """Fields of a new mask."""

    changed = Signal()
    create_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.over = combo(
            {"Empty canvas": EMPTY},
            "Where the new mask lies: on a canvas of its own, or over an image, with its size, place, units and axes.",
        )
        self.height, self.width_ = _side("Height of the canvas in pixels."), _side("Width of the canvas in pixels.")
        self.mpp = spin(20.0, 0.01, 4, "not known", " µm", "Side of a pixel in microns: about 0.25 at 40x, 0.5 at 20x.")
        self.mpp.setValue(0.25)
        self.magnification = menu_button(
            "Objective",
            "Set the usual microns per pixel of an objective.",
            {f"{name} objective ({mpp:g} µm)": partial(self.mpp.setValue, mpp) for name, mpp in MAGNIFICATIONS.items()},
        )
        self.create_button = QPushButton("Create the mask")
        self.problem_label = small_label()
        inner = QWidget()
        form = form_layout(inner)
        add_row(form, "Over", self.over)
        add_row(form, "Height", self.height)
        add_row(form, "Width", self.width_)
        add_row(form, "Pixel size", self.mpp, self.magnification)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(5)
        for part in (inner, self.create_button, self.problem_label):
            layout.addWidget(part)
        layout.addStretch()
        self.over.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.mpp.valueChanged.connect(lambda _: self.changed.emit())
        self.create_button.clicked.connect(lambda: self.create_clicked.emit())

    def set_images(self, names: Sequence[str], chosen: int) -> None:
        """List the images that a mask can lie over, and choose one by its position, or `EMPTY`."""
        with silent(self.over):
            self.over.clear()
            self.over.addItem("Empty canvas", EMPTY)
            for index, name in enumerate(names):
                self.over.addItem(f"“{name}”", index)
            self.over.setCurrentIndex(chosen + 1)

    def show_place(self, shape: tuple[int, int] | None, mpp: float | None) -> None:
        """Show the size and scale of the chosen image; without one the fields are free."""
        for field in (self.height, self.width_):
            field.setEnabled(shape is None)
        self.mpp.setEnabled(shape is None or mpp is None)
        self.magnification.setEnabled(self.mpp.isEnabled())
        with silent(self.height, self.width_, self.mpp):
            if shape is not None:
                self.height.setValue(shape[0])
                self.width_.setValue(shape[1])
            if mpp is not None:
                self.mpp.setValue(mpp)

    def set_state(self, problem: str) -> None:
        """Enable Create, or say why it cannot be pressed."""
        self.create_button.setEnabled(not problem)
        self.create_button.setToolTip(problem or "Add a Labels layer to draw nuclei in.")
        set_text(self.problem_label, problem)


class EditForm(QWidget):
    """Tools to draw with, and edits of nuclei."""

    changed = Signal()
    paint_clicked = Signal()
    polygon_clicked = Signal()
    polygons_toggled = Signal(bool)
    edit_clicked = Signal(str)
    """Name of the edit."""

    def __init__(self) -> None:
        super().__init__()
        self.paint_button = QPushButton("Paint a nucleus")
        self.paint_button.setToolTip(
            "Paint with a brush in the Labels layer, beginning a new nucleus. Press again, or M, for the next one."
        )
        self.polygon_button = QPushButton("Draw polygons")
        self.polygon_button.setToolTip(
            "Draw polygons in a Shapes layer: click the corners, double-click the last. Each is a nucleus; ellipses, "
            "rectangles and closed paths too. Where they overlap, the later one is on top."
        )
        self.show_polygons = QPushButton("Show polygons")
        self.show_polygons.setCheckable(True)
        self.show_polygons.setToolTip(
            "Show all nuclei as polygons in a Shapes layer, to select, move and bend them. What changes in one layer "
            "changes in the other. Removing the Shapes layer loses no nucleus."
        )
        self.take = menu_button("Take shapes", "Add what is drawn in another Shapes layer to the mask.", {})
        self.scope = combo(
            {"Selected nuclei": SELECTED, "Nuclei in view": VIEW, "All nuclei": ALL},
            "Which nuclei the buttons below change. Select them in the Shapes layer (Shift for several), or pick one "
            "in the Labels layer with its picker.",
        )
        self.amount = spin(50.0, 0.25, 2, "none", " µm", "How far Jitter, Grow and Shrink move outlines, in microns.")
        self.amount.setValue(0.5)
        self.selection_label = small_label()
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for at, (name, (text, tip)) in enumerate(_EDITS.items()):
            button = self.buttons[name] = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, name=name: self.edit_clicked.emit(name))
            grid.addWidget(button, *divmod(at, 3))
        inner = QWidget()
        form = form_layout(inner)
        form.addRow(_pair(self.paint_button, self.polygon_button))
        form.addRow(_pair(self.show_polygons, self.take))
        add_row(form, "Change", self.scope)
        form.addRow(self.selection_label)
        add_row(form, "Amount", self.amount)
        form.addRow(grid)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(inner)
        layout.addStretch()
        self.paint_button.clicked.connect(lambda: self.paint_clicked.emit())
        self.polygon_button.clicked.connect(lambda: self.polygon_clicked.emit())
        self.show_polygons.toggled.connect(self.polygons_toggled.emit)
        self.scope.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.amount.valueChanged.connect(lambda _: self.changed.emit())

    def set_shapes(self, actions: Mapping[str, Callable[[], object]]) -> None:
        """List the Shapes layers whose shapes can be taken."""
        menu = self.take.menu()
        menu.clear()
        for name, call in actions.items():
            menu.addAction(name).triggered.connect(lambda _=False, call=call: call())
        self.take.setEnabled(bool(actions))

    def set_state(self, selection: str, problems: Mapping[str, str], polygons: bool) -> None:
        """Show what is selected, and which edits can be made.

        Parameters
        ----------
        selection : str
            What the edits would change, for people.
        problems : mapping of str to str
            Why each edit is not possible; empty where it is.
        polygons : bool
            Whether the Shapes layer is there.
        """
        set_text(self.selection_label, selection)
        for name, button in self.buttons.items():
            button.setEnabled(not problems[name])
            button.setToolTip(problems[name] or _EDITS[name][1])
        with silent(self.show_polygons):
            self.show_polygons.setChecked(polygons)


def _side(tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(1, LARGEST_SIDE)
    box.setValue(512)
    box.setSuffix(" pixels")
    box.setToolTip(tip)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


def _pair(left: QWidget, right: QWidget) -> QWidget:
    pair = QWidget()
    pair.setLayout(row(left, right))
    pair.layout().setStretch(1, 1)
    return pair
