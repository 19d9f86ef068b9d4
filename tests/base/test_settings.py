from __future__ import annotations

import pytest
from pydantic import Field, ValidationError, model_validator

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.base.settings import Settings


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
