from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.masks.sampler.parameters import PolygonMasks
from napari_nucleigan.masks.sampler.sample import LayoutStatistics, describe, preset, sample
from napari_nucleigan.masks.sampler.spatial_statistics import scores
from napari_nucleigan.masks.sampler.statistics import outline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nucleigan.masks.sampler.statistics import Outlined

    Masks = Sequence[np.ndarray]

SHAPE = (400, 400)
MPP = 0.25


def pooled(masks: Masks, solidity: bool = False) -> LayoutStatistics:
    return LayoutStatistics.pooled([describe(mask, MPP, solidity=solidity) for mask in masks])


def of_neighbours(masks: Masks, alike: Callable[[Outlined, np.ndarray, np.ndarray], np.ndarray], near: float) -> float:
    """Average over pairs of whole nuclei: the nearest ones, or those about `near` µm apart."""
    values = []
    for mask in masks:
        found = outline(mask, MPP)
        centres = found.centres[found.whole]
        tree = cKDTree(centres)
        if near:
            pairs = tree.query_pairs(near * 1.3, output_type="ndarray")
            distance = np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1)
            first, second = pairs[distance > near * 0.7].T
        else:
            first, second = np.arange(len(centres)), tree.query(centres, 2)[1][:, 1]
        values.append(alike(found, first, second))
    return float(np.concatenate(values).mean())


def same_size(found: Outlined, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    score = scores(found.area[found.whole])
    return score[first] * score[second]


def same_shape(found: Outlined, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    score = scores((found.length / np.maximum(found.width, MPP))[found.whole])
    return score[first] * score[second]


def same_way(found: Outlined, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    angle = found.angle[found.whole]
    return np.cos(2 * (angle[first] - angle[second]))


def uneven(masks: Masks) -> float:
    counts = [np.histogram2d(*outline(mask, MPP).centres.T, bins=4, range=((0, 100), (0, 100)))[0] for mask in masks]
    return float(np.mean([count.var() / count.mean() for count in counts]))


def one_way(masks: Masks) -> float:
    return float(np.mean([abs(np.exp(2j * describe(mask, MPP).angle).mean()) for mask in masks]))


def outlines(masks: Masks) -> float:
    found = pooled(masks)
    return float(found.fullness[found.area > 10].mean())


STRAIGHT = {"smoothed": False, "spikiness": 0.0}
# What each field moves, the values it is given, the sign, and what else is set so that it shows.
MOVES: dict[str, tuple[Callable[[Masks], float], tuple[float, ...], int, dict[str, float]]] = {
    "density": (lambda m: pooled(m).density, (500, 3000, 9000), 1, {}),
    "area": (lambda m: pooled(m).area.mean(), (8, 20, 50), 1, {}),
    "area_spread": (lambda m: np.log(pooled(m).area).std(), (0, 0.4, 0.9), 1, {}),
    "elongation": (lambda m: pooled(m).elongation.mean(), (1, 1.6, 3), 1, {}),
    "elongation_spread": (lambda m: np.log(pooled(m).elongation).std(), (0, 0.25, 0.6), 1, {}),
    "touching": (lambda m: pooled(m).touching_share, (0, 0.3, 0.6, 1), 1, {}),
    "clustering": (uneven, (0, 0.5, 1.2), 1, {"reach": 30}),
    "similarity": (lambda m: of_neighbours(m, same_size, 0), (0, 0.4, 1), 1, {}),
    "shape_similarity": (lambda m: of_neighbours(m, same_shape, 0), (0, 0.4, 1), 1, {}),
    "coherence": (lambda m: of_neighbours(m, same_way, 0), (0, 0.35, 1), 1, {}),
    "alignment": (one_way, (0, 0.5, 1), 1, {"coherence": 0}),
    "reach": (lambda m: of_neighbours(m, same_way, 20), (4, 15, 60), 1, {"coherence": 0.8, "alignment": 0}),
    "vertices": (outlines, (3, 5, 12), 1, {**STRAIGHT, "irregularity": 0}),
    "irregularity": (outlines, (0, 0.5, 1), -1, STRAIGHT),
    "spikiness": (lambda m: pooled(m, solidity=True).solidity.mean(), (0, 0.3, 0.8), -1, {}),
    "smoothed": (outlines, (0, 1), 1, {"spikiness": 0, "vertices": 6}),
}


def test_every_field_is_covered() -> None:
    assert set(MOVES) == set(PolygonMasks.model_fields) - {"tissues"}


@pytest.mark.parametrize("base", ["fields alone", "breast"])
@pytest.mark.parametrize("name", MOVES)
def test_each_field_moves_what_it_says(name: str, base: str) -> None:
    measure, values, sign, rest = MOVES[name]
    statistics = PolygonMasks() if base == "fields alone" else preset(base)
    found = []
    for value in values:
        changed = statistics.changed(**{**rest, name: value})
        found.append(float(measure([sample(changed, SHAPE, MPP, seed) for seed in range(6)])))
    assert (np.diff(found) * sign > 0).all(), found


@pytest.mark.parametrize(
    ("name", "value", "measure", "tolerance"),
    [
        ("density", 6000, MOVES["density"][0], 500),
        ("area", 25, MOVES["area"][0], 2),
        ("area_spread", 0.4, MOVES["area_spread"][0], 0.05),
        ("touching", 0, MOVES["touching"][0], 0),
        ("touching", 0.4, MOVES["touching"][0], 0.06),
        ("touching", 1, MOVES["touching"][0], 0.05),
        ("similarity", 0.4, MOVES["similarity"][0], 0.12),
        ("coherence", 0.4, MOVES["coherence"][0], 0.12),
    ],
)
def test_statistics_are_what_the_fields_say(
    name: str, value: float, measure: Callable[[Masks], float], tolerance: float
) -> None:
    statistics = PolygonMasks(clustering=0.2).changed(**{name: value})
    assert measure([sample(statistics, SHAPE, MPP, seed) for seed in range(8)]) == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"density": -1}, "density: .*greater than or equal to 0"),
        ({"touching": 1.2}, "touching: .*less than or equal to 1"),
        ({"vertices": 2}, "vertices"),
        ({"area": float("nan")}, "area"),
        ({"colour": 1}, "colour"),
        ({"density": 20000, "area": 100}, "would cover 200% of the mask, and 90% is the most; lower"),
        ({"tissues": [{"density": 3}]}, "tissues.0.areas"),
    ],
)
def test_fields_that_are_not_valid(fields: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        PolygonMasks.checked(**fields)
    if "tissues" not in fields:
        with pytest.raises(RecipeError):
            preset("all").changed(**fields)


def test_every_field_explains_itself_for_a_form() -> None:
    for field in PolygonMasks.model_fields.values():
        assert field.title or field.annotation not in (float, int, bool)
        assert field.description
        assert field.description.endswith(".") or "`fit`" in field.description
