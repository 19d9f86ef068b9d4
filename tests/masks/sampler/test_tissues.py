from __future__ import annotations

import numpy as np
import pytest

from napari_nucleigan.masks.sampler.parameters import PolygonMasks
from napari_nucleigan.masks.sampler.sample import preset
from napari_nucleigan.masks.sampler.tissues import means, summary, tissue_of


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
