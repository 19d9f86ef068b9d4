"""Label images as fields that a network can learn, and fields back as label images.

The project's own encoding, ``"distance"``, keeps touching nuclei apart, so `decode` inverts `encode`.
The others are here by name for comparison: ``"binary"`` and ``"contour"`` are the paper's, ``"three-class"`` is that of
CNN3 (Kumar et al., IEEE TMI 2017) and ``"pixel-distance"`` that of DIST (Naylor et al., IEEE TMI 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.labels.regions import numbered
from napari_nucleigan.masks.splitting import grow_seeds, split_by_prominence

FARTHEST = 24.0
"""Distance in pixels that is 1 in the encoding ``"pixel-distance"``; larger ones are cut off."""

THRESHOLD = 0.5
"""Default probability of a pixel to lie inside a nucleus from which it counts as inside."""

PROMINENCE = 0.5
"""Default dip of the distance channel, in 0 to 1, that parts two nuclei."""

LOWEST_PEAK = 0.15
"""Nuclei whose distance, in 0 to 1, nowhere rises above this are noise."""

_CROSS = ndimage.generate_binary_structure(2, 1)
_SQUARE = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Encoding:
    """A way to write labels as a field, and to read them back.

    Attributes
    ----------
    draw : callable
        Maps an (H, W) int32 label image to one channel, (H, W), or three, (3, H, W), with values in 0 to 1.
    cut : callable
        Maps a (3, H, W) field in [-1, 1] to labels; further arguments are the value in [-1, 1] from which a pixel is
        inside, the prominence and the smoothing of `decode`.
    start : dict of str to float
        How what a network paints is decoded before validation images decide.
    trials : dict of str to sequence of float
        Values to try of each on these.
    threshold, prominence : float
        How what `encode` makes is decoded by default.
    presence_channels : int
        Leading channels that are learnt as probabilities.
    """

    draw: Callable[[NDArray[np.int32]], NDArray[Any]]
    cut: Callable[[NDArray[np.floating], float, float, float], NDArray[np.int32]]
    start: Mapping[str, float]
    trials: Mapping[str, Sequence[float]]
    threshold: float = THRESHOLD
    prominence: float = PROMINENCE
    presence_channels: int = 3


def encode(labels: NDArray[np.integer], encoding: str = "distance") -> NDArray[np.float32]:
    """Encode a label image as a field of the mask domain.

    Parameters
    ----------
    labels : (H, W) array of integers
        0 is background, every other value is one nucleus. Values need not be consecutive.
    encoding : {"distance", "binary", "contour", "three-class", "pixel-distance"}
        ``"distance"``: interior, contour and normalised distance. The distance grows from 0 on the
        outermost pixels of each nucleus to 1 at its heart.
        ``"binary"``: the filled nuclei, three times.
        ``"contour"``: outlines about two pixels wide, three times; the target that the published
        code was trained on.
        ``"three-class"``: inside, boundary and background; the boundary is the outermost two pixels of each
        nucleus, unless nothing else would be left of it.
        ``"pixel-distance"``: distance in pixels to the outside of each nucleus, by `FARTHEST`, three times.

    Returns
    -------
    (3, H, W) array of float32
        Values in [-1, 1]; -1 is absence.

    Raises
    ------
    LabelsError
        If `labels` is not a 2-D array of integers.
    RecipeError
        If there is no such encoding.
    """
    known, labels = _find(encoding), _checked(labels)
    if not labels.size:
        return np.empty((3, *labels.shape), dtype=np.float32)
    field: NDArray[Any] = np.broadcast_to(known.draw(labels), (3, *labels.shape))
    return (2.0 * field - 1.0).astype(np.float32)


def decode(
    field: NDArray[np.floating],
    encoding: str = "distance",
    *,
    threshold: float | None = None,
    prominence: float | None = None,
    smoothing: float = 0.0,
    min_area: int = 0,
) -> NDArray[np.int32]:
    """Cut a field of the mask domain into nuclei.

    Pixels whose interior probability reaches `threshold` are foreground. It is shared out among the peaks of
    the distance (see `napari_nucleigan.masks.splitting`); two peaks are two nuclei where the distance dips
    between them by `prominence` at least. Every step looks only at connected foreground, so tiles agree
    wherever they see whole nuclei.

    Parameters
    ----------
    field : (3, H, W) array of float
        Values in [-1, 1], as `encode` makes and as the networks predict them.
    encoding : {"distance", "binary", "contour", "three-class", "pixel-distance"}
        How the field was encoded.
    threshold : float, optional
        Probability of the interior in [0, 1]; of the inside, where seeds are, in ``"three-class"``; a distance by
        `FARTHEST` in ``"pixel-distance"``. By default `THRESHOLD`, or half a pixel.
    prominence : float, optional
        Least dip of the distance between two nuclei, in [0, 1]; smaller values cut more. Used by
        ``"distance"`` and ``"pixel-distance"``. By default `PROMINENCE`, or one pixel.
    smoothing : float
        Standard deviation in pixels of a Gaussian on the distance before it is cut; it takes the noise of a
        network away. Used by the same.
    min_area : int
        Nuclei of fewer pixels are dropped.

    Returns
    -------
    (H, W) array of int32
        0 is background; nuclei are numbered 1, 2, ... without gaps.

    Raises
    ------
    LabelsError
        If the field is not of shape (3, H, W).
    RecipeError
        If there is no such encoding.
    """
    known = _find(encoding)
    if field.ndim != 3 or field.shape[0] != 3:
        raise LabelsError(f"A field of the mask domain has the shape (3, height, width), not {field.shape}.")
    if not field.size:
        return np.zeros(field.shape[1:], dtype=np.int32)
    threshold = known.threshold if threshold is None else threshold
    prominence = known.prominence if prominence is None else prominence
    return _drop_small(known.cut(field, 2.0 * threshold - 1.0, prominence, smoothing), min_area)


def _cut_by_distance(
    field: NDArray[np.floating], cut: float, prominence: float, smoothing: float, lowest: float = LOWEST_PEAK
) -> NDArray[np.int32]:
    foreground = _fill_pinholes(field[0] >= cut)
    distance = (field[2].astype(np.float32) + 1) / 2
    if smoothing:
        distance = ndimage.gaussian_filter(distance, smoothing, truncate=3.0)
    return split_by_prominence(distance, foreground, prominence, lowest)


def _cut_by_pixels(field: NDArray[np.floating], cut: float, prominence: float, smoothing: float) -> NDArray[np.int32]:
    mean = np.broadcast_to(field.mean(axis=0), field.shape)
    return _cut_by_distance(mean, cut, prominence, smoothing, lowest=0.0)


def _grow_insides(field: NDArray[np.floating], cut: float, *_: float) -> NDArray[np.int32]:
    """Give each connected inside a number, and let it grow over the boundary class."""
    foreground = _fill_pinholes(field[2] < np.maximum(field[0], field[1]))
    seeds = ndimage.label(foreground & (field[0] >= cut))[0].astype(np.int32)
    return grow_seeds(field[0].astype(np.float32), seeds, foreground)


def _fill_pinholes(foreground: NDArray[np.bool_], largest: int = 12) -> NDArray[np.bool_]:
    # Holes of a few pixels are noise of the network; larger ones are real gaps between nuclei.
    holes, count = ndimage.label(~foreground, _CROSS)
    if count < 2:
        return foreground
    small = np.bincount(holes.ravel(), minlength=count + 1) <= largest
    small[0] = False
    # A gap that leaves the picture may be larger than what is seen of it.
    for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        small[edge] = False
    filled: NDArray[np.bool_] = foreground | small[holes]
    return filled


def _drop_small(labels: NDArray[np.int32], min_area: int) -> NDArray[np.int32]:
    areas = np.bincount(labels.ravel())
    keep = areas >= max(min_area, 1)
    keep[0] = False
    order = np.zeros(areas.size, dtype=np.int32)
    order[keep] = np.arange(1, np.count_nonzero(keep) + 1, dtype=np.int32)
    renumbered: NDArray[np.int32] = order[labels]
    return renumbered


def _depths(
    labels: NDArray[np.int32],
) -> Iterator[tuple[int, tuple[slice, slice], NDArray[np.bool_], NDArray[np.float64]]]:
    """Give each nucleus' number, its box, its pixels there, and how far each is from what is not of the nucleus."""
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            own = labels[box] == number
            yield number, box, own, ndimage.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1]


