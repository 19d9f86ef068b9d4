"""Fit of how tissue lies to H&E tiles and their labels: maps, glands, and the nuclei of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.masks.sampler.fit import (
    MOST_TISSUES,
    QUANTILES,
    ObservedMask,
    fit,
    gaps,
    likeness,
    quantiles,
    scores,
    weights,
)
from napari_nucleigan.masks.sampler.parameters import (
    ClassNuclei,
    FeatureField,
    Glands,
    ImageTissue,
    PolygonMasks,
    TissueLayout,
    TissueStatistics,
)
from napari_nucleigan.masks.sampler.statistics import Ellipses, describe, find_ellipses
from napari_nucleigan.masks.sampler.tissue_maps import (
    BORDER,
    border_directions,
    class_at,
    classify,
    draw_features,
    find_glands,
)
from napari_nucleigan.tissue.classes import fit_classes, nearest_class
from napari_nucleigan.tissue.features import mask_grid, tissue_features
from napari_nucleigan.tissue.record import CELL, DEFAULT_CLASSES, FEATURES, UNKNOWN, TissueClasses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LAGS = np.arange(1, 13)
_SHORT, _LONG = (1.5, 2.0, 3.0, 4.0), (5.0, 7.0, 10.0, 14.0, 20.0)  # reaches in cells that are tried
_SHARES = np.linspace(0, 1, 11)
_FEWEST = 30  # nuclei from which a class has statistics of its own
_FEWEST_BESIDE = 20  # long ones beside a border, of which a direction is learnt
_LONG_NUCLEUS = 1.3  # length over width from which a nucleus has a direction
_LEAST_LUMEN, _RING, _RINGED = 3, 3, 0.6  # cells; width of the ring in cells; share of it that is epithelium
_IN_GLANDS = 0.5  # share of the epithelium that glands take, at most
_WALL = 6  # cells from a lumen in which epithelium counts for its gland's wall
_DRAWN, _DRAWS = 48, 3  # side and number of the maps by which shares are brought to those of the image
_ROUNDS, _PACE, _RARE = 25, 0.5, 0.003
_NEVER = -1e3  # bias of a class that is not to be drawn
_CLUSTERING = 0.15  # crowds beyond those that tissue makes by itself


def fit_tissue(
    images: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.integer]],
    mpp: float = 0.25,
    classes: TissueClasses | None = None,
    count: int = DEFAULT_CLASSES,
) -> PolygonMasks:
    """Learn how tissue and nuclei look and lie from H&E tiles and their labels.

    Parameters
    ----------
    images : sequence of (H, W, 3) arrays of uint8
        H&E, whole tiles.
    labels : sequence of (H, W) arrays of integers
        Their nuclei; 0 is background.
    mpp : float
        Microns per pixel.
    classes : TissueClasses, optional
        Classes of tissue; by default `count` are found in the images.
    count : int
        How many classes to find.

    Returns
    -------
    PolygonMasks
        As `fit` returns it, and with the tissue as its `layout`.

    Raises
    ------
    LabelsError
        If there are no images, or no whole nuclei on them, or an image and its labels differ in size.
    RecipeError, ImageError
        As `fit` and `fit_classes`.
    """
    for pixels, nuclei in zip(images, labels, strict=True):
        if pixels.shape[:2] != nuclei.shape:
            raise LabelsError(f"An image is {pixels.shape[:2]}, but its labels {nuclei.shape}; give those of one size.")
    statistics = fit(labels, mpp)
    classes = classes or fit_classes(images, mpp, count)
    features = [tissue_features(pixels) for pixels in images]
    maps = [nearest_class(each, classes) for each in features]
    return statistics.model_copy(update={"layout": _layout(features, maps, labels, classes, mpp)})


def fit_tissue_map(
    cells: NDArray[np.uint8], labels: NDArray[np.integer], classes: TissueClasses, mpp: float = 0.25
) -> PolygonMasks:
    """Learn how tissue and nuclei lie from a mask and its tissue map alone, such as those that a user has painted.

    Each cell is taken to have the features of its class; what is unknown, to be of the nearest class that is known.

    Parameters
    ----------
    cells : ndarray of uint8, shape (h, w)
        The map: a cell for every 16 pixels that the mask has or begins at the scale of the classes.
    labels : ndarray of integers, shape (H, W)
        The nuclei; 0 is background.
    classes : TissueClasses
        The classes of the map.
    mpp : float
        Microns per pixel of `labels`.

    Returns
    -------
    PolygonMasks
        As `fit` returns it, and with the tissue as its `layout`.

    Raises
    ------
    LabelsError
        If there are no whole nuclei, nothing is known of the tissue, or the map has another shape or other classes.
    """
    grid = mask_grid((labels.shape[0], labels.shape[1]), mpp, classes.mpp)
    if cells.shape != grid or not 0 < cells.max(initial=0) <= len(classes.classes):
        raise LabelsError(
            f"Tissue is learnt from a map of {grid[0]} x {grid[1]} cells of the classes 1 to {len(classes.classes)}; "
            f"this one has {' x '.join(map(str, cells.shape))} cells up to class {cells.max(initial=0)}."
        )
    nearest = ndimage.distance_transform_edt(cells == UNKNOWN, return_distances=False, return_indices=True)
    whole = cells[tuple(nearest)]
    centres = np.array([each.centre for each in classes.classes], np.float32)
    layout = _layout([centres[whole - 1]], [whole], [labels], classes, mpp)
    # Between the features of two classes lie those of others, which nobody has painted.
    (image,), painted = layout.images, set(np.unique(whole).tolist())
    biases = [bias if number in painted else _NEVER for number, bias in enumerate(image.biases, 1)]
    layout = layout.model_copy(update={"images": (image.model_copy(update={"biases": tuple(biases)}),)})
    return fit([labels], mpp).model_copy(update={"layout": layout})


def _layout(
    features: Sequence[NDArray[np.float32]],
    maps: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.integer]],
    classes: TissueClasses,
    mpp: float,
) -> TissueLayout:
    chosen = np.unique(np.linspace(0, len(maps) - 1, min(MOST_TISSUES, len(maps))).round().astype(int))
    return TissueLayout(
        classes=classes,
        images=tuple(_image_tissue(features[index], maps[index], classes) for index in chosen),
        nuclei=_nuclei(maps, labels, classes, mpp),
    )


def _image_tissue(features: NDArray[np.float32], cells: NDArray[np.uint8], classes: TissueClasses) -> ImageTissue:
    values = features.reshape(-1, len(FEATURES)).astype(float)
    # Equal values, such as those of empty glass, share a score.
    ranked = np.stack([scores(column) for column in values.T])
    ranked -= ranked.mean(1, keepdims=True)
    ranked /= np.maximum(ranked.std(1, keepdims=True), 1e-6)
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    fields = [
        FeatureField(
            values=tuple(float(f"{value:.4g}") for value in np.quantile(column, levels)),
            **_reaches(score.reshape(cells.shape)),
        )
        for column, score in zip(values.T, ranked, strict=True)
    ]
    correlations: NDArray[np.float64] = np.round(ranked @ ranked.T / len(values), 4)
    image = ImageTissue(
        share=cells.size * CELL**2 * classes.mpp**2 * 1e-6,
        fields=tuple(fields),
        correlations=tuple(map(tuple, correlations.tolist())),
        glands=_find_glands(cells, classes),
    )
    return image.model_copy(update={"biases": _biases(image, cells, classes)})


def _biases(image: ImageTissue, cells: NDArray[np.uint8], classes: TissueClasses) -> tuple[float, ...]:
    """Find what makes the classes of drawn maps as frequent as those of a map."""
    count = len(classes.classes)
    wanted = np.bincount(cells.ravel(), minlength=count + 1)[1:] / cells.size
    places = np.argwhere(np.ones((_DRAWN, _DRAWN), bool)).astype(np.float64) + 0.5
    drawn = [
        (
            draw_features(image, places, seed).reshape(_DRAWN, _DRAWN, -1),
            find_glands(classes, image, (_DRAWN, _DRAWN), seed, (0, 0)),
        )
        for seed in range(_DRAWS)
    ]
    biases = np.zeros(count)
    for _ in range(_ROUNDS):
        changed = image.model_copy(update={"biases": tuple(biases.tolist())})
        maps = [classify(features, classes, changed, glands) for features, glands in drawn]
        found = np.bincount(np.concatenate(maps).ravel(), minlength=count + 1)[1:] / sum(each.size for each in maps)
        biases += _PACE * np.clip(np.log((wanted + _RARE) / (found + _RARE)), -1, 1)
    biases -= biases.mean()
    return tuple(float(f"{value:.4g}") for value in biases)


def _reaches(scores: NDArray[np.float64]) -> dict[str, float]:
    """Fit the correlation of two places by their distance along rows and columns, least squares."""
    lags = _LAGS[min(scores.shape) > 2 * _LAGS]
    if not len(lags):
        return {"near": 0.5, "short": _SHORT[1], "long": _LONG[1]}
    seen = np.array(
        [((scores[lag:] * scores[:-lag]).mean() + (scores[:, lag:] * scores[:, :-lag]).mean()) / 2 for lag in lags]
    )
    short, long = (np.exp(-(lags**2) / 2 / np.square(reaches)[:, None]) for reaches in (_SHORT, _LONG))
    model = _SHARES[:, None, None, None] * short[:, None] + (1 - _SHARES[:, None, None, None]) * long
    error = np.square(model - seen).sum(-1)
    share, near, far = np.unravel_index(int(error.argmin()), error.shape)
    return {"near": round(float(_SHARES[share]), 2), "short": _SHORT[near], "long": _LONG[far]}


def _find_glands(cells: NDArray[np.uint8], classes: TissueClasses) -> Glands:
    """Find lumens with a ring of epithelium around them."""
    wall = np.isin(cells, [classes.number(name) for name in ("epithelium", "crowded") if classes.number(name)])
    # Beside a lumen a cell shows some of it, and is of neither kind.
    open_ = np.isin(cells, [classes.number(name) for name in ("lumen", "pale") if classes.number(name)])
    lumens, _ = ndimage.label(cells == classes.number("lumen"))
    cell_um = CELL * classes.mpp
    radii, walls = [], []
    for number, box in enumerate(ndimage.find_objects(lumens), 1):
        near = tuple(
            slice(max(part.start - _WALL, 0), min(part.stop + _WALL, length))
            for part, length in zip(box, cells.shape, strict=True)
        )
        lumen = lumens[near] == number
        away = ndimage.distance_transform_edt(~lumen)
        ring = (away > 0) & (away <= _RING) & ~open_[near]
        if lumen.sum() < _LEAST_LUMEN or not ring.any() or wall[near][ring].mean() < _RINGED:
            continue
        radii.append(np.sqrt(lumen.sum() / np.pi) * cell_um)
        walls.append(_thickness(wall[near], open_[near], away) * cell_um)
    if not radii:
        return Glands()
    square_mm = cells.size * cell_um**2 * 1e-6
    density, radius = len(radii) / square_mm, float(np.mean(radii))
    # Drawn glands are round and whole: with walls as thick as that they could hold more epithelium than there is.
    most = float(np.sqrt(_IN_GLANDS * (wall | (lumens > 0)).mean() / (np.pi * density * 1e-6)))
    thick = max(min(float(np.mean(walls)), most - radius), cell_um)
    return Glands(density=round(density, 2), lumen=round(radius, 2), wall=round(thick, 2))


def _thickness(wall: NDArray[np.bool_], open_: NDArray[np.bool_], away: NDArray[np.float64]) -> float:
    """Return over how many cells from a lumen most of what is not open is epithelium."""
    for steps in range(1, _WALL + 1):
        ring = (away > steps - 1) & (away <= steps) & ~open_
        if ring.any() and wall[ring].mean() < _RINGED:
            return float(max(steps - 1, 1))
    return float(_WALL)


def _nuclei(
    maps: Sequence[NDArray[np.uint8]], labels: Sequence[NDArray[np.integer]], classes: TissueClasses, mpp: float
) -> tuple[ClassNuclei, ...]:
    cell_um = CELL * classes.mpp
    masks, kinds = [], []
    for cells, nuclei in zip(maps, labels, strict=True):
        found = find_ellipses(nuclei, mpp)
        masks.append(ObservedMask(found, describe(nuclei, mpp).count, (nuclei.shape[0] * mpp, nuclei.shape[1] * mpp)))
        kinds.append(class_at(cells, found.centres / cell_um))
    everywhere = [np.ones(len(kind), bool) for kind in kinds]
    area = sum(cells.size for cells in maps) * cell_um**2
    common = _class_statistics(masks, everywhere, area)
    learnt = []
    for number in range(1, len(classes.classes) + 1):
        own = [kind == number for kind in kinds]
        area = sum(int((cells == number).sum()) for cells in maps) * cell_um**2
        if sum(int((mask.found.whole & here).sum()) for mask, here in zip(masks, own, strict=True)) >= _FEWEST:
            statistics = _class_statistics(masks, own, area)
        else:
            total = sum(int(here.sum()) for here in own)
            statistics = common.model_copy(update={"density": round(total / max(area, 1.0) * 1e6, 1)})
        learnt.append(ClassNuclei(nuclei=statistics, along=_along(maps, masks, own, cell_um)))
    return tuple(learnt)


def _class_statistics(masks: Sequence[ObservedMask], own: Sequence[NDArray[np.bool_]], area: float) -> TissueStatistics:
    """Describe some of the nuclei of some masks; distances are to any neighbour, of whichever class."""
    whole = [here[mask.found.whole] for mask, here in zip(masks, own, strict=True)]

    def values(name: str) -> NDArray[np.float64]:
        found = [getattr(mask.found, name)[mask.found.whole][here] for mask, here in zip(masks, whole, strict=True)]
        return np.concatenate(found)

    weight = np.concatenate([weights(mask)[here] for mask, here in zip(masks, whole, strict=True)])
    gap = np.concatenate([gaps(mask.found, 0.1)[here] for mask, here in zip(masks, whole, strict=True)])
    touching = values("touching").astype(bool)
    ratio = np.maximum(values("length") / np.maximum(values("width"), 0.1), 1)
    parts = [
        ObservedMask(_subset(mask.found, here), int(here.sum()), mask.size)
        for mask, here in zip(masks, own, strict=True)
    ]
    alike = {name: round(value, 4) for name, value in likeness(parts).items()}
    apart, meets = ~touching & np.isfinite(gap), touching & np.isfinite(gap)
    tables = {"contacts": quantiles(gap[meets], weight[meets])} if meets.any() else {}
    return TissueStatistics(
        density=round(sum(int(here.sum()) for here in own) / max(area, 1.0) * 1e6, 1),
        areas=quantiles(values("area"), weight),
        elongations=quantiles(ratio, weight),
        spacings=quantiles(gap[apart], weight[apart]) if apart.any() else (),
        touching=round(float(np.average(touching, weights=weight)), 4),
        clustering=_CLUSTERING,
        **alike,
        **tables,
    )


def _subset(found: Ellipses, chosen: NDArray[np.bool_]) -> Ellipses:
    return Ellipses(**{name: values[chosen] for name, values in vars(found).items()})


def _along(
    maps: Sequence[NDArray[np.uint8]],
    masks: Sequence[ObservedMask],
    own: Sequence[NDArray[np.bool_]],
    cell_um: float,
) -> float:
    cosines = []
    for cells, mask, here in zip(maps, masks, own, strict=True):
        found = mask.found
        chosen = here & found.whole & (found.length > _LONG_NUCLEUS * found.width)
        angle, slope = border_directions(cells, found.centres[chosen] / cell_um)
        beside = slope > BORDER
        cosines.append(np.cos(2 * (found.angle[chosen] - angle))[beside])
    joined = np.concatenate(cosines)
    return round(float(joined.mean()), 4) if len(joined) >= _FEWEST_BESIDE else 0.0
