"""Recipes as people name them: by a built-in name or a file, with what they change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pydantic import ValidationError

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.base.reading import read_json, reading
from napari_nucleigan.training.recipes import RECIPES, Recipe, SegmenterRecipe

if TYPE_CHECKING:
    from collections.abc import Mapping

_Kind = TypeVar("_Kind", bound=Recipe)


@overload
def read_recipe(name_or_file: str | Path, changes: dict[str, Any] | None = None) -> SegmenterRecipe: ...


@overload
def read_recipe(name_or_file: str | Path, changes: dict[str, Any] | None, kind: type[_Kind]) -> _Kind: ...


def read_recipe(
    name_or_file: str | Path, changes: dict[str, Any] | None = None, kind: type[Recipe] = SegmenterRecipe
) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name_or_file : str or Path
        A key of `RECIPES` or a JSON file; the file may name only what differs from the recipe it calls
        ``name``.
    changes : dict, optional
        Fields to change.
    kind : type
        `SegmenterRecipe` or `SynthesizerRecipe`: what the recipe must be.

    Returns
    -------
    SegmenterRecipe or SynthesizerRecipe

    Raises
    ------
    RecipeError
        If there is no such recipe, it is of the other kind, or a value is not valid.
    """
    names = [name for name, recipe in RECIPES.items() if isinstance(recipe, kind)]
    given = str(name_or_file)
    values = {"name": given} if given in RECIPES else _read_json(Path(name_or_file), names)
    name = values.get("name")
    trained = kind.model_fields["kind"].default
    if (name not in names and name in list(RECIPES)) or values.get("kind", trained) != trained:
        raise RecipeError(f"The recipe {given!r} trains another kind of network; choose {', '.join(names)}.")
    values = {**RECIPES[name if name in names else names[0]].model_dump(), **values}
    try:
        return kind.model_validate({**values, **(changes or {})})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'recipe'}: {fault['msg']}" for fault in error.errors()]
        raise RecipeError(f"The recipe {name_or_file} is not valid: {'; '.join(faults)}.") from error


def kind_of(recipe: Mapping[str, Any]) -> str:
    """Tell what is done by a recipe: the kind of network that it trains, or ``"adaptation"``; ``""`` for no recipe.

    The recipes of 0.1.0 do not say so themselves.
    """
    if not recipe:
        return ""
    kind = recipe.get("kind", "synthesizer" if "cycle_masks" in recipe else "segmenter")
    return kind if kind in ("segmenter", "synthesizer", "adaptation") else ""


def _read_json(path: Path, names: list[str]) -> dict[str, Any]:
    with reading(path, RecipeError, "recipe in JSON"):
        try:
            values = read_json(path)
        except FileNotFoundError:
            choice = ", ".join(names)
            raise RecipeError(f"There is no recipe {str(path)!r}: it is neither a file nor one of {choice}.") from None
    if not isinstance(values, dict):
        raise RecipeError(f"The recipe {path} must be a JSON object of fields and values.")
    return values
