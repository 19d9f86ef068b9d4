"""Moved modules: the documented module names of version 0.1.0, still importable, with a warning."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False  # that of typing, which is not needed otherwise
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

MOVED = {
    "data.convert": "data.images.convert",
    "data.exchange": "data.datasets.formats",
    "data.exchange.canvas": "data.datasets.formats.entries",
    "data.exchange.exporting": "data.datasets.formats.exchange",
    "data.exchange.formats": "data.datasets.formats",
    "data.exchange.importing": "data.datasets.formats.exchange",
    "data.geojson": "labels.geojson",
    "data.placement": "labels.alignment",
    "data.slides.density": "data.images.tiff",
    "data.slides.labels": "data.slides.label_pyramids",
    "data.slides.planes": "data.slides.slide",
    "devices": "base.devices",
    "errors": "base.errors",
    "events": "base.events",
    "features": "labels.features",
    "files": "base.files",
    "masks.document": "masks.editing.document",
    "masks.filling": "masks.editing.edits",
    "masks.likes": "masks.polygons",
    "masks.parameters": "masks.sampler.parameters",
    "masks.shapes": "labels.polygons",
    "masks.statistics": "masks.sampler.statistics",
    "masks.walk": "masks.sampler.random_outlines",
    "quality": "evaluation.synthetic",
    "segmentation.ledger": "segmentation.file_plan",
    "segmentation.plan": "segmentation.file_plan",
    "settings": "base.settings",
    "training.control": "training.runs.status",
    "training.estimates": "training.estimate",
    "training.mask_source": "training.synthesizer",
    "training.processes": "training.runs.processes",
    "training.shared_layers": "training.fabric",
    "training.shelf": "training.runs.run_library",
    "training.tails": "training.runs.run_folder",
}
"""Old to new names, without the name of the package."""

_PACKAGE = "napari_nucleigan."


# The base classes in importlib.abc are left out: to import them takes longer than all of the package.
class _Alias:
    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has set that of the old name


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = _new_name(fullname)
        if new is None:
            return None
        import warnings

        warnings.warn(f"{fullname} is now {_PACKAGE}{new}.", DeprecationWarning, stacklevel=2)
        return ModuleSpec(fullname, _Alias(_PACKAGE + new))  # type: ignore[arg-type]


def _new_name(fullname: str) -> str | None:
    """Return the new name of a moved module, or of one that lay in a moved package."""
    if not fullname.startswith(_PACKAGE):
        return None
    old, rest = fullname.removeprefix(_PACKAGE), ""
    while old:
        if old in MOVED:
            return MOVED[old] + rest
        old, _, last = old.rpartition(".")
        rest = f".{last}{rest}"
    return None


def install() -> None:
    """Let the import system find the old names, after everything that is really there."""
    sys.meta_path.append(_Finder())
