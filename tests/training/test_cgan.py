from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_nucleigan.training.cgan import ConditionalGAN

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.training.recipes import SegmenterRecipe


def _batch(seed: int = 0, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, 32, 32, generator=random) * 2 - 1
    return images, torch.sign(images)


def test_steps_lower_the_loss(tiny_recipe: Callable[..., SegmenterRecipe]) -> None:
    gan = ConditionalGAN(tiny_recipe(lr=1e-2))
    batch = _batch()
    losses = [gan.step(batch, step, 1.0) for step in range(40)]
    assert losses[-1]["l1"] < 0.6 * losses[0]["l1"]
    assert set(losses[0]) == {"l1", "presence", "adversarial", "discriminator"}


def test_turned_crops_are_turned_back(
    tiny_recipe: Callable[..., SegmenterRecipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    gan = ConditionalGAN(tiny_recipe(consistency_weight=1.0, ema=0.9))
    images, _ = _batch()
    # What looks at each pixel alone sees the same in a turned crop; what looks at places does not.
    monkeypatch.setattr(gan.average, "forward", lambda crops: 2 * crops)
    assert all(torch.equal(gan._turned(images, step), 2 * images) for step in range(40))
    places = torch.arange(32.0).expand(1, 3, 32, 32)
    monkeypatch.setattr(gan.average, "forward", lambda crops: places.expand(len(crops), 3, 32, 32))
    fields = [gan._turned(images, step) for step in range(40)]
    assert len({tuple(field[0, 0, (0, 0, 31, 31), (0, 31, 0, 31)].tolist()) for field in fields}) == 4


def test_turned_crops_teach_what_nobody_annotated(tiny_recipe: Callable[..., SegmenterRecipe]) -> None:
    images, fields = _batch()
    unknown = torch.full_like(fields, float("nan"))
    gan = ConditionalGAN(tiny_recipe(consistency_weight=10.0, discriminator_width=0, ema=0.9, lr=1e-2))
    values = [gan.step((images, unknown), step, 1.0) for step in range(20)]
    assert values[0]["consistency"] > 0 and values[0]["l1"] == 0
    assert values[-1]["consistency"] < 0.7 * values[0]["consistency"]


@pytest.mark.parametrize("penalty", ["r1", "wgan-gp"])
@pytest.mark.parametrize("adversarial", ["bce", "least-squares", "hinge"])
def test_every_objective_updates_both_networks(
    adversarial: str, penalty: str, tiny_recipe: Callable[..., SegmenterRecipe]
) -> None:
    gan = ConditionalGAN(tiny_recipe(adversarial=adversarial, penalty=penalty))
    assert gan.discriminator is not None
    before = [
        torch.cat([p.detach().flatten().clone() for p in network.parameters()])
        for network in (gan.generator, gan.discriminator)
    ]
    values = gan.step(_batch(), 0, 1.0)
    assert np.isfinite(list(values.values())).all()
    assert values["penalty"] >= 0
    for network, old in zip((gan.generator, gan.discriminator), before, strict=True):
        new = torch.cat([p.detach().flatten() for p in network.parameters()])
        assert not torch.equal(new, old)


def test_intervals_are_kept(tiny_recipe: Callable[..., SegmenterRecipe]) -> None:
    recipe = tiny_recipe(adversarial_interval=2, penalty="r1", penalty_interval=2)
    gan = ConditionalGAN(recipe)
    values = [gan.step(_batch(), step, 1.0) for step in range(5)]
    assert ["discriminator" in v for v in values] == [True, False, True, False, True]
    assert ["penalty" in v for v in values] == [True, False, False, False, True]


def test_without_an_adversary_there_is_none(tiny_recipe: Callable[..., SegmenterRecipe]) -> None:
    gan = ConditionalGAN(tiny_recipe(discriminator_width=0))
    assert set(gan.step(_batch(), 0, 1.0)) == {"l1", "presence"}


def test_the_average_follows_the_weights(tiny_recipe: Callable[..., SegmenterRecipe]) -> None:
    gan = ConditionalGAN(tiny_recipe(ema=0.9))
    for step in range(3):
        gan.step(_batch(step), step, 1.0)
    mean = gan.average.state_dict()["head.weight"].clone()
    gan.step(_batch(3), 3, 1.0)
    decay = min(0.9, 4 / 13)
    expected = decay * mean + (1 - decay) * gan.generator.state_dict()["head.weight"]
    torch.testing.assert_close(gan.average.state_dict()["head.weight"], expected)


def test_a_restored_state_goes_on_bit_for_bit(tiny_recipe: Callable[..., SegmenterRecipe]) -> None:
    recipe = tiny_recipe(penalty="wgan-gp")
    first = ConditionalGAN(recipe)
    for step in range(4):
        first.step(_batch(step), step, 1.0)
    tensors, rest = first.state()
    tensors = {name: value.clone() for name, value in tensors.items()}
    expected = [first.step(_batch(step), step, 0.5) for step in range(4, 8)]
    second = ConditionalGAN(recipe.model_copy(update={"seed": 5}))
    second.recipe = recipe
    second.restore(tensors, rest)
    assert [second.step(_batch(step), step, 0.5) for step in range(4, 8)] == expected


def test_prediction_fits_any_size_and_leaves_training_mode(
    tiny_recipe: Callable[..., SegmenterRecipe],
) -> None:
    gan = ConditionalGAN(tiny_recipe(ema=0.0))
    field = gan.predict(np.full((37, 101, 3), 200, dtype=np.uint8))
    assert field.shape == (3, 37, 101)
    assert field.dtype == np.float32
    assert np.abs(field).max() <= 1
    assert gan.generator.training
