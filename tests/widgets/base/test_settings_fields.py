"""Fields that are made of what a settings model says: they show, give back and tell of every kind of value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import Field

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.base.settings import Settings, field_facts
from napari_nucleigan.widgets.base.settings_fields import make_editor

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


class _Fields(Settings):
    side: int = Field(64, ge=32, le=512, multiple_of=32, description="Side.", json_schema_extra={"unit": "pixels"})
    count: int | None = Field(None, ge=1, description="Count.")
    rate: float = Field(1e-3, gt=0, le=1, description="Rate.")
    kind: Literal["a", "b"] = Field("a", description="Kind.")
    turns: bool = Field(True, description="Turns.")
    name: str = Field("", description="Name.")
    zoom: tuple[float, float] = Field((0.5, 2.0), description="Zoom.")
    network: dict[str, Any] = Field({}, description="Network.")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("side", (128, 512)),
        ("count", (3, None)),
        ("rate", (2e-07, 0.5)),
        ("kind", ("b", "a")),
        ("turns", (True, False)),
        ("name", ("n", "")),
        ("zoom", ((0.75, 1.4), (1.0, 1.0))),
        ("network", ({"name": "unet", "widths": [8]}, {})),
    ],
)
def test_a_value_is_shown_given_back_and_told(qtbot: QtBot, name: str, values: tuple[Any, ...]) -> None:
    editor = make_editor(field_facts(_Fields)[name])
    qtbot.addWidget(editor.widget)
    assert editor.widget.toolTip() == _Fields.model_fields[name].description
    told: list[Any] = []
    editor.changed.connect(lambda *_: told.append(editor.get()))
    for value in values:
        editor.put(value)
        assert editor.get() == value
    assert told[-1] == values[-1]
    told.clear()
    editor.show(values[0])
    assert editor.get() == values[0]
    assert not told


def test_units_limits_and_words(qtbot: QtBot) -> None:
    facts = field_facts(_Fields)
    side, count, rate = (make_editor(facts[name]).widget for name in ("side", "count", "rate"))
    for widget in (side, count, rate):
        qtbot.addWidget(widget)
    assert (side.minimum(), side.maximum(), side.singleStep(), side.suffix()) == (32, 512, 32, " pixels")
    count.setValue(count.minimum())
    assert count.text() == "automatic"
    rate.setValue(2e-4)
    assert rate.text() == "0.0002"


def test_what_is_no_json_says_so(qtbot: QtBot) -> None:
    editor = make_editor(field_facts(_Fields)["network"])
    qtbot.addWidget(editor.widget)
    editor.widget.setText("{unet")
    with pytest.raises(RecipeError, match="network is no valid JSON"):
        editor.get()
