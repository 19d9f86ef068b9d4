"""The settings of a segmentation: one model for the form, the command line and the saved record."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, field_validator, model_validator

from napari_nucleigan.base.settings import Settings
from napari_nucleigan.labels.measurements import Measurements
from napari_nucleigan.models.registry import DEFAULT_SEGMENTER
from napari_nucleigan.networks.network_runner import Precision

Device = Annotated[
    str,
    Field(
        title="Device",
        description="Where to compute: auto, cpu, cuda, cuda:1, mps. Auto takes a GPU if there is one.",
    ),
]
Arithmetic = Annotated[
    Precision,
    Field(
        title="Precision",
        description="Arithmetic of the network; 'auto' takes bfloat16 where the device computes in it.",
    ),
]
LARGEST_AREA = 2000.0
"""Square microns that a nucleus has at most, where nothing else is said: six times those of the largest at hand."""

AUTO: Literal["auto"] = "auto"
"""In place of microns per pixel: what the image says, else what is estimated from the nuclei in it."""

FILTERS = ("threshold", "prominence", "min_area", "max_area", "min_confidence")
"""Settings that can be moved on a result: the network does not run for them."""

Normalize = Literal["model", "none", "vahadane", "macenko", "reinhard"]
TTA = (1, 2, 4, 8)
"""Numbers of views of an image that the network can be averaged over: test-time augmentation."""


_LATER: dict[str, Any] = {"min_confidence": (None, 0.0), "measurements": ("standard",), "classifier": ("",)}


def without_idle(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out settings that were added after 0.1.0 and do nothing, so that records of earlier results still hold."""
    return {name: value for name, value in settings.items() if value not in _LATER.get(name, ())}


class SegmentSettings(Settings):
    """How an image is segmented.

    The fields are explained by their descriptions, which the command line and the forms show. None
    stands for what the model, the device or the image asks for.
    """

    model: str = Field(
        DEFAULT_SEGMENTER,
        title="Model",
        min_length=1,
        description="Name of an installed model, a model file, or the folder of a training run.",
    )
    device: Device = "auto"
    threshold: float | None = Field(
        None,
        title="Threshold",
        ge=0,
        le=1,
        description="Probability from which a pixel belongs to a nucleus; lower values find more "
        "and larger nuclei. By default what the model asks for.",
    )
    prominence: float | None = Field(
        None,
        title="Prominence",
        ge=0,
        le=1,
        description="How far the distance map must dip between two peaks for them to be two nuclei; smaller "
        "values split touching nuclei more. By default what the model asks for.",
    )
    min_area: float | None = Field(
        None,
        title="Smallest",
        ge=0,
        description="Nuclei of less area, in square microns, are left out. By default what the model asks for.",
    )
    max_area: float | None = Field(
        None,
        title="Largest",
        gt=0,
        description="Nuclei of more area, in square microns, are left out. By default what the model asks for, "
        f"or {LARGEST_AREA:g}.",
    )
    min_confidence: float | None = Field(
        None,
        title="Confidence",
        ge=0,
        le=1,
        description="Nuclei that the model holds for less likely to be one are left out, if its card tells how likely "
        "that is; 0 keeps all. By default what the model asks for.",
    )
    mpp: float | Literal["auto"] | None = Field(
        None,
        title="Microns per pixel",
        description="Size of a pixel of the image in microns: about 0.25 at 40x, 0.5 at 20x, 1 at "
        "10x. By default what the image says; 'auto' estimates it from the nuclei where the image does not say it.",
    )
    normalize: Normalize = Field(
        "model",
        title="Stain normalisation",
        description="Bring the stains to a reference first, by statistics of the whole image. "
        "'model' does what the model was trained with.",
    )
    tta: int | None = Field(
        None,
        title="Views",
        ge=1,
        le=8,
        # The name of version 0.1.0, which records keep.
        validation_alias=AliasChoices("tta", "views"),
        serialization_alias="views",
        json_schema_extra={"former": "views"},
        description="Average the network over so many views of the image: 1, 2 (turned upside down), 4 (mirrored), 8 "
        "(turned); a little better, and that much slower. By default what the model asks for.",
    )
    tile: int | None = Field(
        None,
        title="Tile",
        ge=64,
        le=16384,
        description="Side of the tiles of large images, in pixels at the model's scale; the result "
        "does not depend on it. By default 2048 on a GPU, 1024 on a CPU.",
    )
    batch: int | None = Field(
        None,
        title="Batch",
        ge=1,
        le=256,
        description="Tiles computed at once. By default 4 on a GPU, 1 on a CPU.",
    )
    precision: Arithmetic = "auto"
    measurements: Measurements = Field(
        "standard",
        title="Measurements",
        description="'standard': size, shape, place and mean stains of each nucleus; 'full': also its texture, rim, "
        "nucleolus, the ring of cytoplasm around it, and its neighbours.",
    )
    classifier: str = Field(
        "",
        title="Classifier",
        description="File of a classifier, of Classify nuclei or 'nucleigan classify', that gives each nucleus a class "
        "and its probability.",
    )

    @field_validator("mpp", mode="before")
    @classmethod
    def _microns(cls, value: object) -> object:
        if value is None or value == AUTO:
            return value
        try:
            microns = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            microns = 0.0
        if not 0 < microns < math.inf:
            raise ValueError(f"it is a number above 0, or {AUTO!r}")
        return microns

    @model_validator(mode="after")
    def _consistent(self) -> SegmentSettings:
        if None not in (self.min_area, self.max_area) and self.min_area > self.max_area:  # type: ignore[operator]
            raise ValueError("the smallest area is above the largest")
        if self.tta not in (None, *TTA):
            raise ValueError("views are 1, 2, 4 or 8")
        return self


class NucleiFilter(Settings):
    """Which nuclei of a finished result count; by default all of them."""

    min_confidence: float = Field(
        0.0,
        title="Confidence",
        ge=0,
        le=1,
        description="Nuclei of less confidence are left out; those whose confidence is not known stay.",
    )
    min_area: float = Field(
        0.0, title="Smallest", ge=0, description="Nuclei of less area, in square microns, are left out."
    )
    max_area: float | None = Field(
        None, title="Largest", gt=0, description="Nuclei of more area, in square microns, are left out."
    )
    classes: tuple[str, ...] | None = Field(
        None, title="Classes", description="Only nuclei of these classes are kept. By default those of all, or of none."
    )

    @model_validator(mode="after")
    def _consistent(self) -> NucleiFilter:
        if self.max_area is not None and self.min_area > self.max_area:
            raise ValueError("the smallest area is above the largest")
        return self

    @property
    def idle(self) -> bool:
        """Whether it leaves every nucleus."""
        return self == NucleiFilter()
