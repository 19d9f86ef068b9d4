"""What users choose: the base of the settings of every job."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_nucleigan.base.errors import RecipeError


class Settings(BaseModel):
    """Values that are all checked and never changed. The fields' descriptions explain them in forms and commands."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @classmethod
    def checked(cls, **values: Any) -> Self:
        """Make settings from what a user gave.

        Raises
        ------
        RecipeError
            If a value is not valid.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            faults = "; ".join(
                ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, "))))
                for fault in error.errors()
            )
            raise RecipeError(f"These settings are not valid: {faults}.") from error
