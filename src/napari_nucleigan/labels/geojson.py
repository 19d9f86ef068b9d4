"""Label images as GeoJSON that QuPath opens, and back.

Coordinates are pixels, x to the right and y downwards, with (0, 0) at the corner of the first
pixel, as QuPath has them; GeoJSON's own longitudes and latitudes do not apply.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.files import atomic_write, write_text
from napari_nucleigan.base.reading import FileFault, check_memory, read_json, reading
from napari_nucleigan.base.text import printable
from napari_nucleigan.labels.outlines import Polygon, draw, outlines
from napari_nucleigan.labels.regions import check_labels

Rings = list[npt.NDArray[np.float64]]
"""Corners (x, y) of an outer ring and of its holes."""

_EXPECTED = "GeoJSON of polygons"
_GEOMETRIES = {
    **dict.fromkeys(("Point", "MultiPoint"), "points"),
    **dict.fromkeys(("LineString", "MultiLineString"), "lines"),
    **dict.fromkeys(("Polygon", "MultiPolygon", "GeometryCollection"), ""),
}
"""GeoJSON's geometries; what those are called that have no area."""

_FAR = 1e10  # pixels

CLASSIFICATION = {"name": "Nucleus", "color": [80, 40, 160]}
"""Class of the nuclei in QuPath, with its colour in red, green and blue."""


def labels_to_geojson(
    labels: npt.NDArray[Any],
    features: Mapping[str, npt.NDArray[Any]] | None = None,
    mpp: float | None = None,
) -> dict[str, Any]:
    """Describe every nucleus as a polygon along the edges of its pixels.

    Filling the polygons gives back the same labels exactly. Outer rings run counterclockwise and
    holes clockwise in (x, y), as RFC 7946 asks. A nucleus in several parts is a MultiPolygon.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        0 is background.
    features : mapping of str to ndarray of shape (n,), optional
        Table with a column ``label``, as `napari_nucleigan.labels.features.measure` makes it; its other
        columns become QuPath measurements.
    mpp : float, optional
        Microns per pixel, kept beside the size of the image under ``"nucleigan"``.

    Returns
    -------
    dict
        A GeoJSON FeatureCollection. Each feature is a QuPath detection named by its label.

    Raises
    ------
    LabelsError
        If the array is no label image.
    """
    labels = check_labels(labels)
    return {
        "type": "FeatureCollection",
        "nucleigan": {"height": labels.shape[0], "width": labels.shape[1], "mpp": mpp},
        "features": list(_described(labels, features or {})),
    }


def _described(
    labels: npt.NDArray[Any],
    features: Mapping[str, npt.NDArray[Any]],
    origin: tuple[int, int] = (0, 0),
    factors: tuple[float, float] = (1.0, 1.0),
) -> Iterator[dict[str, Any]]:
    """Describe the nuclei of a part whose first pixel is at `origin`; a pixel of it is `factors` long in the file."""
    measurements = _measurements(features)
    for label, polygons in outlines(labels).items():
        placed = polygons if origin == (0, 0) and factors == (1.0, 1.0) else _placed(polygons, origin, factors)
        yield {
            "type": "Feature",
            "geometry": _geometry(placed),
            "properties": {
                "objectType": "detection",
                "name": str(label),
                "classification": CLASSIFICATION,
                "measurements": measurements.get(label, {}),
            },
        }


def _placed(polygons: list[Polygon], origin: tuple[int, int], factors: tuple[float, float]) -> list[Polygon]:
    whole = factors == (1.0, 1.0)

    def place(ring: list[list[int]]) -> list[list[Any]]:
        corners = (np.array(ring) + origin[::-1]) * (1 if whole else factors[::-1])
        return (corners if whole else corners.round(2)).tolist()  # type: ignore[no-any-return]

    return [[place(ring) for ring in polygon] for polygon in polygons]


def write_geojson(
    path: str | Path,
    labels: npt.NDArray[Any],
    features: Mapping[str, npt.NDArray[Any]] | None = None,
    mpp: float | None = None,
) -> None:
    """Write `labels_to_geojson` to a file, whole or not at all.

    Raises
    ------
    LabelsError
        If the array is no label image.
    OutputError
        If the file cannot be written.
    """
    collection = labels_to_geojson(labels, features, mpp)
    write_text(path, _compact(collection) + "\n")


