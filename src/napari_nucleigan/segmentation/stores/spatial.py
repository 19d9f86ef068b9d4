"""SpatialData: image, labels, outlines and table of nuclei in one store of Zarr, in one coordinate system.

The layout is that of SpatialData's files, version 0.2 of the container with elements of the versions below
(spatialdata.scverse.org, "Design document"); spatialdata itself writes images and labels only as a whole, and asks for
other versions of dask and pandas than napari may have. The coordinate system ``global`` is in microns from the middle
of the image's first pixel, as are centroids in tables.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.files import atomic_folder
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.base.reading import FileFault, read_json
from napari_nucleigan.base.version import __version__
from napari_nucleigan.labels.tracing import trace
from napari_nucleigan.segmentation.stores.annotated import ZarrGroup, fill

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.labels.geojson import GeoJSONPart
    from napari_nucleigan.segmentation.stores.nuclei import Nuclei, Table

IMAGE, LABELS, SHAPES, TABLE = "image", "nuclei_labels", "nuclei", "table"
"""Names of the elements."""

_CONTAINER, _RASTER, _SHAPES, _TABLES = "0.2", "0.3", "0.3", "0.2"
_NGFF = "0.5-dev-spatialdata"
_PICTURE = 4096  # pixels of the longer side of the image that is kept; the image itself stays where it is
_CHUNK = 1024
_OWN = {"images", "labels", "shapes", "tables", "zarr.json", ".DS_Store"}
_SHARES = (0.1, 0.5)  # of the time, after the image, and after the labels


def write_spatialdata(path: Path, nuclei: Nuclei) -> Iterator[float]:
    """Write a SpatialData store; yields which share is written.

    Parameters
    ----------
    path : Path
        The folder.
    nuclei : Nuclei
        What to write: the image, of slides in the size that a screen shows; the labels as a pyramid; the outlines as
        polygons; and the table, which annotates the outlines.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    import zarr

    with atomic_folder(path, is_own_spatialdata) as folder:
        about = {"version": __version__, "image": nuclei.name, "mpp": float(nuclei.mpp)}
        root = zarr.open_group(folder, mode="w", zarr_format=3)
        root.attrs.update(
            {
                "spatialdata_attrs": {"version": _CONTAINER, "spatialdata_software_version": "0.7.0"},
                "nucleigan": {**about, "provenance": dict(nuclei.provenance)},
            }
        )
        for kind in ("images", "labels", "shapes", "tables"):
            root.create_group(kind)
        _write_image(root["images"], nuclei)
        yield from _part(0, _write_labels(folder / "labels", root["labels"], nuclei))
        # The outlines of each part are written while its table passes by: parts are read but once.
        tables = _write_shapes(folder / "shapes", root["shapes"], nuclei)
        yield from _part(1, _write_table(root["tables"], nuclei, tables))


def is_own_spatialdata(path: Path) -> bool:
    """Tell whether a folder is a SpatialData store that this program has made, and nothing was added to."""
    if not path.is_dir():
        return False
    try:
        attributes = read_json(path / "zarr.json")["attributes"]
    except (OSError, FileFault, ValueError, KeyError, TypeError):
        return False
    if not isinstance(attributes, dict) or not {"spatialdata_attrs", "nucleigan"} <= attributes.keys():
        return False
    names = {IMAGE, LABELS, SHAPES, TABLE, "zarr.json", ".DS_Store"}
    inside = [entry for kind in ("images", "labels", "shapes", "tables") for entry in (path / kind).glob("*")]
    return {entry.name for entry in path.iterdir()} <= _OWN and {entry.name for entry in inside} <= names


def _part(number: int, shares: Iterator[float]) -> Iterator[float]:
    start, end = _SHARES[number], (*_SHARES, 1.0)[number + 1]
    for share in shares:
        yield start + share * (end - start)


def _placing(axes: str, scale: Sequence[float], offset: Sequence[float]) -> list[dict[str, Any]]:
    """Describe how an element lies in the coordinate system, in NGFF's words as SpatialData has them."""
    known = {"c": {"name": "c", "type": "channel"}} | {
        name: {"name": name, "type": "space", "unit": "unit"} for name in "yx"
    }
    systems = {
        "input": {"name": axes, "axes": [known[name] for name in axes]},
        "output": {"name": "global", "axes": [known[name] for name in axes]},
    }
    still = [0.0] * (len(axes) - 2)
    steps = [
        {"type": "scale", "scale": [*(1.0 for _ in still), *scale]},
        {"type": "translation", "translation": [*still, *offset]},
    ]
    inner = {**systems, "output": systems["output"]}
    return [{"type": "sequence", "transformations": [{**step, **inner} for step in steps], **systems}]


def _write_image(group: Any, nuclei: Nuclei) -> None:
    pixels = nuclei.picture(_PICTURE)
    height, width = pixels.shape[:2]
    image = group.create_group(IMAGE)
    array = image.create_array(
        "0",
        shape=(3, height, width),
        chunks=(3, min(_CHUNK, height), min(_CHUNK, width)),
        dtype=np.uint8,
        dimension_names=("c", "y", "x"),
    )
    array[:] = pixels.transpose(2, 0, 1)
    # A pixel of the picture may stand for many of the image, whose first corner it shares.
    whole = [length * side for length, side in zip(nuclei.extent, sides(nuclei.mpp), strict=True)]
    scale = [length / count for length, count in zip(whole, (height, width), strict=True)]
    image.attrs.update(
        {
            "ome": {
                "version": _NGFF,
                "multiscales": [
                    {
                        "name": IMAGE,
                        "axes": [{"name": "c", "type": "channel"}, *({"name": a, "type": "space"} for a in "yx")],
                        "datasets": [{"path": "0", "coordinateTransformations": [_unit(3)]}],
                        "coordinateTransformations": _placing("cyx", scale, _corner(nuclei)),
                    }
                ],
                "omero": {"channels": [{"label": name} for name in "rgb"]},
            },
            "spatialdata_attrs": {"version": _RASTER},
        }
    )


