"""The layers that show a comparison: the coloured nuclei, and the outlines of the truth."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.widgets.base.layers import METADATA_KEY, VIEW_KEY, view_kind
from napari_nucleigan.widgets.base.mask_layers import is_labels, mask_layers
from napari_nucleigan.widgets.base.transforms import grid_place
from napari_nucleigan.widgets.evaluate.colours import OUTLINE, iou_colormap, outcome_colormap, rgba
from napari_nucleigan.widgets.evaluate.form import IOU, NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_nucleigan.widgets.evaluate.jobs import LayerComparison

_KINDS = _OUTCOMES, _OUTLINES = "outcomes", "outlines"
_OPACITY = 0.55
_OVER_LABELS = 0.9  # or their colours, of which there are all, would pass for outcomes


class Overlay:
    """Shows comparisons, each in place of the one before.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layers: dict[str, Labels] = {}
        self._drawn: dict[str, Any] = {}
        self._working = False
        self._colormaps = {False: outcome_colormap(), True: iou_colormap()}
        self._white = _single(OUTLINE)

    @property
    def outcomes(self) -> Labels | None:
        """The layer of coloured nuclei, while it is in the viewer."""
        return self._present(_OUTCOMES)

    @property
    def outlines(self) -> Labels | None:
        """The layer of the outlines, while it is in the viewer."""
        return self._present(_OUTLINES)

    def show(self, comparison: LayerComparison, anchor: Labels, look: str, outlines: bool) -> None:
        """Show a comparison.

        Parameters
        ----------
        comparison : LayerComparison
            What to show.
        anchor : Labels
            The layer in whose units the picture lies.
        look : str
            ``"outcome"``, ``"iou"`` or ``"nothing"``: how the nuclei are coloured.
        outlines : bool
            Whether the outlines of the truth are drawn.
        """
        place = grid_place(comparison.grid, anchor)
        order = comparison.order
        with self._at_work():
            if look == NOTHING:
                self._remove(_OUTCOMES)
            else:
                name = f"{order.pred_name} against {order.truth_name}"
                opacity = _OVER_LABELS if self._labels_shine_through() else _OPACITY
                layer = self._put(_OUTCOMES, name, comparison.painted, self._colormaps[look == IOU], opacity, place)
                layer.features = comparison.features
                self._describe(layer, comparison)
            if outlines:
                name = f"{order.truth_name} outlines"
                self._put(_OUTLINES, name, comparison.outlines, self._white, 1.0, place)
            else:
                self._remove(_OUTLINES)

    def clear(self) -> None:
        """Take the layers out of the viewer."""
        with self._at_work():
            for kind in _KINDS:
                self._remove(kind)

    def forget(self) -> None:
        """Let go of the layers; they stay as they are."""
        self._layers.clear()
        self._drawn.clear()

    def removed(self) -> tuple[bool, bool]:
        """Tell whether somebody else has removed the coloured nuclei, and the outlines."""
        # The viewer announces what is done here, too, and in the middle of it.
        gone = [not self._working and kind in self._layers and self._present(kind) is None for kind in _KINDS]
        return gone[0], gone[1]

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._working = True
        try:
            yield
        finally:
            self._working = False

    def _present(self, kind: str) -> Labels | None:
        layer = self._layers.get(kind)
        return layer if layer is not None and layer in self._viewer.layers else None

    def _put(
        self, kind: str, name: str, data: np.ndarray, colormap: Any, opacity: float, place: dict[str, Any]
    ) -> Labels:
        """Show labels in the layer of a kind; each change of a layer costs a redraw, so only what differs is set."""
        layer = self._present(kind) or self._left_behind(kind)
        if layer is not None and layer.data.shape != data.shape:
            self._viewer.layers.remove(layer)
            layer = None
        if layer is None:
            # The metadata from the start: widgets look at the layer as soon as it is there.
            kept = {"metadata": {METADATA_KEY: {VIEW_KEY: kind}}, **place}
            layer = self._add(name, data, colormap, opacity, kept)
        else:
            layer.data = data
            if self._drawn.get(kind) is not colormap:
                layer.colormap = colormap
            _move(layer, place)
            if layer.name != name and not layer.name.startswith(f"{name} ["):
                layer.name = name
        self._layers[kind], self._drawn[kind] = layer, colormap
        return layer

    def _add(self, name: str, data: np.ndarray, colormap: Any, opacity: float, place: dict[str, Any]) -> Labels:
        layers = self._viewer.layers
        selected, active = set(layers.selection), layers.selection.active
        layer = self._viewer.add_labels(data, name=name, opacity=opacity, colormap=colormap, **place)
        layer.editable = False
        # The user goes on painting in the layer that was in hand.
        if selected:
            layers.selection = selected
            layers.selection.active = active
        return layer

    def _labels_shine_through(self) -> bool:
        return any(layer.visible for layer in mask_layers(self._viewer) if is_labels(layer))

    def _left_behind(self, kind: str) -> Labels | None:
        """Find the layer of an Evaluate widget that was closed before."""
        return next((layer for layer in self._viewer.layers if view_kind(layer) == kind), None)

    def _describe(self, layer: Labels, comparison: LayerComparison) -> None:
        found, order = comparison.inspection, comparison.order
        layer.metadata = {
            METADATA_KEY: {
                VIEW_KEY: _OUTCOMES,
                "prediction": order.pred_name,
                "truth": order.truth_name,
                "iou": order.iou,
                "counts": dict(found.counts),
                "scores": found.scores.to_json(),
                "notes": list(order.alignment.notes),
            }
        }

    def _remove(self, kind: str) -> None:
        if (layer := self._present(kind)) is not None:
            self._viewer.layers.remove(layer)
        self._layers.pop(kind, None)
        self._drawn.pop(kind, None)


def _single(colour: str) -> Any:
    from napari.utils.colormaps import DirectLabelColormap

    return DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 0: (0, 0, 0, 0), 1: rgba(colour)})


def _move(layer: Labels, place: dict[str, Any]) -> None:
    neutral = {"scale": np.ones(2), "translate": np.zeros(2), "rotate": np.eye(2), "shear": np.zeros(1)}
    wanted = {**neutral, "affine": np.eye(3), **place}
    for name, value in wanted.items():
        before = getattr(layer, name)
        before = before.affine_matrix if name == "affine" else before
        same = before == value if name in ("units", "axis_labels") else np.array_equal(before, value)
        if not same:
            setattr(layer, name, value)
