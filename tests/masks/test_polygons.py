from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from skimage.measure import label

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.masks.polygons import PRESETS, LayoutStatistics, PolygonMasks, describe, fit, preset, sample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COMPARED = ("area", "eccentricity", "neighbour_distance")


def check_sound(labels: np.ndarray) -> None:
    assert labels.dtype == np.int32
    numbers = np.unique(labels)
    assert numbers[numbers > 0].tolist() == list(range(1, int(labels.max()) + 1))
    pieces = label(labels, background=0, connectivity=1, return_num=True)[1]
    assert pieces == labels.max()


@given(
    seed=st.integers(0, 2**70),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    mpp=st.sampled_from([0.1, 0.25, 0.5, 2.0]),
    density=st.floats(0, 20000),
    area=st.floats(0.5, 40),
    touching=st.floats(0, 1),
    clustering=st.floats(0, 2),
    similarity=st.floats(0, 1),
    coherence=st.floats(0, 1),
    alignment=st.floats(0, 1),
    reach=st.floats(2, 500),
    vertices=st.integers(3, 64),
    irregularity=st.floats(0, 1),
    spikiness=st.floats(0, 1),
    smoothed=st.booleans(),
)
@settings(max_examples=60)
def test_any_mask_is_sound(seed: int, shape: tuple[int, int], mpp: float, **fields: float) -> None:
    statistics = PolygonMasks(**fields)
    labels = sample(statistics, shape, mpp, seed)
    assert labels.shape == shape
    check_sound(labels)
    assert np.array_equal(labels, sample(statistics, shape, mpp, seed))


@pytest.mark.parametrize("name", PRESETS)
def test_masks_of_presets_are_sound_and_differ_by_seed(name: str) -> None:
    masks = [sample(preset(name), (256, 256), seed=seed) for seed in range(4)]
    for mask in masks:
        check_sound(mask)
        assert mask.max() > 5
    assert len({mask.tobytes() for mask in masks}) == 4


def test_the_same_bytes_in_another_process_with_other_threads() -> None:
    code = (
        "import hashlib; from napari_nucleigan.masks.polygons import preset, sample; "
        "print(hashlib.sha256(sample(preset('all'), (300, 256), seed=11).tobytes()).hexdigest())"
    )
    here = hashlib.sha256(sample(preset("all"), (300, 256), seed=11).tobytes()).hexdigest()
    variables = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1", "NPY_DISABLE_CPU_FEATURES": "AVX512F"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=variables)
    assert done.stdout.strip() == here, done.stderr


def test_no_nuclei() -> None:
    assert not sample(PolygonMasks(density=0), (64, 80)).any()
    assert not sample(preset("all").changed(density=0), (64, 80)).any()


def test_one_giant_nucleus() -> None:
    giant = PolygonMasks(density=150, area=4000, area_spread=0, elongation=1, elongation_spread=0, clustering=0)
    masks = [sample(giant, (256, 256), seed=seed) for seed in range(8)]
    for mask in masks:
        check_sound(mask)
    assert max(np.bincount(mask.ravel())[1:].max(initial=0) for mask in masks) > 0.7 * 256**2 * 0.9


def test_five_thousand_nuclei() -> None:
    mask = sample(PolygonMasks(density=20000), (2048, 2048), seed=1)
    check_sound(mask)
    assert 4600 < mask.max() < 5900


@pytest.mark.parametrize("shape", [(1, 1), (37, 1001), (1, 300)])
def test_odd_shapes(shape: tuple[int, int]) -> None:
    mask = sample(preset("kidney"), shape, seed=2)
    assert mask.shape == shape
    check_sound(mask)


def test_pixels_of_another_size_show_the_same_tissue() -> None:
    statistics = PolygonMasks(clustering=0)
    fine, coarse = (
        LayoutStatistics.pooled([describe(sample(statistics, (side, side), mpp, seed), mpp) for seed in range(8)])
        for side, mpp in ((512, 0.25), (256, 0.5))
    )
    assert np.median(coarse.area) == pytest.approx(np.median(fine.area), rel=0.1)
    assert coarse.density == pytest.approx(fine.density, rel=0.1)
    assert coarse.touching_share == pytest.approx(fine.touching_share, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (0, 5)}, "at least one pixel"),
        ({"shape": (8, 8), "mpp": 0}, "above 0"),
        ({"shape": (8, 8), "mpp": float("inf")}, "above 0"),
        ({"shape": (8, 8), "seed": -1}, "0 or more"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        sample(PolygonMasks(), **arguments)


def test_an_unknown_preset() -> None:
    with pytest.raises(RecipeError, match="no mask preset 'lung'; there are all, breast"):
        preset("lung")


def test_seeds_in_a_row_go_round_the_tissues() -> None:
    statistics = preset("kidney")
    counts = [int(sample(statistics, (128, 128), seed=seed).max()) for seed in range(64)]
    thin = np.array(counts) < 12
    # One of the four tiles of the preset is thin.
    assert 0.15 < thin.mean() < 0.4


@pytest.fixture(scope="module")
def tiles(kumar: Path) -> dict[str, list[np.ndarray]]:
    found: dict[str, list[np.ndarray]] = {}
    with (kumar / "split.csv").open() as handle:
        for row in csv.DictReader(handle):
            if row["split"] == "train":
                found.setdefault(row["organ"], []).append(read_labels(kumar / "labels" / f"{row['name']}.tif"))
    return found


def _compare(real: Sequence[np.ndarray], drawn: Sequence[np.ndarray]) -> dict[str, float]:
    left, right = (LayoutStatistics.pooled([describe(each) for each in images]) for images in (real, drawn))
    values = {name: ks_2samp(getattr(left, name), getattr(right, name)).statistic for name in COMPARED}
    return {
        **values,
        "touching": abs(left.touching_share - right.touching_share),
        "density": abs(right.density / left.density - 1),
    }


@pytest.mark.parametrize("name", PRESETS)
def test_masks_are_like_the_training_labels(tiles: dict[str, list[np.ndarray]], name: str) -> None:
    own = [tile for organ, found in tiles.items() if name in ("all", organ) for tile in found]
    windows = [tile[r : r + 256, c : c + 256] for tile in own for r in range(0, 745, 248) for c in range(0, 745, 248)]
    drawn = [sample(preset(name), (256, 256), seed=seed) for seed in range(64 if name == "all" else 48)]
    apart = _compare(windows, drawn)
    assert max(apart[each] for each in COMPARED) <= 0.1, apart
    assert apart["touching"] <= 0.06, apart
    assert apart["density"] <= 0.2, apart


def test_presets_are_what_fit_learns_from_the_training_labels(tiles: dict[str, list[np.ndarray]]) -> None:
    assert fit(tiles["breast"]) == preset("breast")
