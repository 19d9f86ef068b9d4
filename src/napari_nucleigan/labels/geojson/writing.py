"""Label images as GeoJSON that QuPath opens."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.labels.classes import CLASS, Colour, class_colours
from napari_nucleigan.labels.outlines import Polygon, outlines
from napari_nucleigan.labels.regions import check_labels
from napari_nucleigan.labels.tracing import trace

CLASSIFICATION = {"name": "Nucleus", "color": [80, 40, 160]}
"""Class of the nuclei in QuPath, with its colour in red, green and blue."""

_COMPACT = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def labels_to_geojson(
    labels: npt.NDArray[Any],
    features: Mapping[str, npt.NDArray[Any]] | None = None,
    mpp: float | None = None,
    colours: Mapping[str, Colour] | None = None,
) -> dict[str, Any]:
    """Describe every nucleus as a polygon along the edges of its pixels.

    Filling the polygons gives back the same labels exactly. Outer rings run counterclockwise and
    holes clockwise in (x, y), as RFC 7946 asks. A nucleus in several parts is a MultiPolygon.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        0 is background.
    features : mapping of str to ndarray of shape (n,), optional
        Table with a column ``label``, as `napari_nucleigan.labels.features.measure` makes it; its other columns of
        numbers become QuPath measurements, ``class`` its classification, and other texts its metadata.
    mpp : float, optional
        Microns per pixel, kept beside the size of the image under ``"nucleigan"``.
    colours : mapping of str to (int, int, int), optional
        Colours of the classes; by default those of `napari_nucleigan.labels.classes.class_colours`.

    Returns
    -------
    dict
        A GeoJSON FeatureCollection. Each feature is a QuPath detection named by its label.

    Raises
    ------
    LabelsError
        If the array is no label image.
    """
    labels, features = check_labels(labels), features or {}
    return {
        "type": "FeatureCollection",
        "nucleigan": {"height": labels.shape[0], "width": labels.shape[1], "mpp": mpp},
        "features": list(described(labels, features, class_colours([features]) if colours is None else colours)),
    }


def described(
    labels: npt.NDArray[Any], features: Mapping[str, npt.NDArray[Any]], colours: Mapping[str, Colour]
) -> Iterator[dict[str, Any]]:
    """Describe the nuclei of an image, ascending."""
    properties = _properties(features, colours)
    for label, polygons in outlines(labels).items():
        yield {"type": "Feature", "geometry": _geometry(polygons), "properties": properties(label)}


def lines(
    labels: npt.NDArray[Any],
    features: Mapping[str, npt.NDArray[Any]],
    colours: Mapping[str, Colour],
    origin: tuple[int, int] = (0, 0),
    factors: tuple[float, float] = (1.0, 1.0),
) -> list[bytes]:
    """Write the features that `described` describes, each as a line of JSON, without making lists of their corners.

    Those of a million nuclei take longer to make, and to look through for garbage, than all else.

    Parameters
    ----------
    labels, features, colours
        As for `described`; of a part of an image.
    origin : (int, int)
        Row and column of its first pixel, in such pixels.
    factors : (float, float)
        Pixels of the image that a pixel of the part is high and wide.
    """
    properties = _properties(features, colours)
    found = trace(labels)
    corners = found.points + origin[::-1]
    if factors != (1.0, 1.0):
        corners = (corners * factors[::-1]).round(2)
    words = [f"{x},{y}" for x, y in zip(*corners.T.tolist(), strict=True)]
    rings = [
        f"[[{'],['.join(words[first:after])}],[{words[first]}]]" for first, after in pairwise([0, *found.ends.tolist()])
    ]
    written = (
        f'"geometry":{_geometry_text(polygons, rings)},"properties":{compact(properties(label))}'
        for label, polygons in found.polygons().items()
    )
    return [f'{{"type":"Feature",{text}}}'.encode() for text in written]


def _properties(
    features: Mapping[str, npt.NDArray[Any]], colours: Mapping[str, Colour]
) -> Callable[[int], dict[str, Any]]:
    """Return what tells the properties of a nucleus by its label."""
    measurements, texts = _measurements(features), _texts(features)
    classes = dict(zip(np.asarray(features.get("label", ())).tolist(), _classes(features, colours), strict=False))

    def of(label: int) -> dict[str, Any]:
        return {
            "objectType": "detection",
            "name": str(label),
            "classification": classes.get(label, CLASSIFICATION),
            "measurements": measurements.get(label, {}),
            **({"metadata": texts[label]} if label in texts else {}),
        }

    return of


def write_geojson(
    path: str | Path,
    labels: npt.NDArray[Any],
    features: Mapping[str, npt.NDArray[Any]] | None = None,
    mpp: float | None = None,
    colours: Mapping[str, Colour] | None = None,
) -> None:
    """Write `labels_to_geojson` to a file, whole or not at all; it is compressed if its name ends in ``.gz``.

    Raises
    ------
    LabelsError
        If the array is no label image.
    OutputError
        If the file cannot be written.
    """
    collection = labels_to_geojson(labels, features, mpp, colours)
    with atomic_write(path) as temporary, binary(temporary) as file:
        file.write(f"{compact(collection)}\n".encode())


def binary(path: Path) -> BinaryIO:
    """Open a file to write bytes to, which are compressed if its name ends in ``.gz``."""
    return cast("BinaryIO", gzip.open(path, "wb", compresslevel=4)) if path.suffix.lower() == ".gz" else path.open("wb")


def compact(value: object) -> str:
    """Write JSON without spaces."""
    return _COMPACT.encode(value)


def _geometry(polygons: list[Polygon]) -> dict[str, Any]:
    coordinates = [[[*ring, ring[0]] for ring in polygon] for polygon in polygons]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}


def _geometry_text(polygons: list[list[int]], rings: list[str]) -> str:
    """Write a geometry of polygons, of which the numbers of their rings are given."""
    coordinates = [f"[{','.join([rings[ring] for ring in polygon])}]" for polygon in polygons]
    if len(coordinates) == 1:
        return f'{{"type":"Polygon","coordinates":{coordinates[0]}}}'
    return f'{{"type":"MultiPolygon","coordinates":[{",".join(coordinates)}]}}'


def _measurements(features: Mapping[str, npt.NDArray[Any]]) -> dict[int, dict[str, float]]:
    """Rows of a table by label; numbers that JSON cannot hold are left out."""
    arrays = {name: np.asarray(values) for name, values in features.items() if name != "label"}
    columns = {name: values.tolist() for name, values in arrays.items() if values.dtype.kind in "iufb"}
    return {
        int(label): {name: values[row] for name, values in columns.items() if math.isfinite(values[row])}
        for row, label in enumerate(features.get("label", ()))
    }


def _texts(features: Mapping[str, npt.NDArray[Any]]) -> dict[int, dict[str, str]]:
    """Texts of the rows of a table by label, beside the class; empty ones are left out."""
    found: dict[int, dict[str, str]] = {}
    for name, column in features.items():
        values = np.asarray(column)
        if name != CLASS and values.dtype.kind == "U":
            for row in np.flatnonzero(values != "").tolist():
                found.setdefault(int(features["label"][row]), {})[name] = str(values[row])
    return found


def _classes(features: Mapping[str, npt.NDArray[Any]], colours: Mapping[str, Colour]) -> list[dict[str, Any]]:
    """Classify the rows of a table as QuPath does."""
    known = {name: {"name": name, "color": list(colour)} for name, colour in colours.items()}
    names = np.asarray(features.get(CLASS, ()), dtype=str).tolist()
    return [known.get(name) or ({"name": name} if name else CLASSIFICATION) for name in names]
