"""Starts: what a model decides of the recipe of those who go on with its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nucleigan.models import ModelCard

KEPT_WEIGHTS = ("l1_weight", "presence_weight")
"""Weights of losses that stay as a model was trained with: not every encoding can have all of them."""


def as_model(model: str | Path) -> dict[str, Any]:
    """Return the fields of a recipe that the model decides from which training starts.

    Parameters
    ----------
    model : str or Path
        Name or file of a model, or a run.

    Returns
    -------
    dict
        To be given to `read_recipe` as changes.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    from napari_nucleigan.models import read_card, resolve

    return {"start_from": str(resolve(model).absolute()), **fixed_by(read_card(resolve(model)))}


def inherited(card: ModelCard) -> dict[str, str]:
    """Return what the card of a model says of itself that goes on with another's weights: it is made of these, too."""
    data = f"Goes on from {card.name}" + (f" ({card.training_data})" if card.training_data else "")
    return {"training_data": data, "data_licence": card.data_licence, "licence": card.licence}


def fixed_by(card: ModelCard) -> dict[str, Any]:
    """Return the fields of a recipe that a model's card decides for those who go on with the model."""
    weights = {name: card.recipe[name] for name in KEPT_WEIGHTS if name in card.recipe}
    fields = {"generator": card.architecture, "encoding": card.encoding, "mpp": card.mpp}
    return {**fields, "normalize": card.recipe.get("normalize", "none"), **weights}
