"""Label images as GeoJSON that QuPath opens, and back.

Coordinates are pixels, x to the right and y downwards, with (0, 0) at the corner of the first
pixel, as QuPath has them; GeoJSON's own longitudes and latitudes do not apply.
"""

from napari_nucleigan.labels.geojson.reading import (
    Annotations,
    Points,
    Rings,
    read_annotations,
    read_geojson,
    read_mpp,
    read_points,
)
from napari_nucleigan.labels.geojson.writing import (
    CLASSIFICATION,
    GeoJSONPart,
    labels_to_geojson,
    write_geojson,
    write_geojson_parts,
)

__all__ = [
    "CLASSIFICATION",
    "Annotations",
    "GeoJSONPart",
    "Points",
    "Rings",
    "labels_to_geojson",
    "read_annotations",
    "read_geojson",
    "read_mpp",
    "read_points",
    "write_geojson",
    "write_geojson_parts",
]
