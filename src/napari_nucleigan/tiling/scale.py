"""Scale: between the pixels of an image and those that a model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 0.05
"""Relative difference in microns per pixel up to which an image is not resampled."""

COARSEST = 2.5
"""Microns per pixel above which nuclei are specks of two or three pixels."""

FINEST = 0.02
"""Microns per pixel below which no light microscope works."""


@dataclass(frozen=True)
class Scale:
    """How an image is brought to the scale of a model.

    Attributes
    ----------
    mpp : float
        Microns per pixel of the image.
    shape : (int, int)
        Height and width of the image in its own pixels.
    model_shape : (int, int)
        Height and width at the model's scale; the same where no resampling is needed.
    """

    mpp: float
    shape: tuple[int, int]
    model_shape: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, int], mpp: float, model_mpp: float) -> Scale:
        """Plan the resampling of an image.

        Raises
        ------
        ImageError
            If no nuclei can be seen at this scale.
        """
        if not FINEST <= mpp <= COARSEST:
            raise ImageError(
                f"The image is said to have {mpp:.4g} microns per pixel, but nuclei can be segmented "
                f"from {FINEST} to {COARSEST}; give the right value (about 0.25 at 40x, 0.5 at 20x)."
            )
        factor = mpp / model_mpp
        if abs(factor - 1) <= TOLERANCE:
            return cls(mpp, shape, shape)
        height, width = (max(1, round(length * factor)) for length in shape)
        return cls(mpp, shape, (height, width))

    @property
    def resamples(self) -> bool:
        """Whether the two scales differ."""
        return self.shape != self.model_shape


def resize_image(image: NDArray[np.uint8], to: tuple[int, int]) -> NDArray[np.uint8]:
    """Resample an image, linearly; anti-aliased where it shrinks.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    to : (int, int)
        Height and width wanted, in pixels.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        The image itself where it has that size.
    """
    if image.shape[:2] == to:
        return image
    import torch

    channels_first = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(channels_first, to, mode="bilinear", align_corners=False, antialias=True)
    result: NDArray[np.uint8] = resized[0].permute(1, 2, 0).contiguous().numpy()
    return result


def resize_labels(labels: NDArray[np.int32], to: tuple[int, int]) -> NDArray[np.int32]:
    """Resample labels, by the nearest pixel.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        0 is background.
    to : (int, int)
        Height and width wanted, in pixels.

    Returns
    -------
    ndarray of int32, shape (h, w)
        The labels themselves where they have that size.
    """
    if labels.shape == to:
        return labels
    rows, columns = (
        ((np.arange(length) + 0.5) * (inner / length)).astype(np.intp)
        for length, inner in zip(to, labels.shape, strict=True)
    )
    resized: NDArray[np.int32] = labels[rows[:, None], columns]
    return resized
