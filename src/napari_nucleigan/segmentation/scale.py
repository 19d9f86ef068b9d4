"""Scale: how long the pixels of an image are, estimated from the nuclei in it where the file does not say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_nucleigan.base.errors import ImageError, ModelError
from napari_nucleigan.base.events import Job, Note, Progress, run
from napari_nucleigan.models import load_model
from napari_nucleigan.networks.network_runner import network_errors
from napari_nucleigan.segmentation.predictor import is_blank
from napari_nucleigan.segmentation.segmenter import PixelSize, Segmenter
from napari_nucleigan.segmentation.settings import AUTO, SegmentSettings
from napari_nucleigan.tiling import resize_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.data.slides import Slide
    from napari_nucleigan.models import Model, ModelCard

ZOOMS = (0.8, 1.2, 1.8, 2.7, 4.0)
"""Magnifications at which an image is looked at: with a model of 0.25 microns per pixel right for 0.2 to 1.0."""

WINDOWS = 4
"""Places of the image that are looked at."""

SIDE = 256
"""Side of what the network sees of each, in pixels."""

FAINT = 0.005
"""Mean interior below which there are no nuclei to be seen."""

OVERVIEW = 4096**2
"""Most pixels of the level of a slide in which dark places are looked for."""

SMALLEST = 64
"""Least side in pixels of an image whose scale can be estimated."""

_LEAST = 1e-5


@dataclass(frozen=True)
class ScaleEstimate:
    """A guess of how long an image's pixels are.

    Attributes
    ----------
    mpp : float
        Microns per pixel, to two digits.
    """

    mpp: float

    @property
    def magnification(self) -> float:
        """Magnification of an objective that usually gives such pixels: 40 for 0.25 microns."""
        return min((60, 40, 20, 10, 5, 2.5), key=lambda each: abs(np.log(each * self.mpp / 10)))

    def __str__(self) -> str:
        """Say it as people do, as in "about 0.5 microns per pixel (20x)"."""
        return f"about {self.mpp:g} microns per pixel ({self.magnification:g}x)"


def estimate_mpp(
    image: HEImage | Slide | NDArray[np.uint8], model: Model | None = None, settings: SegmentSettings | None = None
) -> ScaleEstimate:
    """Estimate the microns per pixel of an H&E image, from its nuclei.

    Its darkest parts are shown to the network at several magnifications. From what its levels see inside of nuclei, a
    regression that the model's card holds tells how far each view is from the scale that the model was trained at.

    Parameters
    ----------
    image : HEImage, Slide, or ndarray of uint8, shape (H, W, 3)
        RGB, of `SMALLEST` pixels a side at least. What it says of its own scale does not count.
    model : Model, optional
        A loaded model; by default the one that the settings name. The default model takes the place of one whose card
        has no such regression.
    settings : SegmentSettings, optional
        Model, device and precision.

    Returns
    -------
    ScaleEstimate
        Between half of the smallest and twice the largest scale that is looked at.

    Raises
    ------
    ModelError
        If the model cannot be used, or the regression on its card cannot.
    ImageError
        If the image is too small, or no nuclei can be seen in it.
    DeviceError
        If the device is not to be had, the network fails, or the memory runs out.
    """
    settings = settings or SegmentSettings()
    segmenter = Segmenter(model or load_model(settings.model, "segmenter"), settings)
    return run(estimating(darkest_parts(image), segmenter))


def estimating(parts: Sequence[NDArray[np.uint8]], segmenter: Segmenter) -> Job[ScaleEstimate]:
    """Estimate as `estimate_mpp` does, from `darkest_parts`, step by step; closing the generator stops the work."""
    segmenter = segmenter.scale_estimator
    card = segmenter.card
    fit = check_scale(card)
    if any(min(part.shape[:2]) < SMALLEST for part in parts):
        raise ImageError(
            f"The image is too small for its scale to be estimated: a side has less than {SMALLEST} pixels."
        )
    lit = [part for part in parts if not is_blank(part)]
    seen = (yield from look(lit, segmenter)) if lit else np.zeros((1, 1))
    if seen[:, 0].max() < FAINT:
        raise ImageError("No nuclei can be seen at any magnification, so the scale cannot be estimated.")
    weights = np.asarray(fit["weights"], dtype=float)
    if len(weights) != seen.shape[1] - 1:
        raise _without(card)
    told = combined(seen[:, 1:] @ weights + fit["bias"], fit["width"])
    exponent = fit["offset"] + fit["slope"] * float(told)
    low, high = card.mpp * ZOOMS[0] / 2, card.mpp * ZOOMS[-1] * 2
    return ScaleEstimate(float(f"{np.clip(card.mpp * 2.0**exponent, low, high):.2g}"))


def pixel_size(image: HEImage | Slide, segmenter: Segmenter) -> tuple[PixelSize, list[Note]]:
    """Settle the microns per pixel of an image or slide; a note where neither it nor the settings say them.

    Raises
    ------
    ModelError, ImageError
        If the scale is to be estimated, and cannot be.
    """
    asked = segmenter.settings.mpp
    if isinstance(asked, float):
        return PixelSize(asked, "given"), []
    if image.mpp:
        return PixelSize(image.mpp, "image"), []
    begin = f"{image.name} does not say its microns per pixel; "
    if asked == AUTO:
        found = run(estimating(darkest_parts(image), segmenter))
        text = f"{begin}{found} was estimated from its nuclei and taken. Give the right value where you know it."
        return PixelSize(found.mpp, "estimated"), [Note(text, "warning")]
    text = (
        f"{begin}{segmenter.card.mpp:g} was taken, as the model was trained at. "
        f"Give the right value if nuclei look cut up or merged, or {AUTO!r} for an estimate."
    )
    return PixelSize(segmenter.card.mpp, "model"), [Note(text, "warning")]


def check_scale(card: ModelCard) -> dict[str, Any]:
    """Return the regression of a model's card.

    Raises
    ------
    ModelError
        If it has none that can be used.
    """
    fit = card.scale or {}
    try:
        weights = np.asarray(fit["weights"], dtype=float)
        numbers = np.array([*weights, *(fit[name] for name in ("bias", "width", "offset", "slope"))], dtype=float)
    except (KeyError, TypeError, ValueError):
        raise _without(card) from None
    if not np.isfinite(numbers).all() or fit["width"] <= 0:
        raise _without(card)
    return fit


def _without(card: ModelCard) -> ModelError:
    return ModelError(
        f"The model {card.name!r} cannot estimate the scale of an image; give the microns per pixel, or choose a "
        "bundled model."
    )


def look(parts: Sequence[NDArray[np.uint8]], segmenter: Segmenter) -> Job[NDArray[np.float64]]:
    """Show parts of an image to the network at each of the `ZOOMS`, and tell what it sees.

    Parameters
    ----------
    parts : sequence of ndarray of uint8, shape (H, W, 3)
        RGB.
    segmenter : Segmenter
        The model.

    Yields
    ------
    Progress

    Returns
    -------
    ndarray of float, shape (len(ZOOMS), 1 + d)
        Share of the interior; mean of each channel of each level of the network inside of nuclei, its square root with
        its sign, as few channels are far larger than the rest.
    """
    rows = []
    for number, zoom in enumerate(ZOOMS):
        yield Progress(number, len(ZOOMS), "estimating the scale")
        with network_errors():
            seen = segmenter.predictor.inside([_view(part, zoom) for part in parts]).mean(axis=0, dtype=np.float64)
        inside = seen[1:] / (seen[0] + _LEAST)
        rows.append([seen[0], *np.sign(inside) * np.sqrt(np.abs(inside))])
    return np.array(rows)


def combined(told: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Put together what the views at each of the `ZOOMS` tell; those nearest to the model's own scale count most.

    Parameters
    ----------
    told : ndarray of float, shape (..., len(ZOOMS))
        Logarithm to base 2 of how much longer the pixels of each view are than those of the model.
    width : float
        How far from there views count, in the same unit.

    Returns
    -------
    ndarray of float, shape (...)
        The same of the pixels of the image itself.
    """
    weights = np.exp(-((told / width) ** 2)) + 1e-4
    total: NDArray[np.float64] = (weights * (told + np.log2(ZOOMS))).sum(axis=-1) / weights.sum(axis=-1)
    return total


