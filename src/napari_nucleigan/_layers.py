"""Images and labels as napari layer data, for readers and samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_nucleigan.data.images import HEImage

LayerData = tuple[Any, dict[str, Any], str]
"""Data, arguments and type of a layer, as napari takes them."""


def image_layer(image: HEImage, name: str | None = None) -> LayerData:
    """Describe an RGB layer in microns, or in pixels where their size is not known.

    Parameters
    ----------
    image : HEImage
        The image. Its path and what was converted go to the layer's metadata, under ``"nucleigan"``.
    name : str, optional
        Name of the layer; the image's own if not given.

    Returns
    -------
    data, arguments, type
    """
    known = {"path": str(image.path) if image.path else None, "mpp": image.mpp, "notes": list(image.notes)}
    arguments = {"name": name or image.name, "rgb": True, "metadata": {"nucleigan": known}}
    return image.pixels, arguments | _place(image.mpp), "image"


def labels_layer(labels: npt.NDArray[np.int32], mpp: float | None, name: str) -> LayerData:
    """Describe a Labels layer in microns, or in pixels where their size is not known."""
    return labels, {"name": name} | _place(mpp), "labels"


def _place(mpp: float | None) -> dict[str, Any]:
    return {"scale": (mpp, mpp), "units": ("um", "um")} if mpp else {}
