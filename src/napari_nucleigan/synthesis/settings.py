"""The settings of a synthesis: one model for the form, the command line and the saved record."""

from __future__ import annotations

from pydantic import Field

from napari_nucleigan.base.settings import Settings
from napari_nucleigan.models.registry import DEFAULT_SEGMENTER, DEFAULT_SYNTHESIZER
from napari_nucleigan.segmentation.settings import Arithmetic, Device


class SynthesisSettings(Settings):
    """How H&E is painted from a mask.

    The fields are explained by their descriptions, which the command line and the forms show. None
    stands for what the model, the device or the mask asks for.
    """

    model: str = Field(
        DEFAULT_SYNTHESIZER,
        title="Model",
        min_length=1,
        description="Name of an installed synthesizer, a model file, or the folder of a training run.",
    )
    device: Device = "auto"
    seed: int = Field(
        0,
        title="Seed",
        ge=0,
        le=2**31 - 1,
        description="Start of all that is random: texture, fibres, lumens, and the style where it is drawn. The same "
        "seed gives the same picture; another seed another picture of the same nuclei.",
    )
    style: str = Field(
        "random",
        title="Style",
        min_length=1,
        description="Colours and texture: random (drawn by the seed; in sets, the mask's organ where it is known), a "
        "style of the model, often an organ, or an H&E image, folder of them or data set to take after.",
    )
    restain: str = Field(
        "",
        title="Restain",
        description="Bring the stains of what was painted to those of 'reference' (a typical section) or of an H&E "
        "image file. Empty: as the model paints.",
    )
    mpp: float | None = Field(
        None,
        title="Microns per pixel",
        ge=0.02,
        le=20,
        description="Size of a pixel of the mask in microns: about 0.25 at 40x, 0.5 at 20x. By default what the mask "
        "says, else what the model paints at.",
    )
    tile: int | None = Field(
        None,
        title="Tile",
        ge=64,
        le=16384,
        description="Side of the tiles of large masks, in pixels at the model's scale. By default what fits the device "
        "and the network.",
    )
    precision: Arithmetic = "auto"


class SetSettings(SynthesisSettings):
    """How a data set of masks and the H&E painted from them is made."""

    count: int | None = Field(
        None,
        title="Pairs",
        ge=1,
        le=10_000_000,
        description="How many pairs to make. By default one of each mask that is given.",
        json_schema_extra={"flag": "-n"},
    )
    size: int | None = Field(
        None,
        title="Size",
        ge=16,
        le=16384,
        description="Height and width of each pair in pixels; masks that are given are cut at random places. By "
        "default 256 where masks are drawn, and whole masks where they are given.",
    )
    like: str = Field(
        "all",
        title="Like",
        min_length=1,
        description="What drawn masks are like: a preset (all, breast, kidney, liver, prostate), statistics that were "
        "saved, or the label image, folder of label images or data set to learn them from; 'model' for the masks and "
        "the tissue that the model learnt to paint.",
    )
    min_consistency: float | None = Field(
        None,
        title="Least consistency",
        ge=0,
        le=1,
        description="Pairs whose nuclei a segmenter finds with less AJI than this are drawn again. By default none is.",
    )
    segmenter: str = Field(
        DEFAULT_SEGMENTER,
        title="Segmenter",
        min_length=1,
        description="Model that scores the consistency.",
    )
    validation: float = Field(
        0.0,
        title="Validation",
        ge=0,
        le=1,
        description="Share of the pairs that split.csv calls 'val'; the others are 'train'. Masks of a data set keep "
        "their own.",
    )
