"""What napari opens through this plugin: colour images, its own label images, GeoJSON of nuclei."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_nucleigan._layers import LayerData, image_layer, labels_layer
from napari_nucleigan.data.geojson import read_geojson, read_mpp
from napari_nucleigan.data.headers import file_kind, jpeg_header, png_header
from napari_nucleigan.data.images import read_image, read_labels
from napari_nucleigan.data.tiff import read_header

_Reader = Callable[[str], list[LayerData]]
_HEADER_BYTES = 1 << 20  # colour profiles and thumbnails may stand before a JPEG's size


def get_reader(path: str | list[str]) -> _Reader | None:
    """Choose a reader for a file by its content, without decoding it.

    Files that this plugin has nothing to add to are left to others: greyscale, stacks, fluorescence channels,
    whole slides, foreign label images.

    Parameters
    ----------
    path : str or list of str
        A file; several files to be stacked are left to others.

    Returns
    -------
    callable or None
        Makes layer data of the path.
    """
    if not isinstance(path, str):
        return None
    file = Path(path)
    try:
        if file.suffix.lower() in (".geojson", ".json"):
            return read_geojson_layer if b'"Feature' in _start(file) else None
        kind = file_kind(_start(file)[:8])
        if kind == "tiff":
            header = read_header(file)
            if header.channels in (3, 4):
                return read_image_layer
            return read_labels_layer if header.software.startswith("napari-nucleigan") else None
        if kind == "png":
            png = png_header(_start(file))
            return read_image_layer if png.channels in (3, 4) and not png.palette else None
        if kind == "jpeg":
            return read_image_layer if jpeg_header(_start(file), whole=False).channels == 3 else None
    except Exception:
        # A damaged or foreign file is for others to try, and to complain of.
        return None
    return None


def read_image_layer(path: str) -> list[LayerData]:
    """Read a colour image, in microns where the file knows them; what was converted is said.

    Raises
    ------
    ImageError
        If the file is damaged.
    """
    image = read_image(path)
    if image.notes:
        from napari.utils.notifications import show_info

        show_info(f"{image.name}: {' '.join(image.notes)}")
    return [image_layer(image)]


def read_labels_layer(path: str) -> list[LayerData]:
    """Read a label image that this package wrote.

    Raises
    ------
    LabelsError
        If the file is damaged.
    """
    file = Path(path)
    return [labels_layer(read_labels(file), read_header(file).mpp, file.stem)]


def read_geojson_layer(path: str) -> list[LayerData]:
    """Draw the polygons of a GeoJSON file, of this package or QuPath, as labels.

    Raises
    ------
    LabelsError
        If the file holds something else.
    """
    return [labels_layer(read_geojson(path), read_mpp(path), Path(path).stem)]


def _start(file: Path) -> bytes:
    with file.open("rb") as handle:
        return handle.read(_HEADER_BYTES)
