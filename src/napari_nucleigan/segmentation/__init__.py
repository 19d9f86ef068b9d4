"""Segmenting: H&E images of any size and magnification to nuclei.

Names are loaded when they are first asked for: forms and the command line read the settings without
waiting for the rest, and nothing imports torch before a network runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_nucleigan.devices import Device, devices
    from napari_nucleigan.segmentation.batch import FileResult, SlideOptions, segment_files, write_result
    from napari_nucleigan.segmentation.core import Cutting, Segmentation, refilter, segment, segment_tiles
    from napari_nucleigan.segmentation.predictor import Predictor
    from napari_nucleigan.segmentation.settings import SegmentSettings
    from napari_nucleigan.segmentation.tiles import Instances, Mosaic, Tile, plan_tiles

__all__ = [
    "Cutting",
    "Device",
    "FileResult",
    "Instances",
    "Mosaic",
    "Predictor",
    "SegmentSettings",
    "Segmentation",
    "SlideOptions",
    "Tile",
    "devices",
    "plan_tiles",
    "refilter",
    "segment",
    "segment_files",
    "segment_tiles",
    "write_result",
]

_HOMES = {
    "devices": ("Device", "devices"),
    "segmentation.batch": ("FileResult", "SlideOptions", "segment_files", "write_result"),
    "segmentation.core": ("Cutting", "Segmentation", "refilter", "segment", "segment_tiles"),
    "segmentation.predictor": ("Predictor",),
    "segmentation.settings": ("SegmentSettings",),
    "segmentation.tiles": ("Instances", "Mosaic", "Tile", "plan_tiles"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"napari_nucleigan.{_MODULES[name]}"), name)
