"""Overlay of a comparison: layers and their colours, text on the canvas, flights of the camera."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.metrics import OUTCOMES
from napari_nucleigan.widgets.base.layers import METADATA_KEY, VIEW_KEY, move_layer, selection_kept, view_kind
from napari_nucleigan.widgets.base.mask_layers import is_labels, mask_layers
from napari_nucleigan.widgets.base.transforms import grid_place
from napari_nucleigan.widgets.evaluate.form import IOU, NOTHING
from napari_nucleigan.widgets.evaluate.jobs import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.layers import Labels
    from napari.utils.colormaps import CyclicLabelColormap
    from napari.viewer import Viewer

    from napari_nucleigan.widgets.evaluate.jobs import LayerComparison

_KINDS = _OUTCOMES, _OUTLINES, _MARK = "outcomes", "outlines", "mark"
_OPACITY = 0.55
_OVER_LABELS = 0.9  # or their colours, of which there are all, would pass for outcomes
COLOURS = {
    "matched": "#1db954",
    "missed": "#ff3b30",
    "spurious": "#ffd60a",
    "split": "#32d7ff",
    "merged": "#2f6bff",
}
"""Colours that stand out from H&E and from each other; they differ in lightness too."""

MEANINGS = {
    "matched": "A true nucleus and a prediction that are a pair: their IoU is above the threshold.",
    "missed": "A true nucleus without a pair that is neither split nor merged.",
    "spurious": "A prediction without a pair that is neither a piece of a nucleus nor a merger of several.",
    "split": "A true nucleus without a pair in which several predictions lie; or pieces cut off a matched nucleus.",
    "merged": "Several true nuclei that lie in one prediction without a pair; or nuclei swallowed by a matched one.",
}
OUTLINE = "#ffffff"
_FRAME = "#ff2bd6"  # of the nucleus that was chosen: neither H&E nor an outcome has it
_AROUND = 1.3  # of the nucleus' longer side, that the frame is wide
_FRAME_SIDE = 48  # pixels of a frame, whatever it is around
_RAMP = ("#e3242b", "#f4623a", "#fd9a56", "#fdcb82", "#fff7c4")  # rising in lightness: no matter how one sees colours
_numbers = count()
_ORDER = 1_000_000  # above all else
_FONT_SIZE = 10
_CORNERS = "top_left", "bottom_left"
_BOX = "#16181dd0"
_MARGIN = "\u2002"  # without it the box ends within the last letter
TEXT = "#ffffff"
"""Colour of plain text; the same in every theme, as the colours of the outcomes are."""


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
        self._white, self._pink = _single(OUTLINE), _single(_FRAME)

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
        request = comparison.request
        with self._at_work():
            if look == NOTHING:
                self._remove(_OUTCOMES)
            else:
                name = f"Overlay: {request.pred_name} against {request.truth_name}"
                opacity = _OVER_LABELS if self._labels_shine_through() else _OPACITY
                layer = self._put(_OUTCOMES, name, comparison.painted, self._colormaps[look == IOU], opacity, place)
                layer.features = comparison.features
                self._describe(layer, comparison)
            if outlines:
                name = f"Overlay: outlines of {request.truth_name}"
                self._put(_OUTLINES, name, comparison.outlines, self._white, 1.0, place)
            else:
                self._remove(_OUTLINES)

    def mark(self, comparison: LayerComparison, anchor: Labels | None, number: int) -> None:
        """Draw a frame around a nucleus.

        Parameters
        ----------
        comparison, anchor
            As for `show`.
        number : int
            Number of the nucleus; 0 takes the frame away.
        """
        with self._at_work():
            if not number or anchor is None:
                self._remove(_MARK)
                return
            box = comparison.inspection.nuclei.boxes[number - 1].reshape(2, 2) - [0, 1]
            reach = _AROUND * max(float(np.ptp(box, axis=1).max()), 1.0) / 2 + 1
            step = 2 * reach / _FRAME_SIDE
            row, column = box.mean(axis=1) - reach + step / 2
            matrix = comparison.grid.matrix @ np.array([[step, 0, row], [0, step, column], [0, 0, 1]])
            frame = np.ones((_FRAME_SIDE, _FRAME_SIDE), np.uint8)
            frame[1:-1, 1:-1] = 0
            grid = replace(comparison.grid, shape=frame.shape, matrix=matrix)
            self._put(_MARK, "Overlay: chosen nucleus", frame, self._pink, 1.0, grid_place(grid, anchor))

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
        shown = (_OUTCOMES, _OUTLINES)
        gone = [not self._working and kind in self._layers and self._present(kind) is None for kind in shown]
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
            known = {METADATA_KEY: {VIEW_KEY: kind}}
            with selection_kept(self._viewer):
                layer = self._viewer.add_labels(
                    data, name=name, opacity=opacity, colormap=colormap, metadata=known, **place
                )
                layer.editable = False
        else:
            layer.data = data
            if self._drawn.get(kind) is not colormap:
                layer.colormap = colormap
            move_layer(layer, place)
            if layer.name != name and not layer.name.startswith(f"{name} ["):
                layer.name = name
        self._layers[kind], self._drawn[kind] = layer, colormap
        return layer

    def _labels_shine_through(self) -> bool:
        return any(layer.visible for layer in mask_layers(self._viewer) if is_labels(layer))

    def _left_behind(self, kind: str) -> Labels | None:
        """Find the layer of an Evaluate widget that was closed before."""
        return next((layer for layer in self._viewer.layers if view_kind(layer) == kind), None)

    def _describe(self, layer: Labels, comparison: LayerComparison) -> None:
        found, request = comparison.inspection, comparison.request
        layer.metadata = {
            METADATA_KEY: {
                VIEW_KEY: _OUTCOMES,
                "prediction": request.pred_name,
                "truth": request.truth_name,
                "iou": request.iou,
                "counts": dict(found.counts),
                "scores": found.scores.to_json(),
                "notes": list(request.alignment.notes),
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


def outcome_colormap() -> CyclicLabelColormap:
    """Colours by outcome for numbers as from `jobs.codes`."""
    return _cyclic(np.repeat([rgba(COLOURS[name]) for name in OUTCOMES], STEPS, axis=0))


def iou_colormap() -> CyclicLabelColormap:
    """Colours by IoU for the same numbers: dark red where nothing fits, pale yellow where all does."""
    return _cyclic(np.tile([rgba(ramp(step / (STEPS - 1))) for step in range(STEPS)], (len(OUTCOMES), 1)))


def ramp(share: float) -> str:
    """Colour of an IoU from 0 to 1, as ``"#rrggbb"``."""
    stops = np.array([rgba(colour)[:3] for colour in _RAMP])
    values = [np.interp(share * (len(stops) - 1), range(len(stops)), stops[:, channel]) for channel in range(3)]
    return "#" + "".join(f"{round(255 * value):02x}" for value in values)


def rgba(colour: str) -> tuple[float, float, float, float]:
    """Red, green, blue and alpha of ``"#rrggbb"``, each from 0 to 1."""
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue, 1.0


def _cyclic(colours: np.ndarray) -> CyclicLabelColormap:
    from napari.utils.colormaps import CyclicLabelColormap

    return CyclicLabelColormap(colors=np.vstack([np.zeros((1, 4)), colours]), background_value=0)


class CanvasText:
    """Lines of text in two corners of the canvas, in overlays of their own: the user's text stays untouched.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._name = f"nucleigan_evaluate_{next(_numbers)}"
        self._keys: dict[str, list[str]] = {corner: [] for corner in _CORNERS}

    def lines(self, lines: Sequence[tuple[str, str]]) -> None:
        """Show lines, each with its colour, at the upper left."""
        self._show(_CORNERS[0], lines)

    def remark(self, text: str) -> None:
        """Show one line at the lower left; none where it is empty."""
        self._show(_CORNERS[1], [(text, TEXT)] if text else [])

    def clear(self) -> None:
        """Take everything away."""
        for keys in self._keys.values():
            for key in keys:
                del self._viewer.canvas.overlays[key]
            keys.clear()

    @property
    def text(self) -> list[str]:
        """What is shown."""
        overlays = [self._viewer.canvas.overlays[key] for keys in self._keys.values() for key in keys]
        return [overlay.text.strip() for overlay in overlays if overlay.visible]

    def _show(self, corner: str, lines: Sequence[tuple[str, str]]) -> None:
        from napari.components.overlays import TextOverlay

        overlays, keys = self._viewer.canvas.overlays, self._keys[corner]
        # To make an overlay takes longer than to change one, so that those that are not needed are only hidden.
        for number in range(max(len(lines), len(keys))):
            text, colour = lines[number] if number < len(lines) else ("", TEXT)
            if number == len(keys):
                keys.append(f"{self._name}_{corner}_{number}")
                overlays[keys[number]] = TextOverlay(
                    box=True, box_color=_BOX, position=corner, font_size=_FONT_SIZE, order=_ORDER + number
                )
            overlay = overlays[keys[number]]
            overlay.text, overlay.color, overlay.visible = text + _MARGIN, colour, bool(text)
