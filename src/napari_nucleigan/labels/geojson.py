"""Label images as GeoJSON that QuPath opens, and back.

Coordinates are pixels, x to the right and y downwards, with (0, 0) at the corner of the first
pixel, as QuPath has them; GeoJSON's own longitudes and latitudes do not apply.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.files import atomic_write, write_text
from napari_nucleigan.labels.outlines import Polygon, draw, outlines
from napari_nucleigan.labels.regions import check_labels

_DAMAGES = (ValueError, TypeError, KeyError, AttributeError, EOFError, zlib.error, RecursionError, MemoryError)

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

    A pixel belongs to a polygon that contains its centre; where polygons overlap, the later one
    wins. What lies outside the image is cut off. QuPath cells are drawn as their nuclei. Labels
    are the features' names where all of them are different positive integers, else 1, 2, 3... in
    the order of the file.

    Parameters
    ----------
    path : str or Path
        A FeatureCollection, a list of features or one feature, in pixels.
    shape : (int, int), optional
        Height and width of the image; as the file says if not given, else as far as the polygons
        reach.

    Returns
    -------
    ndarray of int32, shape `shape`

    Raises
    ------
    LabelsError
        If the file is missing or damaged, or holds something else than polygons.
    """
    path = Path(path)
    polygons, labels, known = _read(path)
    try:
        canvas = np.zeros(shape or known or _extent(polygons), dtype=np.int32)
    except (ValueError, MemoryError) as error:
        raise _damaged(path, error) from error
    values = np.repeat(labels, [len(parts) for parts in polygons])
    draw(canvas, list(chain.from_iterable(polygons)), values.tolist())
    return canvas


def read_polygons(path: str | Path) -> tuple[list[list[list[npt.NDArray[np.float64]]]], list[int]]:
    """Read the polygons that `read_geojson` draws.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    nuclei : list of lists of lists of ndarray of float, shape (n, 2)
        The polygons of each feature; a polygon is an outer ring of corners (x, y) and its holes.
    labels : list of int
        The number of each.

    Raises
    ------
    LabelsError
        If the file is missing or damaged, or holds something else than polygons.
    """
    return _read(Path(path))[:2]


def read_mpp(path: str | Path) -> float | None:
    """Microns per pixel that `write_geojson` kept in a file; None where there are none."""
    try:
        mpp = json.loads(Path(path).read_text(encoding="utf-8"))["nucleigan"]["mpp"]
        return float(mpp) if mpp else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _read(
    path: Path,
) -> tuple[list[list[list[npt.NDArray[np.float64]]]], list[int], tuple[int, int] | None]:
    """Polygons, labels, and height and width where the file says them."""
    try:
        stored = path.read_bytes()
        content = json.loads(gzip.decompress(stored) if path.suffix == ".gz" else stored)
        found = _features(content)
        polygons = [list(_polygons(feature)) for feature in found]
        known = content.get("nucleigan") if isinstance(content, dict) else None
        shape = (int(known["height"]), int(known["width"])) if known else None
    except OSError as error:
        raise LabelsError(f"Cannot read {path}: {(error.strerror or str(error)).lower()}.") from error
    except _DAMAGES as error:
        raise _damaged(path, error) from error
    return polygons, _labels(found), shape


def _damaged(path: Path, error: Exception) -> LabelsError:
    return LabelsError(f"Cannot read {path}: it is damaged, or no GeoJSON of polygons ({error}).")


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
    if isinstance(content, dict):
        content = content["features"] if content.get("type") == "FeatureCollection" else [content]
    for feature in content:
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise ValueError("a member is no Feature")
    return list(content)


def _polygons(feature: dict[str, Any]) -> Iterator[list[npt.NDArray[np.float64]]]:
    geometry = feature.get("nucleusGeometry") or feature["geometry"]
    kind, coordinates = geometry["type"], geometry["coordinates"]
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"a feature is a {kind}")
    for rings in [coordinates] if kind == "Polygon" else coordinates:
        corners = [np.array([point[:2] for point in ring], dtype=np.float64) for ring in rings]
        if not corners or any(ring.shape[1:] != (2,) or len(ring) < 3 for ring in corners):
            raise ValueError("a polygon has fewer than 3 corners")
        if not all(np.isfinite(ring).all() for ring in corners):
            raise ValueError("a corner is not finite")
        yield corners


def _labels(features: list[dict[str, Any]]) -> list[int]:
    names = [str((feature.get("properties") or {}).get("name", "")) for feature in features]
    if len(set(names)) == len(names) and all(name.isdecimal() for name in names):
        numbers = [int(name) for name in names]
        if all(0 < number <= np.iinfo(np.int32).max for number in numbers):
            return numbers
    return list(range(1, len(features) + 1))


def _extent(polygons: list[list[list[npt.NDArray[np.float64]]]]) -> tuple[int, int]:
    corners = [ring.max(axis=0) for parts in polygons for rings in parts for ring in rings]
    if not corners:
        return 1, 1
    width, height = np.ceil(np.max(corners, axis=0)).astype(int).clip(1)
    return int(height), int(width)
