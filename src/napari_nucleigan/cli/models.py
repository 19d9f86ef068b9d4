"""``nucleigan models``: what models there are, and what they say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_nucleigan.base.text import printable
from napari_nucleigan.cli.console import handle_errors, print_json, print_line, print_message
from napari_nucleigan.cli.options import Json

app = typer.Typer(help="List, describe and export models.", no_args_is_help=True)

Source = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Name, model file, or folder of a training run.", show_default=False),
]


@app.command("list")
@handle_errors
def list_(as_json: Json = False) -> None:
    """List the bundled models and those of the user's folder."""
    from napari_nucleigan.models import list_models, user_folder

    files = list_models(broken=True)
    if as_json:
        print_json([_entry(file) for file in files])
        return
    for file in files:
        where = "bundled" if file.bundled else str(file.path)
        if file.card is None:
            print_message(f"{file.name}: cannot be used: {file.problem}")
        else:
            card = file.card
            print_line(f"{file.name}: {card.kind}, {card.mpp:g} µm per pixel, {card.date or 'no date'}, {where}")
    if not files:
        print_message(f"No models are installed; put model files into {user_folder()}.")


@app.command()
@handle_errors
def info(model: Source, as_json: Json = False) -> None:
    """Show the card of a model."""
    from napari_nucleigan.models import read_card, resolve

    path = resolve(model)
    card = read_card(path).model_dump(mode="json")
    if as_json:
        print_json({**card, "path": str(path)})
        return
    for name, value in {"path": str(path), **card}.items():
        if value not in ("", None, {}):
            print(f"{name.replace('_', ' ')}: {_text(value)}")


@app.command()
@handle_errors
def export(
    model: Source,
    out: Annotated[Path, typer.Option("--out", "-o", help="File or folder.", show_default=False)],
    form: Annotated[
        Literal["safetensors", "onnx", "bioimageio"],
        typer.Option(
            "--format",
            help="safetensors: a checked copy; onnx: the network for other programs; bioimageio: the same packed for "
            "the BioImage Model Zoo (.zip).",
        ),
    ] = "safetensors",
) -> None:
    """Copy a model, checked, to a file or into a folder, as it is or in a format of other programs."""
    from napari_nucleigan.models import export_model, load_model

    if form == "safetensors":
        print_line(export_model(model, out))
        return
    from napari_nucleigan.data.images import samples
    from napari_nucleigan.models import exchange

    loaded = load_model(model, "segmenter")
    target = exchange.target(loaded.card, out, form)
    if form == "onnx":
        print_line(exchange.export_onnx(loaded, target))
    else:
        print_line(exchange.export_bioimageio(loaded, target, samples.synthetic_he()[0].pixels))


def _entry(file: Any) -> dict[str, Any]:
    card = None if file.card is None else file.card.model_dump(mode="json")
    return {
        "name": file.name,
        "path": str(file.path),
        "bundled": file.bundled,
        "problem": file.problem,
        "card": card,
    }


def _text(value: Any, indent: int = 2) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return f"{len(value)} codes"  # of a style; numbers that tell nobody anything
    if not isinstance(value, dict):
        return printable(value, 10_000)
    pad = "\n" + " " * indent
    return "".join(f"{pad}{printable(key)}: {_text(inner, indent + 2)}" for key, inner in value.items())
