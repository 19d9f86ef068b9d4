"""Readers of what napari opens: colour images, whole slides, our own labels and maps, GeoJSON of nuclei."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.reading import check_regular
from napari_nucleigan.contributions.layers import (
    LayerData,
    artefact_layer,
    density_layer,
    image_layer,
    labels_layer,
    pyramid_layer,
    slide_layer,
)
from napari_nucleigan.contributions.menus import GLASS, SHOW_GLASS
from napari_nucleigan.data.images.files import holds_labels, read_image, read_labels, read_mpp
from napari_nucleigan.data.images.headers import file_kind, jpeg_header, png_header
from napari_nucleigan.data.images.tiff import (
    is_artefact_map,
    is_density,
    read_artefact_map,
    read_density,
    read_header,
)
from napari_nucleigan.data.slides import EAGER_PIXELS, REFUSED, SCANNERS, SUFFIXES
from napari_nucleigan.data.slides.czi import is_czi
from napari_nucleigan.data.slides.openslide import may_open
from napari_nucleigan.labels import geojson

_Reader = Callable[[str], list[LayerData]]
_HEADER_BYTES = 1 << 20  # colour profiles and thumbnails may stand before a JPEG's size


def get_reader(path: str | list[str]) -> _Reader | None:
    """Choose a reader for a file or folder by its content.

    What this plugin has nothing to add to is left to others: greyscale, stacks, fluorescence channels, foreign Zarr,
    folders that are no slide. Images of one channel are decoded, to tell labels from grey.

    Parameters
    ----------
    path : str or list of str
        A file or folder; several files to be stacked are left to others.

    Returns
    -------
    callable or None
        Makes layer data of the path.
    """
    if not isinstance(path, str):
        return None
    file = Path(path)
    try:
        if "://" in path:
            return _address_reader(path)
        if file.is_dir():
            return _folder_reader(file)
        check_regular(file)
        suffix = file.suffix.lower()
        if file.name.lower().endswith((".geojson", ".json", ".geojson.gz")):
            return read_geojson_layer if b'"Feature' in _start(file) else None
        # These come before the content is asked: MRXS begins as JPEG does.
        if suffix in set(SUFFIXES) - set(SCANNERS):
            return read_slide_layers if suffix in REFUSED or is_czi(file) or may_open(file) else None
        kind = file_kind(_start(file)[:8])
        if kind == "tiff":
            return _tiff_reader(file)
        if kind == "png":
            png = png_header(_start(file))
            if png.channels in (3, 4) and not png.palette:
                return read_image_layer
            return read_labels_layer if holds_labels(file) else None
        if kind == "jpeg":
            return read_image_layer if jpeg_header(_start(file), whole=False).channels == 3 else None
    except Exception:
        # A damaged or foreign file is for others to try, and to complain of.
        return None
    return None


def _address_reader(url: str) -> _Reader | None:
    """Take colour images in OME-Zarr on a server; what is none is left to others."""
    from napari_nucleigan.data.slides import open_slide

    open_slide(url).close()
    return read_slide_layers


def _folder_reader(folder: Path) -> _Reader | None:
    from napari_nucleigan.data.slides import dicom, label_pyramids, tile_folders, zarr

    if label_pyramids.is_label_pyramid(folder):
        return read_pyramid_layer
    if zarr.is_slide(folder) or dicom.slide_of(folder) or tile_folders.is_mosaic(folder):
        return read_slide_layers
    return None


def _tiff_reader(file: Path) -> _Reader | None:
    from napari_nucleigan.data.slides import open_slide, tiff

    try:
        slide = tiff.looks_like_slide(file, EAGER_PIXELS)
        if not slide and is_density(file):
            return read_density_layer
        if not slide and is_artefact_map(file):
            return read_artefact_layer
        header = read_header(file)
        if header.layout.separate:
            # Whether these are colours only the pixels tell.
            if slide:
                open_slide(file).close()
            else:
                read_image(file)
    except Exception:
        # Of a scanner's file it is said what is wrong.
        return read_slide_layers if file.suffix.lower() in SCANNERS else None
    if slide:
        return read_slide_layers
    if header.layout.colours == 3:
        return read_image_layer
    return read_labels_layer if header.software.startswith("napari-nucleigan") or holds_labels(file) else None


def read_image_layer(path: str) -> list[LayerData]:
    """Read a colour image, in microns where the file knows them; what was converted is said.

    Raises
    ------
    ImageError
        If the file is damaged.
    """
    image = read_image(path)
    _say(image.name, image.notes)
    return [image_layer(image)]


def read_slide_layers(path: str) -> list[LayerData]:
    """Open a slide, in microns where the file knows them, and the labels of nuclei that an OME-Zarr image holds.

    The pictures of the glass are not shown unasked, since a label may name the patient; it is said that there are some.

    Raises
    ------
    ImageError
        If the file is damaged, or needs openslide, which is not installed.
    """
    from napari_nucleigan.data.slides import open_slide
    from napari_nucleigan.data.slides.label_pyramids import label_folders, open_label_pyramid

    slide = open_slide(path)
    layers, said = [slide_layer(slide)], list(slide.notes)
    for folder in label_folders(slide.path):
        try:
            pyramid = open_label_pyramid(folder)
        except LabelsError as error:
            said.append(str(error))
            continue
        layers.append(pyramid_layer(pyramid))
        said += pyramid.notes
    if glass := [name for name in GLASS if name in slide.associated]:
        said.append(f"It also holds a picture of its {' and '.join(glass)}: Layers > Visualize > {SHOW_GLASS}.")
    _say(slide.name, said)
    return layers


def read_pyramid_layer(path: str) -> list[LayerData]:
    """Open labels of a slide in OME-Zarr.

    Raises
    ------
    LabelsError
        If they are damaged.
    """
    from napari_nucleigan.data.slides.label_pyramids import open_label_pyramid

    pyramid = open_label_pyramid(path)
    _say(pyramid.name, pyramid.notes)
    return [pyramid_layer(pyramid)]


def read_density_layer(path: str) -> list[LayerData]:
    """Open a density map that this package wrote.

    Raises
    ------
    ImageError
        If the file is damaged.
    """
    return [density_layer(read_density(path))]


def read_artefact_layer(path: str) -> list[LayerData]:
    """Open a map of artefacts that this package wrote.

    Raises
    ------
    ImageError
        If the file is damaged.
    """
    return [artefact_layer(*read_artefact_map(Path(path)), Path(path))]


def read_labels_layer(path: str) -> list[LayerData]:
    """Read a label image, in microns where the file knows them.

    Raises
    ------
    LabelsError
        If the file is damaged.
    """
    file = Path(path)
    return [labels_layer(read_labels(file), read_mpp(file), file.stem)]


def read_geojson_layer(path: str) -> list[LayerData]:
    """Draw the polygons of a GeoJSON file, of this package or QuPath, as labels.

    Raises
    ------
    LabelsError
        If the file holds something else.
    """
    known = geojson.read_annotations(path, nuclei_only=True)
    _say(Path(path).name, known.notes)
    plain = path[:-3] if path.lower().endswith(".gz") else path
    return [labels_layer(known.draw(), known.mpp, Path(plain).stem)]


def _say(name: str, notes: Iterable[str]) -> None:
    said = " ".join(notes)
    if said:
        from napari.utils.notifications import show_info

        show_info(f"{name}: {said}")


def _start(file: Path) -> bytes:
    with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as handle:
        return handle.read(_HEADER_BYTES)
