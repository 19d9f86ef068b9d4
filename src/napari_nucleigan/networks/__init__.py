"""Generators, discriminators and objectives of the adversarial networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nucleigan.errors import RecipeError

if TYPE_CHECKING:
    from napari_nucleigan.networks.generators import Generator
    from napari_nucleigan.networks.synthesizers import Synthesizer


def build(architecture: dict[str, Any]) -> Generator | Synthesizer:
    """Build a generator or a synthesizer from its description.

    Parameters
    ----------
    architecture : dict
        ``{"name": NAME, ...}``; the other entries are arguments of that network's class. Names are the
        keys of `napari_nucleigan.networks.generators.GENERATORS`, which map images to images of the same size,
        and of `napari_nucleigan.networks.synthesizers.SYNTHESIZERS`, which paint H&E from a mask.

    Returns
    -------
    Generator or Synthesizer
        With its initial weights.

    Raises
    ------
    RecipeError
        If there is no such network, or it does not take these arguments.
    """
    from napari_nucleigan.networks.generators import GENERATORS
    from napari_nucleigan.networks.synthesizers import SYNTHESIZERS

    networks = {**GENERATORS, **SYNTHESIZERS}
    arguments = dict(architecture)
    name = arguments.pop("name", None)
    if name not in networks:
        raise RecipeError(f"There is no network {name!r}; choose one of {', '.join(sorted(networks))}.")
    try:
        return networks[name](**arguments)
    except TypeError as error:
        raise RecipeError(f"The network {name!r} does not take {arguments}: {error}.") from error
