"""``nucleigan import``, ``export`` and ``corrections``: data sets of others, for others, and of corrected regions."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nucleigan.base.text import printable
from napari_nucleigan.cli.console import handle_errors, print_answer, print_message, run_with_bar
from napari_nucleigan.cli.options import Json
from napari_nucleigan.data.datasets.formats import EXPORTS, FORMATS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Import = StrEnum("Import", {name: name for name in FORMATS})  # type: ignore[misc]
"""Formats that can be imported."""

Export = StrEnum("Export", {name: name for name in EXPORTS})  # type: ignore[misc]
"""Formats that can be exported to."""

_IMPORTS = " ".join(f"{name}: {form.source}." for name, form in FORMATS.items())
_EXPORTS = " ".join(f"{name}: {FORMATS[name].target}." for name in EXPORTS)


@handle_errors
def import_(
    form: Annotated[Import, typer.Argument(metavar="FORMAT", help=_IMPORTS, show_default=False)],
    source: Annotated[Path, typer.Argument(metavar="SRC", help="What to import.", show_default=False)],
    out: Annotated[
        Path, typer.Argument(metavar="DST", help="Folder of the data set; absent or empty.", show_default=False)
    ],
    mpp: Annotated[
        float | None, typer.Option(help="Microns per pixel. By default as annotations and images say.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV file with the columns name,organ,split. By default split.csv of SRC, if there is one."),
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out what cannot be imported, and say so.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import a data set of another format. Broken off, the same command goes on."""
    from napari_nucleigan.data.datasets.formats.exchange import import_dataset

    job = import_dataset(form.value, source, out, mpp=mpp, table=table, skip_broken=skip_broken)
    report = run_with_bar(job, "Interrupted; what was converted is kept, and the same command goes on from it.")
    for text in report.sentences():
        print_message(text)
    for name, reason in report.left_out.items():
        print_message(f"Left out, {name}: {reason}")
    kept = f" ({report.kept} by an earlier attempt)" if report.kept else ""
    print_answer(as_json, report.to_json(), f"{report.images} images{kept} with {report.nuclei} nuclei -> {out}")


@handle_errors
def export(
    form: Annotated[Export, typer.Argument(metavar="FORMAT", help=_EXPORTS, show_default=False)],
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the data set.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="DST", help="Folder to make; absent or empty.", show_default=False)],
    split: Annotated[str | None, typer.Option(help="Only the images of this split of split.csv.")] = None,
    as_json: Json = False,
) -> None:
    """Export a data set to another format."""
    from napari_nucleigan.data.datasets.formats.exchange import export_dataset

    report = run_with_bar(export_dataset(form.value, source, out, split=split))
    print_answer(as_json, report.to_json(), f"{report.images} images with {report.nuclei} nuclei -> {out}")


@handle_errors
def corrections(
    image: Annotated[Path, typer.Argument(help="The image.", show_default=False)],
    labels: Annotated[
        Path, typer.Argument(help="Its corrected nuclei: a label image, or GeoJSON in pixels.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Data set; it may hold corrections of other images.", show_default=False),
    ],
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOP,LEFT,HEIGHT,WIDTH",
            help="A rectangle, in pixels, in which every nucleus is right. May be given several times.",
        ),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(help="The same as polygons (GeoJSON in pixels) or as an image that is 0 elsewhere."),
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(min=0.01, max=20, help="Microns per pixel; by default as the image says.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a data set of the regions of an image whose nuclei were corrected.

    Then: nucleigan train segmenter DATA --from MODEL --run RUN
    """
    if not region and regions is None:
        raise typer.BadParameter("Say with --region or --regions where the nuclei were corrected.")
    import numpy as np

    from napari_nucleigan.data.images.files import read_image
    from napari_nucleigan.training.corrections import write_corrections

    boxes = [_box(text) for text in region or ()]
    source = read_image(image)
    source = replace(source, mpp=mpp or source.mpp)
    shape = source.pixels.shape[0], source.pixels.shape[1]
    known = np.zeros(shape, dtype=bool)
    for box in boxes:
        known[box] = True
    if regions is not None:
        drawn = read_mask(regions, shape) > 0
        # Of another size: what writes them says so.
        known = known | drawn if drawn.shape == shape else drawn
    names = run_with_bar(write_corrections(source, read_mask(labels, shape), known, out, source.name))
    found = {"out": str(out), "images": names, "pixels": int(np.count_nonzero(known))}
    print_answer(as_json, found, f"{len(names)} regions of {source.name}, {found['pixels']} pixels -> {out}")


def read_mask(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Read a label image, or draw the polygons of a GeoJSON file on an image of some shape."""
    from napari_nucleigan.data.images.files import read_labels
    from napari_nucleigan.labels.geojson import read_annotations

    if path.suffix.lower() not in (".geojson", ".json"):
        return read_labels(path)
    known = read_annotations(path)
    for note in known.notes:
        print_message(note)
    return known.draw(shape)


def _box(text: str) -> tuple[slice, slice]:
    try:
        top, left, height, width = (int(part) for part in text.split(","))
    except ValueError:
        top = left = height = width = -1
    if min(top, left) < 0 or min(height, width) < 1:
        raise typer.BadParameter(
            f"--region is TOP,LEFT,HEIGHT,WIDTH in pixels, such as 100,250,500,500, not {printable(text, 80)!r}."
        )
    return slice(top, top + height), slice(left, left + width)
