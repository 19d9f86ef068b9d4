from __future__ import annotations

from typing import get_args

import pytest

from napari_nucleigan.masks.encoding import ENCODINGS
from napari_nucleigan.training.recipes import RECIPES, SegmenterRecipe, SynthesizerRecipe


def test_paper_recipe_holds_the_facts_of_the_paper() -> None:
    recipe = RECIPES["paper-segmenter"]
    assert recipe.generator == {"name": "unet-256", "width": 64}
    assert (recipe.epochs_constant, recipe.epochs_decay) == (200, 200)
    assert (recipe.lr, recipe.discriminator_lr) == (2e-4, 2e-4)
    assert recipe.betas == recipe.discriminator_betas == (0.5, 0.999)
    assert recipe.zoom == (286 / 256, 286 / 256)
    assert (recipe.patch, recipe.pool, recipe.l1_weight) == (256, 64, 70.0)
    assert recipe.adversarial == "bce"
    assert recipe.spectral
    assert recipe.penalty != "none"
    assert recipe.initial_weights == "normal"
    assert recipe.normalize == "vahadane"


def test_paper_recipe_of_the_synthesizer_holds_the_facts_of_the_paper() -> None:
    recipe = RECIPES["paper-synthesizer"]
    assert isinstance(recipe, SynthesizerRecipe)
    assert (recipe.cycle_images, recipe.cycle_masks, recipe.cycle_blur) == (70.0, 10.0, 1)
    assert (recipe.epochs_constant, recipe.epochs_decay) == (150, 150)
    assert (recipe.lr, recipe.discriminator_lr) == (2e-4, 2e-4)
    assert recipe.betas == recipe.discriminator_betas == (0.5, 0.999)
    assert recipe.generator == {"name": "noisy-resnet", "width": 64, "blocks": 9}
    assert recipe.segmenter == {"name": "resnet", "width": 64, "blocks": 9}
    assert (recipe.discriminator_width, recipe.discriminator_layers, recipe.discriminator_scales) == (64, 3, 1)
    assert (recipe.patch, recipe.batch, recipe.pool) == (256, 1, 50)
    assert recipe.zoom == (286 / 256, 286 / 256)
    assert (recipe.stain, recipe.hue, recipe.light) == (0, 0, 0)
    assert (recipe.adversarial, recipe.initial_weights, recipe.normalize) == ("bce", "normal", "vahadane")
    assert recipe.spectral
    assert not recipe.paired
    assert not recipe.instance_norm


@pytest.mark.parametrize("kind", [SegmenterRecipe, SynthesizerRecipe])
def test_every_field_explains_itself(kind: type[SegmenterRecipe | SynthesizerRecipe]) -> None:
    for name, field in kind.model_fields.items():
        assert field.description, name


def test_every_encoding_can_be_trained() -> None:
    assert get_args(SegmenterRecipe.model_fields["encoding"].annotation) == tuple(ENCODINGS)
    assert {*get_args(SynthesizerRecipe.model_fields["encoding"].annotation)} <= ENCODINGS.keys()
