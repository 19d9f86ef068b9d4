"""Samples in napari's menu File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleigan.contributions.layers import image_layer, labels_layer
from napari_nucleigan.data.images import samples

if TYPE_CHECKING:
    from napari_nucleigan.contributions.layers import LayerData


def synthetic_he() -> list[LayerData]:
    """Open the bundled synthetic H&E picture and its true labels."""
    image, labels = samples.synthetic_he()
    return [image_layer(image, name="Synthetic H&E"), labels_layer(labels, image.mpp, "True nuclei (synthetic)")]


def skin() -> list[LayerData]:
    """Open a real H&E section of skin; downloaded by scikit-image the first time."""
    return [image_layer(samples.skin(), name="Skin, H&E at 10x")]


def immunohistochemistry() -> list[LayerData]:
    """Open a real section of colon that is not H&E but immunohistochemistry."""
    return [image_layer(samples.immunohistochemistry(), name="Colon, IHC (not H&E)")]
