from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_nucleigan.training.adversarial import ImagePool
from napari_nucleigan.training.cgan import ConditionalGAN
from napari_nucleigan.training.cyclegan import CycleGAN

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.training.recipes import SegmenterRecipe, SynthesizerRecipe


def test_the_pool_hands_out_what_went_in() -> None:
    pool = ImagePool(3)
    random = np.random.default_rng(0)
    seen: set[float] = set()
    for start in range(0, 40, 2):
        batch = torch.arange(start, start + 2.0).view(2, 1, 1, 1).expand(2, 6, 4, 4)
        seen |= set(batch[:, 0, 0, 0].tolist())
        out = pool.exchange(batch, random)
        assert out.shape == batch.shape
        assert set(out[:, 0, 0, 0].tolist()) <= seen
    assert len(pool.pairs) == 3


def test_about_half_of_what_leaves_a_full_pool_is_old() -> None:
    pool = ImagePool(64)
    random = np.random.default_rng(0)
    new = total = 0
    for value in range(1000):
        out = pool.exchange(torch.full((1, 1, 1, 1), float(value)), random)
        if value >= 64:
            new += int(out.item() == value)
            total += 1
    assert new / total == pytest.approx(0.5, abs=0.05)


def test_no_pool_hands_everything_through() -> None:
    batch = torch.rand(2, 6, 4, 4)
    assert ImagePool(0).exchange(batch, np.random.default_rng(0)) is batch


def test_checkpoints_keep_the_names_of_the_first_version(
    tiny_recipe: Callable[..., SegmenterRecipe], tiny_synthesizer: Callable[..., SynthesizerRecipe]
) -> None:
    tensors, rest = ConditionalGAN(tiny_recipe(ema=0.9)).state()
    assert {name.split("/")[0] for name in tensors} == {"generator", "average", "discriminator", "random"}
    assert set(rest) == {"generator_optimizer", "discriminator_optimizer"}
    tensors, rest = CycleGAN(tiny_synthesizer(ema=0.9)).state()
    assert {name.split("/")[0] for name in tensors} == {"painter", "segmenter", "image_judge", "mask_judge", "average"}
    assert set(rest) == {"makers", "judges"}