class GeoJSONPart(NamedTuple):
    """The nuclei of a part of an image.

    Attributes
    ----------
    labels : ndarray of integers, shape (h, w)
        0 is background.
    features : mapping of str to ndarray, shape (n,)
        As for `labels_to_geojson`.
    origin : (int, int)
        Row and column of its first pixel, in such pixels.
    """

    labels: npt.NDArray[Any]
    features: Mapping[str, npt.NDArray[Any]]
    origin: tuple[int, int]


def write_geojson_parts(
    path: str | Path,
    parts: Iterable[GeoJSONPart],
    shape: tuple[int, int],
    mpp: float | None = None,
    factors: tuple[float, float] = (1.0, 1.0),
) -> None:
    """Write the nuclei of an image part by part, of which only one is held at a time; whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file; it is compressed if its name ends in ``.gz``.
    parts : iterable of GeoJSONPart
        Each nucleus in one of them.
    shape : (int, int)
        Height and width of the image in pixels.
    mpp : float, optional
        Microns per pixel of the image.
    factors : (float, float)
        Pixels of the image that a pixel of the parts is high and wide.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    head = {"height": shape[0], "width": shape[1], "mpp": mpp}
    with atomic_write(path) as temporary, _text_file(temporary) as handle:
        handle.write('{"type":"FeatureCollection","nucleigan":' + _compact(head) + ',"features":[')
        comma = ""
        for part in parts:
            for feature in _described(part.labels, part.features, part.origin, factors):
                handle.write(comma + "\n" + _compact(feature))
                comma = ","
        handle.write("\n]}\n")


def _text_file(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return cast("TextIO", gzip.open(path, "wt", compresslevel=4, encoding="utf-8"))
    return path.open("w", encoding="utf-8")


def _compact(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def read_geojson(path: str | Path, shape: tuple[int, int] | None = None) -> npt.NDArray[np.int32]:
    """Draw the polygons of a GeoJSON file as labels.

    It is `read_annotations` and `Annotations.draw`; takes, returns and raises what they do.
    """
    return read_annotations(path).draw(shape)


@dataclass(frozen=True, eq=False)
class Annotations:
    """The areas that a GeoJSON file holds.

    Attributes
    ----------
    path : Path
        The file.
    nuclei : list of lists of lists of ndarray of float, shape (n, 2)
        The polygons of each feature; a polygon is an outer ring of corners (x, y) and its holes.
    labels : list of int
        The number of each: the features' names where all of them are different positive integers, else 1, 2, 3... in
        the order of the file.
    shape : (int, int) or None
        Height and width of the image, where the file says them.
    mpp : float or None
        Microns per pixel, where `write_geojson` kept them.
    notes : tuple of str
        What was left out, one sentence each.
    """

    path: Path
    nuclei: list[list[Rings]]
    labels: list[int]
    shape: tuple[int, int] | None = None
    mpp: float | None = None
    notes: tuple[str, ...] = ()

    def draw(self, shape: tuple[int, int] | None = None) -> npt.NDArray[np.int32]:
        """Draw the areas as labels.

        A pixel belongs to a polygon that contains its centre; where polygons overlap, the later one wins. What lies
        outside the image is cut off.

        Parameters
        ----------
        shape : (int, int), optional
            Height and width of the image; as the file says if not given, else as far as the polygons reach.

        Returns
        -------
        ndarray of int32, shape `shape`

        Raises
        ------
        LabelsError
            If that would take too much memory or time.
        """
        with reading(self.path, LabelsError, _EXPECTED):
            height, width = shape or self.shape or _extent(self.nuclei)
            check_memory(float(height) * width * np.dtype(np.int32).itemsize)
            canvas = np.zeros((height, width), dtype=np.int32)
            values = np.repeat(self.labels, [len(parts) for parts in self.nuclei])
            draw(canvas, list(chain.from_iterable(self.nuclei)), values.tolist())
        return canvas


def read_annotations(path: str | Path) -> Annotations:
    """Read the areas of a GeoJSON file: polygons, in collections too. QuPath cells count as their nuclei.

    Parameters
    ----------
    path : str or Path
        A FeatureCollection, a list of features, one feature or one geometry, in pixels. It is unpacked if its name
        ends in ``.gz``.

    Returns
    -------
    Annotations
        Points and lines, and polygons of less than three corners, are left out; its notes say so.

    Raises
    ------
    LabelsError
        If the file is missing or damaged, or holds no area but other things.
    """
    path = Path(path)
    with reading(path, LabelsError, _EXPECTED):
        content = read_json(path)
        left: Counter[str] = Counter()
        named: list[object] = []
        nuclei: list[list[Rings]] = []
        for feature in _features(content):
            polygons = list(_polygons(feature.get("nucleusGeometry") or feature.get("geometry"), left))
            if polygons:
                nuclei.append(polygons)
                named.append((feature.get("properties") or {}).get("name", ""))
        said = ", ".join(f"{what} ({count})" for what, count in left.items())
        if left and not nuclei:
            raise FileFault(f"it holds no polygons, but {said}")
        known = content.get("nucleigan") if isinstance(content, dict) else None
        shape = (int(known["height"]), int(known["width"])) if known else None
        if shape is not None and min(shape) < 1:
            raise FileFault(f"it says that its image has a height and width of {shape}")
        mpp = float(known.get("mpp") or 0) if known else 0.0
        if not 0 <= mpp < math.inf:
            raise FileFault(f"it says that a pixel is {mpp} microns long")
    notes = (f"What is no area was left out of {printable(path.name)}: {said}.",) if left else ()
    return Annotations(path, nuclei, _labels(named), shape, mpp or None, notes)


def read_mpp(path: str | Path) -> float | None:
    """Microns per pixel that `write_geojson` kept in a file; None where there are none, or it is no such file."""
    try:
        return read_annotations(path).mpp
    except LabelsError:
        return None


def _geometry(polygons: list[Polygon]) -> dict[str, Any]:
    coordinates = [[[*ring, ring[0]] for ring in polygon] for polygon in polygons]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}


def _measurements(features: Mapping[str, npt.NDArray[Any]]) -> dict[int, dict[str, float]]:
    """Rows of a table by label; numbers that JSON cannot hold are left out."""
    columns = {name: np.asarray(v).tolist() for name, v in features.items() if name != "label"}
    return {
        int(label): {name: values[row] for name, values in columns.items() if math.isfinite(values[row])}
        for row, label in enumerate(features.get("label", ()))
    }


def _features(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content["features"]
    members = [
        {"geometry": member} if isinstance(member, dict) and member.get("type") in _GEOMETRIES else member
        for member in ([content] if isinstance(content, dict) else content)
    ]
    if not all(isinstance(member, dict) and ("geometry" in member) for member in members):
        raise ValueError("a member is no Feature")
    return members


def _polygons(geometry: Any, left: Counter[str]) -> Iterator[Rings]:
    """List the polygons of a geometry, and count what is none."""
    kind = geometry["type"] if geometry else None
    if kind == "GeometryCollection":
        for member in geometry["geometries"]:
            yield from _polygons(member, left)
        return
    if kind not in ("Polygon", "MultiPolygon"):
        if geometry and kind not in _GEOMETRIES:
            raise ValueError(f"a geometry is of the type {kind!r}")
        left[_GEOMETRIES.get(kind or "", "features without a place")] += 1
        return
    for rings in [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]:
        corners = [np.array([point[:2] for point in ring], dtype=np.float64) for ring in rings]
        # A hole of no area is no hole.
        whole = [ring for number, ring in enumerate(corners) if not number or len(ring) > 2]
        if not whole or len(whole[0]) < 3:
            left["polygons of fewer than 3 corners"] += 1
            continue
        for ring in whole:
            if ring.shape[1:] != (2,):
                raise ValueError("a corner is no pair of numbers")
            if not (np.abs(ring) < _FAR).all():
                raise FileFault("a corner is not finite or absurdly far away")
        yield whole


def _labels(named: list[object]) -> list[int]:
    names = [str(name) for name in named]
    # Longer ones are no labels, and take for ever to be turned into numbers.
    if len(set(names)) == len(names) and all(name.isdecimal() and len(name) <= 10 for name in names):
        numbers = [int(name) for name in names]
        if all(0 < number <= np.iinfo(np.int32).max for number in numbers):
            return numbers
    return list(range(1, len(named) + 1))


def _extent(nuclei: list[list[Rings]]) -> tuple[int, int]:
    corners = [ring.max(axis=0) for parts in nuclei for rings in parts for ring in rings]
    if not corners:
        return 1, 1
    width, height = np.ceil(np.max(corners, axis=0)).astype(int).clip(1)
    return int(height), int(width)
