"""Filters moved on results of slides, by the hands of a user: hidden where they are shown, written when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from classed_nuclei import slide_nuclei
from napari_nucleigan.base.events import run
from napari_nucleigan.contributions.readers import read_pyramid_layer
from napari_nucleigan.models import load_model, save_model
from napari_nucleigan.segmentation.confidence import EVIDENCE
from napari_nucleigan.segmentation.formats import write_slide_results
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.layers import METADATA_KEY
from napari_nucleigan.widgets.segment.colours import SURE
from segment_app import LONG, MICRONS, SlideApp
from slide_pictures import write_slide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

FIT = {"weights": [0.0] * (EVIDENCE - 1) + [3.0], "bias": -13.0}
"""Of a card: the larger a nucleus, the surer; it is even at 76 pixels."""


@pytest.fixture
def app(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SlideApp]:
    (path,) = models.glob("*.safetensors")
    model = load_model(path)
    save_model(path, model.network.state_dict(), model.card.model_copy(update={"confidence": FIT}), half=True)
    notification_manager.records.clear()
    monkeypatch.setattr(layers, "LARGE", 100_000)
    app = SlideApp(make_napari_viewer_proxy(), qtbot)
    yield app
    for slide in app.slides:
        slide.close()


def numbers(layer: Any) -> list[int]:
    found: list[int] = np.unique(np.asarray(layer.data[0] if layer.multiscale else layer.data))[1:].tolist()
    return found


def test_filters_move_on_a_slide_and_nothing_is_lost(
    app: SlideApp, tiny_he: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.tile(tiny_he(220, 260, 60, 7)[0], (5, 5, 1))
    app.open(write_slide(tmp_path / "glass.tif", pixels), tmp_path / "found", tile=512)
    (shown,) = app.run()
    layer, density = shown.labels, app.layer("mm²")
    assert layer.multiscale
    everything, whole = numbers(layer), density.data.copy()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "found").iterdir()}
    table = pd.read_csv(tmp_path / "found" / "glass.csv").set_index("label")
    assert sorted(table.index) == everything
    assert not app.widget.filtered.button.isVisibleTo(app.widget)
    assert not app.form.classes.isVisibleTo(app.widget)

    app.move(lambda: app.form.min_confidence.setValue(0.5))
    sure = table.index[table["confidence"] >= 0.5].tolist()
    assert 10 < len(sure) < len(everything) - 10
    assert numbers(layer) == sorted(sure) == sorted(layer.features["index"])
    assert set(np.unique(np.asarray(layer.data[-1]))[1:]) <= set(sure)
    assert 0 < density.data.sum() < whole.sum()
    assert app.bar.figures.text().startswith(f"{len(sure)} nuclei · ")
    # what is painted by confidence follows
    app.choose(app.form.colours, SURE)
    assert isinstance(layer.colormap, DirectLabelColormap)

    app.move(lambda: app.form.min_area.setValue(6.0))
    both = table.index[(table["confidence"] >= 0.5) & (table["area_um2"] >= 6)].tolist()
    assert 0 < len(both) < len(sure)
    assert numbers(layer) == sorted(both)

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "other"))
    assert app.widget.filtered.button.isVisibleTo(app.widget)
    with app.qtbot.waitSignal(app.widget.filtered.finished, timeout=LONG):
        app.qtbot.mouseClick(app.widget.filtered.button, Qt.MouseButton.LeftButton)
    assert sorted(pd.read_csv(tmp_path / "other" / "glass.csv")["label"]) == sorted(both)
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == sorted(path.name for path in files)
    assert f"Written to {tmp_path / 'other'}" in app.bar.notes.text()

    # what was hidden comes back, and the result itself has been left alone
    app.move(lambda: app.form.min_confidence.setValue(0.0))
    app.move(lambda: app.form.min_area.setValue(1.0))
    app.qtbot.waitUntil(lambda: numbers(layer) == everything, timeout=LONG)
    assert np.array_equal(density.data, whole)
    assert len(layer.features) == len(everything)
    assert not app.widget.filtered.button.isVisibleTo(app.widget)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "found").iterdir()} == files
    # what the run itself has left out is said
    app.form.threshold.setValue(0.7)
    app.qtbot.waitUntil(lambda: "threshold and prominence change the masks" in app.bar.notes.text(), timeout=LONG)
    assert not app.errors()


def test_classes_of_an_opened_result_are_shown_or_hidden(app: SlideApp, tmp_path: Path) -> None:
    nuclei = slide_nuclei((400, 480))
    classes = {name: [9 * place, 0, 0] for place, name in enumerate(("epithelial", '=cmd, "x"', "Fibroblast"))}
    nuclei.provenance |= {"slide": str(tmp_path / "glass.tif"), "mpp": 0.25, "classes": classes}
    run(write_slide_results([tmp_path / f"picture{end}" for end in (".ome.zarr", ".csv")], nuclei))
    app.viewer.add_image(
        np.full((400, 480, 3), 230, np.uint8),
        name="glass",
        metadata={METADATA_KEY: {"path": str(tmp_path / "glass.tif")}},
        **MICRONS,
    )
    ((data, arguments, _),) = read_pyramid_layer(str(tmp_path / "picture.ome.zarr"))
    layer = app.viewer.add_labels(data, **arguments)
    everything = numbers(layer)
    assert app.form.classes.isVisibleTo(app.widget)
    actions = app.form.classes.menu().actions()
    assert [action.text() for action in actions] == list(classes)
    table = pd.read_csv(tmp_path / "picture.csv").set_index("label")
    app.move(actions[0].trigger)
    assert app.form.classes.text() == '=cmd, "x", Fibroblast'
    large = table["area_um2"] >= app.form.min_area.value()  # the other filters of the form count, too
    shown = table.index[large & table["class"].isin(['\'=cmd, "x"', "Fibroblast"])].tolist()
    assert numbers(layer) == sorted(shown)
    app.move(actions[0].trigger)
    assert numbers(layer) == sorted(table.index[large])
    assert len(everything) == len(table)
    assert not app.errors()
