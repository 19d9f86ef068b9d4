"""Segmenting: H&E images of any size and magnification to nuclei.

Nothing here imports torch before a network runs.
"""

from __future__ import annotations

from napari_nucleigan.devices import Device, devices
from napari_nucleigan.segmentation.batch import FileResult, segment_files
from napari_nucleigan.segmentation.core import (
    Cutting,
    Segmentation,
    refilter,
    segment,
    segment_tiles,
)
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
    "Tile",
    "devices",
    "plan_tiles",
    "refilter",
    "segment",
    "segment_files",
    "segment_tiles",
]