def _normalised_distance(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    distance = np.zeros(labels.shape, dtype=np.float32)
    for number, box, inside, depth in _depths(labels):
        # The outermost pixels lie at distance 1. Starting there at 0 keeps a valley between any two
        # nuclei that touch.
        heart = depth.max()
        if heart > 1:
            distance[box][inside] = (depth[inside] - 1) / (heart - 1)
        else:
            # Too thin for a valley inside: its heart is what touches no other nucleus.
            grown = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
            own = labels[grown] == number
            alone = own & ~ndimage.binary_dilation((labels[grown] > 0) & ~own, _SQUARE)
            distance[grown][alone if alone.any() else own] = 1.0
    return distance


def _three_classes(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    inside = (labels > 0) & ~_contour_band(labels)
    for _, box, own, depth in _depths(labels):
        if not (inside[box] & own).any():
            # Too thin for a boundary of two pixels: its innermost pixels are its inside.
            inside[box] |= own & (depth >= depth.max())
    return np.stack([inside, (labels > 0) & ~inside, labels == 0])


def _pixel_distance(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    distance = np.zeros(labels.shape, dtype=np.float32)
    for _, box, inside, depth in _depths(labels):
        distance[box][inside] = depth[inside]
    near: NDArray[np.float32] = np.minimum(distance / FARTHEST, 1)
    return near


def _inner_boundary(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    low = ndimage.minimum_filter(labels, footprint=_CROSS, mode="nearest")
    high = ndimage.maximum_filter(labels, footprint=_CROSS, mode="nearest")
    boundary: NDArray[np.bool_] = (low != high) & (labels > 0)
    return boundary


def _contour_band(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    band: NDArray[np.bool_] = ndimage.binary_dilation(_inner_boundary(labels), _CROSS)
    return band


def _outlines(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    # Outlines are closed at the edges of the image, or a cut nucleus could never be filled again.
    framed: NDArray[np.bool_] = _inner_boundary(np.pad(labels, 1))[1:-1, 1:-1]
    return framed


def _fill_outlines(field: NDArray[np.floating], cut: float, *_: float) -> NDArray[np.int32]:
    outlines = field.mean(axis=0) >= cut
    regions, count = ndimage.label(~outlines, _CROSS)
    if count == 0:
        return np.zeros(outlines.shape, dtype=np.int32)
    areas = np.bincount(regions.ravel())
    areas[0] = 0
    # The background is the widest region: the encoding itself does not tell inside from outside.
    regions[regions == areas.argmax()] = 0
    grown = ndimage.maximum_filter(regions, footprint=_CROSS)
    labels: NDArray[np.int32] = np.where(outlines & (regions == 0), grown, regions).astype(np.int32)
    return labels


def _checked(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    if labels.ndim != 2 or labels.dtype.kind not in "iub":
        raise LabelsError(
            f"Labels must be a 2-D array of integers with 0 as background, not {labels.ndim}-D of {labels.dtype}."
        )
    if labels.size and (labels.min() < 0 or labels.max() > labels.size):
        # Sparse or negative values would make tables as long as the largest of them.
        return numbered(labels)[1]
    return labels.astype(np.int32)


def _find(encoding: str) -> Encoding:
    if encoding not in ENCODINGS:
        raise RecipeError(f"There is no mask encoding {encoding!r}; choose one of {', '.join(ENCODINGS)}.")
    return ENCODINGS[encoding]


_PROBABILITIES = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)
# Where nothing but the threshold parts nuclei, the best one may be high.
_SURFACES = {"threshold": (*_PROBABILITIES, 0.9)}
_PIXELS = tuple(pixels / FARTHEST for pixels in (0.5, 0.75, 1, 1.5, 2, 3))

ENCODINGS = {
    "distance": Encoding(
        lambda labels: np.stack([labels > 0, _contour_band(labels), _normalised_distance(labels)]),
        _cut_by_distance,
        # What a network paints dips less between two nuclei than what `encode` makes.
        start={"threshold": THRESHOLD, "prominence": 0.16},
        trials={"threshold": _PROBABILITIES, "prominence": (0.08, 0.12, 0.16, 0.2, 0.25, 0.3)},
        # All but the normalised distance.
        presence_channels=2,
    ),
    "binary": Encoding(
        lambda labels: labels > 0,
        lambda field, cut, *_: ndimage.label(field.mean(axis=0) >= cut)[0].astype(np.int32),
        start={"threshold": THRESHOLD},
        trials=_SURFACES,
    ),
    "contour": Encoding(_outlines, _fill_outlines, start={"threshold": THRESHOLD}, trials=_SURFACES),
    "three-class": Encoding(_three_classes, _grow_insides, start={"threshold": THRESHOLD}, trials=_SURFACES),
    # A distance by `FARTHEST` is mostly near 0, where a hyperbolic tangent fitted by its value alone gets stuck, so
    # that it is learnt as a probability.
    "pixel-distance": Encoding(
        _pixel_distance,
        _cut_by_pixels,
        start={"threshold": 1 / FARTHEST, "prominence": 1 / FARTHEST},
        trials={"threshold": _PIXELS, "prominence": _PIXELS},
        threshold=0.5 / FARTHEST,
        prominence=1.0 / FARTHEST,
    ),
}
"""Encodings by name; the first is the project's own."""

PRESENCE_CHANNELS = {name: encoding.presence_channels for name, encoding in ENCODINGS.items()}
"""Leading channels of each encoding that are learnt as probabilities."""
