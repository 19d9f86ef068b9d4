"""Settings of an evaluation of synthetic images: one model for Python and the command line."""

from __future__ import annotations

from pydantic import Field

from napari_nucleigan.base.settings import Settings
from napari_nucleigan.segmentation.settings import Device

JUDGE = "nucleigan-kumar"
"""The segmenter that judges: it has learnt from no image that real sets are tested on, and figures of 0.1.0 compare."""


class QualitySettings(Settings):
    """How a set of synthetic images is evaluated."""

    segmenter: str = Field(
        JUDGE,
        title="Segmenter",
        min_length=1,
        description="Segmenter that looks for the nuclei of the masks: a name, a model file, or the folder of a run.",
    )
    features: str | None = Field(
        None,
        title="Features",
        description="Segmenter whose encoder's features KID and the classifier compare: a name, a model file, or "
        "the folder of a run. By default the segmenter itself.",
    )
    device: Device = "auto"
    crop: int = Field(
        256,
        title="Crop",
        ge=64,
        le=2048,
        multiple_of=32,
        description="Side of the crops that both sets are cut into, in pixels at the scale of the features; a multiple "
        "of 32.",
    )
    views: int | None = Field(
        None,
        title="Views",
        ge=1,
        le=8,
        description="Views of an image that the segmenter averages over. By default what the model asks for.",
    )
    subsets: int = Field(100, title="Subsets", ge=1, le=10_000, description="Subsets that KID is averaged over.")
    subset_size: int | None = Field(
        None,
        title="Subset size",
        ge=2,
        description="Crops of each set in a subset. By default half of the smallest set, at most 1000.",
    )
    seed: int = Field(0, title="Seed", ge=0, description="Seed of the subsets, the halves and the folds.")
