from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.training.recipe_files import kind_of, read_recipe
from napari_nucleigan.training.recipes import RECIPES, SynthesizerRecipe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_survives_json(name: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.json"
    file.write_text(RECIPES[name].model_dump_json())
    assert read_recipe(file, None, type(RECIPES[name])) == RECIPES[name]
    assert RECIPES[name].name == name


@pytest.mark.parametrize(("kind", "other"), [("segmenter", "synthesizer"), ("synthesizer", "segmenter")])
def test_a_recipe_of_the_other_kind_is_refused(kind: str, other: str, tmp_path: Path) -> None:
    wanted = type(RECIPES[f"compact-{kind}"])
    file = tmp_path / "recipe.json"
    file.write_text(RECIPES[f"compact-{other}"].model_dump_json())
    for given in (f"paper-{other}", file):
        with pytest.raises(RecipeError, match=f"another kind of network; choose compact-{kind}, .*paper-{kind}"):
            read_recipe(given, None, wanted)


def test_a_file_of_another_name_changes_the_compact_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"name": "mine", "cycle_masks": 3}))
    recipe = read_recipe(file, None, SynthesizerRecipe)
    assert recipe == RECIPES["compact-synthesizer"].model_copy(update={"name": "mine", "cycle_masks": 3.0})


def test_crops_must_be_large_enough_for_the_discriminators() -> None:
    with pytest.raises(RecipeError, match="crops of 32 pixels are too small for discriminator_scales = 2"):
        read_recipe("compact-synthesizer", {"patch": 32}, SynthesizerRecipe)
    smallest = {"patch": 32, "discriminator_layers": 2}
    assert read_recipe("compact-synthesizer", smallest, SynthesizerRecipe).patch == 32


def test_a_file_may_name_only_what_differs(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"name": "paper-segmenter", "batch": 4}))
    assert read_recipe(file) == RECIPES["paper-segmenter"].model_copy(update={"batch": 4})


def test_changes_are_validated() -> None:
    assert read_recipe("compact-segmenter", {"batch": "16"}).batch == 16
    with pytest.raises(RecipeError, match="batch"):
        read_recipe("compact-segmenter", {"batch": 0})
    with pytest.raises(RecipeError, match="bach"):
        read_recipe("compact-segmenter", {"bach": 8})
    with pytest.raises(RecipeError, match="zoom"):
        read_recipe("compact-segmenter", {"zoom": (2.0, 1.0)})
    for name in ("betas", "discriminator_betas"):
        with pytest.raises(RecipeError, match="betas are at least 0 and below 1"):
            read_recipe("compact-segmenter", {name: (0.9, 1.0)})
    with pytest.raises(RecipeError, match="epoch"):
        read_recipe("compact-segmenter", {"epochs_constant": 0, "epochs_decay": 0})


@pytest.mark.parametrize("content", ["[1, 2]", "{", '"text"'])
def test_a_broken_file_is_one_clear_error(content: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_text(content)
    with pytest.raises(RecipeError, match=r"broken\.json"):
        read_recipe(file)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        RecipeError, match="compact-segmenter, pretrained-segmenter, fine-tune-segmenter, paper-segmenter"
    ):
        read_recipe("papper-segmenter")


def test_a_recipe_says_what_it_trains(tmp_path: Path) -> None:
    assert {recipe.kind for recipe in RECIPES.values()} == {"segmenter", "synthesizer"}
    for name, recipe in RECIPES.items():
        values = recipe.model_dump(mode="json")
        assert kind_of(values) == values.pop("kind")
        # As the first version wrote it.
        assert kind_of(values) == recipe.kind
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(values))
        assert read_recipe(file, None, type(recipe)) == recipe
    file.write_text(json.dumps({**values, "name": "mine", "kind": "synthesizer"}))
    with pytest.raises(RecipeError, match="trains another kind of network"):
        read_recipe(file)
    assert kind_of({}) == ""
