from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.evaluation.synthetic import kid, mmd2, real_or_synthetic
from napari_nucleigan.evaluation.synthetic.distances import _folds

samples = hnp.arrays(np.float64, st.tuples(st.integers(2, 6), st.just(3)), elements=st.floats(-2, 2))


def _slow_mmd2(first: np.ndarray, second: np.ndarray) -> float:
    """The definition, pair by pair."""

    def kernel(one: np.ndarray, other: np.ndarray) -> float:
        return (sum(a * b for a, b in zip(one, other, strict=True)) / len(one) + 1) ** 3

    def within(rows: np.ndarray) -> float:
        pairs = [(i, j) for i, j in product(range(len(rows)), repeat=2) if i != j]
        return sum(kernel(rows[i], rows[j]) for i, j in pairs) / len(pairs)

    across = [kernel(one, other) for one, other in product(first, second)]
    return within(first) + within(second) - 2 * sum(across) / len(across)


class TestMmd2:
    @given(samples, samples)
    def test_is_what_its_definition_says(self, first: np.ndarray, second: np.ndarray) -> None:
        assert mmd2(first, second) == pytest.approx(_slow_mmd2(first, second), abs=1e-9)

    @given(samples, samples, st.randoms(use_true_random=False))
    def test_depends_neither_on_order_nor_on_side(self, first: np.ndarray, second: np.ndarray, random: object) -> None:
        shuffled = first[np.random.default_rng(random.randint(0, 99)).permutation(len(first))]  # type: ignore[attr-defined]
        assert mmd2(first, second) == pytest.approx(mmd2(second, shuffled), abs=1e-9)

    @given(samples)
    def test_a_sample_is_never_far_from_itself(self, sample: np.ndarray) -> None:
        assert mmd2(sample, sample) <= 1e-9

    def test_is_unbiased(self) -> None:
        random = np.random.default_rng(0)
        values = [mmd2(*random.normal(size=(2, 20, 8))) for _ in range(400)]
        assert abs(np.mean(values)) < 3 * np.std(values) / 20
        assert min(values) < 0

    def test_grows_with_a_shift_and_with_a_change_of_spread(self) -> None:
        first, second = np.random.default_rng(0).normal(size=(2, 200, 8))
        shifted = [mmd2(first, second + shift) for shift in (0, 0.2, 0.5, 1.0, 2.0)]
        spread = [mmd2(first, second * factor) for factor in (1.0, 1.5, 2.0, 3.0)]
        assert shifted == sorted(shifted)
        assert spread == sorted(spread)


class TestKid:
    def test_is_what_torchmetrics_gives(self) -> None:
        # KernelInceptionDistance of torchmetrics 1.9.0 in float64; with subsets of all rows chance has no part.
        first = (np.arange(320) * 0.754877666 % 1).reshape(40, 8)
        second = ((np.arange(320) * 0.569840291 % 1) ** 2).reshape(40, 8)
        mean, std = kid(first, second, subsets=3, subset_size=40)
        assert mean == pytest.approx(0.145421664545662, rel=1e-12)
        assert std == pytest.approx(0, abs=1e-12)

    def test_is_the_mean_over_subsets_whatever_their_size(self) -> None:
        first, second = np.random.default_rng(0).normal(size=(2, 120, 8)) + np.reshape([0, 0.5], (2, 1, 1))
        whole = mmd2(first, second)
        for size in (20, 60):
            mean, std = kid(first, second, subsets=400, subset_size=size)
            assert abs(mean - whole) < 4 * std / 20

    def test_the_seed_decides(self) -> None:
        first, second = np.random.default_rng(0).normal(size=(2, 40, 8))
        assert kid(first, second, seed=1) == kid(first, second, seed=1) != kid(first, second, seed=2)

    @pytest.mark.parametrize(("count", "size"), [(15, None), (30, 31)])
    def test_too_few_pictures_are_refused(self, count: int, size: int | None) -> None:
        with pytest.raises(DatasetError, match="KID needs at least"):
            kid(np.zeros((count, 4)), np.zeros((100, 4)), subset_size=size)


