"""Label images as GeoJSON that QuPath opens, and back.

Coordinates are pixels, x to the right and y downwards, with (0, 0) at the corner of the first
pixel, as QuPath has them; GeoJSON's own longitudes and latitudes do not apply.
"""

from napari_nucleigan.labels.geojson.parts import MOST, GeoJSONPart, part_files, write_geojson_parts
from napari_nucleigan.labels.geojson.reading import (
    Annotations,
    Points,
    Rings,
    class_of,
    read_annotations,
    read_geojson,
    read_mpp,
    read_points,
)
from napari_nucleigan.labels.geojson.writing import (
    CLASSIFICATION,
    labels_to_geojson,
    write_geojson,
)

__all__ = [
    "CLASSIFICATION",
    "MOST",
    "Annotations",
    "GeoJSONPart",
    "Points",
    "Rings",
    "class_of",
    "labels_to_geojson",
    "part_files",
    "read_annotations",
    "read_geojson",
    "read_mpp",
    "read_points",
    "write_geojson",
    "write_geojson_parts",
]