def _corner(nuclei: Nuclei) -> tuple[float, float]:
    """Return where the first corner of the image lies; a pixel's own coordinates are those of its corner here."""
    height, width = sides(nuclei.mpp)
    return -height / 2, -width / 2


def _unit(dimensions: int, scale: float = 1.0) -> dict[str, Any]:
    return {"type": "scale", "scale": [1.0] * (dimensions - 2) + [scale] * 2}


def _write_labels(folder: Path, group: Any, nuclei: Nuclei) -> Iterator[float]:
    from napari_nucleigan.data.slides.label_pyramids import LabelPyramid

    pyramid = LabelPyramid(folder / LABELS, nuclei.shape, nuclei.pixel, {})
    yield from pyramid.fill(nuclei.paint)
    labels = group[LABELS]
    ome = dict(labels.attrs["ome"])
    (image,) = ome["multiscales"]
    image["name"] = LABELS
    image["axes"] = [{"name": name, "type": "space"} for name in "yx"]
    for level, entry in enumerate(image["datasets"]):
        entry["coordinateTransformations"] = [_unit(2, float(2**level))]
    image["coordinateTransformations"] = _placing("yx", nuclei.pixel, _corner(nuclei))
    labels.attrs.update({"ome": {**ome, "version": _NGFF}, "spatialdata_attrs": {"version": _RASTER}})
    group.attrs["ome"] = {"version": _NGFF, "labels": [LABELS]}


def _write_shapes(folder: Path, group: Any, nuclei: Nuclei) -> Iterator[Table]:
    """Write the outlines, and hand on the table of each part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    shapes = group.create_group(SHAPES)
    shapes.attrs.update(
        {
            "encoding-type": "ngff:shapes",
            "axes": ["x", "y"],
            "coordinateTransformations": [{"type": "identity", **_systems()}],
            "spatialdata_attrs": {"version": _SHAPES},
        }
    )
    schema = pa.schema([("geometry", pa.binary()), ("label", pa.int64())], _parquet_metadata())
    with pq.ParquetWriter(folder / SHAPES / "shapes.parquet", schema, compression="zstd") as writer:
        for part in nuclei.parts():
            labels, geometries = _polygons(part, nuclei)
            writer.write_table(pa.table([pa.array(geometries, pa.binary()), pa.array(labels)], schema=schema))
            yield dict(part.features)


def _systems() -> dict[str, Any]:
    axes = [{"name": name, "type": "space", "unit": "unit"} for name in "xy"]
    return {"input": {"name": "xy", "axes": axes}, "output": {"name": "global", "axes": axes}}


def _parquet_metadata() -> dict[str, str]:
    """Describe the column of geometries as GeoParquet 1.0 does, and the index as pandas does."""
    geometry: dict[str, Any] = {"encoding": "WKB", "crs": None, "geometry_types": []}
    label = {"name": "label", "field_name": "label", "pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    column = {
        "name": "geometry",
        "field_name": "geometry",
        "pandas_type": "bytes",
        "numpy_type": "object",
        "metadata": None,
    }
    frame = {"index_columns": ["label"], "column_indexes": [], "columns": [column, label]}
    geo = {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    return {"geo": json.dumps(geo), "pandas": json.dumps(frame)}


def _polygons(part: GeoJSONPart, nuclei: Nuclei) -> tuple[NDArray[np.int64], list[bytes]]:
    """Outline the nuclei of a part, in the order of its table: well-known binary, in microns."""
    import shapely

    found = trace(part.labels)
    corner = _corner(nuclei)[::-1]
    points = (found.points + part.origin[::-1]) * nuclei.pixel[::-1] + corner
    rings = shapely.linearrings(points, indices=np.repeat(np.arange(len(found.ends)), np.diff(found.ends, prepend=0)))
    by_label = found.polygons()
    labels = np.asarray(part.features["label"]).astype(np.int64)
    owned = [by_label[label] for label in labels.tolist()]
    flat = [polygon for polygons in owned for polygon in polygons]
    polygons = shapely.polygons(
        rings[np.array([ring for polygon in flat for ring in polygon], dtype=np.intp)],
        indices=np.repeat(np.arange(len(flat)), [len(polygon) for polygon in flat]),
    )
    counts = np.array([len(polygons) for polygons in owned], dtype=np.intp)
    shapes = polygons[np.cumsum(counts) - counts]
    several = np.flatnonzero(counts > 1)
    if several.size:
        of = np.repeat(np.arange(len(owned)), counts)
        mine = counts[of] > 1
        shapes[several] = shapely.multipolygons(polygons[mine], indices=np.searchsorted(several, of[mine]))
    return labels, shapely.to_wkb(shapes).tolist()


def _write_table(group: Any, nuclei: Nuclei, tables: Iterator[Table]) -> Iterator[float]:
    table = group.create_group(TABLE)
    yield from fill(ZarrGroup(table), nuclei, tables, SHAPES)
    table.attrs.update(
        {
            "spatialdata-encoding-type": "ngff:regions_table",
            "region": SHAPES,
            "region_key": "region",
            "instance_key": "label",
            "version": _TABLES,
        }
    )
