from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleigan.base.errors import DatasetError, DeviceError, ImageError, ModelError
from napari_nucleigan.evaluation.synthetic import Encoder, encoder_features
from napari_nucleigan.evaluation.synthetic.features import _folds, kid, mmd2, real_or_synthetic
from napari_nucleigan.models import Model, ModelCard, load_model, save_model
from napari_nucleigan.networks import build

if TYPE_CHECKING:
    from pathlib import Path


samples = hnp.arrays(np.float64, st.tuples(st.integers(2, 6), st.just(3)), elements=st.floats(-2, 2))


def _model(path: Path, architecture: dict[str, object]) -> Model:
    torch.manual_seed(0)
    card = ModelCard(name="tiny", kind="segmenter", architecture=architecture, mpp=0.25)
    save_model(path, build(architecture).state_dict(), card)
    return load_model(path)


@pytest.fixture
def compact(tmp_path: Path) -> Model:
    return _model(tmp_path / "compact.safetensors", {"name": "compact-unet", "widths": [4, 5, 6, 7, 8]})


def _pictures(count: int, height: int = 64, width: int = 64) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def test_are_the_moments_of_the_levels_at_their_resolutions(compact: Model) -> None:
    pictures = _pictures(2, 96, 64)
    levels: list[torch.Tensor] = []
    for block in compact.network.down:
        block.register_forward_hook(lambda module, inputs, output: levels.append(output))
    compact.network(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1)
    assert [level.shape[2] for level in levels] == [48, 24, 12, 6, 3]
    expected = {"fine": levels[:2], "deep": levels[3:]}
    for depth, found in Encoder(compact, "cpu")(pictures).items():
        parts = [torch.cat([x.mean((2, 3)), x.var((2, 3), correction=0).sqrt()], 1) for x in expected[depth]]
        np.testing.assert_allclose(found, torch.cat(parts, 1).numpy(), atol=1e-5)


def test_do_not_depend_on_the_company(compact: Model) -> None:
    pictures = _pictures(40)
    together = encoder_features(pictures, compact, device="cpu")
    assert together.dtype == np.float32
    alone = np.concatenate([encoder_features([picture], compact, device="cpu") for picture in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_any_size_will_do(compact: Model) -> None:
    encoder = Encoder(compact, "cpu")
    sizes = {encoder(_pictures(1, *shape))["deep"].shape for shape in ((64, 64), (1, 1), (37, 100))}
    assert sizes == {(1, 2 * (7 + 8))}
    with pytest.raises(ImageError, match="one size"):
        encoder([*_pictures(1), *_pictures(1, 32, 32)])


def test_the_u_net_of_the_paper_has_features_too(tmp_path: Path) -> None:
    model = _model(tmp_path / "unet.safetensors", {"name": "unet-256", "width": 4})
    assert encoder_features(_pictures(2), model, device="cpu").shape == (2, 2 * (32 + 32))
    assert encoder_features(_pictures(2), model, depth="fine", device="cpu").shape == (2, 2 * (4 + 8))


def test_a_file_may_hold_the_encoder(tmp_path: Path) -> None:
    _model(tmp_path / "other.safetensors", {"name": "compact-unet", "widths": [4, 4, 4, 4, 4]})
    assert Encoder(tmp_path / "other.safetensors", "cpu").model.card.name == "tiny"
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x04K\x01.")  # a pickle
    with pytest.raises(ModelError, match="not a model file"):
        Encoder(tmp_path / "bad.safetensors")


def test_a_network_without_features_is_refused(tmp_path: Path) -> None:
    model = _model(tmp_path / "resnet.safetensors", {"name": "resnet", "width": 4, "blocks": 1})
    with pytest.raises(ModelError, match="gives no features"):
        Encoder(model)


def test_failures_of_the_network_are_ours(compact: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(images: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(compact.network.stem, "forward", broken)
    with pytest.raises(DeviceError, match="out of luck"):
        Encoder(compact, "cpu")(_pictures(1))


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
        assert real_or_synthetic(first, second) == 1

    def test_sets_of_one_kind_never_are(self) -> None:
        random = np.random.default_rng(0)
        found = [real_or_synthetic(*random.normal(size=(2, 60, 20)), seed=seed) for seed in range(10)]
        assert np.mean(found) == pytest.approx(0.5, abs=0.06)

    def test_sets_of_unequal_size_count_alike(self) -> None:
        random = np.random.default_rng(0)
        found = [real_or_synthetic(random.normal(size=(200, 5)), random.normal(size=(20, 5))) for _ in range(10)]
        assert np.mean(found) == pytest.approx(0.5, abs=0.1)

    def test_it_does_not_succeed_by_knowing_a_picture_again(self) -> None:
        random = np.random.default_rng(0)
        looks = random.normal(size=(20, 30))  # one for each picture, real or synthetic by chance
        groups = np.repeat(np.arange(20), 10)
        crops = looks[groups] + 0.01 * random.normal(size=(200, 30))
        real, synthetic = np.isin(groups, np.arange(10)), np.isin(groups, np.arange(10, 20))
        loose = real_or_synthetic(crops[real], crops[synthetic])
        strict = real_or_synthetic(crops[real], crops[synthetic], groups[real], groups[synthetic])
        assert loose == 1
        assert strict < 0.75

    def test_constant_features_do_no_harm(self) -> None:
        first, second = np.zeros((2, 20, 3)) + np.reshape([0, 1], (2, 1, 1))
        first[:, 1], second[:, 1] = 5, 5
        assert real_or_synthetic(first, second) == 1
        assert real_or_synthetic(np.ones((20, 3)), np.ones((20, 3))) == pytest.approx(0.5)

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
