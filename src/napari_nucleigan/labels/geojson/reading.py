"""GeoJSON of areas and points, as QuPath exports them, and of areas as labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.reading import FileFault, check_memory, read_json, reading
from napari_nucleigan.base.text import printable
from napari_nucleigan.labels.geojson.parts import part_files
from napari_nucleigan.labels.outlines import draw

Rings = list[npt.NDArray[np.float64]]
"""Corners (x, y) of an outer ring and of its holes."""

_EXPECTED = "GeoJSON of polygons"
_GEOMETRIES = {
    **dict.fromkeys(("Point", "MultiPoint"), "points"),
    **dict.fromkeys(("LineString", "MultiLineString"), "lines"),
    **dict.fromkeys(("Polygon", "MultiPolygon", "GeometryCollection"), ""),
}
"""GeoJSON's geometries; what those are called that have no area."""

_NUCLEI = ("detection", "cell")
"""QuPath's types of objects that a program found."""

_AROUND = ("annotation", "tma_core", "root", "tile")
"""Its types of objects that, beside those, are where the program looked."""

_FAR = 1e10  # pixels


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
    classes : list of str
        The class of each, as QuPath's ``classification`` names it; empty where it has none.
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
    classes: list[str]
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


def read_annotations(path: str | Path, *, nuclei_only: bool = False) -> Annotations:
    """Read the areas of a GeoJSON file: polygons, in collections too. QuPath cells count as their nuclei.

    Parameters
    ----------
    path : str or Path
        A FeatureCollection, a list of features, one feature or one geometry, in pixels. It is unpacked if its name
        ends in ``.gz``.
    nuclei_only : bool
        Whether to leave out, where QuPath exported all of its objects, those that hold the detections and cells:
        annotations and cores of tissue microarrays.

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
        classes: list[str] = []
        nuclei: list[list[Rings]] = []
        features = _features(content)
        around = 0
        if nuclei_only and any(_type(feature) in _NUCLEI for feature in features):
            around = sum(_type(feature) in _AROUND for feature in features)
            features = [feature for feature in features if _type(feature) not in _AROUND]
        for feature in features:
            polygons = list(_polygons(feature.get("nucleusGeometry") or feature.get("geometry"), left))
            if polygons:
                nuclei.append(polygons)
                properties = feature.get("properties") or {}
                named.append(properties.get("name", ""))
                classes.append(class_of(properties))
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
    notes: tuple[str, ...] = (f"What is no area was left out of {printable(path.name)}: {said}.",) if left else ()
    if around:
        notes += (f"Annotations and cores around the detections ({around}) were left out of {printable(path.name)}.",)
    if rest := [printable(part.name) for part in part_files(path)[1:]]:
        notes += (f"{printable(path.name)} holds the first of the nuclei; the others are in {', '.join(rest)}.",)
    return Annotations(path, nuclei, _labels(named), classes, shape, mpp or None, notes)


@dataclass(frozen=True, eq=False)
class Points:
    """The points that a GeoJSON file holds.

    Attributes
    ----------
    places : ndarray of float64, shape (n, 2)
        Each point, (x, y) in pixels with (0, 0) at the corner of the first pixel.
    classes : list of str
        The class of each; empty where it has none.
    """

    places: npt.NDArray[np.float64]
    classes: list[str]


def read_points(path: str | Path) -> Points:
    """Read the points of a GeoJSON file, as QuPath's points tool makes them; what is no point is passed over.

    Parameters
    ----------
    path : str or Path
        As for `read_annotations`.

    Returns
    -------
    Points

    Raises
    ------
    LabelsError
        If the file is missing or damaged, or holds no point.
    """
    path = Path(path)
    with reading(path, LabelsError, "GeoJSON of points"):
        places: list[list[float]] = []
        classes: list[str] = []
        for feature in _features(read_json(path)):
            geometry = feature.get("geometry") or {}
            if geometry.get("type") not in ("Point", "MultiPoint"):
                continue
            found = geometry["coordinates"] if geometry["type"] == "MultiPoint" else [geometry["coordinates"]]
            places += [[float(point[0]), float(point[1])] for point in found]
            classes += [class_of(feature.get("properties") or {})] * len(found)
        if not places:
            raise FileFault("it holds no points")
        array = np.array(places, dtype=np.float64)
        if not (np.abs(array) < _FAR).all():
            raise FileFault("a point is not finite or absurdly far away")
    return Points(array, classes)


def read_mpp(path: str | Path) -> float | None:
    """Microns per pixel that `write_geojson` kept in a file; None where there are none, or it is no such file."""
    try:
        return read_annotations(path).mpp
    except LabelsError:
        return None


def class_of(properties: dict[str, Any]) -> str:
    """Return the class of a feature as QuPath writes it; derived ones, which have several names, as it shows them."""
    given = properties.get("classification")
    if isinstance(given, str):
        return given
    if not isinstance(given, dict):
        return ""
    names = given["names"] if given.get("name") is None and given.get("names") else [given.get("name") or ""]
    return ": ".join(map(str, names))


def _type(feature: dict[str, Any]) -> str:
    """Return what QuPath says that an object is; before version 0.4 it said so under another name."""
    properties = feature.get("properties") or {}
    return str(properties.get("objectType") or properties.get("object_type") or "")


def _features(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content["features"]
    if not isinstance(content, dict | list):
        raise ValueError("it lists no features")
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
