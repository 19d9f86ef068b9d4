"""Record of tissue classes: what a card and the statistics of masks hold of them; it needs no arrays."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

CELL = 16
"""Side of a cell of tissue in pixels: the stride of the coarsest level of the synthesizers."""

FEATURES = ("white", "nuclei", "haematoxylin", "hue")
"""Share that shows no stain; share that shows much haematoxylin; haematoxylin between the nuclei, over its strength in
the image; logarithm of haematoxylin over eosin there, which is low in collagen and high in epithelium."""

UNKNOWN = 0
"""Value of a tissue map where nothing is said of the tissue; the classes are 1, 2, ..."""

DEFAULT_CLASSES, FEWEST, MOST = 6, 2, 12
"""How many classes are looked for, and how few and how many can be."""

Vector = Annotated[tuple[float, ...], Field(min_length=len(FEATURES), max_length=len(FEATURES))]
"""One value for each of `FEATURES`."""


class TissueClass(BaseModel):
    """One class of tissue.

    Attributes
    ----------
    name : str
        What it most likely is; a guess from its features that serves people, legends and the layout of glands.
    centre : tuple of float
        Mean of each of `FEATURES`, odd cells counted as less odd.
    colour : (int, int, int)
        Mean colour, RGB.
    share : float
        Share of the cells that were clustered.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(min_length=1)
    centre: Vector
    colour: tuple[int, int, int]
    share: float = Field(ge=0, le=1)


class TissueClasses(BaseModel):
    """Classes of tissue, and how features are scaled before they are compared with them.

    Attributes
    ----------
    classes : tuple of TissueClass
        Their numbers in a map are 1, 2, ...; 0 is unknown.
    mean, deviation : tuple of float
        Of each of `FEATURES` over all cells.
    mpp : float
        Microns per pixel of the images: a cell is 16 pixels of that size.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    classes: tuple[TissueClass, ...] = Field(min_length=FEWEST, max_length=MOST)
    mean: Vector
    deviation: Vector
    mpp: float = Field(gt=0)

    @model_validator(mode="after")
    def _scales(self) -> Self:
        if min(self.deviation) <= 0:
            raise ValueError("the deviations of the features must be above 0")
        if len(set(self.names)) < len(self.classes):
            raise ValueError("the classes must have different names")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers."""
        return tuple(each.name for each in self.classes)

    def number(self, name: str) -> int:
        """Return the number of a class in a map; 0 where there is none of that name."""
        return self.names.index(name) + 1 if name in self.names else UNKNOWN
