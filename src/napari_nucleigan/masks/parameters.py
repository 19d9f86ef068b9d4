"""What random polygon masks look like: one model for the sampler, the forms, the command line and the presets."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_nucleigan.errors import RecipeError


class Tissue(BaseModel):
    """What one kind of tissue has of its own in a fit.

    Quantile tables run from the smallest to the largest value at equal steps of probability.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(1.0, gt=0, description="Share of the masks that show it, relative to the others.")
    density: float = Field(ge=0, description="Nuclei per mm².")
    areas: tuple[float, ...] = Field(min_length=2, description="Quantiles of the area in µm².")
    elongations: tuple[float, ...] = Field(min_length=2, description="Quantiles of length over width.")
    spacings: tuple[float, ...] = Field(
        min_length=2,
        description="Quantiles of the distance to the nearest neighbour over the sum of the two radii on the way.",
    )
    touching: float = Field(ge=0, le=1, description="Share of the nuclei that touch another.")
    clustering: float = Field(ge=0, description="As the field of PolygonMasks.")
    similarity: float = Field(ge=0, le=1, description="As the field of PolygonMasks.")
    coherence: float = Field(ge=0, le=1, description="As the field of PolygonMasks.")


class PolygonMasks(BaseModel):
    """How random masks are drawn.

    The fields are explained by their descriptions, which the forms and the command line show. A fit adds `tissues`,
    of which each mask shows one; the other fields are then their means, and changing one changes every tissue.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    density: float = Field(
        8000, title="Density", ge=0, le=60000, description="Nuclei per square millimetre. 0 leaves the mask empty."
    )
    area: float = Field(30, title="Area", ge=0.5, le=100000, description="Mean area of a nucleus in square microns.")
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
        0.5, title="Similar neighbours", ge=0, le=1, description="How alike neighbours are in size and elongation."
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
        description="Over how many microns nuclei are alike, point the same way and crowd together.",
    )
    vertices: int = Field(10, title="Vertices", ge=3, le=64, description="Corners of the polygon of each nucleus.")
    irregularity: float = Field(
        0.2, title="Irregularity", ge=0, le=1, description="How unevenly the corners lie around the nucleus."
    )
    spikiness: float = Field(
        0.1,
        title="Spikiness",
        ge=0,
        le=1,
        description="How far corners stick out or in; makes outlines lobed and hollow.",
    )
    smoothed: bool = Field(True, title="Smooth", description="Round the outline off; otherwise its sides are straight.")
    tissues: tuple[Tissue, ...] = Field((), description="What a fit has learnt of each kind of tissue; made by `fit`.")

    @classmethod
    def checked(cls, **values: Any) -> PolygonMasks:
        """Make settings from what a user gave.

        Raises
        ------
        RecipeError
            If a value is not valid.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors()
            )
            raise RecipeError(f"These settings of masks are not valid: {faults}.") from error

    def changed(self, **values: Any) -> PolygonMasks:
        """Return a copy with some fields changed, checked as `checked` does."""
        return self.checked(**{**self.model_dump(), **values})

    def tissue(self, draw: float) -> Tissue:
        """Choose the tissue of one mask, with every field applied to it.

        Parameters
        ----------
        draw : float
            In [0, 1).
        """
        if not self.tissues:
            return self._made()
        shares = np.cumsum([each.share for each in self.tissues])
        own = self.tissues[min(int(np.searchsorted(shares, draw * shares[-1], "right")), len(self.tissues) - 1)]
        was = means(self.tissues)
        crowd = _ratio(self.density, was["density"]) * _ratio(self.area, was["area"])
        areas = np.log(own.areas)
        areas = (areas - areas.mean()) * _ratio(self.area_spread, was["area_spread"])
        areas += np.log(np.mean(own.areas) * _ratio(self.area, was["area"]) / np.mean(np.exp(areas)))
        lengths = np.log(own.elongations)
        middle = lengths.mean()
        wanted = middle * _ratio(np.log(self.elongation), np.log(was["elongation"]))
        lengths = wanted + (lengths - middle) * _ratio(self.elongation_spread, was["elongation_spread"])
        gaps = np.array(own.spacings)
        return Tissue(
            density=own.density * _ratio(self.density, was["density"]),
            areas=tuple(np.exp(areas).tolist()),
            elongations=tuple(np.exp(np.maximum(lengths, 0)).tolist()),
            spacings=tuple((1 + np.maximum(gaps - 1, 0) / np.sqrt(max(crowd, 1e-9))).tolist()),
            touching=_shifted(own.touching, was["touching"], self.touching),
            clustering=own.clustering * _ratio(self.clustering, was["clustering"]),
            similarity=_shifted(own.similarity, was["similarity"], self.similarity),
            coherence=_shifted(own.coherence, was["coherence"], self.coherence),
        )

    def _made(self) -> Tissue:
        from scipy.special import ndtri

        normal = ndtri((np.arange(33) + 0.5) / 33)
        normal /= normal.std()
        areas = np.exp(normal * self.area_spread)
        areas *= self.area / areas.mean()
        lengths = np.log(self.elongation) + normal * self.elongation_spread
        return Tissue(
            density=self.density,
            areas=tuple(areas.tolist()),
            elongations=tuple(np.exp(np.maximum(lengths, 0)).tolist()),
            spacings=(1.0, 1.0),
            touching=self.touching,
            clustering=self.clustering,
            similarity=self.similarity,
            coherence=self.coherence,
        )


def means(tissues: tuple[Tissue, ...]) -> dict[str, float]:
    """Average the tissues of a fit: the values its fields have before a user changes them."""
    share = np.array([each.share for each in tissues])
    nuclei = share * np.maximum([each.density for each in tissues], 1e-9)

    def mean(values: list[float], weight: np.ndarray = nuclei) -> float:
        return float(np.average(values, weights=weight))

    return {
        "density": mean([each.density for each in tissues], share),
        "area": mean([float(np.mean(each.areas)) for each in tissues]),
        "area_spread": mean([float(np.log(each.areas).std()) for each in tissues]),
        "elongation": float(np.exp(mean([float(np.log(each.elongations).mean()) for each in tissues]))),
        "elongation_spread": mean([float(np.log(each.elongations).std()) for each in tissues]),
        "touching": mean([each.touching for each in tissues]),
        "clustering": mean([each.clustering for each in tissues], share),
        "similarity": mean([each.similarity for each in tissues]),
        "coherence": mean([each.coherence for each in tissues]),
    }


def _ratio(value: float, was: float) -> float:
    # Fields are saved rounded: what nobody changed must not change anything. From nothing no ratio leads on.
    if was <= 0:
        return 1.0
    return 1.0 if abs(value - was) <= 1e-3 * was else float(value / was)


def _shifted(own: float, was: float, value: float) -> float:
    # A share moves on the logistic scale, so that it stays one, and all reach 0 and 1 together.
    if abs(value - was) <= 1e-3:
        return own
    if value <= 0 or value >= 1:
        return float(np.clip(value, 0, 1))
    low, high = 1e-3, 1 - 1e-3
    own, was, value = (float(np.clip(each, low, high)) for each in (own, was, value))
    odds = own / (1 - own) * value / (1 - value) / (was / (1 - was))
    return odds / (1 + odds)
