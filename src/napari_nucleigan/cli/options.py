"""Command-line options that are made from a pydantic model, so that nothing is said twice."""

from __future__ import annotations

import functools
import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.base.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pydantic import BaseModel

    from napari_nucleigan.base.settings import FieldFacts

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
    model: type[BaseModel], make: Callable[..., Any], *, without: Collection[str] = (), unset: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for every field of a model.

    Parameters
    ----------
    model : type of pydantic.BaseModel
        Its fields become options ``--like-this``, explained by their descriptions.
    make : callable
        Makes what the command receives of the values; its errors are the command's.
    without : collection of str
        Fields that have no option.
    unset : bool
        Whether options that are not given are left out, rather than being the field's default.

    Returns
    -------
    callable
        A decorator. The command receives what was made as its argument ``settings``.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        fields = [facts for name, facts in field_facts(model).items() if name not in without]
        options = [_parameter(facts, unset) for facts in fields]
        # Options by the names of version 0.1.0: accepted, and not shown.
        former = {facts.former: facts.name for facts in fields if facts.former}
        hidden = [_parameter(replace(facts, name=facts.former), True, hidden=True) for facts in fields if facts.former]

        @functools.wraps(command)
        def wrapped(**values: Any) -> None:
            given = {option.name: values.pop(option.name) for option in options}
            given |= {name: value for old, name in former.items() if (value := values.pop(old)) is not None}
            if unset:
                given = {name: value for name, value in given.items() if value is not None}
            command(**values, settings=make(**given))

        kept = [parameter for name, parameter in own.items() if name != "settings"]
        parameters = [*kept, *options, *hidden]
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
        del wrapped.__wrapped__
        return wrapped

    return decorate


def _parameter(facts: FieldFacts, unset: bool, hidden: bool = False) -> inspect.Parameter:
    default = None if unset else facts.default
    option = typer.Option(
        # A field may ask for a short name beside its own.
        *((f"--{facts.name.replace('_', '-')}", facts.flag) if facts.flag else ()),
        help=facts.description,
        min=facts.limits.get("ge"),
        max=facts.limits.get("le"),
        show_default=default is not None,
        hidden=hidden,
        metavar="|".join((facts.kind.__name__.upper(), *facts.words)) if facts.words else None,
    )
    # A number or a word is read by the model itself.
    annotation = str | None if facts.words else facts.annotation | None if unset else facts.annotation
    return inspect.Parameter(
        facts.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, option]
    )


def parse_changes(pairs: list[str] | None, option: str = "--set") -> dict[str, Any]:
    """Read what an option such as ``--set KEY=VALUE`` was given; a value may be JSON, else it is text.

    Raises
    ------
    typer.BadParameter
        If a pair is none.
    """
    changes: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{option} needs KEY=VALUE, not {printable(pair, 80)!r}.")
        try:
            changes[key.strip()] = json.loads(value)
        except ValueError:
            changes[key.strip()] = value
    return changes
