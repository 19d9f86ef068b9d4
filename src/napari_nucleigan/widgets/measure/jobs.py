"""Jobs of *Measure nuclei*: the nuclei of a layer, measured, and their classes; no Qt here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.labels.classes import CLASS, class_colours
from napari_nucleigan.labels.features import measure, write_csv
from napari_nucleigan.labels.known import as_column, is_current, key_of, rows_of, taken, with_known
from napari_nucleigan.labels.regions import check_labels, regions_of
from napari_nucleigan.labels.statistics import Classes, MeasuredNuclei, statistics
from napari_nucleigan.widgets.base.image_sources import Source
from napari_nucleigan.widgets.base.layers import (
    image_layers,
    image_shape,
    is_large,
    layer_info,
    layer_mpp,
    layer_problem,
    view_kind,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari.layers import Image, Labels
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_nucleigan.labels.features import Table
    from napari_nucleigan.labels.polygons import Points
    from napari_nucleigan.labels.statistics import Question, Statistics

_CENTRES = ("centroid_y_um", "centroid_x_um")


@dataclass(frozen=True, eq=False)
class MeasureRequest:
    """What is to be measured.

    Attributes
    ----------
    name : str
        Name of the layer.
    shape : (int, int)
        Height and width in pixels.
    labels : array-like or None
        The labels; None for those of a slide, of which only the table is read.
    known : mapping of str to array-like
        The features of the layer.
    mpp : float or None
        Microns per pixel.
    image : Source or None
        The H&E image, for the means of its stains.
    full : bool
        Whether all measurements are wanted.
    searched : tuple of polygons
        Where nuclei were looked for; everywhere if empty.
    table : str or None
        File with the table of a slide's nuclei.
    pixel : (float, float) or None
        Microns that a pixel of a slide's labels is high and wide.
    """

    name: str
    shape: tuple[int, int]
    labels: Any | None
    known: Mapping[str, Any]
    mpp: float | None
    image: Source | None = None
    full: bool = False
    searched: tuple[Points, ...] = ()
    table: str | None = None
    pixel: tuple[float, float] | None = None


def measure_request(viewer: Viewer, layer: Labels, mpp: float | None, full: bool) -> MeasureRequest:
    """Return what is to be measured of a layer, at some microns per pixel."""
    shape, info = image_shape(layer), layer_info(layer)
    searched = _searched(info, shape)
    if layer.multiscale:
        own = layer_mpp(layer)
        pixel = sides(own) if own else tuple((mpp or np.nan) * np.abs(layer.scale[-2:]))
        table = info.get("features")
        return MeasureRequest(layer.name, shape, None, layer.features, mpp, None, full, searched, table, pixel)
    image = _image_of(viewer, layer)
    source = None if image is None else Source.of(image, mpp)
    return MeasureRequest(layer.name, shape, layer.data, layer.features, mpp, source, full, searched)


def slide_problem(layer: Labels) -> str:
    """Why the nuclei of a slide cannot be told of; empty where they can."""
    if not layer.multiscale or key_of(layer.features) is not None or layer_info(layer).get("features"):
        return ""
    return (
        f"“{layer.name}” are the labels of a slide without a table of measurements. Open the .ome.zarr beside its "
        ".csv, as Segment nuclei writes them, or choose labels of a tile."
    )


def measure_nuclei(request: MeasureRequest) -> Job[MeasuredNuclei]:
    """Measure nuclei, or take what is known of them where it still holds.

    Raises
    ------
    LabelsError
        If the layer holds no labels, or if the nuclei of a slide have no table.
    """
    yield Progress(0, 0, "measuring the nuclei")
    if request.labels is None:
        return _of_slide(request)
    labels = check_labels(np.asarray(request.labels), f"“{request.name}”")
    values, regions = regions_of(labels)
    needed = {
        "solidity": True,
        "area_um2": bool(request.mpp),
        "haematoxylin_mean_od": request.image is not None,
        "nearest_um": request.full,
    }
    known = request.known
    if len(values) and is_current(known, values, regions.areas, needed) and _same_scale(request):
        table = _table(known)
        order = np.argsort(table["label"], kind="stable")
        table = {name: column[order] for name, column in table.items()}
    else:
        rgb = None if request.image is None else request.image.image().pixels
        table = measure(labels, rgb, request.mpp, measurements="full" if request.full else "standard")
        table = with_known(table, known)
    nuclei = MeasuredNuclei(table, regions.centres, request.shape, request.mpp, request.searched)
    nuclei.kinds  # noqa: B018  # it is kept, and the viewer has not to wait for it
    return nuclei


def _of_slide(request: MeasureRequest) -> MeasuredNuclei:
    import pandas as pd

    known = request.known
    if key_of(known) is None and request.table:
        try:
            known = pd.read_csv(request.table)
        except (OSError, ValueError) as error:
            raise LabelsError(
                f"Cannot read the table of “{request.name}”: {error}. Segment the slide again."
            ) from error
    if key_of(known) is None or any(name not in known for name in _CENTRES):
        raise LabelsError(
            f"The table of “{request.name}” does not say where its nuclei lie (columns label, {', '.join(_CENTRES)}): "
            "segment the slide again with the CSV beside its labels."
        )
    table = _table(known)
    assert request.pixel is not None
    # Both are from the middle of a pixel: of the image's first one, and of that of the labels.
    begin = (request.mpp or 0.0) / 2
    centres = np.stack([(table[name] + begin) / side for name, side in zip(_CENTRES, request.pixel, strict=True)], 1)
    return MeasuredNuclei(table, centres - 0.5, request.shape, float(np.sqrt(np.prod(request.pixel))), request.searched)


def _table(known: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Make a table of the features of a layer."""
    table = {"label": np.asarray(known[key_of(known) or "label"])}
    for name in known:
        if name not in ("label", "index") and (column := as_column(known[name])) is not None:
            table[str(name)] = column
    return table


