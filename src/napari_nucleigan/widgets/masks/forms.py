"""Forms of the Masks widget: a new canvas, and drawing and editing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_nucleigan.widgets.base.fields import (
    Form,
    add_row,
    combo,
    forward,
    lay_out,
    list_choices,
    menu_button,
    objective_button,
    pixel_size,
    push_button,
    row,
    set_menu,
    set_text,
    silent,
    small_label,
    spin,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qtpy.QtWidgets import QPushButton

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

    def __init__(self) -> None:
        super().__init__()
        form = Form()
        forward(self.changed, form.changed)
        over = combo(
            {"Empty canvas": EMPTY},
            "Where the new mask lies: on a canvas of its own, or over an image, with its size, place, units and axes.",
        )
        self.over = form.add("Over", over)
        self.height, self.width_ = (
            whole(1, LARGEST_SIDE, 512, " pixels", f"{side} of the canvas in pixels.") for side in ("Height", "Width")
        )
        add_row(form.rows, "Height", self.height)
        add_row(form.rows, "Width", self.width_)
        mpp = pixel_size("not known", "Side of a pixel in microns: about 0.25 at 40x, 0.5 at 20x.")
        mpp.setValue(0.25)
        self.magnification = objective_button(mpp)
        self.mpp = form.add("Pixel size", mpp, self.magnification)
        self.create_button = push_button("Create the mask")
        self.problem_label = small_label()
        lay_out(self, form, self.create_button, self.problem_label).addStretch()

    def set_images(self, names: Sequence[str], chosen: int) -> None:
        """List the images that a mask can lie over, and choose one by its position, or `EMPTY`."""
        over = [("Empty canvas", EMPTY), *((f"“{name}”", index) for index, name in enumerate(names))]
        list_choices(self.over, over, chosen)

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
    edit_clicked = Signal(str)
    """Name of the edit."""

    def __init__(self) -> None:
        super().__init__()
        self.paint_button = push_button(
            "Paint a nucleus",
            "Paint with a brush in the Labels layer, beginning a new nucleus. Press again, or M, for the next one.",
        )
        self.polygon_button = push_button(
            "Draw polygons",
            "Draw polygons in a Shapes layer: click the corners, double-click the last. Each is a nucleus; ellipses, "
            "rectangles and closed paths too. Where they overlap, the later one is on top.",
        )
        self.show_polygons = push_button(
            "Show polygons",
            "Show all nuclei as polygons in a Shapes layer, to select, move and bend them. What changes in one layer "
            "changes in the other. Removing the Shapes layer loses no nucleus.",
        )
        self.show_polygons.setCheckable(True)
        self.take = menu_button("Take shapes", "Add what is drawn in another Shapes layer to the mask.", {})
        scope = combo(
            {"Selected nuclei": SELECTED, "Nuclei in view": VIEW, "All nuclei": ALL},
            "Which nuclei the buttons below change. Select them in the Shapes layer (Shift for several), or pick one "
            "in the Labels layer with its picker.",
        )
        amount = spin(50.0, 0.25, 2, "none", " µm", "How far Jitter, Grow and Shrink move outlines, in microns.")
        amount.setValue(0.5)
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for at, (name, (text, tip)) in enumerate(_EDITS.items()):
            button = self.buttons[name] = push_button(text, tip)
            button.clicked.connect(lambda _=False, name=name: self.edit_clicked.emit(name))
            grid.addWidget(button, *divmod(at, 3))
        form = Form()
        forward(self.changed, form.changed)
        form.rows.addRow(_pair(self.paint_button, self.polygon_button))
        form.rows.addRow(_pair(self.show_polygons, self.take))
        self.scope = form.add("Change", scope)
        self.selection_label = form.add_remark()
        self.amount = form.add("Amount", amount)
        form.rows.addRow(grid)
        lay_out(self, form).addStretch()

    def set_shapes(self, actions: Mapping[str, Callable[[], object]]) -> None:
        """List the Shapes layers whose shapes can be taken."""
        set_menu(self.take, actions)
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


def _pair(left: QWidget, right: QWidget) -> QWidget:
    pair = QWidget()
    pair.setLayout(row(left, right))
    pair.layout().setStretch(1, 1)
    return pair
