"""Settings: the base of what users choose for a job, and what forms and commands need to know of each field."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_nucleigan.base.errors import RecipeError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_LIMITS = ("ge", "gt", "le", "lt", "multiple_of")


class Settings(BaseModel):
    """Values that are all checked and never changed. The fields' descriptions explain them in forms and commands."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

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


@dataclass(frozen=True)
class FieldFacts:
    """What a settings model says of one of its fields.

    Attributes
    ----------
    name, title, description : str
        What it is called, in code and for people, and what it does.
    annotation : object
        Its type.
    kind : object
        Its type without None.
    optional : bool
        Whether None is a value.
    choices : tuple
        All its values; empty where they cannot be listed.
    words : tuple of str
        Words that are values beside those of its kind.
    limits : dict of str to number
        Those that there are of ``ge``, ``gt``, ``le``, ``lt`` and ``multiple_of``.
    default : object
        Its default.
    unit, flag, former : str
        Its unit, its short option on the command line and its name in earlier versions; empty where it has none.
    """

    name: str
    title: str
    description: str
    annotation: Any
    kind: Any
    optional: bool
    choices: tuple[Any, ...]
    words: tuple[str, ...]
    limits: dict[str, float]
    default: Any
    unit: str
    flag: str
    former: str

    @property
    def low(self) -> float | None:
        """Lower limit, whether it belongs to the values or not."""
        return self.limits.get("ge", self.limits.get("gt"))

    @property
    def high(self) -> float | None:
        """Upper limit, whether it belongs to the values or not."""
        return self.limits.get("le", self.limits.get("lt"))


def field_facts(model: type[BaseModel]) -> dict[str, FieldFacts]:
    """Read what a settings model says of its fields; their ``json_schema_extra`` has units, flags and former names."""
    return {name: _facts(name, field) for name, field in model.model_fields.items()}


def _facts(name: str, field: FieldInfo) -> FieldFacts:
    kind: Any = field.annotation
    optional, words = get_origin(kind) in (types.UnionType, Union), ()
    if optional:
        kind, *others = (part for part in get_args(kind) if part is not type(None))
        words = tuple(word for part in others for word in get_args(part))
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return FieldFacts(
        name=name,
        title=field.title or name,
        description=field.description or "",
        annotation=field.annotation,
        kind=kind,
        optional=optional,
        choices=get_args(kind) if get_origin(kind) is Literal else (),
        words=words,
        limits={key: getattr(part, key) for part in field.metadata for key in _LIMITS if hasattr(part, key)},
        default=field.default,
        unit=str(extra.get("unit", "")),
        flag=str(extra.get("flag", "")),
        former=str(extra.get("former", "")),
    )
