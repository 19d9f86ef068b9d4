"""Deep adversarial nuclei segmentation and synthesis for H&E images.

Every name of the public API is loaded when it is first asked for, so that importing the package
costs next to nothing and brings in neither torch nor napari.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_nucleigan import stains
    from napari_nucleigan.data.datasets import Dataset
    from napari_nucleigan.data.exchange.exporting import export_dataset
    from napari_nucleigan.data.exchange.importing import import_dataset
    from napari_nucleigan.data.images import HEImage, read_image, read_labels, write_image, write_labels
    from napari_nucleigan.errors import NucleiganError
    from napari_nucleigan.evaluation import evaluate_folders
    from napari_nucleigan.events import run
    from napari_nucleigan.masks import polygons
    from napari_nucleigan.masks.encoding import decode, encode
    from napari_nucleigan.masks.parameters import PolygonMasks
    from napari_nucleigan.metrics import evaluate
    from napari_nucleigan.models import list_models, load_model
    from napari_nucleigan.quality import QualitySettings, evaluate_synthetic
    from napari_nucleigan.segmentation import Segmentation, SegmentSettings, refilter, segment
    from napari_nucleigan.segmentation.slides import segment_slide
    from napari_nucleigan.synthesis import (
        LiveCanvas,
        SetSettings,
        Synthesis,
        SynthesisSettings,
        synthesize,
        synthesize_set,
    )
    from napari_nucleigan.training.recipes import RECIPES, SegmenterRecipe, SynthesizerRecipe
    from napari_nucleigan.training.segmenter import train_segmenter
    from napari_nucleigan.training.synthesizer import train_synthesizer

# Threads of torch that spin while they wait for one another make a busy machine up to twenty times slower. The
# variable is read when torch is loaded, hence here; whoever has set it keeps the last word.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

__all__ = [
    "RECIPES",
    "Dataset",
    "HEImage",
    "LiveCanvas",
    "NucleiganError",
    "PolygonMasks",
    "QualitySettings",
    "SegmentSettings",
    "Segmentation",
    "SegmenterRecipe",
    "SetSettings",
    "Synthesis",
    "SynthesisSettings",
    "SynthesizerRecipe",
    "decode",
    "encode",
    "evaluate",
    "evaluate_folders",
    "evaluate_synthetic",
    "export_dataset",
    "import_dataset",
    "list_models",
    "load_model",
    "polygons",
    "read_image",
    "read_labels",
    "refilter",
    "run",
    "segment",
    "segment_slide",
    "stains",
    "synthesize",
    "synthesize_set",
    "train_segmenter",
    "train_synthesizer",
    "write_image",
    "write_labels",
]

_WHOLE = {"polygons": "masks.polygons", "stains": "stains"}
"""Modules that are offered as such."""

_MODULES = {
    "RECIPES": "training.recipes",
    "Dataset": "data.datasets",
    "HEImage": "data.images",
    "LiveCanvas": "synthesis",
    "NucleiganError": "errors",
    "PolygonMasks": "masks.parameters",
    "QualitySettings": "quality",
    "SegmentSettings": "segmentation",
    "Segmentation": "segmentation",
    "SegmenterRecipe": "training.recipes",
    "SetSettings": "synthesis",
    "Synthesis": "synthesis",
    "SynthesisSettings": "synthesis",
    "SynthesizerRecipe": "training.recipes",
    "decode": "masks.encoding",
    "encode": "masks.encoding",
    "evaluate": "metrics",
    "evaluate_folders": "evaluation",
    "evaluate_synthetic": "quality",
    "export_dataset": "data.exchange.exporting",
    "import_dataset": "data.exchange.importing",
    "list_models": "models",
    "load_model": "models",
    "read_image": "data.images",
    "read_labels": "data.images",
    "refilter": "segmentation",
    "run": "events",
    "segment": "segmentation",
    "segment_slide": "segmentation.slides",
    "synthesize": "synthesis",
    "synthesize_set": "synthesis",
    "train_segmenter": "training.segmenter",
    "train_synthesizer": "training.synthesizer",
    "write_image": "data.images",
    "write_labels": "data.images",
}


def __getattr__(name: str) -> Any:
    if name in _WHOLE:
        return import_module(f"{__name__}.{_WHOLE[name]}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
