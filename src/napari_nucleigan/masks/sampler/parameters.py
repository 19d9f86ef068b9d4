"""Parameters of random polygon masks and their tissues: one model for the sampler, forms, command line and presets."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from napari_nucleigan.base.settings import Settings
from napari_nucleigan.tissue.record import FEATURES, TissueClasses

FULL = 0.9
"""Largest share of a mask that nuclei may cover."""

Quantiles = tuple[Annotated[float, Field(gt=0, le=1e6)], ...]
"""Values at equal steps of probability, the smallest first; ``(i + 0.5) / n`` is the probability of the i-th of n."""


class TissueStatistics(BaseModel):
    """What one mask looks like: what a fit has learnt of one kind of tissue.

    The fields mean what those of `PolygonMasks` of the same name do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    share: float = Field(1.0, gt=0, description="Share of the masks that show it, relative to the others.")
    density: float = Field(ge=0)
    areas: Quantiles = Field(min_length=1, description="Quantiles of the area in µm².")
    elongations: Quantiles = Field(min_length=1, description="Quantiles of length over width.")
    spacings: tuple[Annotated[float, Field(ge=0, le=1e6)], ...] = Field(
        description="Quantiles, over the nuclei that touch no other, of the distance to the nearest neighbour over the "
        "sum of the two radii on the way. Without them only what overlaps is moved apart."
    )
    contacts: Quantiles = Field(
        (0.94,), min_length=1, description="The same over the nuclei that touch another: below 1, as outlines overlap."
    )
    touching_sizes: float = Field(
        0.2, description="By how much nuclei that touch are larger than the others, in standard deviations."
    )
    association: float = Field(0, ge=-1, le=1, description="Correlation of area and elongation, in normal scores.")
    crowding: float = Field(
        0, ge=-1, le=1, description="Correlation of area and crowding; below 0 crowds are of small nuclei."
    )
    touching: float = Field(ge=0, le=1)
    clustering: float = Field(ge=0)
    similarity: float = Field(ge=0, le=1)
    shape_similarity: float = Field(ge=0, le=1)
    coherence: float = Field(ge=0, le=1)
    alignment: float = Field(ge=0, le=1)
    reach: float = Field(gt=0)


class FeatureField(BaseModel):
    """How one feature of tissue varies over an image: its values, and how far they are alike.

    At the distance d in cells two places correlate by ``near * exp(-d² / 2 short²) + (1 - near) * exp(-d² / 2 long²)``,
    in normal scores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    values: tuple[Annotated[float, Field(ge=-1e6, le=1e6)], ...] = Field(
        min_length=1, description="Quantiles of the feature."
    )
    near: float = Field(ge=0, le=1)
    short: float = Field(gt=0)
    long: float = Field(gt=0)


class Glands(BaseModel):
    """Closed rings of epithelium around a lumen, as the map of an image shows them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    density: float = Field(0, ge=0, description="Glands per mm².")
    lumen: float = Field(12, gt=0, description="Mean radius of the lumens in µm.")
    wall: float = Field(12, gt=0, description="Mean thickness of the epithelium around them in µm.")


class ImageTissue(BaseModel):
    """How tissue lies in one image."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    share: float = Field(1.0, gt=0, description="Share of the masks that show it, relative to the others.")
    fields: tuple[FeatureField, ...] = Field(min_length=len(FEATURES), max_length=len(FEATURES))
    correlations: tuple[tuple[float, ...], ...] = Field(
        description="Of the features with one another, in normal scores."
    )
    biases: tuple[float, ...] = Field(
        (), description="Added to the nearness of each class, so that drawn maps have the shares of the image's."
    )
    glands: Glands = Glands()

    @model_validator(mode="after")
    def _square(self) -> ImageTissue:
        matrix = self.correlations
        if len(matrix) != len(FEATURES) or any(len(row) != len(FEATURES) for row in matrix):
            raise ValueError(f"the correlations are a matrix of {len(FEATURES)} x {len(FEATURES)}")
        return self


class ClassNuclei(BaseModel):
    """The nuclei in one class of tissue."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    nuclei: TissueStatistics
    along: float = Field(
        0,
        ge=-1,
        le=1,
        description="How far nuclei beside the border of the tissue lie along it: mean cosine of twice the angle; "
        "below 0 they stand across.",
    )


