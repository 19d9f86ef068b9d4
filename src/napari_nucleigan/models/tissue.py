"""What the card of a synthesizer says of tissue: the classes that it knows, and masks laid out on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.masks.sampler.parameters import PolygonMasks
from napari_nucleigan.tissue.record import TissueClasses

if TYPE_CHECKING:
    from napari_nucleigan.models.registry import ModelCard


def classes_on(card: ModelCard) -> TissueClasses | None:
    """Return the classes of tissue that a synthesizer knows; None for none.

    Raises
    ------
    ModelError
        If the card holds something else.
    """
    if card.tissue is None:
        return None
    try:
        return TissueClasses.model_validate(card.tissue.get("classes"))
    except ValidationError as error:
        raise _invalid(card) from error


def masks_on(card: ModelCard) -> PolygonMasks | None:
    """Return the statistics of the masks, with their tissue, that a synthesizer learnt to paint; None for none.

    Raises
    ------
    ModelError
        If the card holds something else.
    """
    record = (card.tissue or {}).get("masks")
    if record is None:
        return None
    try:
        return PolygonMasks.model_validate(record)
    except ValidationError as error:
        raise _invalid(card) from error


def _invalid(card: ModelCard) -> ModelError:
    return ModelError(f"The tissue on the card of the model {card.name!r} is not valid; train the model again.")
