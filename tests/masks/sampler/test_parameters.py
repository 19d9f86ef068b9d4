from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.masks.polygons import LayoutStatistics, describe, open_statistics, preset, sample
from napari_nucleigan.masks.sampler.adjustment import means, summary, tissue_of
from napari_nucleigan.masks.sampler.fit import scores
from napari_nucleigan.masks.sampler.parameters import PolygonMasks
from napari_nucleigan.masks.sampler.statistics import find_ellipses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_nucleigan.masks.sampler.statistics import Ellipses

    Masks = Sequence[np.ndarray]


SHAPE = (400, 400)
MPP = 0.25


def pooled(masks: Masks, solidity: bool = False) -> LayoutStatistics:
    return LayoutStatistics.pooled([describe(mask, MPP, solidity=solidity) for mask in masks])


def of_neighbours(masks: Masks, alike: Callable[[Ellipses, np.ndarray, np.ndarray], np.ndarray], near: float) -> float:
    """Average over pairs of whole nuclei: the nearest ones, or those about `near` µm apart."""
    values = []
    for mask in masks:
        found = find_ellipses(mask, MPP)
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


def same_size(found: Ellipses, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    score = scores(found.area[found.whole])
    return score[first] * score[second]


def same_shape(found: Ellipses, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    score = scores((found.length / np.maximum(found.width, MPP))[found.whole])
    return score[first] * score[second]


def same_way(found: Ellipses, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    angle = found.angle[found.whole]
    return np.cos(2 * (angle[first] - angle[second]))


def uneven(masks: Masks) -> float:
    counts = [
        np.histogram2d(*find_ellipses(mask, MPP).centres.T, bins=4, range=((0, 100), (0, 100)))[0] for mask in masks
    ]
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
    assert set(MOVES) == set(PolygonMasks.model_fields) - {"tissues", "layout"}


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


def test_fields_alone_make_a_tissue_of_them() -> None:
    statistics = PolygonMasks(density=5000, area=20, area_spread=0.3, elongation=1.5, touching=0.4)
    tissue = tissue_of(statistics, 0.7)
    found = summary(tissue)
    assert found["area"] == pytest.approx(20)
    assert found["area_spread"] == pytest.approx(0.3)
    assert (tissue.density, tissue.touching, tissue.spacings) == (5000, 0.4, ())


def test_a_fit_that_nobody_changed_gives_its_own_tissues() -> None:
    statistics = preset("kidney")
    chosen = [tissue_of(statistics, draw) for draw in (0.1, 0.3, 0.6, 0.9, 0.999999)]
    assert [statistics.tissues.index(each) for each in chosen] == [0, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("density", 9000),
        ("area", 15),
        ("area_spread", 0.3),
        ("elongation_spread", 0.4),
        ("clustering", 0.9),
        ("reach", 44),
        ("elongation", 1.9),
    ],
)
def test_a_change_of_the_mean_changes_every_tissue_in_proportion(name: str, value: float) -> None:
    statistics = preset("breast")
    changed = statistics.changed(**{name: value})
    tissues = tuple(tissue_of(changed, (i + 0.5) / 4) for i in range(4))
    before = [summary(each)[name] for each in statistics.tissues]
    after = [summary(each)[name] for each in tissues]
    if name == "elongation":
        before, after = np.log(before).tolist(), np.log(after).tolist()
    # A long neck of elongations below 1 is cut off.
    assert np.divide(after, before) == pytest.approx(np.full(4, after[0] / before[0]), rel=0.08)
    assert means(tissues)[name] == pytest.approx(value, rel=0.08)


@pytest.mark.parametrize("name", ["touching", "similarity", "shape_similarity", "coherence", "alignment"])
def test_shares_stay_shares_and_reach_their_ends_together(name: str) -> None:
    statistics = preset("all")
    draws = (np.arange(16) + 0.5) / 16
    for value in (0, 1):
        assert all(getattr(tissue_of(statistics.changed(**{name: value}), draw), name) == value for draw in draws)
    between = [
        [getattr(tissue_of(statistics.changed(**{name: value}), draw), name) for draw in draws] for value in (0.3, 0.7)
    ]
    assert (np.array(between[0]) < between[1]).all()
    assert (np.array(between) > 0).all()
    assert (np.array(between) < 1).all()


def test_fewer_nuclei_lie_farther_apart() -> None:
    statistics = preset("liver")
    thinner = tissue_of(statistics.changed(density=statistics.density / 4), 0.1)
    assert thinner.spacings == pytest.approx(np.multiply(tissue_of(statistics, 0.1).spacings, 2), rel=1e-3)


def test_no_tissue_is_fuller_than_can_be() -> None:
    statistics = preset("all").changed(density=18000)
    for draw in (np.arange(16) + 0.5) / 16:
        tissue = tissue_of(statistics, draw)
        assert tissue.density * np.mean(tissue.areas) * 1e-6 <= 0.9 + 1e-6


@pytest.mark.parametrize(
    "change",
    [
        {"areas": [float("nan")]},
        {"areas": [-5.0]},
        {"elongations": [0.0]},
        {"share": float("inf")},
        {"contacts": [1e300]},
    ],
)
def test_statistics_of_impossible_numbers_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    content = preset("liver").model_dump(mode="json")
    content["tissues"] = [content["tissues"][0] | change]
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(RecipeError, match="statistics of masks"):
        open_statistics(tmp_path / "s.json")
