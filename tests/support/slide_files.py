"""Writers of small slides and labels in the formats that scanners and programs use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr

if TYPE_CHECKING:
    from pathlib import Path

APERIO = (
    "Aperio Image Library v12.0.15\n{width}x{height} [0,0 {width}x{height}] (256x256) JPEG/RGB Q=70"
    "|AppMag = 40|MPP = 0.2520"
)


def halved(pixels: np.ndarray, times: int = 1) -> np.ndarray:
    return pixels[:: 2**times, :: 2**times]


def write_pyramid(path: Path, pixels: np.ndarray, levels: int = 3, subifds: bool = True, **options: Any) -> Path:
    options = {"photometric": "rgb", "tile": (64, 64), **options}
    with tifffile.TiffWriter(path, ome=path.name.endswith(".ome.tif")) as tif:
        tif.write(pixels, subifds=levels - 1 if subifds else 0, **options)
        options.pop("metadata", None)
        for level in range(1, levels):
            tif.write(halved(pixels, level), subfiletype=1, **{**options, "resolution": None})
    return path


def write_svs(path: Path, rgb: np.ndarray) -> Path:
    """Write what Aperio's scanners do: tiled pages of falling size, a thumbnail after the first, glass at the end."""
    height, width = rgb.shape[:2]
    said = APERIO.format(width=width, height=height)
    tiled: dict[str, Any] = {"photometric": "rgb", "tile": (64, 64), "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(path) as tif:
        tif.write(rgb, description=said, **tiled)
        tif.write(rgb[:50, :60], photometric="rgb", rowsperstrip=16, description=f"{said}\n-> 60x50 - ", metadata=None)
        tif.write(halved(rgb, 2), description=said, **tiled)
        glass = {"photometric": "rgb", "rowsperstrip": 16, "metadata": None}
        tif.write(rgb[:40, :40], subfiletype=1, description="Aperio Image Library v12\nlabel 40x40", **glass)
        tif.write(rgb[:30, :90], subfiletype=9, description="Aperio Image Library v12\nmacro 90x30", **glass)
    return path


def write_zarr(path: Path, rgb: np.ndarray, version: str, unit: str | None = "micrometer") -> Path:
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": unit} for n in "yx")]
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for level in range(3):
        values = np.moveaxis(halved(rgb, level), 2, 0)
        group.create_array(str(level), data=np.ascontiguousarray(values), chunks=(1, 64, 64))
        scale = [1, 0.25 * 2**level, 0.25 * 2**level]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    found = {"multiscales": [{"version": version, "axes": axes, "datasets": datasets}]}
    group.attrs.update(found if version == "0.4" else {"ome": {"version": version, **found}})
    return path


def write_label_zarr(
    path: Path,
    labels: np.ndarray,
    version: str = "0.5",
    mpp: float | None = 0.25,
    translation: tuple[float, float] | None = None,
    levels: int = 3,
    **own: Any,
) -> Path:
    """Write a label image as this package does, or as others do in version 0.4; `own` is said under "nucleigan"."""
    unit = {"unit": "micrometer"} if mpp else {}
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for level in range(levels):
        group.create_array(str(level), data=np.ascontiguousarray(halved(labels, level)), chunks=(64, 64))
        changes: list[dict[str, Any]] = [{"type": "scale", "scale": [(mpp or 1) * 2**level] * 2}]
        if translation:
            changes.append({"type": "translation", "translation": list(translation)})
        datasets.append({"path": str(level), "coordinateTransformations": changes})
    axes = [{"name": name, "type": "space", **unit} for name in "yx"]
    scales = {"axes": axes, "datasets": datasets, "name": path.name.removesuffix(".ome.zarr")}
    if version == "0.4":
        found: dict[str, Any] = {"multiscales": [{"version": version, **scales}], "image-label": {"version": version}}
    else:
        found = {"ome": {"version": version, "multiscales": [scales], "image-label": {"version": version}}}
    group.attrs.update({**found, **({"nucleigan": own} if own else {})})
    return path


def write_labels_of(image: Path, version: str, names: list[str]) -> Path:
    """Say in an OME-Zarr image which labels it holds."""
    group = zarr.open_group(image / "labels", mode="a", zarr_format=2 if version == "0.4" else 3)
    group.attrs.update({"labels": names} if version == "0.4" else {"ome": {"version": version, "labels": names}})
    return image / "labels"
