from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.training.ranks import ALONE, Dismissed, Ranks
from rank_program import environment, updates

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.training.recipes import SegmenterRecipe, SynthesizerRecipe

    Recipes = Callable[..., SegmenterRecipe]
    Synthesizers = Callable[..., SynthesizerRecipe]

PROGRAM = Path(__file__).resolve().parents[1] / "support" / "rank_program.py"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cases(tiny_recipe: Recipes, tiny_synthesizer: Synthesizers) -> dict[str, dict[str, Any]]:
    """Recipes that use, between them, everything that looks across a batch or draws at random."""
    # Small steps: trainings of networks as tiny as these soon part by the last digit of a weight.
    rates = {"lr": 2e-4, "discriminator_lr": 1e-3}
    every = {"batch": 4, "pool": 5, "adversarial_interval": 1, **rates}
    unet = {"name": "unet-256", "width": 2}
    resnet = {"name": "resnet", "width": 4, "blocks": 1}
    noisy = {"name": "noisy-resnet", "width": 4, "blocks": 1}
    recipes: dict[str, SegmenterRecipe | SynthesizerRecipe] = {
        "compact": tiny_recipe(**every, penalty="wgan-gp", ema=0.9),
        "bfloat16": tiny_recipe(**every),
        "paper": tiny_recipe(
            generator=unet, patch=256, batch=2, pool=1, ema=0.0, adversarial="bce", penalty="r1", **rates
        ),
        "painter": tiny_synthesizer(batch=4, pool=5, identity=2.0, discriminator_scales=2, patch=64, **rates),
        "unpaired": tiny_synthesizer(batch=2, paired=False, generator=noisy, segmenter=resnet, **rates),
    }
    return {
        name: {
            "kind": "synthesizer" if "segmenter" in recipe.model_fields_set else "segmenter",
            "bfloat16": name == "bfloat16",
            "recipe": recipe.model_dump(mode="json"),
        }
        for name, recipe in recipes.items()
    }


def test_two_processes_compute_what_one_does_with_the_doubled_batch(
    cases: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(cases))
    port = free_port()
    command = [sys.executable, str(PROGRAM), str(file), str(tmp_path)]
    with ExitStack() as stack:
        ranks = []
        for number in range(2):
            ranks.append(stack.enter_context(subprocess.Popen(command, env=environment(number, 2, port))))
            stack.callback(ranks[-1].kill)
        alone = {name: updates(case, ALONE) for name, case in cases.items()}
        assert [rank.wait(100) for rank in ranks] == [0, 0]
    assert (tmp_path / "dismissed").exists()
    found, other = (json.loads((tmp_path / f"curves-{number}.json").read_text()) for number in range(2))
    assert found == other
    for name, (curve, state) in alone.items():
        tolerance = 0.02 if name == "bfloat16" else 1e-9
        for step, losses in enumerate(curve):
            assert found[name][step] == pytest.approx(losses, rel=tolerance, abs=tolerance), f"{name}, step {step}"
        first, second = (load_file(tmp_path / f"{name}-{number}.safetensors") for number in range(2))
        # Nothing may ever drift apart: weights, averages, statistics, optimizers, pools.
        assert all(torch.equal(first[key], second[key]) for key in first)
        assert first.keys() == state.keys() - {"random"}
        if name != "bfloat16":
            for key, value in first.items():
                # Pools are kept in half precision.
                near = 1e-3 if "pool" in key else 1e-9
                assert torch.allclose(value, state[key], rtol=near, atol=near), (
                    f"{name}, {key}: {(value - state[key]).abs().max()}"
                )


def test_a_process_alone_shares_with_nobody() -> None:
    batch = torch.arange(6.0)
    assert ALONE.leads
    assert list(ALONE.share(3)) == [0, 1, 2]
    for same in (
        ALONE.all_gather(batch, 2),
        ALONE.local_shard(batch, 2),
        ALONE.widened(batch),
        ALONE.all_reduce_sum(batch),
    ):
        assert same is batch
    network = torch.nn.Linear(1, 1)
    assert ALONE.setup(network, "forward") is network
    losses = {"l1": 0.5}
    assert ALONE.all_reduce_mean(losses) is losses
    ALONE.broadcast(losses)
    ALONE.go()
    ALONE.explain(RuntimeError("Connection closed by peer"))
    with pytest.raises(Dismissed):
        ALONE.receive()


def test_batches_are_dealt_out_evenly_or_not_at_all() -> None:
    class Third(Ranks):
        rank, world_size = 2, 3

    assert list(Third().share(12)) == [8, 9, 10, 11]
    assert str(Third("cuda:2")) == "cuda in 3 processes"
    with pytest.raises(RecipeError, match=r"batch of 8 cannot .* 3 processes.*--set batch=9"):
        Third().share(8)


def test_one_process_imports_nothing_it_does_not_use(dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    code = """
import sys
from napari_nucleigan.base.events import run
from napari_nucleigan.training import SegmenterRecipe, train_segmenter
data, folder, recipe = sys.argv[1:]
run(train_segmenter(data, SegmenterRecipe.model_validate_json(recipe), folder))
assert not [name for name in sys.modules if name.startswith(("lightning", "torch._dynamo", "scipy.stats"))]
"""
    recipe = tiny_recipe(epochs_constant=1, epochs_decay=0).model_dump_json()
    subprocess.run([sys.executable, "-c", code, str(dataset), str(tmp_path / "run"), recipe], check=True, timeout=100)
