from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import torch
from skimage.io import imread, imsave

from napari_nucleigan.base.errors import DatasetError, DeviceError, RecipeError, RunError
from napari_nucleigan.base.events import Checkpoint, Finished, Losses, Note, Preview, Progress, ValidationScores, run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.models import load_model, read_card, save_model
from napari_nucleigan.training import RunFolder, train_segmenter
from napari_nucleigan.training.runs.status import RunState, state_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nucleigan.training.recipes import SegmenterRecipe

    Recipes = Callable[..., SegmenterRecipe]

TRAIN = """
import sys
from napari_nucleigan.base.events import run
from napari_nucleigan.training import RunFolder, SegmenterRecipe, train_segmenter
data, folder, recipe = sys.argv[1:]
folder = RunFolder(folder)
run(train_segmenter(data, SegmenterRecipe.model_validate_json(recipe), folder, resume=folder.exists))
"""


CARD = {"training_data": "five ellipses"}


@pytest.fixture(scope="module")
def whole(dataset: Path, tiny_recipe: Recipes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went from start to end."""
    folder = tmp_path_factory.mktemp("runs") / "my-run"
    assert run(train_segmenter(dataset, tiny_recipe(), folder, card=CARD)) == folder / "best.safetensors"
    return folder


def _curve(folder: Path) -> list[tuple[int, dict[str, float]]]:
    return [(event.step, event.values) for event in RunFolder(folder).events() if isinstance(event, Losses)]


def test_a_training_leaves_a_model_and_its_story(whole: Path, tiny_recipe: Recipes) -> None:
    best = whole / "best.safetensors"
    kinds = {type(event) for event in RunFolder(whole).events()}
    assert kinds == {Note, Losses, ValidationScores, Preview, Checkpoint, Finished}
    scores = [event for event in RunFolder(whole).events() if isinstance(event, ValidationScores)]
    assert [event.step for event in scores] == [8, 16, 20]
    assert set(scores[0].values) == {"aji", "f1", "pq", "dice"}

    card = read_card(best)
    assert (card.name, card.kind, card.training_data) == ("my-run", "segmenter", "five ellipses")
    assert card.recipe == tiny_recipe().model_dump(mode="json")
    assert set(card.decode) == {"threshold", "prominence", "smoothing", "min_area_um2"}
    network = load_model(best, "segmenter").network
    assert sum(p.numel() for p in network.parameters()) < 50_000
    preview = imread(sorted((whole / "previews").iterdir())[-1])
    assert preview.shape == (96, 4 * 96, 3)


def test_validation_images_are_whole_seeded_and_never_test_images(
    dataset: Path, tiny_recipe: Recipes, tmp_path: Path
) -> None:
    run(train_segmenter(dataset, tiny_recipe(epochs_constant=1, epochs_decay=0), tmp_path / "a"))
    data = RunFolder(tmp_path / "a").data()
    assert sorted(data["train"] + data["val"]) == [f"tile{n}" for n in range(4)]
    organs = Dataset.open(dataset).organs
    assert sorted(organs[name] for name in data["val"]) == ["colon", "liver"]


def test_without_validation_the_newest_weights_are_the_model(
    dataset: Path, tiny_recipe: Recipes, tmp_path: Path
) -> None:
    best = run(train_segmenter(dataset, tiny_recipe(validation=0.0), tmp_path / "all"))
    events = RunFolder(tmp_path / "all").events()
    assert all(event.best for event in events if isinstance(event, ValidationScores))
    assert "train_aji" in next(event for event in events if isinstance(event, ValidationScores)).values
    assert list(read_card(best).scores) == ["one training image, no validation"]


def test_training_learns(dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    still = {"zoom": (1.0, 1.0), "stain": 0.0, "hue": 0.0, "light": 0.0, "blur": 0.0, "noise": 0.0}
    recipe = tiny_recipe(lr=2e-3, ema=0.9, batch=4, crops_per_epoch=16, epochs_constant=10, validate_every=3, **still)
    run(train_segmenter(dataset, recipe, tmp_path / "run"))
    scores = [
        event.values["dice"] for event in RunFolder(tmp_path / "run").events() if isinstance(event, ValidationScores)
    ]
    assert max(scores) > 0.6
    losses = [values["l1"] for _, values in _curve(tmp_path / "run")]
    assert losses[-1] < 0.3 * losses[0]


def test_the_same_seed_gives_the_same_losses(whole: Path, dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    for seed in (0, 1):
        run(train_segmenter(dataset, tiny_recipe(seed=seed), tmp_path / str(seed)))
    assert _curve(whole) == _curve(tmp_path / "0") != _curve(tmp_path / "1")


def test_killed_runs_resume_as_if_never_stopped(dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs_constant=8, epochs_decay=4, validate_every=6, penalty="wgan-gp")
    run(train_segmenter(dataset, recipe, tmp_path / "whole"))
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", TRAIN, str(dataset), str(folder), recipe.model_dump_json()]
    random = np.random.default_rng(int.from_bytes(os.urandom(4)))
    kills = 0
    for _ in range(3):
        process = subprocess.Popen(command)
        before = RunFolder(folder).events_size
        deadline = time.monotonic() + 60
        # Wait until this process has trained a little, then strike at a random moment.
        while RunFolder(folder).events_size == before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(float(random.uniform(0, 0.4)))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills
    run(train_segmenter(dataset, recipe, folder, resume=True))
    assert _curve(folder) == _curve(tmp_path / "whole")
    first = load_model(tmp_path / "whole").card.sha256
    assert load_model(folder).card.sha256 == first


def test_resuming_uses_the_runs_own_recipe_and_parts(dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    job = train_segmenter(dataset, tiny_recipe(), tmp_path / "run")
    for event in job:
        if isinstance(event, Checkpoint):
            break
    job.close()
    other = tiny_recipe(seed=3, validation=0.0)
    run(train_segmenter(dataset, other, tmp_path / "run", resume=True))
    assert read_card(tmp_path / "run" / "best.safetensors").recipe["seed"] == 0
    assert _curve(tmp_path / "run")[-1][0] == 20


def test_fine_tuning_starts_from_a_model(dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs_constant=10, lr=5e-3)
    best = run(train_segmenter(dataset, recipe, tmp_path / "base"))
    base, sure = load_model(best), {"weights": [1.0] * 8, "bias": 0.5}
    assert base.card.confidence is None
    told = {"confidence": sure, "licence": "CC BY-NC-SA 4.0 (as the training data)", "training_data": "tiles"}
    save_model(best, base.network.state_dict(), base.card.model_copy(update=told), half=True)
    tuned = tiny_recipe(epochs_constant=3, epochs_decay=0, start_from=str(best), lr=1e-4)
    # Regions to correct next are proposed by what the model doubts, in the second round too.
    card = read_card(run(train_segmenter(dataset, tuned, tmp_path / "tuned")))
    assert card.confidence == sure
    # It is made of that model, whose licence holds for it.
    assert (card.licence_name, card.training_data) == ("CC BY-NC-SA 4.0", "Goes on from base (tiles)")
    assert _curve(tmp_path / "tuned")[0][1]["l1"] < 0.8 * _curve(tmp_path / "base")[0][1]["l1"]
    wrong = tiny_recipe(start_from=str(best), generator={"name": "compact-unet", "widths": (8, 16)})
    with pytest.raises(RecipeError, match="another network"):
        run(train_segmenter(dataset, wrong, tmp_path / "wrong"))


def test_what_is_worse_than_its_start_is_not_taken_for_the_best(
    whole: Path, dataset: Path, tiny_recipe: Recipes, tmp_path: Path
) -> None:
    base = whole / "best.safetensors"
    astray = tiny_recipe(epochs_constant=2, epochs_decay=0, validate_every=1, start_from=str(base), lr=0.1, ema=0.0)
    tuned = run(train_segmenter(dataset, astray, tmp_path / "astray"))
    events = RunFolder(tmp_path / "astray").events()
    first = next(event for event in events if isinstance(event, ValidationScores))
    assert (first.step, first.best) == (0, True)
    status = state_of(tmp_path / "astray")
    assert (status.best_step, status.best) == (0, first.values)
    assert "No step was better" in status.message
    before, after = (load_model(path).network.state_dict() for path in (base, tuned))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_images_of_another_magnification_are_resampled(dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    best = run(train_segmenter(dataset, tiny_recipe(mpp=0.5, normalize="macenko"), tmp_path / "run"))
    card = read_card(best)
    assert card.mpp == 0.5
    assert card.stain is not None
    assert card.stain["method"] == "macenko"


def test_faults_are_one_clear_error(dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run to resume"):
        run(train_segmenter(dataset, tiny_recipe(), tmp_path / "none", resume=True))
    with pytest.raises(DatasetError, match="no folder 'images'"):
        run(train_segmenter(tmp_path, tiny_recipe(), tmp_path / "run"))
    with pytest.raises(DeviceError, match="quantum"):
        run(train_segmenter(dataset, tiny_recipe(), tmp_path / "run", device="quantum"))
    assert not (tmp_path / "run").exists()


def test_a_data_set_of_test_images_only_is_refused(tiny_recipe: Recipes, tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    imsave(tmp_path / "images" / "a.png", np.full((40, 40, 3), 200, np.uint8), check_contrast=False)
    tifffile.imwrite(tmp_path / "labels" / "a.tif", np.zeros((40, 40), np.uint16))
    (tmp_path / "split.csv").write_text("name,organ,split\na,liver,test\n")
    with pytest.raises(DatasetError, match="calls none of them 'train'"):
        run(train_segmenter(tmp_path, tiny_recipe(), tmp_path / "run"))


def test_a_full_disk_keeps_the_last_checkpoint(
    whole: Path, dataset: Path, tiny_recipe: Recipes, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    # From the second checkpoint on, no file may grow beyond a few bytes: a full disk, as a process meets it.
    full = """
import resource, signal
from napari_nucleigan.base.events import Checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def on_event(event):
    if isinstance(event, Checkpoint) and event.step == 8:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
"""
    code = full + TRAIN.replace("folder.exists))", "folder.exists), on_event)")
    arguments = [str(dataset), str(folder), tiny_recipe().model_dump_json()]
    stopped = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert stopped.returncode == 1
    assert "OutputError: Cannot write" in stopped.stderr
    assert sorted(path.stem for path in (folder / "checkpoints").glob("*.json")) == ["00000004", "00000008"]
    run(train_segmenter(dataset, tiny_recipe(), folder, resume=True))
    assert _curve(folder) == _curve(whole)


def test_synthetic_pairs_train_and_never_validate(
    whole: Path, dataset: Path, tiny_recipe: Recipes, tmp_path: Path
) -> None:
    mixed = tiny_recipe(synthetic_share=0.5)
    run(train_segmenter(dataset, mixed, tmp_path / "mixed", synthetic=dataset, card=CARD))
    assert _curve(tmp_path / "mixed") != _curve(whole)
    assert _curve(tmp_path / "mixed")[-1][0] == _curve(whole)[-1][0]
    data = RunFolder(tmp_path / "mixed").data()
    # Test images stay out, in a synthetic data set too.
    assert data["synthetic"] == {"folder": str(dataset.resolve()), "names": [f"tile{n}" for n in range(4)]}
    plain = RunFolder(whole).data()
    assert plain.items() <= data.items()
    assert "synthetic" not in plain


def test_synthetic_pairs_and_their_share_belong_together(dataset: Path, tiny_recipe: Recipes, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no folder of synthetic pairs"):
        run(train_segmenter(dataset, tiny_recipe(synthetic_share=0.5), tmp_path / "run"))
    with pytest.raises(RecipeError, match="synthetic_share is 0"):
        run(train_segmenter(dataset, tiny_recipe(), tmp_path / "run", synthetic=dataset))
    with pytest.raises(DatasetError, match="no folder 'images'"):
        run(train_segmenter(dataset, tiny_recipe(synthetic_share=0.5), tmp_path / "run", synthetic=tmp_path))
    assert not RunFolder(tmp_path / "run").exists


@pytest.mark.parametrize("what", ["preparing images", "validating", "choosing the decoding"])
def test_a_stop_in_the_middle_of_anything_is_made_good(
    whole: Path, dataset: Path, tiny_recipe: Recipes, tmp_path: Path, what: str
) -> None:
    job = train_segmenter(dataset, tiny_recipe(), tmp_path / "run")
    for event in job:
        if isinstance(event, Progress) and event.what == what and event.done == event.total - 1:
            break
    job.close()
    assert state_of(tmp_path / "run").state is RunState.STOPPED
    run(train_segmenter(dataset, tiny_recipe(), tmp_path / "run", resume=True))
    assert state_of(tmp_path / "run").state is RunState.FINISHED

    def told(folder: Path) -> list[object]:
        return [
            event for event in RunFolder(folder).events() if isinstance(event, Losses | ValidationScores | Finished)
        ]

    def figures(folder: Path) -> list[tuple[object, ...]]:
        return [(type(e), e.step, getattr(e, "values", None), getattr(e, "best", None)) for e in told(folder)]

    assert figures(tmp_path / "run") == figures(whole)
    assert read_card(tmp_path / "run" / "best.safetensors").decode == read_card(whole / "best.safetensors").decode
