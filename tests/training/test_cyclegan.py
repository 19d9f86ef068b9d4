from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.networks.encoders import EncoderUNet
from napari_nucleigan.training.cyclegan import CycleBatch, CycleGAN
from napari_nucleigan.training.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nucleigan.training.recipes import SynthesizerRecipe

    Recipes = Callable[..., SynthesizerRecipe]

ALWAYS = {
    "cycle_images",
    "cycle_masks",
    "adversarial_images",
    "adversarial_masks",
    "discriminator_images",
    "discriminator_masks",
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def _fields(seed: int, count: int, side: int) -> torch.Tensor:
    """Squares of 8 pixels, in or out."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.sign(torch.randn(count, 1, side // 8, side // 8, generator=random))
    inside = torch.nn.functional.interpolate(coarse, scale_factor=8)
    return torch.cat([inside, -torch.ones_like(inside), inside], dim=1)


def _painted(fields: torch.Tensor) -> torch.Tensor:
    """Blue inside, pink outside."""
    inside = (fields[:, :1] + 1) / 2
    colours = torch.tensor([[-0.3, -0.5, 0.4], [0.7, 0.2, 0.5]])[..., None, None]
    return inside * colours[0] + (1 - inside) * colours[1]


def _batch(seed: int = 0, count: int = 2, side: int = 32) -> CycleBatch:
    fields, masks = _fields(seed, count, side), _fields(seed + 1000, count, side)
    others = _painted(_fields(seed + 2000, count, side))
    return CycleBatch(_painted(fields), fields, others, masks)


def _weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in network.parameters()])


# -- learning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("paired", [True, False])
def test_the_losses_fall(paired: bool, tiny_synthesizer: Recipes) -> None:
    gan = CycleGAN(tiny_synthesizer(lr=1e-2, paired=paired))
    values = [gan.step(_batch(step % 4), step, 1.0) for step in range(32)]
    falling = {"cycle_images", "cycle_masks"} | ({"supervised"} if paired else set())
    for name in falling:
        first, last = (np.mean([value[name] for value in part]) for part in (values[:4], values[-4:]))
        assert last < 0.6 * first, name
    assert np.isfinite([list(value.values()) for value in values]).all()


def test_what_nobody_knows_teaches_nothing(tiny_synthesizer: Recipes) -> None:
    recipe = tiny_synthesizer(cycle_images=0.0, cycle_masks=0.0, adversarial_weight=0.0, features_weight=0.0)
    batch = _batch()
    assert batch.fields is not None
    hidden = batch.fields.clone()
    hidden[:, :, :, 16:] = torch.nan
    moved = []
    for fields in (batch.fields, hidden, torch.full_like(hidden, torch.nan)):
        gan = CycleGAN(recipe)
        before = _weights(gan.segmenter)
        values = gan.step(batch._replace(fields=fields), 0, 1.0)
        assert np.isfinite(list(values.values())).all()
        moved.append(float((_weights(gan.segmenter) - before).abs().max()))
    assert moved[0] > 0
    assert moved[1] > 0
    assert moved[2] == 0
    # With nothing known, the way back begins at what S draws.
    losses = []
    for fields in (torch.full_like(hidden, torch.nan), None):
        losses.append(CycleGAN(tiny_synthesizer()).step(batch._replace(fields=fields), 0, 1.0)["cycle_images"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_discriminators_learn_to_tell(tiny_synthesizer: Recipes) -> None:
    # The painter stands still, so what it makes can be told from what is real.
    gan = CycleGAN(tiny_synthesizer(lr=1e-12, discriminator_lr=5e-3, pool=0))
    values = [gan.step(_batch(step % 4), step, 1.0) for step in range(20)]
    for name in ("discriminator_images", "discriminator_masks"):
        assert values[-1][name] < 0.3 * values[0][name], name


@pytest.mark.parametrize("adversarial", ["bce", "least-squares", "hinge"])
def test_every_objective_updates_all_networks(adversarial: str, tiny_synthesizer: Recipes) -> None:
    gan = CycleGAN(tiny_synthesizer(adversarial=adversarial))
    networks = (gan.generator, gan.segmenter, gan.discriminator_n, gan.discriminator_m)
    before = [_weights(network) for network in networks]
    assert np.isfinite(list(gan.step(_batch(), 0, 1.0).values())).all()
    for network, old in zip(networks, before, strict=True):
        assert not torch.equal(_weights(network), old)
        assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_schedule_scales_both_rates(tiny_synthesizer: Recipes) -> None:
    gan = CycleGAN(tiny_synthesizer())
    networks = (gan.generator, gan.segmenter, gan.discriminator_n, gan.discriminator_m)
    before = [_weights(network) for network in networks]
    gan.step(_batch(), 0, 0.0)
    assert all(torch.equal(_weights(network), old) for network, old in zip(networks, before, strict=True))


def test_all_but_the_painter_learn_in_the_head_start(tiny_synthesizer: Recipes) -> None:
    gan = CycleGAN(tiny_synthesizer(head_start=2))
    networks = {"G": gan.generator, "average": gan.average, "S": gan.segmenter, "D_N": gan.discriminator_n}
    for step in range(3):
        before = {name: _weights(network) for name, network in networks.items()}
        gan.step(_batch(), step, 1.0)
        moved = {name for name, network in networks.items() if not torch.equal(before[name], _weights(network))}
        assert moved == ({"S", "D_N"} if step < 2 else {"G", "average", "S", "D_N"})


def test_a_step_in_bfloat16_keeps_weights_and_losses_in_float32(tiny_synthesizer: Recipes) -> None:
    half, full = CycleGAN(tiny_synthesizer(), bfloat16=True), CycleGAN(tiny_synthesizer())
    values, expected = half.step(_batch(), 0, 1.0), full.step(_batch(), 0, 1.0)
    assert values != expected
    assert values == pytest.approx(expected, rel=0.1, abs=0.05)
    assert {parameter.dtype for parameter in half.generator.parameters()} == {torch.float32}


def test_the_papers_recipe_makes_a_step() -> None:
    changes = {"generator": {"name": "noisy-resnet", "width": 4, "blocks": 1}, "discriminator_width": 4, "patch": 64}
    segmenter = {"name": "resnet", "width": 4, "blocks": 1}
    gan = CycleGAN(RECIPES["paper-synthesizer"].model_copy(update={**changes, "segmenter": segmenter}))
    values = gan.step(_batch(count=1, side=64), 0, 1.0)
    assert set(values) == ALWAYS
    assert np.isfinite(list(values.values())).all()


# -- pairs ---------------------------------------------------------------------------------------


def test_pairs_bring_two_losses_more(tiny_synthesizer: Recipes) -> None:
    assert set(CycleGAN(tiny_synthesizer()).step(_batch(), 0, 1.0)) == ALWAYS | {"features", "supervised"}
    # Without labels, or where the recipe leaves them aside, there are none.
    assert set(CycleGAN(tiny_synthesizer()).step(_batch()._replace(fields=None), 0, 1.0)) == ALWAYS
    assert set(CycleGAN(tiny_synthesizer(paired=False)).step(_batch(), 0, 1.0)) == ALWAYS


def test_without_pairs_the_true_fields_are_not_looked_at(tiny_synthesizer: Recipes) -> None:
    batch = _batch()
    plain = CycleGAN(tiny_synthesizer()).step(batch._replace(fields=None), 0, 1.0)
    broken = batch._replace(fields=torch.full_like(batch.fields, torch.nan))
    assert CycleGAN(tiny_synthesizer(paired=False)).step(broken, 0, 1.0) == plain


def test_the_style_is_read_off_the_other_crops(tiny_synthesizer: Recipes) -> None:
    batch = _batch()
    plain = CycleGAN(tiny_synthesizer()).step(batch, 0, 1.0)
    restyled = CycleGAN(tiny_synthesizer()).step(batch._replace(others=-batch.others), 0, 1.0)
    assert restyled["cycle_images"] != plain["cycle_images"]
    # S sees the images alone.
    assert restyled["supervised"] == plain["supervised"]


# -- terms that recipes choose -------------------------------------------------------------------


def test_the_identity_term(tiny_synthesizer: Recipes) -> None:
    gan = CycleGAN(tiny_synthesizer(identity=5.0, lr=1e-2))
    values = [gan.step(_batch(step % 4), step, 1.0)["identity"] for step in range(20)]
    assert 0 < values[-1] < 0.7 * values[0]


@pytest.fixture
def photographs(tmp_path: Path) -> str:
    """Weights of an encoder."""
    weights = tmp_path / "encoder.safetensors"
    torch.manual_seed(0)
    save_file({name: value.contiguous() for name, value in EncoderUNet().encoder.state_dict().items()}, weights)
    return str(weights)


def test_the_colours_are_those_of_the_crop_whose_style_it_is(tiny_synthesizer: Recipes) -> None:
    assert "colours" not in CycleGAN(tiny_synthesizer()).step(_batch(), 0, 1.0)
    # Without labels and at one and the same mask, only the style can tell a bright image from a dark one.
    gans = [CycleGAN(tiny_synthesizer(colours=weight, adversarial_weight=0.0, lr=1e-2)) for weight in (0.0, 50.0)]
    brightness = torch.tensor([-0.6, 0.6])[:, None, None, None]
    batch = _batch()
    bright = batch._replace(fields=None, images=batch.images * 0.2 + brightness, others=batch.others * 0.2 + brightness)
    masks = bright.masks[:1].repeat(2, 1, 1, 1)
    apart = []
    for gan in gans:
        values = [gan.step(bright._replace(masks=masks), step, 1.0) for step in range(40)]
        means = gan.paint(masks, gan.style_of(bright.others)).mean(dim=(1, 2, 3))
        apart.append(float((means - bright.others.mean(dim=(1, 2, 3))).abs().mean()))
    assert values[-1]["colours"] < values[0]["colours"] / 2
    assert apart[1] < apart[0]


def test_the_perceptual_term(tiny_synthesizer: Recipes, photographs: str, tmp_path: Path) -> None:
    recipe = tiny_synthesizer(perceptual=2.0, perceptual_weights=photographs, lr=1e-2)
    gan = CycleGAN(recipe)
    values = [gan.step(_batch(step % 4), step, 1.0)["perceptual"] for step in range(16)]
    assert 0 < np.mean(values[-4:]) < np.mean(values[:4])
    assert not any("encoder" in name for name in gan.state()[0])
    assert "perceptual" not in CycleGAN(tiny_synthesizer()).step(_batch(), 0, 1.0)
    with pytest.raises(ModelError):
        CycleGAN(tiny_synthesizer(perceptual=2.0, perceptual_weights=str(tmp_path / "none")))


def test_a_projected_discriminator(tiny_synthesizer: Recipes, photographs: str, tmp_path: Path) -> None:
    gan = CycleGAN(tiny_synthesizer(projected=True, perceptual_weights=photographs))
    values = gan.step(_batch(), 0, 1.0)
    assert values["discriminator_images"] != CycleGAN(tiny_synthesizer()).step(_batch(), 0, 1.0)["discriminator_images"]
    assert "perceptual" not in values
    names = gan.state()[0]
    assert any(name.startswith("image_judge/projected") for name in names)
    assert not any("encoder" in name for name in names)
    with pytest.raises(ModelError):
        CycleGAN(tiny_synthesizer(projected=True, perceptual_weights=str(tmp_path / "none")))


def test_distances_between_averages_leave_texture_alone(tiny_synthesizer: Recipes) -> None:
    batch = _batch()
    checks = 0.2 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16)
    grainy = batch._replace(images=batch.images + checks)
    pixels, averages = (
        [CycleGAN(tiny_synthesizer(cycle_blur=side)).step(each, 0, 1.0)["cycle_images"] for each in (batch, grainy)]
        for side in (1, 4)
    )
    assert averages[1] == pytest.approx(averages[0], rel=1e-4)
    assert abs(pixels[1] - pixels[0]) > 0.01 * pixels[0]


def test_hiding_noise_lies_on_the_way_back_alone(tiny_synthesizer: Recipes) -> None:
    quiet, noisy = (CycleGAN(tiny_synthesizer(hiding_noise=noise)).step(_batch(), 0, 1.0) for noise in (0.0, 0.5))
    assert noisy["cycle_masks"] != quiet["cycle_masks"]
    for name in ("cycle_images", "supervised", "adversarial_images", "discriminator_images"):
        assert noisy[name] == quiet[name], name


@pytest.mark.parametrize(("paired", "fakes"), [(True, 4), (False, 2)])
def test_earlier_fakes_are_kept(paired: bool, fakes: int, tiny_synthesizer: Recipes) -> None:
    gan = CycleGAN(tiny_synthesizer(pool=5, paired=paired))
    gan.step(_batch(), 0, 1.0)
    assert (len(gan.image_pool.pairs), len(gan.mask_pool.pairs)) == (fakes, 2)
    for step in range(1, 4):
        gan.step(_batch(step), step, 1.0)
    assert (len(gan.image_pool.pairs), len(gan.mask_pool.pairs)) == (5, 5)
    assert {tuple(image.shape) for image in gan.image_pool.pairs} == {(3, 32, 32)}
    assert not any(image.requires_grad for image in gan.image_pool.pairs)


def test_no_pool_keeps_nothing(tiny_synthesizer: Recipes) -> None:
    gan = CycleGAN(tiny_synthesizer(pool=0))
    gan.step(_batch(), 0, 1.0)
    assert not gan.image_pool.pairs
    assert not gan.mask_pool.pairs


# -- reproducible --------------------------------------------------------------------------------


def test_a_step_depends_on_seed_and_number_alone(tiny_synthesizer: Recipes) -> None:
    values = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        gan = CycleGAN(tiny_synthesizer())
        torch.manual_seed(noise)
        values.append([gan.step(_batch(step), step, 1.0) for step in range(3)])
    assert values[0] == values[1]
    other = CycleGAN(tiny_synthesizer(seed=1))
    assert other.step(_batch(0), 0, 1.0) != values[0][0]


def test_dropout_depends_on_the_step_alone_too(tiny_synthesizer: Recipes) -> None:
    recipe = tiny_synthesizer(segmenter={"name": "unet-256", "width": 1}, patch=256, batch=1)
    values = []
    for noise in (1, 2):
        gan = CycleGAN(recipe)
        torch.manual_seed(noise)
        values.append(gan.step(_batch(count=1, side=256), 0, 1.0))
    assert values[0] == values[1]


@pytest.mark.parametrize("changes", [{}, {"paired": False}, {"projected": True}], ids=str)
def test_a_restored_state_goes_on_bit_for_bit(
    changes: dict[str, bool], tiny_synthesizer: Recipes, photographs: str
) -> None:
    recipe = tiny_synthesizer(ema=0.9, perceptual_weights=photographs, **changes)
    first = CycleGAN(recipe)
    for step in range(4):
        first.step(_batch(step), step, 1.0)
    tensors, rest = first.state()
    tensors = {name: value.clone() for name, value in tensors.items()}
    expected = [first.step(_batch(step), step, 0.5) for step in range(4, 8)]
    second = CycleGAN(recipe.model_copy(update={"seed": 5}))
    second.recipe = recipe
    second.restore(tensors, rest)
    assert [second.step(_batch(step), step, 0.5) for step in range(4, 8)] == expected
    assert torch.equal(_weights(second.average), _weights(first.average))


def test_the_average_follows_the_weights(tiny_synthesizer: Recipes) -> None:
    gan = CycleGAN(tiny_synthesizer(ema=0.9))
    for step in range(3):
        gan.step(_batch(step), step, 1.0)
    mean = _weights(gan.average)
    gan.step(_batch(3), 3, 1.0)
    stays = min(0.9, 4 / 13)
    torch.testing.assert_close(_weights(gan.average), stays * mean + (1 - stays) * _weights(gan.generator))


def test_without_averaging_the_painter_is_the_model(tiny_synthesizer: Recipes) -> None:
    gan = CycleGAN(tiny_synthesizer(ema=0.0))
    assert gan.average is gan.generator
    gan.step(_batch(), 0, 1.0)
    assert not any(name.startswith("average") for name in gan.state()[0])


# -- use -----------------------------------------------------------------------------------------


def test_painting_is_seeded_and_in_range(tiny_synthesizer: Recipes) -> None:
    gan = CycleGAN(tiny_synthesizer())
    fields = _fields(0, 3, 64)
    style = gan.style_of(_painted(fields))
    first, again, other = (gan.paint(fields, style, seed) for seed in (0, 0, 1))
    assert first.shape == fields.shape
    assert first.dtype == torch.float32
    assert first.abs().max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert style.shape == (3, 4)
    assert gan.draw(first).shape == fields.shape


def test_a_trained_painter_is_taken_over(tiny_synthesizer: Recipes) -> None:
    base = CycleGAN(tiny_synthesizer(seed=3))
    gan = CycleGAN(tiny_synthesizer())
    segmenter = _weights(gan.segmenter)
    gan.start_from(base.generator.state_dict())
    assert torch.equal(_weights(gan.generator), _weights(base.generator))
    assert torch.equal(_weights(gan.average), _weights(base.generator))
    assert torch.equal(_weights(gan.segmenter), segmenter)


# -- tissue --------------------------------------------------------------------------------------

KNOWS = {"generator": {"name": "tissue-unet", "classes": 3, "widths": (4, 6, 8), "style_size": 4, "features": 6}}


def _tissues(seed: int, count: int = 2) -> torch.Tensor:
    cells = torch.randint(0, 4, (count, 1, 2, 2), generator=torch.Generator().manual_seed(seed)).float()
    return torch.nn.functional.interpolate(cells, scale_factor=16)


def test_the_tissue_of_images_and_masks_is_told(tiny_synthesizer: Recipes) -> None:
    batch = _batch()
    unknown = torch.zeros(2, 1, 32, 32)
    plain = CycleGAN(tiny_synthesizer(**KNOWS)).step(batch, 0, 1.0)
    zeros = batch._replace(tissues=unknown, mask_tissues=unknown)
    assert CycleGAN(tiny_synthesizer(**KNOWS)).step(zeros, 0, 1.0) == plain
    told = CycleGAN(tiny_synthesizer(**KNOWS)).step(batch._replace(tissues=_tissues(1)), 0, 1.0)
    assert told["cycle_images"] != plain["cycle_images"]
    assert told["cycle_masks"] == plain["cycle_masks"]
    told = CycleGAN(tiny_synthesizer(**KNOWS)).step(batch._replace(mask_tissues=_tissues(1)), 0, 1.0)
    assert told["cycle_masks"] != plain["cycle_masks"]
    assert told["cycle_images"] == plain["cycle_images"]


def test_a_painter_that_knows_none_is_told_none(tiny_synthesizer: Recipes) -> None:
    batch = _batch()
    told = batch._replace(tissues=_tissues(1), mask_tissues=_tissues(2))
    assert CycleGAN(tiny_synthesizer()).step(told, 0, 1.0) == CycleGAN(tiny_synthesizer()).step(batch, 0, 1.0)


def test_pictures_come_to_show_the_tissue(tiny_synthesizer: Recipes) -> None:
    gan = CycleGAN(tiny_synthesizer(lr=1e-2, cycle_blur=1, **KNOWS))
    cells = _tissues(3)
    batch = _batch()
    shown = torch.where(cells == 1, torch.tensor(0.9), batch.images)
    values = [gan.step(batch._replace(images=shown, tissues=cells), step, 1.0)["cycle_images"] for step in range(40)]
    assert np.mean(values[-4:]) < 0.6 * np.mean(values[:4])
    fields = torch.cat([batch.fields, cells], 1)
    picture = gan.paint(fields, gan.style_of(batch.others))
    assert picture[(cells == 1).expand(-1, 3, -1, -1)].mean() > picture[(cells != 1).expand(-1, 3, -1, -1)].mean() + 0.2
    assert not torch.equal(gan.paint(batch.fields, gan.style_of(batch.others)), picture)


def test_a_painter_without_tissue_is_where_one_with_it_begins(tiny_synthesizer: Recipes) -> None:
    base = CycleGAN(tiny_synthesizer(seed=3))
    gan = CycleGAN(tiny_synthesizer(**KNOWS))
    gan.start_from(base.generator.state_dict())
    batch = _batch()
    style = base.style_of(batch.others)
    told = torch.cat([batch.fields, _tissues(1)], 1)
    torch.testing.assert_close(gan.paint(told, style), base.paint(batch.fields, style))
    gan.step(batch._replace(tissues=_tissues(1), mask_tissues=_tissues(2)), 0, 1.0)
    assert all(layer.weight.any() for layer in gan.generator.modulate)
