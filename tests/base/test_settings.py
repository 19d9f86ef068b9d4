from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.base.settings import Settings, field_facts


class _Sides(Settings):
    width: int = Field(2, ge=1)
    height: int = 3

    @model_validator(mode="after")
    def _flat(self) -> _Sides:
        if self.height > 9 * self.width:
            raise ValueError("too steep")
        return self


def test_what_is_valid_is_made() -> None:
    assert _Sides.checked(width=4) == _Sides(width=4, height=3)
    with pytest.raises(ValidationError):
        _Sides().width = 3


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({"width": 0}, "width: Input should be greater than or equal to 1"),
        ({"width": "w", "depth": 1}, "width: Input should be a valid integer.*; depth: Extra inputs are not permitted"),
        ({"width": 1, "height": 90}, "too steep"),
    ],
)
def test_every_fault_is_named(values: dict[str, object], faults: str) -> None:
    with pytest.raises(RecipeError, match=f"^These settings are not valid: {faults}.$"):
        _Sides.checked(**values)


class _Fields(Settings):
    side: int | None = Field(
        None,
        title="Side",
        ge=32,
        lt=512,
        multiple_of=32,
        description="Of a square.",
        json_schema_extra={"unit": "pixels", "flag": "-s", "former": "edge"},
    )
    share: float = Field(0.5, gt=0, le=1)
    kind: Literal["a", "b"] = "a"


def test_facts_are_what_the_model_says() -> None:
    side, share, kind = field_facts(_Fields).values()
    assert (side.title, side.description, side.unit) == ("Side", "Of a square.", "pixels")
    assert (side.flag, side.former, share.former) == ("-s", "edge", "")
    assert (side.kind, side.optional, side.default) == (int, True, None)
    assert (side.low, side.high) == (32, 512)
    assert side.limits == {"ge": 32, "lt": 512, "multiple_of": 32}
    assert (share.title, share.unit, share.kind, share.optional) == ("share", "", float, False)
    assert (share.low, share.high, share.choices) == (0, 1, ())
    assert kind.choices == ("a", "b")


def test_words_beside_numbers_are_told() -> None:
    from napari_nucleigan.segmentation.settings import SegmentSettings

    facts = field_facts(SegmentSettings)["mpp"]
    assert (facts.kind, facts.words, facts.optional, facts.choices) == (float, ("auto",), True, ())
    assert field_facts(SegmentSettings)["threshold"].words == ()
    assert SegmentSettings.checked(mpp="0.5").mpp == 0.5
    for wrong in (0, -1.0, float("nan"), float("inf"), "some", [0.25]):
        with pytest.raises(RecipeError, match="a number above 0, or 'auto'"):
            SegmentSettings.checked(mpp=wrong)
