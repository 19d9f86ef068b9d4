"""Points and their classes: tables and GeoJSON of them, and which nucleus each belongs to."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import LabelsError, listing
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.base.reading import LARGEST_TEXT, FileFault, read_bytes, read_json, reading
from napari_nucleigan.base.tables import delimiter_of
from napari_nucleigan.base.text import printable, same_name, uncell
from napari_nucleigan.labels.geojson import class_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR = 4.0
"""Microns from its centroid within which a nucleus gets a point that lies in no nucleus."""

COLUMNS = ("name", "x", "y", "type")
"""Columns of a table of points."""

_MOST_CLASSES = 32
_LONGEST = 100  # characters of a class


@dataclass(frozen=True, eq=False)
class Points:
    """Points of one image.

    Attributes
    ----------
    places : ndarray of float64, shape (n, 2)
        x and y in pixels; the corner of the first pixel is (0, 0).
    types : tuple of str
        Class of each.
    """

    places: NDArray[np.float64]
    types: tuple[str, ...]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.types)


def read_points(path: str | Path) -> dict[str, Points]:
    """Read points with their classes: a table (CSV), or GeoJSON as QuPath exports it.

    Parameters
    ----------
    path : str or Path
        A table with the columns ``name`` (of the image, with or without its suffix), ``x``, ``y`` (pixels) and
        ``type``; or GeoJSON whose points, and polygons by the middle of their corners, have a classification. That is
        of one image, the one with the name of the file.

    Returns
    -------
    dict of str to Points
        By name of the image.

    Raises
    ------
    LabelsError
        If the file cannot be read, a column is missing, or a row holds no numbers or no class.
    """
    path = Path(path)
    with reading(path, LabelsError, "table or GeoJSON of points with classes"):
        geojson = path.name.lower().endswith((".geojson", ".json", ".geojson.gz", ".json.gz"))
        found = _of_geojson(path) if geojson else _of_table(path)
        names = {each for points in found.values() for each in points.types}
        if not names:
            raise FileFault("it holds no points with a class")
        if len(names) > _MOST_CLASSES:
            raise FileFault(
                f"it has {len(names)} different types, more than the {_MOST_CLASSES} classes that there may be; "
                "is 'type' the right column?"
            )
    return found


def _of_table(path: Path) -> dict[str, Points]:
    text = read_bytes(path, LARGEST_TEXT).decode("utf-8-sig")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text), skipinitialspace=True)
    header = [each.strip().lower() for each in next(rows, [])]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise FileFault(
            f"it has no column {listing(map(repr, missing))}; a table of points has the columns {', '.join(COLUMNS)}"
        )
    where = [header.index(name) for name in COLUMNS]
    places: dict[str, list[tuple[float, float]]] = {}
    types: dict[str, list[str]] = {}
    for number, row in enumerate(rows, start=2):
        if not any(each.strip() for each in row):
            continue
        if len(row) <= max(where):
            raise FileFault(f"row {number} has {len(row)} cells, and its header {len(header)}")
        name, x, y, kind = (uncell(row[place].strip()) for place in where)
        if not name:
            raise FileFault(f"row {number} names no image")
        key = same_name(name)
        places.setdefault(key, []).append((_number(x, "x", number), _number(y, "y", number)))
        types.setdefault(key, []).append(_class(kind, f"row {number}"))
    return {name: Points(np.array(places[name]), tuple(types[name])) for name in places}


def _number(text: str, name: str, row: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FileFault(f"{name} of row {row} is {printable(text, 40)!r}, which is no finite number")
    return value


def _class(text: str, where: str) -> str:
    name = same_name(text).strip()
    if not name:
        raise FileFault(f"{where} has no type")
    if len(name) > _LONGEST:
        raise FileFault(f"{where} has a type of {len(name)} characters; {_LONGEST} are the most")
    return name


def _of_geojson(path: Path) -> dict[str, Points]:
    content = read_json(path)
    features = content.get("features", [content]) if isinstance(content, dict) else content
    places: list[tuple[float, float]] = []
    types: list[str] = []
    for number, feature in enumerate(features, start=1):
        properties = feature.get("properties") or {}
        kind = class_of(properties)
        geometry = feature.get("nucleusGeometry") or feature.get("geometry") or {}
        if not kind:
            continue
        for x, y in _middles(geometry):
            if not (math.isfinite(x) and math.isfinite(y)):
                raise FileFault(f"a place of feature {number} is no finite number")
            places.append((x, y))
            types.append(_class(kind, f"feature {number}"))
    name = path.name
    for suffix in (".gz", ".geojson", ".json"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return {same_name(name): Points(np.array(places).reshape(-1, 2), tuple(types))}


def _middles(geometry: dict[str, Any]) -> list[tuple[float, float]]:
    kind, coordinates = geometry.get("type"), geometry.get("coordinates", [])
    if kind == "Point":
        return [(float(coordinates[0]), float(coordinates[1]))]
    if kind == "MultiPoint":
        return [(float(x), float(y)) for x, y, *_ in coordinates]
    if kind in ("Polygon", "MultiPolygon"):
        rings = [coordinates[0]] if kind == "Polygon" else [polygon[0] for polygon in coordinates]
        means = [np.mean([corner[:2] for corner in ring[:-1] or ring], axis=0) for ring in rings]
        return [(float(x), float(y)) for x, y in means]
    return []


@dataclass(frozen=True)
class Assignment:
    """Which class the nuclei of an image get from points.

    Attributes
    ----------
    types : tuple of str
        Class of each nucleus; ``""`` for none.
    outside : int
        Points that lie outside of the image.
    missed : int
        Points in the image with no nucleus in them or near.
    disputed : int
        Nuclei with points of different classes, which get none.
    """

    types: tuple[str, ...]
    outside: int = 0
    missed: int = 0
    disputed: int = 0

    def note(self, name: str) -> str:
        """Say what was left out; empty where nothing was."""
        parts = [
            f"{count} {what}"
            for count, what in (
                (self.outside, "points lie outside of it"),
                (self.missed, "points have no nucleus in them or near"),
                (self.disputed, "nuclei hold points of different types"),
            )
            if count
        ]
        return f"{name}: {' and '.join(parts)}; these were left out." if parts else ""


def assign(points: Points, labels: NDArray[np.integer[Any]], mpp: float) -> Assignment:
    """Give nuclei the classes of points.

    A nucleus gets the class of the points that lie in it. A point that lies in no nucleus goes to the one whose
    centroid is nearest, if it is at most `NEAR` microns away and no point lies in it.

    Parameters
    ----------
    points : Points
        Points.
    labels : ndarray of int, shape (H, W)
        Nuclei 1, 2, ... without gaps.
    mpp : float
        Microns per pixel.

    Returns
    -------
    Assignment
    """
    count = int(labels.max(initial=0))
    shape = np.array(labels.shape)
    places = points.places[:, ::-1]
    inside = ((places >= 0) & (places < shape)).all(axis=1)
    rows, columns = np.floor(places[inside]).astype(np.intp).T
    kinds = np.array(points.types, dtype=object)[inside]
    hit = labels[rows, columns]
    claims: list[Counter[str]] = [Counter() for _ in range(count)]
    for number, kind in zip(hit.tolist(), kinds, strict=True):
        if number:
            claims[number - 1][kind] += 1
    missed = 0
    astray = np.flatnonzero(hit == 0)
    if len(astray) and count:
        from scipy.spatial import cKDTree

        scale = np.array(sides(mpp))
        distance, near = cKDTree((_centroids(labels, count) + 0.5) * scale).query(places[inside][astray] * scale)
        taken = np.array([bool(claim) for claim in claims])
        for point, far, number in zip(astray.tolist(), distance.tolist(), near.tolist(), strict=True):
            if far <= NEAR and not taken[number]:
                claims[number][kinds[point]] += 1
            else:
                missed += far > NEAR
    else:
        missed = len(astray)
    types = tuple(next(iter(claim)) if len(claim) == 1 else "" for claim in claims)
    return Assignment(types, int((~inside).sum()), int(missed), sum(len(claim) > 1 for claim in claims))


def _centroids(labels: NDArray[np.integer[Any]], count: int) -> NDArray[np.float64]:
    rows, columns = np.nonzero(labels)
    own = labels[rows, columns] - 1
    area = np.maximum(np.bincount(own, minlength=count), 1)
    return np.stack([np.bincount(own, at, count) / area for at in (rows, columns)], axis=1)
