"""``nucleigan models``: what models there are, and what they say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_nucleigan.base.text import printable
from napari_nucleigan.cli.console import handle_errors, print_json, print_line, print_message
from napari_nucleigan.cli.options import Json

app = typer.Typer(help="List, describe and export models.", no_args_is_help=True)

_MOST = 12  # numbers of a list that are shown

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
            facts = (card.kind, f"{card.mpp:g} µm per pixel", card.licence_name, card.date or "no date", where)
            print_line(f"{file.name}: {', '.join(filter(None, facts))}")
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
    recipe = card.pop("recipe")  # long, and what fewest ask for
    for name, value in {"path": str(path), **card, "recipe": recipe}.items():
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
    side: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PIXELS",
            help="onnx: images have this height and width and come one at a time, for programs that read the graph by "
            "OpenCV; by default any size and number.",
            show_default=False,
        ),
    ] = None,
    licence: Annotated[
        str,
        typer.Option(
            help="onnx, bioimageio: licence of a model of your own whose card names none, such as 'CC BY 4.0'.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Copy a model, checked, to a file or into a folder, as it is or in a format of other programs."""
    from napari_nucleigan.models import export_model, load_model

    if side and form != "onnx":
        raise typer.BadParameter("only images of ONNX graphs have it; leave it out.", param_hint="--side")
    if licence and form == "safetensors":
        raise typer.BadParameter("a copy keeps its card as it is; leave it out.", param_hint="--licence")
    if form == "safetensors":
        print_line(export_model(model, out))
        return
    from napari_nucleigan.data.images import samples
    from napari_nucleigan.models import exchange

    loaded = load_model(model, "segmenter")
    if licence:
        loaded = exchange.licensed(loaded, licence)
    target = exchange.target(loaded.card, out, form)
    if form == "onnx":
        print_line(exchange.export_onnx(loaded, target, side))
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
    if isinstance(value, list) and (len(value) > _MOST or (value and isinstance(value[0], list))):
        return f"{len(value)} {'codes' if isinstance(value[0], list) else 'numbers'}"  # that tell nobody anything
    if not isinstance(value, dict):
        return printable(value, 10_000)
    pad = "\n" + " " * indent
    return "".join(f"{pad}{printable(key)}: {_text(inner, indent + 2)}" for key, inner in value.items())
