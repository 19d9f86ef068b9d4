"""What random polygon masks look like: one model for the sampler, the forms, the command line and the presets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from scipy.special import ndtri

from napari_nucleigan.errors import RecipeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FULL = 0.9
"""Largest share of a mask that nuclei may cover."""


Quantiles = tuple[float, ...]
"""Values at equal steps of probability, the smallest first; ``(i + 0.5) / n`` is the probability of the i-th of n."""

_RELATIVE = ("density", "area", "area_spread", "elongation_spread", "clustering", "reach")
_SHARES = ("touching", "similarity", "shape_similarity", "coherence", "alignment")


class Tissue(BaseModel):
    """What one mask looks like: what a fit has learnt of one kind of tissue.

    The fields mean what those of `PolygonMasks` of the same name do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(1.0, gt=0, description="Share of the masks that show it, relative to the others.")
    density: float = Field(ge=0)
    areas: Quantiles = Field(min_length=1, description="Quantiles of the area in µm².")
    elongations: Quantiles = Field(min_length=1, description="Quantiles of length over width.")
    spacings: Quantiles = Field(
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

    @property
    def summary(self) -> dict[str, float]:
        """The scalar fields of `PolygonMasks` that describe this tissue."""
        areas, elongations = np.asarray(self.areas), np.log(self.elongations)
        return {
            **{name: getattr(self, name) for name in (*_RELATIVE, *_SHARES) if not name.startswith(("area", "elong"))},
            "area": float(areas.mean()),
            "area_spread": float(np.log(areas).std()),
            "elongation": float(np.exp(elongations.mean())),
            "elongation_spread": float(elongations.std()),
        }


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

    @model_validator(mode="after")
    def _fits(self) -> PolygonMasks:
        cover = self.density * self.area * 1e-6
        if cover > FULL:
            raise ValueError(
                f"so many nuclei of that area would cover {cover:.0%} of the mask, and {FULL:.0%} is the most; "
                "lower the density or the area"
            )
        return self

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
            In [0, 1): which tissue, by their shares.

        Returns
        -------
        Tissue
        """
        if not self.tissues:
            return self._made(self.model_dump(include={*_RELATIVE, *_SHARES, "elongation"}), (1.0,), (1.0,), ())
        shares = np.cumsum([each.share for each in self.tissues])
        own = self.tissues[min(int(np.searchsorted(shares, draw * shares[-1], "right")), len(self.tissues) - 1)]
        was, values = means(self.tissues), own.summary
        if all(_same(getattr(self, name), was[name]) for name in was):
            return own
        values |= {name: _scaled(values[name], was[name], getattr(self, name)) for name in _RELATIVE}
        values |= {name: _shifted(values[name], was[name], getattr(self, name)) for name in _SHARES}
        logs = {"own": np.log(values["elongation"]), "was": np.log(was["elongation"]), "value": np.log(self.elongation)}
        values["elongation"] = np.exp(_scaled(**logs))
        cover = values["density"] * values["area"] / max(own.density * np.mean(own.areas), 1e-9)
        spacings = tuple((np.array(own.spacings) / np.sqrt(max(cover, 1e-6))).tolist())
        return self._made(values, own.areas, own.elongations, spacings, own)

    @staticmethod
    def _made(
        values: dict[str, float],
        areas: Quantiles,
        elongations: Quantiles,
        spacings: Quantiles,
        own: Tissue | None = None,
    ) -> Tissue:
        # The tables give the form of the distributions; mean and spread come from the values.
        area = np.exp(_standard(areas) * values["area_spread"])
        area *= values["area"] / area.mean()
        ratio = np.exp(np.log(values["elongation"]) + _standard(elongations) * values["elongation_spread"])
        rest = {name: values[name] for name in Tissue.model_fields if name in values}
        rest["density"] = min(values["density"], FULL * 1e6 / values["area"])
        return Tissue(
            areas=tuple(area.tolist()),
            elongations=tuple(np.maximum(ratio, 1).tolist()),
            spacings=spacings,
            **(
                {name: getattr(own, name) for name in ("contacts", "touching_sizes", "association", "crowding")}
                if own
                else {}
            ),
            **rest,
        )


def means(tissues: tuple[Tissue, ...]) -> dict[str, float]:
    """Average the tissues of a fit: the values of its fields before a user changes them."""
    summaries = [each.summary for each in tissues]
    share = np.array([each.share for each in tissues])
    nuclei = share * [max(each.density, 1e-9) for each in tissues]
    over_masks = ("density", "clustering", "alignment", "reach")
    return {
        name: float(np.average([each[name] for each in summaries], weights=share if name in over_masks else nuclei))
        for name in summaries[0]
    }


def _standard(table: Quantiles) -> NDArray[np.float64]:
    # Logarithms of mean 0 and variance 1; of values that are all the same nothing can be learnt but the normal form.
    logs = np.log(table) if len(table) > 1 else np.zeros(1)
    if logs.std() < 1e-6:
        logs = ndtri((np.arange(33) + 0.5) / 33)
    standard: NDArray[np.float64] = (logs - logs.mean()) / logs.std()
    return standard


def _same(value: float, was: float) -> bool:
    # Fields are saved rounded.
    return abs(value - was) <= 1e-3 * abs(was) + 1e-6


def _scaled(own: float, was: float, value: float) -> float:
    if _same(value, was):
        return own
    return own * value / was if was > 1e-9 else value


def _shifted(own: float, was: float, value: float) -> float:
    # Shares move on the logistic scale, so that they stay shares, and all reach 0 and 1 together.
    if _same(value, was):
        return own
    if value <= 0 or value >= 1:
        return float(np.clip(value, 0, 1))
    odds = value / (1 - value)
    for share, power in ((own, 1), (was, -1)):
        within = min(max(share, 1e-3), 1 - 1e-3)
        odds *= (within / (1 - within)) ** power
    return odds / (1 + odds)
