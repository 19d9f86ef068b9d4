"""The form of the page Layers of the Evaluate widget: what is compared, and how it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QPushButton, QWidget

from napari_nucleigan.widgets.base.fields import add_row, combo, form_layout, silent, slider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QComboBox

LEAST_IOU, MOST_IOU = 0.05, 0.95
OUTCOME, IOU, NOTHING = "outcome", "iou", "nothing"


class EvaluateForm(QWidget):
    """All fields of the page; it knows nothing of viewers or jobs."""

    layers_chosen = Signal()
    """Another layer was chosen, or the two were swapped."""
    threshold_moved = Signal()
    live_toggled = Signal(bool)
    look_changed = Signal()
    """The picture is to be shown in another way."""

    def __init__(self) -> None:
        super().__init__()
        self.pred = combo({}, "The Labels layer to judge: what a program or a person has found.")
        self.truth = combo({}, "The Labels layer that it is measured by: what is held to be true.")
        self.swap = QPushButton("Swap")
        self.swap.setToolTip("Exchange prediction and truth.")
        self.iou = slider(
            0.5,
            "How well a prediction must fit to count as found: the area that it shares with the true nucleus, over the "
            "area that either covers (intersection over union, IoU), must be above this. Papers use 0.5.",
        )
        self.iou.setRange(LEAST_IOU, MOST_IOU)
        self.live = QCheckBox("Live")
        self.live.setChecked(True)
        self.live.setToolTip("Compare again at once when one of the two layers is edited, moved or given other data.")
        self.look = combo(
            {"Outcome": OUTCOME, "IoU": IOU, "Nothing": NOTHING},
            "How the nuclei are coloured: by what became of them, by how well they fit, or not at all.",
        )
        self.outlines = QCheckBox("Truth outlines")
        self.outlines.setChecked(True)
        self.outlines.setToolTip("Draw the outlines of the true nuclei over everything.")
        self.score = QCheckBox("Score on canvas")
        self.score.setChecked(True)
        self.score.setToolTip("Write the figures and the legend onto the canvas.")
        self._arrange()
        self._connect()

    def set_layers(self, names: Sequence[str], pred: int, truth: int) -> None:
        """List the layers, without a signal.

        Parameters
        ----------
        names : sequence of str
            Names of the layers.
        pred, truth : int
            Which are chosen; -1 for none.
        """
        for box, chosen in ((self.pred, pred), (self.truth, truth)):
            with silent(box):
                box.clear()
                for index, name in enumerate(names):
                    box.addItem(name, index)
                box.setCurrentIndex(chosen)

    @property
    def threshold(self) -> float:
        """The IoU above which a prediction counts as found."""
        return round(float(self.iou.value()), 2)

    def _arrange(self) -> None:
        form = form_layout(self)
        add_row(form, "Prediction", self.pred, self.swap)
        add_row(form, "Truth", self.truth)
        add_row(form, "IoU above", self.iou, self.live)
        add_row(form, "Colour by", self.look)

    def _connect(self) -> None:
        boxes: tuple[QComboBox, ...] = (self.pred, self.truth)
        for box in boxes:
            box.currentIndexChanged.connect(lambda _: self.layers_chosen.emit())
        self.swap.clicked.connect(self._swap)
        self.iou.valueChanged.connect(lambda _: self.threshold_moved.emit())
        self.live.toggled.connect(self.live_toggled.emit)
        self.look.currentIndexChanged.connect(lambda _: self.look_changed.emit())
        for tick in (self.outlines, self.score):
            tick.toggled.connect(lambda _: self.look_changed.emit())

    def _swap(self) -> None:
        pred, truth = self.pred.currentIndex(), self.truth.currentIndex()
        with silent(self.pred, self.truth):
            self.pred.setCurrentIndex(truth)
            self.truth.setCurrentIndex(pred)
        self.layers_chosen.emit()