class TestRealOrSynthetic:
    def test_sets_far_apart_are_always_told_apart(self) -> None:
        first, second = np.random.default_rng(0).normal(size=(2, 50, 8)) + np.reshape([0, 6], (2, 1, 1))
        assert real_or_synthetic(first, second) == (1, 0)

    def test_sets_of_one_kind_never_are(self) -> None:
        random = np.random.default_rng(0)
        found = [real_or_synthetic(*random.normal(size=(2, 60, 20)), seed=seed)[0] for seed in range(10)]
        assert np.mean(found) == pytest.approx(0.5, abs=0.06)

    def test_sets_of_unequal_size_count_alike(self) -> None:
        random = np.random.default_rng(0)
        found = [real_or_synthetic(random.normal(size=(200, 5)), random.normal(size=(20, 5)))[0] for _ in range(10)]
        assert np.mean(found) == pytest.approx(0.5, abs=0.1)

    def test_it_does_not_succeed_by_knowing_a_picture_again(self) -> None:
        random = np.random.default_rng(0)
        looks = random.normal(size=(20, 30))  # one for each picture, real or synthetic by chance
        groups = np.repeat(np.arange(20), 10)
        crops = looks[groups] + 0.01 * random.normal(size=(200, 30))
        real, synthetic = np.isin(groups, np.arange(10)), np.isin(groups, np.arange(10, 20))
        loose, _ = real_or_synthetic(crops[real], crops[synthetic])
        strict, _ = real_or_synthetic(crops[real], crops[synthetic], groups[real], groups[synthetic])
        assert loose == 1
        assert strict < 0.75

    def test_constant_features_do_no_harm(self) -> None:
        first, second = np.zeros((2, 20, 3)) + np.reshape([0, 1], (2, 1, 1))
        first[:, 1], second[:, 1] = 5, 5
        assert real_or_synthetic(first, second) == (1, 0)
        assert real_or_synthetic(np.ones((20, 3)), np.ones((20, 3)))[0] == pytest.approx(0.5)

    def test_the_spread_is_that_of_the_pictures_that_crops_were_cut_from(self) -> None:
        random = np.random.default_rng(0)
        first, second = random.normal(size=(2, 200, 4)) + np.reshape([0, 1.2], (2, 1, 1))
        accuracy, alone = real_or_synthetic(first, second)
        expected = np.sqrt(accuracy * (1 - accuracy) / 200 / 2)  # of the mean of two shares of 200
        assert alone == pytest.approx(expected, rel=0.15)
        groups = np.repeat(np.arange(10), 20)
        looks = random.normal(size=(20, 4))  # pictures differ, so that their crops are right or wrong together
        _, together = real_or_synthetic(first + looks[groups], second + looks[10 + groups], groups, 10 + groups)
        assert together > 1.5 * alone

    def test_a_single_picture_of_a_set_is_refused(self) -> None:
        with pytest.raises(DatasetError, match="two images"):
            real_or_synthetic(np.zeros((8, 2)), np.zeros((8, 2)), np.zeros(8), np.arange(8))

    @given(
        st.lists(st.integers(0, 9), min_size=4, max_size=40),
        st.lists(st.integers(5, 14), min_size=4, max_size=40),
        st.integers(2, 6),
    )
    def test_folds_keep_groups_whole_and_train_on_both_sets(
        self, real: list[int], synthetic: list[int], folds: int
    ) -> None:
        names, groups = np.unique(np.array(real + synthetic), return_inverse=True)
        truth = np.repeat([-1.0, 1.0], [len(real), len(synthetic)])
        if min(len(set(real)), len(set(synthetic))) < 2:
            with pytest.raises(DatasetError):
                list(_folds(groups, truth, len(names), folds, 0))
            return
        held = np.array(list(_folds(groups, truth, len(names), folds, 0)))
        assert (held.sum(0) == 1).all()
        for fold in held:
            assert not set(groups[fold]) & set(groups[~fold])
            assert set(truth[~fold]) == {-1.0, 1.0}
