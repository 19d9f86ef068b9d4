"""Random polygon masks by the names that Python users know: statistics fitted, presets, masks sampled."""

from __future__ import annotations

from napari_nucleigan.masks.sampler.fit import fit
from napari_nucleigan.masks.sampler.parameters import PolygonMasks
from napari_nucleigan.masks.sampler.sample import PRESETS, preset, sample

__all__ = ["PRESETS", "PolygonMasks", "fit", "preset", "sample"]
