"""``nucleigan filter``: finished results again, with fewer nuclei, without segmenting anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nucleigan.cli.console import (
    fail_if_any_failed,
    handle_errors,
    print_json,
    print_line,
    run_with_bar,
    usage_errors,
)
from napari_nucleigan.cli.options import Json, with_options
from napari_nucleigan.cli.segment import FormatName
from napari_nucleigan.segmentation.settings import NucleiFilter

if TYPE_CHECKING:
    from napari_nucleigan.segmentation import FileResult

# What commands take that write finished results again.
Results = Annotated[
    list[Path],
    typer.Argument(
        metavar="RESULT",
        help="Labels (.ome.zarr or .tif) that 'nucleigan segment' has written, with the table (.csv or .parquet) "
        "beside them; or folders of such.",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="Another folder; or, of one result, the file to write.", show_default=False),
]
Formats = Annotated[
    list[FormatName] | None,
    typer.Option(
        "--format",
        "-f",
        help="What to write. By default what the result has. May be given several times.",
        show_default=False,
    ),
]


@handle_errors
@with_options(NucleiFilter, usage_errors()(NucleiFilter.checked), without={"classes"})
def filter_(
    results: Results,
    out: Out,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", "-c", help="Keep nuclei of this class only. May be given several times.", show_default=False
        ),
    ] = None,
    formats: Formats = None,
    as_json: Json = False,
    *,
    settings: NucleiFilter,
) -> None:
    """Leave nuclei out of finished results, by confidence, size or class, without segmenting again.

    All files of a result are written to OUT, with the same nuclei under the same numbers. The result itself stays, so
    nothing is lost: another filter brings nuclei back. What the segmentation itself has left out is not in it.

    nucleigan filter results/slide.ome.zarr -o sure/ --min-confidence 0.5 --min-area 15
    """
    from napari_nucleigan.segmentation.filter_files import filter_results

    wanted = settings.model_copy(update={"classes": tuple(classes)}) if classes else settings
    found = run_with_bar(filter_results(results, out, wanted, formats or ()))
    if as_json:
        print_json([result.to_json() for result in found])
    else:
        for result in found:
            _show(result)
    fail_if_any_failed(found)


def _show(result: FileResult) -> None:
    if not result.error:
        hidden = result.provenance.get("hidden", 0)
        print_line(
            f"{result.source.name}: {result.nuclei} nuclei of {result.nuclei + hidden}, {result.seconds:.1f} s -> "
            f"{', '.join(map(str, result.outputs))}"
        )
