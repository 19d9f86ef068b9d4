"""``nucleigan propose``: the regions of an image whose correction would teach the model most."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.files import refuse_foreign
from napari_nucleigan.cli.console import handle_errors, print_json, print_line, run_with_bar, usage_errors
from napari_nucleigan.cli.options import Json, with_options
from napari_nucleigan.segmentation.settings import SegmentSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.segmentation import Proposal, Segmentation


@handle_errors
@with_options(SegmentSettings, usage_errors()(SegmentSettings.checked))
def propose(
    image: Annotated[Path, typer.Argument(help="The image.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="GeoJSON file of the regions, which QuPath opens.", show_default=False),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="Regions to propose.")] = 5,
    side: Annotated[float, typer.Option(min=8, max=1000, help="Microns that a region is long at most.")] = 64.0,
    done: Annotated[
        Path | None,
        typer.Option(
            help="Where the nuclei are corrected already, as polygons (GeoJSON in pixels) or as an image that is 0 "
            "elsewhere: no region is proposed there.",
        ),
    ] = None,
    as_json: Json = False,
    *,
    settings: SegmentSettings,
) -> None:
    """Propose the regions of an image whose correction would teach the model most.

    Then: nucleigan corrections IMAGE LABELS --regions OUT -o DATA
    """
    from napari_nucleigan.cli.datasets import read_mask
    from napari_nucleigan.data.images.files import read_image
    from napari_nucleigan.segmentation import propose as chosen
    from napari_nucleigan.segmentation import segment

    if out is not None and not out.name.lower().endswith((".geojson", ".json")):
        raise OutputError(f"Regions are written as GeoJSON; call the file {out.with_suffix('.geojson')}.")
    if out is not None:
        refuse_foreign(out)
    source = read_image(image)
    known = None if done is None else read_mask(done, (source.pixels.shape[0], source.pixels.shape[1]))
    found = run_with_bar(segment(source, settings))
    proposals = chosen(found, count, side, known)
    if out is not None:
        _write(out, found, proposals)
    if as_json:
        print_json({"regions": [_record(each) for each in proposals], "out": None if out is None else str(out)})
        return
    for each in proposals:
        about = f"about {each.doubtful:.1f} doubtful nuclei, {each.missed:.1f} missed"
        print_line(f"--region {each.box.top},{each.box.left},{each.box.shape[0]},{each.box.shape[1]}   {about}")
    if not proposals:
        print_line("There is nothing left that the model doubts.")


def _record(proposal: Proposal) -> dict[str, Any]:
    height, width = proposal.box.shape
    place = {"top": proposal.box.top, "left": proposal.box.left, "height": height, "width": width}
    return {**place, "doubtful": round(proposal.doubtful, 3), "missed": round(proposal.missed, 3)}


def _write(out: Path, found: Segmentation, proposals: Sequence[Proposal]) -> None:
    import numpy as np

    from napari_nucleigan.labels.geojson import write_geojson

    regions = np.zeros(found.labels.shape, np.int32)
    for number, each in enumerate(proposals, start=1):
        regions[each.box.slices] = number
    table = {
        "label": np.arange(1, len(proposals) + 1),
        "doubtful": np.array([each.doubtful for each in proposals]),
        "missed": np.array([each.missed for each in proposals]),
    }
    write_geojson(out, regions, table, found.mpp)