def _same_scale(request: MeasureRequest) -> bool:
    """Whether the microns of a table are those that are wanted."""
    if not request.mpp:
        return "area_um2" not in request.known
    pixels, microns = (np.asarray(request.known[name], float) for name in ("area_px", "area_um2"))
    return bool(np.allclose(pixels * request.mpp**2, microns, rtol=1e-3))


def _searched(info: Mapping[str, Any], shape: tuple[int, int]) -> tuple[Points, ...]:
    """Where *Segment nuclei* has looked for nuclei, in pixels of the labels; nothing for everywhere."""
    box = info.get("region")
    if not isinstance(box, tuple) or len(box) != 4:
        return ()
    top, bottom, left, right = box
    # Of a large image the layer holds the region only.
    origin = (top, left) if shape == (bottom - top, right - left) else (0, 0)
    if drawn := info.get("drawn"):
        return tuple(np.array(polygon, float) - origin for polygon in drawn)
    corners = np.array([(top, left), (top, right), (bottom, right), (bottom, left)], float)
    return (corners - 0.5 - origin,)


def _image_of(viewer: Viewer, layer: Labels) -> Image | None:
    """Find the H&E image that labels are of: the one that they were made from, else the topmost of their size."""
    fits = [
        image
        for image in image_layers(viewer)
        if not layer_problem(image) and not is_large(image) and image_shape(image) == image_shape(layer)
    ]
    fits = [image for image in fits if image.rgb] or fits
    made = layer_info(layer).get("image")
    return next((image for image in fits if image.name == made), fits[0] if fits else None)


@dataclass(frozen=True, eq=False)
class ClassSource:
    """What tells the classes of nuclei.

    Attributes
    ----------
    texts : array-like of str
        Class of each nucleus.
    index : array-like of int or None
        The label of each; None where they are in the order of the nuclei.
    colours : mapping of str to list of int, optional
        The classes and their colours, where they are settled.
    colormap : object, optional
        What a layer of classes colours its labels with.
    """

    texts: Any
    index: Any | None = None
    colours: Mapping[str, Any] | None = None
    colormap: Any = None

    def classes(self, nuclei: MeasuredNuclei) -> Classes:
        """Find the classes of nuclei; for a worker, since there may be many."""
        texts = as_column(self.texts)
        if texts is None or texts.dtype.kind != "U" or not len(texts):
            return Classes.none(len(nuclei))
        if self.index is None:
            return Classes.named(texts, class_colours([{CLASS: texts}], self.colours))
        own = np.asarray(self.index)
        colours = {}
        for name in np.unique(texts[texts != ""]).tolist():
            red, green, blue = self.colormap.map(own[np.argmax(texts == name)])[:3]
            colours[name] = round(255 * float(red)), round(255 * float(green)), round(255 * float(blue))
        return Classes.named(taken(texts, rows_of(nuclei.labels, own)), colours)


def class_choices(nuclei: MeasuredNuclei, others: Sequence[Labels]) -> dict[str, str]:
    """List what can tell the classes of nuclei, the likeliest first.

    Returns
    -------
    dict of str to str
        Names for people, each with a column of the table, or the id of one of the `class_layers`.
    """
    columns = {f"Column “{name}”": name for name in sorted(nuclei.kinds, key=lambda name: name != CLASS)}
    layers = {other.name: str(other.unique_id) for other in others if {"index", CLASS} <= set(other.features)}
    return {**columns, **layers} if CLASS in nuclei.kinds else {**layers, **columns}


def class_source(layer: Labels, nuclei: MeasuredNuclei, others: Sequence[Labels], choice: str) -> ClassSource | None:
    """Return what tells the classes by one of the `class_choices`; None where nothing does."""
    for other in others:
        if str(other.unique_id) == choice and {"index", CLASS} <= set(other.features):
            return ClassSource(other.features[CLASS], other.features["index"], colormap=other.colormap)
    if choice not in nuclei.kinds:
        return None
    settled = layer_info(layer).get("classes") if choice == CLASS else None
    return ClassSource(nuclei.table[choice], colours=settled if isinstance(settled, dict) else None)


def class_layers(viewer: Viewer, layer: Labels) -> list[Labels]:
    """List the other layers of the same size that may know classes of labels, such as that of *Classify nuclei*."""
    from napari.layers import Labels

    return [
        other
        for other in reversed(viewer.layers)
        if isinstance(other, Labels)
        and other is not layer
        and view_kind(other) in (None, "classes")
        and image_shape(other) == image_shape(layer)
    ]


def write_nuclei(path: Path, table: Table, image: str, mpp: float | None) -> Job[Path]:
    """Write a table of nuclei as its suffix says, ``.csv`` or ``.parquet``; returns the path.

    Raises
    ------
    OutputError
        If it cannot be written.
    ExtraError
        If it is to be Parquet, and pyarrow is not installed.
    """
    yield from ()
    if path.suffix.lower() == ".parquet":
        from napari_nucleigan.segmentation.stores.parquet import write_table

        write_table(path, table, {"image": image, "mpp": mpp})
    else:
        write_csv(path, table)
    return path


def tell(nuclei: MeasuredNuclei, source: ClassSource | None, question: Question) -> Job[tuple[Classes, Statistics]]:
    """Find the classes of nuclei, and tell what is asked."""
    yield from ()
    classes = Classes.none(len(nuclei)) if source is None else source.classes(nuclei)
    return classes, statistics(nuclei, classes, question)