class TissueLayout(BaseModel):
    """What a fit has learnt of the tissue of some images: its classes, how they lie, and the nuclei in each."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    classes: TissueClasses
    images: tuple[ImageTissue, ...] = Field(min_length=1)
    nuclei: tuple[ClassNuclei, ...]

    @model_validator(mode="after")
    def _complete(self) -> TissueLayout:
        count = len(self.classes.classes)
        if len(self.nuclei) != count:
            raise ValueError("there are nuclei for each class of tissue")
        if any(len(image.biases) not in (0, count) for image in self.images):
            raise ValueError("there are as many biases as classes of tissue, or none")
        return self


class PolygonMasks(Settings):
    """How random masks are drawn.

    The fields are explained by their descriptions, which the forms and the command line show. A fit adds `tissues`,
    of which each mask shows one; the other fields are then their means, and changing one changes every tissue.
    """

    density: float = Field(
        8000,
        title="Density",
        ge=0,
        le=60000,
        json_schema_extra={"unit": "per mm²"},
        description="Nuclei per square millimetre. 0 leaves the mask empty.",
    )
    area: float = Field(
        30,
        title="Area",
        ge=0.5,
        le=100000,
        json_schema_extra={"unit": "µm²"},
        description="Mean area of a nucleus in square microns.",
    )
    area_spread: float = Field(
        0.5,
        title="Spread of area",
        ge=0,
        le=1.5,
        description="How much areas differ: standard deviation of their logarithm. 0 makes all the same size.",
    )
    elongation: float = Field(
        1.4,
        title="Elongation",
        ge=1,
        le=8,
        description="Typical length of a nucleus over its width. 1 makes them round.",
    )
    elongation_spread: float = Field(
        0.2,
        title="Spread of elongation",
        ge=0,
        le=1,
        description="How much elongations differ: standard deviation of their logarithm.",
    )
    touching: float = Field(
        0.25, title="Touching", ge=0, le=1, description="Share of the nuclei that touch another one."
    )
    clustering: float = Field(
        0.4,
        title="Clustering",
        ge=0,
        le=2,
        description="How unevenly nuclei are spread: crowds and gaps. 0 spreads them evenly.",
    )
    similarity: float = Field(
        0.35,
        title="Similar sizes",
        ge=0,
        le=1,
        description="How alike neighbours are in size: the correlation of their areas. 0 mixes large and small.",
    )
    shape_similarity: float = Field(
        0.1,
        title="Similar shapes",
        ge=0,
        le=1,
        description="How alike neighbours are in elongation: the correlation of their elongations.",
    )
    coherence: float = Field(
        0.25,
        title="Common direction",
        ge=0,
        le=1,
        description="How far neighbours point the same way. 0 turns each nucleus as it likes, 1 makes streams.",
    )
    alignment: float = Field(
        0.0,
        title="Alignment",
        ge=0,
        le=1,
        description="How far all nuclei of a mask point the same way.",
    )
    reach: float = Field(
        15,
        title="Reach",
        ge=2,
        le=500,
        json_schema_extra={"unit": "µm"},
        description="Over how many microns nuclei are alike, point the same way and crowd together.",
    )
    vertices: int = Field(
        10,
        title="Vertices",
        ge=3,
        le=64,
        description="Corners of the polygon of each nucleus: few make it angular, many follow an ellipse.",
    )
    irregularity: float = Field(
        0.2,
        title="Irregularity",
        ge=0,
        le=1,
        description="How unevenly the corners lie around the nucleus; uneven ones lead it away from an ellipse.",
    )
    spikiness: float = Field(
        0.2,
        title="Spikiness",
        ge=0,
        le=1,
        description="How far corners stick out or in; makes outlines lobed and hollow.",
    )
    smoothed: bool = Field(True, title="Smooth", description="Round the outline off; otherwise its sides are straight.")
    tissues: tuple[TissueStatistics, ...] = Field(
        (), description="What a fit has learnt of each kind of tissue; made by `fit`."
    )
    layout: TissueLayout | None = Field(
        None,
        description="What a fit has learnt of the tissue around the nuclei; with it a mask is laid out tissue first. "
        "Made by `fit_tissue`.",
    )

    @model_validator(mode="after")
    def _fits(self) -> PolygonMasks:
        cover = self.density * self.area * 1e-6
        if cover > FULL:
            raise ValueError(
                f"so many nuclei of that area would cover {cover:.0%} of the mask, and {FULL:.0%} is the most; "
                "lower the density or the area"
            )
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Records of before there were layouts are compared with those of now.
        values: dict[str, Any] = handler(self)
        if self.layout is None:
            values.pop("layout", None)
        return values

    def changed(self, **values: Any) -> PolygonMasks:
        """Return a copy with some fields changed, checked as `checked` does."""
        return self.checked(**{**self.model_dump(), **values})
