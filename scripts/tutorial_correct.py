"""Follow the tutorial "Correct, learn, segment again" in the real viewer, and take its pictures.

    python scripts/tutorial_correct.py [--out FOLDER] [--minutes M] [--side N]

The image is the bundled sample in other stains and at another scale, which the model nucleigan-kumar knows badly; the
corrections are the sample's true nuclei. How much better the rest of the image becomes is printed. A part of the
sample, of `--side` pixels, is quicker.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QScrollArea

from screenshots import FOLDER, WINDOW, fail, own_settings, save, settle, wait_for, write

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

LONGEST_S = 1800
"""For what takes seconds on a machine that has nothing else to do."""

MODEL = "nucleigan-kumar"
"""It has seen few looks, so that there is something to correct."""

MPP = 0.25
TOP, LEFT, SIDE = 500, 500, 500
"""The region that is corrected."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Follow the tutorial of corrections, and take its pictures.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the pictures")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long it learns (default: 5)")
    parser.add_argument("--side", type=int, default=1000, help="pixels of the sample (default: 1000, all of it)")
    parser.add_argument("--theme", choices=("dark", "light"), default="light", help="napari's theme")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        own_settings(Path(folder))
        before, after = follow(arguments.out, arguments.minutes, arguments.theme, arguments.side)
    print(f"AJI of the rest of the image: {before:.3f} before, {after:.3f} after.")


def follow(out: Path, minutes: float, theme: str, side: int) -> tuple[float, float]:
    """Go through the steps of the page; return the AJI outside of the region before and after."""
    import napari

    from _looks import other_look
    from napari_nucleigan.data.images.samples import synthetic_he
    from napari_nucleigan.widgets.segment import demo

    image, labels, *_ = synthetic_he()
    pixels, truth = other_look(image.pixels[:side, :side], labels[:side, :side])
    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    viewer.add_image(pixels, name="slide 7", scale=(MPP, MPP), units=("um", "um"))
    _, widget = viewer.window.add_plugin_dock_widget(demo.PLUGIN, demo.WIDGET)
    done: list[Any] = []
    widget.done.connect(done.append)
    widget.failed.connect(fail)
    wait_for(lambda: widget.form.model.count() > 0, LONGEST_S)
    widget.form.model.setCurrentText(MODEL)
    viewer.reset_view()
    widget.bar.run_button.click()
    wait_for(lambda: bool(done), LONGEST_S)
    save(out / "correct-before.png", viewer)
    before = rest(truth, done[0][0].labels)
    correct(viewer, widget, done[0][0].labels, truth)
    save(out / "correct-region.png", viewer)
    panel = widget.corrections
    panel.minutes.setValue(minutes)
    told: list[Any] = []
    panel.ended.connect(told.append)
    panel.bar.run_button.click()
    wait_for(lambda: " left" in panel.bar.progress.text() or bool(told), LONGEST_S)
    settle(1.0)
    write(out / "correct-learning.png", panel.grab().toImage())
    wait_for(lambda: len(done) == 2, 60 * minutes + LONGEST_S)
    done[0][0].labels.visible = False
    viewer.reset_view()
    save(out / "correct-after.png", viewer)
    after = rest(truth, done[1][0].labels)
    viewer.close()
    return before, after


def correct(viewer: Viewer, widget: Any, layer: Labels, truth: np.ndarray) -> None:
    """Do with a few lines what a user does with the brush: make the nuclei of the region right, then name it."""
    region = slice(TOP, TOP + SIDE), slice(LEFT, LEFT + SIDE)
    wrong, right = (np.unique(labels[region]) for labels in (layer.data, truth))
    labels = np.where(np.isin(layer.data, wrong), 0, layer.data)
    inside = np.isin(truth, right[right > 0])
    layer.data = np.where(inside, truth + labels.max(), labels).astype(np.int32)
    panel = widget.corrections
    panel.button.click()
    panel.regions.button.click()
    corners = [(TOP, LEFT), (TOP, LEFT + SIDE), (TOP + SIDE, LEFT + SIDE), (TOP + SIDE, LEFT)]
    viewer.layers.selection.active.add_rectangles(np.array(corners) - 0.5)
    settle(0.5)
    for scroll in widget.findChildren(QScrollArea):
        if scroll.isAncestorOf(panel):
            scroll.ensureWidgetVisible(panel)
    viewer.scene.camera.center = tuple(MPP * (start + SIDE / 2) for start in (TOP, LEFT))
    viewer.scene.camera.zoom *= 1.8


def rest(truth: np.ndarray, layer: Labels) -> float:
    """Score the nuclei outside of the region."""
    from napari_nucleigan import metrics

    parts = [np.array(labels) for labels in (truth, layer.data)]
    for part in parts:
        part[TOP : TOP + SIDE, LEFT : LEFT + SIDE] = 0
    return metrics.evaluate(*parts, hausdorff=False).aji


if __name__ == "__main__":
    main()
