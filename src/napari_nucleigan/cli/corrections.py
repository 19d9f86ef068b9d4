"""``nucleigan corrections``: corrected regions of an image, as a data set to fine-tune with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nucleigan.cli.console import Bar, answer, guarded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@guarded
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
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout.")] = False,
) -> None:
    """Make a data set of the regions of an image whose nuclei were corrected.

    Then: nucleigan train segmenter DATA --from MODEL --run RUN
    """
    if not region and regions is None:
        raise typer.BadParameter("Say with --region or --regions where the nuclei were corrected.")
    import numpy as np

    from napari_nucleigan.base.events import run
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
        drawn = _read(regions, shape) > 0
        # Of another size: what writes them says so.
        known = known | drawn if drawn.shape == shape else drawn
    with Bar() as bar:
        names = run(write_corrections(source, _read(labels, shape), known, out, source.name), bar)
    if as_json:
        answer({"out": str(out), "images": names, "pixels": int(np.count_nonzero(known))})
    else:
        print(f"{len(names)} regions of {source.name}, {np.count_nonzero(known)} pixels -> {out}")


def _read(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    from napari_nucleigan.data.images.files import read_labels
    from napari_nucleigan.labels.geojson import read_geojson

    return read_geojson(path, shape) if path.suffix.lower() in (".geojson", ".json") else read_labels(path)


def _box(text: str) -> tuple[slice, slice]:
    try:
        top, left, height, width = (int(part) for part in text.split(","))
    except ValueError:
        top = left = height = width = -1
    if min(top, left) < 0 or min(height, width) < 1:
        raise typer.BadParameter(f"--region is TOP,LEFT,HEIGHT,WIDTH in pixels, such as 100,250,500,500, not {text!r}.")
    return slice(top, top + height), slice(left, left + width)
