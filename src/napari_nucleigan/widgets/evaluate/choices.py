"""Which layers the Evaluate widget compares, and why it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.alignment import align
from napari_nucleigan.widgets.base.layers import METADATA_KEY, view_kind
from napari_nucleigan.widgets.base.mask_layers import mask_reader
from napari_nucleigan.widgets.base.transforms import layer_grid
from napari_nucleigan.widgets.evaluate.jobs import CompareRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_nucleigan.labels.alignment import Alignment, Grid
    from napari_nucleigan.widgets.evaluate.form import EvaluateForm

_TRUE = ("truth", "true", "gt", "ground", "manual", "annotation", "reference", "label")


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
        """List the layers anew; what was chosen stays chosen where it is still there."""
        from napari.layers import Labels

        before = (self.pred, self.truth) if self.fixed else (None, None)
        self._layers = [
            layer for layer in reversed(self._viewer.layers) if isinstance(layer, Labels) and view_kind(layer) is None
        ]
        kept = [next((i for i, layer in enumerate(self._layers) if layer == old), -1) for old in before]
        pred, truth = _guess(self._layers, kept[0], kept[1])
        self._form.set_layers([layer.name for layer in self._layers], pred, truth)

    def choose(self, pred: Labels, truth: Labels) -> None:
        """Choose two layers in the form."""
        names = [layer.name for layer in self._layers]
        self._form.set_layers(names, self._layers.index(pred), self._layers.index(truth))
        self._form.layers_chosen.emit()

    def order(self) -> CompareRequest:
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
        try:
            self.order()
        except LabelsError as error:
            return str(error)
        return ""

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

    def _at(self, index: int | None) -> Labels | None:
        return self._layers[index] if index is not None and 0 <= index < len(self._layers) else None


def _guess(layers: Sequence[Labels], pred: int, truth: int) -> tuple[int, int]:
    """Choose what is not chosen yet: a truth by its name, a prediction by what made it, else the topmost."""
    others = [index for index in range(len(layers)) if index not in (pred, truth)]
    if pred < 0 and truth < 0 and len(others) >= 2:
        truth = max(others, key=lambda index: (_is_true(layers[index]) - _is_found(layers[index]), index))
        others.remove(truth)
    if pred < 0 and others:
        pred = max(others, key=lambda index: (_is_found(layers[index]) - _is_true(layers[index]), -index))
        others.remove(pred)
    if truth < 0 and others:
        truth = max(others, key=lambda index: (_is_true(layers[index]) - _is_found(layers[index]), index))
    return pred, truth


def _is_true(layer: Labels) -> bool:
    return any(word in layer.name.lower() for word in _TRUE)


def _is_found(layer: Labels) -> bool:
    known = layer.metadata.get(METADATA_KEY)
    return isinstance(known, dict) and "model" in known
