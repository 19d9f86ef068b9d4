"""Classes of tissue: found by k-means among the features of some images, named by what sets them apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_nucleigan.base.errors import ImageError, RecipeError
from napari_nucleigan.tissue.features import WEIGHTS, grid_shape, scaled, tissue_features
from napari_nucleigan.tissue.record import (
    CELL,
    DEFAULT_CLASSES,
    FEATURES,
    FEWEST,
    MOST,
    TissueClass,
    TissueClasses,
)

_STARTS, _ROUNDS = 6, 100
_WHITE = 0.15  # share without stain from which a second class is called pale


def tissue_map(pixels: NDArray[np.uint8], classes: TissueClasses) -> NDArray[np.uint8]:
    """Find the tissue of each cell of an image.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        H&E at the classes' microns per pixel: a whole image or tile, as `tissue_features` says.
    classes : TissueClasses
        What there is to choose from.

    Returns
    -------
    ndarray of uint8, shape (ceil(H / 16), ceil(W / 16))
        Numbers of classes, 1 or more.

    Raises
    ------
    ImageError
        If the image is not uint8 of shape (H, W, 3).
    """
    return nearest_class(tissue_features(pixels), classes)


def fit_classes(
    images: Iterable[NDArray[np.uint8]], mpp: float = 0.25, count: int = DEFAULT_CLASSES, seed: int = 0
) -> TissueClasses:
    """Find classes of tissue in images, without labels.

    Parameters
    ----------
    images : iterable of ndarray of uint8, shape (H, W, 3)
        H&E; they may differ in size.
    mpp : float
        Their microns per pixel.
    count : int
        How many classes.
    seed : int
        Of the first centres: the same images and seed give the same classes.

    Returns
    -------
    TissueClasses
        In the order of their names: lumen, pale, fibrous, loose, epithelium, crowded, mixed, as far as there are so
        many.

    Raises
    ------
    RecipeError
        If there cannot be so many classes.
    ImageError
        If there are no images, or they have fewer different cells than there are to be classes.
    """
    if not FEWEST <= count <= MOST:
        raise RecipeError(f"There are {FEWEST} to {MOST} classes of tissue, not {count}; choose another number.")
    found, colours = [], []
    for pixels in images:
        features = tissue_features(pixels)
        found.append(features.reshape(-1, len(FEATURES)))
        colours.append(_cell_colours(pixels))
    if not found:
        raise ImageError("There are no images to find classes of tissue in.")
    cells = np.concatenate(found).astype(np.float64)
    mean, deviation = cells.mean(0), np.maximum(cells.std(0), 1e-6)
    standard = scaled(cells, mean, deviation)
    if len(np.unique(standard.round(6), axis=0)) < count:
        raise ImageError(
            f"The images have fewer different places than the {count} classes of tissue asked for; give more or larger "
            "images, or ask for fewer classes."
        )
    labels = _k_means(standard, count, seed)
    centres = np.stack([standard[labels == number].mean(0) for number in range(count)]) / WEIGHTS * deviation + mean
    painted = np.concatenate(colours)
    classes = {
        name: TissueClass(
            name=name,
            centre=_rounded(centres[number]),
            colour=tuple(int(value) for value in painted[labels == number].mean(0).round()),
            share=round(float((labels == number).mean()), 4),
        )
        for name, number in _named(centres).items()
    }
    return TissueClasses(classes=tuple(classes.values()), mean=_rounded(mean), deviation=_rounded(deviation), mpp=mpp)


def nearest_class(
    features: NDArray[np.floating], classes: TissueClasses, biases: Sequence[float] = ()
) -> NDArray[np.uint8]:
    """Return the number of the class whose centre is nearest to each of some features.

    Parameters
    ----------
    features : (..., 4) array of float
        As `tissue_features` measures them.
    classes : TissueClasses
        What there is to choose from.
    biases : sequence of float, optional
        What is taken off the squared distance to each class: more makes it larger.

    Returns
    -------
    (...) array of uint8
    """
    standard = scaled(features, classes.mean, classes.deviation)
    centres = scaled(np.array([each.centre for each in classes.classes]), classes.mean, classes.deviation)
    away = np.square(standard[..., None, :] - centres).sum(-1)
    if len(biases):
        away -= np.asarray(biases)
    return np.asarray(away.argmin(-1) + 1, dtype=np.uint8)


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)


def _cell_colours(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    rows, columns = grid_shape(pixels.shape)
    spare = [(0, -length % CELL) for length in pixels.shape[:2]]
    padded = np.pad(pixels, [*spare, (0, 0)], mode="symmetric")
    means: NDArray[np.float64] = padded.reshape(rows, CELL, columns, CELL, 3).mean(axis=(1, 3)).reshape(-1, 3)
    return means


def _k_means(points: NDArray[np.float64], count: int, seed: int) -> NDArray[np.intp]:
    """Cluster points (n, d); the best of some starts (Arthur and Vassilvitskii, SODA 2007)."""
    best, least = np.zeros(0, np.intp), np.inf
    for start in range(_STARTS):
        centres = _first_centres(points, count, np.random.default_rng([seed, start]))
        labels = np.full(len(points), -1)
        for _ in range(_ROUNDS):
            away = _squared(points, centres)
            now = away.argmin(1)
            if (now == labels).all():
                break
            labels = now
            # A class that nothing is nearest to any more keeps its centre.
            centres = np.stack(
                [points[labels == k].mean(0) if (labels == k).any() else centres[k] for k in range(count)]
            )
        error = float(_squared(points, centres).min(1).sum())
        if error < least and len(np.unique(labels)) == count:
            best, least = labels, error
    if not len(best):
        raise ImageError(f"No {count} classes of tissue can be told apart in these images; ask for fewer.")
    return best


def _first_centres(points: NDArray[np.float64], count: int, random: np.random.Generator) -> NDArray[np.float64]:
    centres: NDArray[np.float64] = points[int(random.integers(len(points)))][None]
    while len(centres) < count:
        away = _squared(points, centres).min(1)
        chosen = int(random.choice(len(points), p=away / away.sum()))
        centres = np.concatenate([centres, points[chosen][None]])
    return centres


def _squared(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    away: NDArray[np.float64] = np.empty((len(points), len(centres)))
    for number, centre in enumerate(centres):
        away[:, number] = np.square(points - centre).sum(1)
    return away


def _named(centres: NDArray[np.float64]) -> dict[str, int]:
    """Give each class the name of what sets it apart; in the order in which they are numbered."""
    white, nuclei, _, hue = centres.T
    left = list(range(len(centres)))
    names: dict[str, int] = {}

    def take(name: str, values: NDArray[np.float64]) -> None:
        if left:
            names[name] = max(left, key=lambda number: float(values[number]))
            left.remove(names[name])

    take("lumen", white)
    take("fibrous", -hue)
    take("crowded", nuclei)
    take("epithelium", hue)
    if any(white[number] > _WHITE for number in left):
        take("pale", white)
    take("loose", -hue)
    order = [name for name in ("lumen", "pale", "fibrous", "loose", "epithelium", "crowded") if name in names]
    others: Sequence[int] = sorted(left, key=lambda number: -float(hue[number]))
    mixed = {f"mixed {place}" if place > 1 else "mixed": number for place, number in enumerate(others, 1)}
    return {name: names[name] for name in order} | mixed
