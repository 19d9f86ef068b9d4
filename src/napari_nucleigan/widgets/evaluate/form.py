"""Forms of the Evaluate widget: two layers and how they are shown, two folders, and what is chosen in them."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.alignment import align
from napari_nucleigan.widgets.base.fields import (
    Form,
    add_row,
    check,
    combo,
    fault,
    forward,
    list_choices,
    push_button,
    silent,
    slider,
)
from napari_nucleigan.widgets.base.inputs import Number
from napari_nucleigan.widgets.base.layers import layer_info, view_kind
from napari_nucleigan.widgets.base.mask_layers import mask_reader
from napari_nucleigan.widgets.base.path_fields import DebouncedCheck, FolderField
from napari_nucleigan.widgets.base.preferences import recall, remember
from napari_nucleigan.widgets.base.transforms import layer_grid
from napari_nucleigan.widgets.evaluate.jobs import CompareRequest, look_into

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.labels.alignment import Alignment, Grid
    from napari_nucleigan.widgets.evaluate.jobs import FolderPair


_TRUE = ("truth", "true", "gt", "ground", "manual", "annotation", "reference", "label")
_MEMORY = {"pred": "evaluated_predictions", "truth": "evaluated_truth"}

LEAST_IOU, MOST_IOU = 0.05, 0.95
OUTCOME, IOU, NOTHING = "outcome", "iou", "nothing"


class EvaluateForm(Form):
    """All fields of the page; it knows nothing of viewers or jobs."""

    layers_chosen = Signal()
    """Another layer was chosen, or the two were swapped."""
    threshold_moved = Signal()
    look_changed = Signal()
    """The picture is to be shown in another way."""

    def __init__(self) -> None:
        super().__init__()
        chosen = self.layers_chosen.emit
        self.swap = push_button("Swap", "Exchange prediction and truth.")
        self.swap.clicked.connect(self._swap)
        pred = combo({}, "The Labels layer to judge: what a program or a person has found.")
        truth = combo({}, "The Labels layer that it is measured by: what is held to be true.")
        self.pred = self.add("Prediction", pred, self.swap, chosen)
        self.truth = self.add("Truth", truth, call=chosen)
        iou = slider(
            0.5,
            "How well a prediction must fit to count as found: the area that it shares with the true nucleus, over the "
            "area that either covers (intersection over union, IoU), must be above this. Papers use 0.5.",
        )
        iou.setRange(LEAST_IOU, MOST_IOU)
        self.live = check(
            "Live",
            "Compare again at once when one of the two layers is edited, moved or given other data.",
            checked=True,
        )
        self.iou = self.add("IoU above", iou, self.live, self.threshold_moved.emit)
        look = combo(
            {"Outcome": OUTCOME, "IoU": IOU, "Nothing": NOTHING},
            "How the nuclei are coloured: by what became of them, by how well they fit, or not at all.",
        )
        self.look = self.add("Colour by", look, call=self.look_changed.emit)
        self.outlines = check("Truth outlines", "Draw the outlines of the true nuclei over everything.", checked=True)
        self.score = check("Score on canvas", "Write the figures and the legend onto the canvas.", checked=True)
        forward(self.look_changed, self.outlines.toggled, self.score.toggled)

    @property
    def threshold(self) -> float:
        """The IoU above which a prediction counts as found."""
        return round(float(self.iou.value()), 2)

    def _swap(self) -> None:
        pred, truth = self.pred.currentIndex(), self.truth.currentIndex()
        with silent(self.pred, self.truth):
            self.pred.setCurrentIndex(truth)
            self.truth.setCurrentIndex(pred)
        self.layers_chosen.emit()


class EvaluateChoices:
    """The Labels layers that can be chosen in a form, and the two that are.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are listed.
    form : EvaluateForm
        Where they are chosen.
    """

    def __init__(self, viewer: Viewer, form: EvaluateForm) -> None:
        self._viewer, self._form = viewer, form
        self._layers: list[Labels] = []
        self.fixed = False
        """Whether the user has chosen; until then a better guess may take the place of one before."""
        self._aligned: tuple[Any, Alignment] | None = None

    @property
    def pred(self) -> Labels | None:
        """The chosen prediction."""
        return self._at(self._form.pred.currentData())

    @property
    def truth(self) -> Labels | None:
        """The chosen truth."""
        return self._at(self._form.truth.currentData())

    def refresh(self) -> None:
        """List the layers again; what was chosen stays chosen where it is still there."""
        from napari.layers import Labels

        before = (self.pred, self.truth) if self.fixed else (None, None)
        self._layers = [
            layer for layer in reversed(self._viewer.layers) if isinstance(layer, Labels) and view_kind(layer) is None
        ]
        kept = [next((i for i, layer in enumerate(self._layers) if layer == old), -1) for old in before]
        self._list(*_guess(self._layers, kept[0], kept[1]))

    def choose(self, pred: Labels, truth: Labels | None = None) -> None:
        """Choose two layers in the form; by default the truth is what it is most likely."""
        chosen = self._layers.index(pred)
        self._list(*_guess(self._layers, chosen, -1 if truth is None else self._layers.index(truth)))
        self._form.layers_chosen.emit()

    def request(self) -> CompareRequest:
        """Return what the form asks to compare.

        Raises
        ------
        LabelsError
            If the two cannot be compared; it says why.
        """
        pred, truth = self.pred, self.truth
        if pred is None or truth is None:
            raise LabelsError(
                "Two Labels layers are needed: segment the image, and open or paint the true nuclei."
                if len(self._layers) < 2
                else "Choose a prediction and a truth."
            )
        if pred == truth:
            raise LabelsError(f"“{pred.name}” is chosen twice: a layer always agrees with itself.")
        for layer in (pred, truth):
            if layer.ndim != 2:
                raise LabelsError(
                    f"“{layer.name}” has {layer.ndim} dimensions, but nuclei are compared in 2-D: right-click the "
                    "layer, split the stack, and choose one plane."
                )
        alignment = self._align(layer_grid(truth), layer_grid(pred))
        grid = alignment.grid
        mpp = float(np.sqrt(abs(np.linalg.det(grid.matrix[:2, :2])))) if grid.micron else None
        return CompareRequest(
            mask_reader(truth),
            mask_reader(pred),
            alignment,
            self._form.threshold,
            truth.name,
            pred.name,
            # 7 digits: scales that went through other units come back as 0.2500000001.
            float(f"{mpp:.7g}") if mpp else None,
        )

    def problem(self) -> str:
        """Why the two cannot be compared; empty where they can."""
        return fault(self.request)

    def anchor(self, grid: Grid) -> Labels | None:
        """Return the layer in whose units a common grid is: the truth, unless only the prediction has a scale."""
        truth, pred = self.truth, self.pred
        lost = truth is not None and grid.micron and not layer_grid(truth).micron
        return pred if lost else truth

    def _align(self, truth: Grid, pred: Grid) -> Alignment:
        """Align two grids; large ones take a moment, and mostly they are where they were."""
        key = [(grid.shape, grid.matrix.tolist(), grid.micron, grid.name) for grid in (truth, pred)]
        if self._aligned is None or self._aligned[0] != key:
            self._aligned = key, align(truth, pred)
        return self._aligned[1]

    def _list(self, pred: int, truth: int) -> None:
        """List the layers, without a signal, and choose two by their positions; -1 for none."""
        for box, chosen in ((self._form.pred, pred), (self._form.truth, truth)):
            list_choices(box, ((layer.name, index) for index, layer in enumerate(self._layers)), chosen)

    def _at(self, index: int | None) -> Labels | None:
        return self._layers[index] if index is not None and 0 <= index < len(self._layers) else None


def _guess(layers: Sequence[Labels], pred: int, truth: int) -> tuple[int, int]:
    """Choose what is not chosen yet: a truth by its name, a prediction by what made it, else the topmost."""
    others = [index for index in range(len(layers)) if index not in (pred, truth)]
    names = [layer.name.lower() for layer in layers]
    likely = [
        any(word in name for word in _TRUE) - ("model" in layer_info(layer))
        for name, layer in zip(names, layers, strict=True)
    ]
    if truth < 0 and len(others) > (pred < 0):
        truth = max(others, key=lambda index: (likely[index], index))
        others.remove(truth)
    if pred < 0 and others:
        pred = min(others, key=lambda index: (likely[index], index))
    return pred, truth


class FolderForm(Form):
    """Two folders, the part of them that is compared, and what is in them."""

    def __init__(self) -> None:
        super().__init__()
        pred = FolderField(
            "Predicted labels: a folder of label images (TIFF or PNG), or a data set that holds labels/."
        )
        truth = FolderField(
            "True labels: a folder of label images of the same names, or a data set that holds labels/ and perhaps "
            "split.csv, which names organs and splits."
        )
        split = combo({"All images": None}, "Compare only the images of a split, as split.csv names it.")
        for key, field in (("pred", pred), ("truth", truth)):
            field.line.setText(recall(_MEMORY[key], ""))
        self._looker = DebouncedCheck(self, self._look, "looking into the folders", attrgetter("text"))
        self._looker.seen.connect(self._list_splits)
        self.pred = self.add("Predictions", pred, call=self._looker.look)
        self.truth = self.add("Truth", truth, call=self._looker.look)
        self.split = self.add("Images", split, call=self._looker.look)
        self.iou = Number()
        self.iou.setRange(0.05, 0.95)
        self.iou.setSingleStep(0.05)
        self.iou.setValue(0.5)
        self.iou.setToolTip(
            "A nucleus is found where its IoU with a prediction is above this; F1, precision, recall and panoptic "
            "quality depend on it."
        )
        add_row(self.rows, "IoU above", self.iou)
        self.remark = self._looker.remark
        self.rows.addRow(self.remark)
        self._looker.look()

    @property
    def found(self) -> FolderPair | None:
        """The two folders; None where they cannot be compared, or are being looked into."""
        return self._looker.found

    def problem(self) -> str:
        """Why they cannot be compared; empty where they can."""
        for field, what in ((self.pred, "predicted"), (self.truth, "true")):
            if field.path is None:
                return f"Choose the folder of {what} labels."
            if not field.path.is_absolute():
                return f"Give the whole path of the folder of {what} labels, or look for it with Browse."
        if self._looker.fault:
            return self._looker.fault
        return "" if self.found is not None else "Looking into the folders…"

    def remember(self) -> None:
        """Offer these folders the next time."""
        for key, field in (("pred", self.pred), ("truth", self.truth)):
            remember(_MEMORY[key], str(field.path))

    def cancel(self) -> None:
        """Stop looking."""
        self._looker.cancel()

    def _look(self) -> Job[FolderPair] | None:
        pred, truth = self.pred.path, self.truth.path
        if pred is None or truth is None or self.problem().startswith("Give"):
            return None
        return look_into(pred, truth, self.split.currentData())

    def _list_splits(self, found: FolderPair) -> None:
        with silent(self.split):
            self.split.clear()
            self.split.addItem("All images", None)
            for name in found.splits:
                self.split.addItem(f"Split: {name}", name)
            self.split.setCurrentIndex(max(0, self.split.findData(found.split)))
