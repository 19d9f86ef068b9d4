"""``nucleigan classify``: classifiers of nuclei from points with classes, and what they say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nucleigan.base.text import printable
from napari_nucleigan.cli.console import (
    fail_if_any_failed,
    handle_errors,
    print_json,
    print_line,
    run_with_bar,
    usage_errors,
)
from napari_nucleigan.cli.filter import Formats, Out, Results
from napari_nucleigan.cli.options import Json, with_options
from napari_nucleigan.segmentation.settings import SegmentSettings

if TYPE_CHECKING:
    from napari_nucleigan.classification import ClassifierCard

app = typer.Typer(
    help="Give nuclei classes, learnt from a few points with classes.\n\n"
    "'nucleigan classify train' makes a classifier: one file. 'nucleigan segment --classifier FILE' applies it to "
    "images, folders and slides, and adds the columns class and class_probability to what it writes; "
    "'nucleigan classify apply' does so for results that are there.",
    no_args_is_help=True,
)


@app.command()
@handle_errors
@with_options(SegmentSettings, usage_errors()(SegmentSettings.checked), without={"classifier", "measurements"})
def train(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES",
            help="Images, and folders of them. Only those that the points name are used.",
            show_default=False,
        ),
    ],
    points: Annotated[
        list[Path],
        typer.Option(
            "--points",
            "-p",
            help="Table (CSV) with the columns name (of the image), x, y (pixels of that image) and type; or GeoJSON "
            "with classified points or polygons, as QuPath exports it, named as its image. May be given several times.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File of the classifier (.safetensors).", show_default=False)
    ],
    name: Annotated[str, typer.Option(help="Name of the classifier. By default that of the file.")] = "",
    embedding: Annotated[
        bool,
        typer.Option(
            help="Look at what the network saw of each nucleus too. Better, but then the classifier works with this "
            "model only."
        ),
    ] = True,
    as_json: Json = False,
    *,
    settings: SegmentSettings,
) -> None:
    """Train a classifier of nuclei from points with classes.

    The images are segmented, each nucleus gets the type of the point in it (or of one within 4 microns of its centre),
    and a regularised logistic regression learns the types from measurements and from what the network saw. The scores
    that are told are those of images that were held back, or, of a single image, of nuclei that were.

    nucleigan classify train images --points points.csv --mpp 0.55 -o types.safetensors

    nucleigan segment folder -o results -f csv --mpp 0.55 --classifier types.safetensors
    """
    from napari_nucleigan.base.files import check_writable, make_folder, refuse_foreign
    from napari_nucleigan.classification import save_classifier
    from napari_nucleigan.segmentation.class_training import train_classifier

    if out.suffix != ".safetensors":
        raise typer.BadParameter(f"the file of a classifier ends in .safetensors, and {out} does not")
    refuse_foreign(out)
    make_folder(out.parent)
    check_writable(out.parent)
    job = train_classifier(images, points, settings, name=name or out.stem, embedding=embedding)
    classifier = save_classifier(out, run_with_bar(job))
    if as_json:
        print_json({**classifier.card.model_dump(mode="json"), "path": str(out)})
    else:
        _show(classifier.card, out)


@app.command()
@handle_errors
def apply(
    classifier: Annotated[Path, typer.Argument(metavar="FILE", help="File of a classifier.", show_default=False)],
    results: Results,
    out: Out,
    formats: Formats = None,
    as_json: Json = False,
) -> None:
    """Give the nuclei of finished results classes, without segmenting again.

    The result needs all measurements, and, for a classifier that looks at embeddings, its table in Parquet. Its files
    are written to OUT with the columns class and class_probability; the result itself stays.

    nucleigan segment slide.svs -o results -f ome.zarr -f parquet --measurements full

    nucleigan classify apply types.safetensors results -o classed
    """
    from napari_nucleigan.classification import load_classifier
    from napari_nucleigan.segmentation.filter_files import filter_results

    found = run_with_bar(filter_results(results, out, None, formats or (), load_classifier(classifier)))
    if as_json:
        print_json([result.to_json() for result in found])
    else:
        for result in found:
            if not result.error:
                where = ", ".join(map(str, result.outputs))
                print_line(f"{result.source.name}: {result.nuclei} nuclei, {result.seconds:.1f} s -> {where}")
    fail_if_any_failed(found)


@app.command()
@handle_errors
def info(
    classifier: Annotated[Path, typer.Argument(metavar="FILE", help="File of a classifier.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show what a classifier is: its classes, what it has learnt from, and how well it did."""
    from napari_nucleigan.classification import load_classifier

    card = load_classifier(classifier).card
    if as_json:
        print_json({**card.model_dump(mode="json"), "path": str(classifier)})
    else:
        _show(card, classifier)


def _show(card: ClassifierCard, path: Path) -> None:
    from napari_nucleigan.classification.training import describe_scores

    counts = ", ".join(f"{printable(name)} {count}" for name, count in card.counts.items())
    images = "1 image" if card.images == 1 else f"{card.images} images"
    print_line(f"{printable(card.name)}: {sum(card.counts.values())} nuclei of {images} ({counts})")
    print_line(describe_scores(card))
    if card.embedding:
        print_line(
            f"For nuclei that the model {printable(card.segmenter)} finds, at about {card.mpp:.3g} µm per pixel."
        )
    else:
        print_line(f"For nuclei of any model, at about {card.mpp:.3g} µm per pixel.")
    print_line(f"-> {path}")
