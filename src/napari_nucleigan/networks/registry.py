"""Registry: networks by the names that recipes and model cards use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from napari_nucleigan.base.errors import NucleiganError, RecipeError
from napari_nucleigan.base.text import printable
from napari_nucleigan.networks.encoders import EncoderUNet
from napari_nucleigan.networks.generators import FCN, CompactUNet, Generator, ResNet, UNet256
from napari_nucleigan.networks.synthesizers import NoisyResNet, NoisyUNet, Synthesizer, TissueUNet

_Network = TypeVar("_Network")


def _mask_rcnn(**arguments: Any) -> Generator:
    # Needs an extra, and half a second to import.
    from napari_nucleigan.networks.maskrcnn import MaskRCNN

    return MaskRCNN(**arguments)


GENERATORS: dict[str, Callable[..., Generator]] = {
    "unet-256": UNet256,
    "resnet": ResNet,
    "compact-unet": CompactUNet,
    "encoder-unet": EncoderUNet,
    "fcn": FCN,
    "mask-rcnn": _mask_rcnn,
}
"""Generators by the name that recipes and model cards use."""


SYNTHESIZERS: dict[str, Callable[..., Synthesizer]] = {
    "painter": NoisyUNet,
    "tissue-unet": TissueUNet,
    "noisy-resnet": NoisyResNet,
}
"""Synthesizers by the name that recipes and model cards use."""


_LARGEST, _MOST = 4096, 64  # number that describes a network, and entries of a list of such


def build(architecture: dict[str, Any]) -> Generator:
    """Build a generator from its description.

    Parameters
    ----------
    architecture : dict
        ``{"name": NAME, ...}``; the other entries are arguments of that network's class. Names are the
        keys of `GENERATORS`.

    Returns
    -------
    Generator
        Maps (N, 3, H, W) in [-1, 1] to (N, 3, H, W) in [-1, 1].

    Raises
    ------
    RecipeError
        If there is no such network, or it does not take these arguments.
    """
    return _build(GENERATORS, architecture)


def build_synthesizer(architecture: dict[str, Any]) -> Synthesizer:
    """Build a synthesizer from its description.

    Parameters
    ----------
    architecture : dict
        As for `build`. Names are the keys of `SYNTHESIZERS`.

    Returns
    -------
    Synthesizer
        Paints H&E from masks.

    Raises
    ------
    RecipeError
        If there is no such network, or it does not take these arguments.
    """
    return _build(SYNTHESIZERS, architecture)


def _sane(value: Any) -> bool:
    """Tell whether numbers are those of a network that a machine can hold, however they came here."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return len(value) <= _MOST and all(map(_sane, value))
    return not isinstance(value, int | float) or abs(value) <= _LARGEST


def _build(networks: Mapping[str, Callable[..., _Network]], architecture: dict[str, Any]) -> _Network:
    arguments = dict(architecture)
    name = arguments.pop("name", None)
    if not isinstance(name, str) or name not in networks:
        raise RecipeError(f"There is no network {name!r}; choose one of {', '.join(sorted(networks))}.")
    if not _sane(arguments):
        raise RecipeError(f"The network {name!r} cannot be that large; choose smaller numbers for it.")
    try:
        return networks[name](**arguments)
    except (NucleiganError, MemoryError):
        raise
    except Exception as error:  # whatever a network stumbles over that is given other numbers than it has names for
        raise RecipeError(f"The network {name!r} does not take {arguments}: {printable(error)}.") from error
