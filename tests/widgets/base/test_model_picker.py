"""The model picker: what it finds, and what it says of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from qtpy.QtCore import Qt

from napari_nucleigan.base.events import run
from napari_nucleigan.models import ModelCard
from napari_nucleigan.widgets.base.model_picker import MethodForm, model_details, model_summary, take_inventory

if TYPE_CHECKING:
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LONG = 60_000


def test_inventory(models: Path) -> None:
    found = run(take_inventory(["segmenter"]))
    assert list(found.models) == ["segmenter"]
    assert str(models / "tiny.safetensors") in [str(file.path) for file in found.models["segmenter"]]
    assert found.devices[0].name == "auto"


@pytest.fixture
def form(qtbot: QtBot) -> MethodForm:
    made = MethodForm()
    made.add_method()
    qtbot.addWidget(made)
    return made


def test_a_file_that_is_no_model_is_listed_with_its_reason_and_not_chosen(
    form: MethodForm, models: Path, qtbot: QtBot
) -> None:
    (models / "a_cut.safetensors").write_bytes((models / "tiny.safetensors").read_bytes()[:-100])
    with qtbot.waitSignal(form.picker.ready, timeout=LONG):
        form.picker.look()
    names = [form.model.itemText(at) for at in range(form.model.count())]
    assert names[-1] == "a_cut (unreadable)"
    assert "cut short" in form.model.itemData(len(names) - 1, Qt.ItemDataRole.ToolTipRole)
    assert not form.model.model().item(len(names) - 1).isEnabled()
    assert form.picker.path == str(models / "tiny.safetensors")
    assert form.problem() == ""


def test_only_after_a_look_it_is_said_that_there_is_no_model(
    form: MethodForm, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot, tmp_path: Path
) -> None:
    monkeypatch.setenv("NUCLEIGAN_MODELS", str(tmp_path))
    monkeypatch.setattr("napari_nucleigan.models.registry._BUNDLED", tmp_path)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    assert form.problem() == "Looking for models and devices…"
    said = []
    form.changed.connect(lambda: said.append(form.problem()))
    with qtbot.waitSignal(form.picker.ready, timeout=LONG):
        form.picker.look()
        assert form.problem() == "Looking for models and devices…"
    assert form.problem().startswith("No model is installed")
    assert said == [form.problem()] * len(said)
    assert form.model.currentIndex() == -1
    assert form.picker.path == ""


def card(**more: Any) -> ModelCard:
    return ModelCard(name="m", kind="segmenter", architecture={}, mpp=0.5, **more)


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ({}, ""),
        ({"aji": 0.5, "f1": 0.75, "pq": 0.4}, " · AJI 0.50 · F1 0.75"),
        ({"validation": {"aji": 0.5, "pq": 0.4}}, " · AJI 0.50 · PQ 0.40 (validation)"),
        (
            {"validation": {"aji": 0.5}, "2 test tiles": {"all": {"aji": 0.6}, "colon": {"aji": 0.4}}},
            " · AJI 0.60 (2 test tiles)",
        ),
        ({"aji": "unknown"}, ""),
    ],
)
def test_summary(scores: dict[str, Any], text: str) -> None:
    made = card(scores=scores, licence="CC0-1.0 (all of it)")
    assert model_summary(made) == f"0.5 µm per pixel{text} · CC0-1.0"


def test_details() -> None:
    made = card(
        scores={"test tiles": {"aji": 0.6123}, "validation": {"aji": 0.5}},
        training_data="16 tiles",
        notes="not for diagnosis",
    )
    organs = model_details(card(scores={"test tiles": {"all": {"aji": 0.6}, "colon": {"aji": 0.4}}}))
    assert "Test tiles: AJI 0.600<br>Test tiles, colon: AJI 0.400" in organs
    text = model_details(made)
    assert "Test tiles: AJI 0.612<br>Validation: AJI 0.500" in text
    assert "Trained on: 16 tiles" in text
    assert "not for diagnosis" in text
    assert "Licence of the data" not in text
