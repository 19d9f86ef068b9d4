"""Writers of Labels layers in napari: TIFF, GeoJSON for QuPath, table of features."""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from napari_nucleigan.base.pixels import mpp_of
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.data.images.headers import microns
from napari_nucleigan.labels import features
from napari_nucleigan.labels.geojson import write_geojson
from napari_nucleigan.labels.known import with_known
from napari_nucleigan.labels.regions import check_labels


def write_labels_tiff(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save a Labels layer as TIFF (zlib) with its microns per pixel.

    Parameters
    ----------
    path : str
        File to write.
    data : array-like, shape (H, W)
        The layer's labels.
    meta : dict
        The layer's attributes.

    Returns
    -------
    list of str
        The path written.

    Raises
    ------
    LabelsError
        If the layer is not 2-D.
    OutputError
        If the file cannot be written.
    """
    write_labels(path, _labels(data, meta), layer_mpp(meta))
    return [path]


def write_labels_geojson(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save a Labels layer as GeoJSON that QuPath opens; see `write_labels_tiff`."""
    labels, mpp = _labels(data, meta), layer_mpp(meta)
    write_geojson(path, labels, _table(labels, mpp, meta), mpp)
    return [path]


def write_features_csv(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save the features of a Labels layer's nuclei as CSV; see `write_labels_tiff`."""
    labels = _labels(data, meta)
    features.write_csv(path, _table(labels, layer_mpp(meta), meta))
    return [path]


def layer_mpp(meta: dict[str, Any]) -> float | None:
    """Microns per pixel of a layer: from its scale and units, else what is known of how its labels were made.

    Parameters
    ----------
    meta : dict
        The layer's attributes.

    Returns
    -------
    float or None
        Of both directions, as `napari_nucleigan.base.pixels.mpp_of` joins them; None where the units are pixels or no
        length, and the metadata do not know it either: it was typed when the labels were made, say.
    """
    scale, units = meta.get("scale"), meta.get("units")
    if scale is not None and units is not None:
        height, width = [abs(size) * (microns(str(unit)) or math.nan) for size, unit in zip(scale, units, strict=True)][
            -2:
        ]
        if not math.isnan(height + width):
            return mpp_of(height, width)
    made = (meta.get("metadata") or {}).get("nucleigan")
    known = made.get("mpp") if isinstance(made, dict) else None
    return known if isinstance(known, float) and known > 0 else None


def _labels(data: Any, meta: dict[str, Any]) -> npt.NDArray[Any]:
    return check_labels(data[0] if meta.get("multiscale") else data, str(meta.get("name", "The layer")))


def _table(labels: npt.NDArray[Any], mpp: float | None, meta: dict[str, Any]) -> features.Table:
    """Measure the labels as they are now, and keep what else the layer knows of them: means of stains, classes."""
    return with_known(features.measure(labels, mpp=mpp), meta.get("features"))
