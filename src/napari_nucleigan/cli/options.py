"""Command-line options that are made from a pydantic model, so that nothing is said twice."""

from __future__ import annotations

import functools
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from annotated_types import Ge, Le

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="File for one image, its format told by the suffix; folder for several.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout.")]


def with_options(
    model: type[BaseModel], make: Callable[..., Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for every field of a model.

    Parameters
    ----------
    model : type of pydantic.BaseModel
        Its fields become options ``--like-this``, explained by their descriptions.
    make : callable
        Makes the model of the values; its errors are the command's.

    Returns
    -------
    callable
        A decorator. The command receives the model as its argument ``settings``.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        options = [_parameter(name, field) for name, field in model.model_fields.items()]

        @functools.wraps(command)
        def wrapped(**values: Any) -> None:
            given = {name: values.pop(name) for name in model.model_fields}
            command(**values, settings=make(**given))

        kept = [parameter for name, parameter in own.items() if name != "settings"]
        parameters = [*kept, *options]
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
        del wrapped.__wrapped__
        return wrapped

    return decorate


def _parameter(name: str, field: Any) -> inspect.Parameter:
    limits = {type(limit): limit for limit in field.metadata}
    # A field may ask for a short name beside its own.
    flag = (field.json_schema_extra or {}).get("flag")
    option = typer.Option(
        *((f"--{name.replace('_', '-')}", flag) if flag else ()),
        help=field.description,
        min=limits[Ge].ge if Ge in limits else None,
        max=limits[Le].le if Le in limits else None,
        show_default=field.default is not None,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=field.default,
        annotation=Annotated[field.annotation, option],
    )


def parse_changes(pairs: list[str] | None) -> dict[str, Any]:
    """Read what ``--set KEY=VALUE`` was given; a value may be JSON, else it is text.

    Raises
    ------
    typer.BadParameter
        If a pair is none.
    """
    changes: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"--set needs KEY=VALUE, not {pair!r}.")
        try:
            changes[key.strip()] = json.loads(value)
        except ValueError:
            changes[key.strip()] = value
    return changes