def darkest_parts(image: HEImage | Slide | NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Cut out the parts of an image around which most light is absorbed, far apart from one another.

    Those of a slide are looked for in a small level, and read at full resolution.

    Raises
    ------
    ImageError
        If the file of a slide is damaged there.
    """
    from napari_nucleigan.data.images.files import HEImage

    if not isinstance(image, np.ndarray | HEImage):
        return _of_slide(image)
    pixels = image.pixels if isinstance(image, HEImage) else image
    return [pixels[_around(place, pixels.shape)] for place in _dark_places(pixels)]


def _of_slide(slide: Slide) -> list[NDArray[np.uint8]]:
    number = next(
        (at for at, plane in enumerate(slide.planes) if math.prod(plane.shape[:2]) <= OVERVIEW), len(slide.planes) - 1
    )
    height, width = slide.planes[number].shape[:2]
    # A slide without small levels is looked at in its middle.
    top, left = (max(0, length - math.isqrt(OVERVIEW)) // 2 for length in (height, width))
    small = slide.region((top, min(height, height - top), left, min(width, width - left)), number)
    factor = slide.downsamples[number]
    places = [(round((row + top) * factor), round((column + left) * factor)) for row, column in _dark_places(small)]
    windows = [_around(place, slide.shape) for place in places]
    return [slide.region((rows.start, rows.stop, columns.start, columns.stop)) for rows, columns in windows]


def _dark_places(pixels: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Choose the places of an image, (row, column), around which most light is absorbed, far apart from one another."""
    step = max(1, min(pixels.shape[:2]) // 64)
    dark = 255.0 - pixels[::step, ::step].mean(axis=-1)
    # Black is no tissue, and neither is what is a single spot.
    dark = ndimage.uniform_filter(np.where(dark > 230, 0, dark), 9, mode="nearest")
    places = []
    apart = max(dark.shape) / 4
    rows, columns = np.indices(dark.shape)
    for _ in range(WINDOWS):
        row, column = np.unravel_index(int(dark.argmax()), dark.shape)
        places.append((int(row) * step, int(column) * step))
        dark = np.where(np.hypot(rows - row, columns - column) < apart, dark - 256, dark)
    return places


def _around(place: tuple[int, int], shape: Sequence[int]) -> tuple[slice, slice]:
    """Return the window around a place of an image that holds all that is ever seen of it."""
    rows, columns = (
        _middle(length, round(SIDE / ZOOMS[0]), centre) for centre, length in zip(place, shape, strict=False)
    )
    return rows, columns


def _middle(length: int, wanted: int, centre: int) -> slice:
    side = min(length, wanted)
    start = min(max(0, centre - side // 2), length - side)
    return slice(start, start + side)


def _view(part: NDArray[np.uint8], zoom: float) -> NDArray[np.uint8]:
    """Enlarge the middle of a part to what the network sees of it."""
    rows, columns = (_middle(length, round(SIDE / zoom), length // 2) for length in part.shape[:2])
    cut = part[rows, columns]
    return resize_image(cut, (max(32, round(cut.shape[0] * zoom)), max(32, round(cut.shape[1] * zoom))))
