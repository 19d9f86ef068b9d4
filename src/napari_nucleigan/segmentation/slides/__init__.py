"""Whole slides to nuclei: tiles with halos, each nucleus once, in constant memory, here or on a cluster."""

from __future__ import annotations

from napari_nucleigan.segmentation.formats import SLIDE_FORMATS as FORMATS
from napari_nucleigan.segmentation.slides.job import segment_slide
from napari_nucleigan.segmentation.slides.results import LostTile, SlideResult

__all__ = ["FORMATS", "LostTile", "SlideResult", "segment_slide"]
