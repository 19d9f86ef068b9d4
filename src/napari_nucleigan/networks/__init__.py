"""Generators, discriminators and objectives of the adversarial networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nucleigan.errors import RecipeError

if TYPE_CHECKING:
    from napari_nucleigan.networks.generators import Generator


def build(architecture: dict[str, Any]) -> Generator:
    """Build a generator from its description.

    Parameters
    ----------
    architecture : dict
        ``{"name": NAME, ...}``; the other entries are arguments of that network's class. Names are the
        keys of `napari_nucleigan.networks.generators.GENERATORS`.

    Returns
    -------
    Generator
        Maps (N, 3, H, W) in [-1, 1] to (N, 3, H, W) in [-1, 1].

    Raises
    ------
    RecipeError
        If there is no such network, or it does not take these arguments.
    """
    from napari_nucleigan.networks.generators import GENERATORS

    arguments = dict(architecture)
    name = arguments.pop("name", None)
    if name not in GENERATORS:
        raise RecipeError(f"There is no network {name!r}; choose one of {', '.join(sorted(GENERATORS))}.")
    try:
        return GENERATORS[name](**arguments)
    except TypeError as error:
        raise RecipeError(f"The network {name!r} does not take {arguments}: {error}.") from error
