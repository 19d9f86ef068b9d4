from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from skimage.io import imread, imsave

from napari_nucleigan.base.errors import DatasetError, DeviceError, RecipeError, RunError
from napari_nucleigan.base.events import Checkpoint, Finished, Losses, Note, Preview, Progress, ValidationScores, run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.masks.polygons import sample_tissue
from napari_nucleigan.models import ModelCard, load_model, read_card, save_model
from napari_nucleigan.models.tissue import classes_on, masks_on
from napari_nucleigan.networks import build_synthesizer
from napari_nucleigan.training import RunFolder, train_segmenter, train_synthesizer
from napari_nucleigan.training.cyclegan import CycleGAN
from napari_nucleigan.training.synthesizer import CODES, PAINTED
from tissue_pictures import tissue_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nucleigan.training.recipes import SynthesizerRecipe

    Recipes = Callable[..., SynthesizerRecipe]

TRAIN = """
import sys
from napari_nucleigan.base.events import run
from napari_nucleigan.training import RunFolder, SynthesizerRecipe, train_synthesizer
data, folder, recipe = sys.argv[1:]
folder = RunFolder(folder)
run(train_synthesizer(data, SynthesizerRecipe.model_validate_json(recipe), folder, resume=folder.exists))
"""
SHORT = {"epochs_constant": 1, "epochs_decay": 0}


def _of(folder: Path, kind: type[Any]) -> list[Any]:
    return [event for event in RunFolder(folder).events() if isinstance(event, kind)]


def _curve(folder: Path) -> list[tuple[int, dict[str, float]]]:
    return [(event.step, event.values) for event in _of(folder, Losses)]


@pytest.fixture(scope="module")
def whole(dataset: Path, tiny_synthesizer: Recipes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went from start to end."""
    folder = tmp_path_factory.mktemp("runs") / "my-run"
    run(train_synthesizer(dataset, tiny_synthesizer(), folder, card={"training_data": "five ellipses"}))
    return folder


@pytest.fixture
def unlabelled(dataset: Path, tmp_path: Path) -> Path:
    """A plain folder of H&E."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for number in range(3):
        shutil.copy(dataset / "images" / f"tile{number}.png", folder)
    return folder


# -- what a run leaves ---------------------------------------------------------------------------


def test_a_training_leaves_a_model_and_its_story(whole: Path, tiny_synthesizer: Recipes) -> None:
    assert {type(event) for event in RunFolder(whole).events()} == {
        Note,
        Losses,
        ValidationScores,
        Preview,
        Checkpoint,
        Finished,
    }
    assert "2 images train, with their labels, 2 are held out, masks: fit" in _of(whole, Note)[0].text
    scores = _of(whole, ValidationScores)
    assert [event.step for event in scores] == [8, 16, 20]
    for event in scores:
        assert set(event.values) == {"own_aji", "mask_error", "hidden_signal"}
        assert 0 <= event.values["own_aji"] <= 1
        assert 0 < event.values["mask_error"] < 2
        assert event.values["hidden_signal"] > 0
        # No figure chooses: the newest is the model.
        assert event.best

    card = read_card(whole / "best.safetensors")
    assert (card.name, card.kind, card.training_data) == ("my-run", "synthesizer", "five ellipses")
    assert card.architecture == {"name": "painter", "widths": [4, 6, 8], "style_size": 4}
    assert (card.encoding, card.mpp, card.stain) == ("distance", 0.25, None)
    assert card.recipe == tiny_synthesizer().model_dump(mode="json")
    assert list(card.scores) == [f"{PAINTED} masks in training"]
    assert card.scores[f"{PAINTED} masks in training"] == pytest.approx(scores[-1].values, abs=1e-4)


def test_the_card_holds_styles_by_organ(whole: Path, dataset: Path) -> None:
    organs = Dataset.open(dataset).organs
    training = RunFolder(whole).data()["train"]
    styles = read_card(whole / "best.safetensors").styles
    assert {organ: len(codes) for organ, codes in styles.items()} == {
        organ: CODES * sum(organs[name] == organ for name in training) for organ in ("colon", "liver")
    }
    for codes in styles.values():
        assert np.shape(codes)[1] == 4
        assert np.mean(codes, axis=1) == pytest.approx(np.zeros(len(codes)), abs=1e-3)


def test_the_model_paints(whole: Path) -> None:
    model = load_model(whole, "synthesizer")
    fields = torch.rand(2, 3, 32, 64) * 2 - 1
    with torch.no_grad():
        image = model.network(fields, model.network.draw_noise(fields), torch.tensor(model.card.styles["liver"][:2]))
    assert image.shape == fields.shape
    assert image.std() > 0


def test_previews_show_mask_fake_way_back_and_real(whole: Path, dataset: Path) -> None:
    paths = sorted((whole / "previews").iterdir())
    assert [path.name for path in paths] == ["00000008.png", "00000016.png", "00000020.png"]
    assert [event.path for event in _of(whole, Preview)] == [str(path) for path in paths]
    assert imread(paths[0]).shape == (4 * 32, 4 * 32, 3)
    first, last = (imread(path).reshape(4, 32, 4, 32, 3).swapaxes(1, 2) for path in (paths[0], paths[-1]))
    # The same masks beside the same real crops at every step; what is painted changes.
    for column, same in enumerate((True, False, False, True)):
        assert np.array_equal(first[:, column], last[:, column]) == same, column
    held = [Dataset.open(dataset).image(name).pixels for name in RunFolder(whole).data()["val"]]
    windows = [np.lib.stride_tricks.sliding_window_view(image, (32, 32), axis=(0, 1)) for image in held]
    for row in range(4):
        crop = np.moveaxis(last[row, 3], -1, 0)
        assert (windows[row % len(held)] == crop).all(axis=(2, 3, 4)).any()


def test_without_validation_training_images_are_shown(dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    run(train_synthesizer(dataset, tiny_synthesizer(validation=0.0, **SHORT), tmp_path / "run"))
    assert RunFolder(tmp_path / "run").data()["val"] == []
    assert len(_of(tmp_path / "run", ValidationScores)) == 1


def test_test_images_are_never_touched(dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    data = shutil.copytree(dataset, tmp_path / "data")
    for name in ("images/tile4.png", "labels/tile4.tif"):
        (data / name).write_bytes(b"to read this is an error")
    run(train_synthesizer(data, tiny_synthesizer(**SHORT), tmp_path / "run"))
    assert len(_curve(tmp_path / "run")) == 1
    parts = RunFolder(tmp_path / "run").data()
    assert sorted(parts["train"] + parts["val"]) == [f"tile{number}" for number in range(4)]


# -- data and masks ------------------------------------------------------------------------------


def test_labels_can_be_left_aside(dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    run(train_synthesizer(dataset, tiny_synthesizer(paired=False, **SHORT), tmp_path / "run"))
    assert all("supervised" not in values for _, values in _curve(tmp_path / "run"))


def test_images_with_labels_and_without_take_turns(dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    some = Dataset.open(dataset).hide_labels(["tile1"])
    recipe = tiny_synthesizer(crops_per_epoch=4, epochs_constant=3, epochs_decay=0, validation=0.0)
    with closing(train_synthesizer(some, recipe, tmp_path / "run")) as job:
        next(event for event in job if isinstance(event, Checkpoint))
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert data["labelled"] == [name for name in Dataset.open(dataset).names if name != "tile1"]
    # Gone on with from the folder, where the label lies, it is left aside all the same.
    events = list(train_synthesizer(dataset, recipe, tmp_path / "run", resume=True))
    assert any("3 of them with their labels" in event.text for event in events if isinstance(event, Note))
    run(train_synthesizer(some, recipe, tmp_path / "whole"))
    assert _curve(tmp_path / "run") == _curve(tmp_path / "whole")
    run(train_synthesizer(dataset, recipe, tmp_path / "other"))
    assert _curve(tmp_path / "other") != _curve(tmp_path / "whole")


def test_further_images_teach_without_labels(
    dataset: Path, unlabelled: Path, tiny_synthesizer: Recipes, tmp_path: Path
) -> None:
    recipe = tiny_synthesizer(**SHORT, validation=0.0)
    told: list[Any] = []
    run(train_synthesizer(dataset, recipe, tmp_path / "run", unlabelled=unlabelled), told.append)
    # Their names are those of labelled images, and they have no labels all the same.
    assert any("7 images train, 4 of them with their labels" in event.text for event in told if isinstance(event, Note))
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert data["unlabelled"] == {"folder": str(unlabelled), "names": ["tile0", "tile1", "tile2"]}
    styles = read_card(tmp_path / "run" / "best.safetensors").styles
    assert {organ: len(codes) for organ, codes in styles.items()} == {
        "colon": 2 * CODES,
        "liver": 2 * CODES,
        "unknown": 3 * CODES,
    }
    with closing(train_synthesizer(dataset, recipe, tmp_path / "broken", unlabelled=unlabelled)) as job:
        next(event for event in job if isinstance(event, Losses))
    run(train_synthesizer(dataset, recipe, tmp_path / "broken", resume=True))
    assert _curve(tmp_path / "broken") == _curve(tmp_path / "run")
    (unlabelled / "tile1.png").unlink()
    with pytest.raises(DatasetError, match="has no image 'tile1'"):
        run(train_synthesizer(dataset, recipe, tmp_path / "run", resume=True))


def test_masks_from_a_folder(unlabelled: Path, tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[8:16, 8:16], labels[40:50, 30:44] = 1, 2
    write_labels(tmp_path / "masks" / "a.tif", labels)
    run(train_synthesizer(unlabelled, tiny_synthesizer(masks=str(tmp_path / "masks"), **SHORT), tmp_path / "run"))
    assert len(_curve(tmp_path / "run")) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"masks": "labels"}, "have no labels"),
        ({"masks": "lung"}, "neither a file nor a folder"),
        ({"masks": "breast", "segmenter": {"name": "unet-256", "width": 1}}, "choose a multiple of 256"),
        ({"masks": "breast", "generator": {"name": "painter", "widths": [4] * 7}}, "choose a multiple of 64"),
        ({"masks": "breast", "generator": {"name": "compact-unet"}}, "choose one of noisy-resnet, painter"),
        ({"masks": "breast", "start_from": "wrong"}, "is another network"),
    ],
)
def test_what_cannot_be_is_said_before_the_folder_holds_a_run(
    changes: dict[str, Any], reason: str, unlabelled: Path, tiny_synthesizer: Recipes, tmp_path: Path
) -> None:
    architecture = {"name": "painter", "widths": [4, 4, 4], "style_size": 4}
    card = ModelCard(name="wrong", kind="synthesizer", architecture=architecture, mpp=0.25)
    save_model(tmp_path / "wrong.safetensors", build_synthesizer(architecture).state_dict(), card)
    if "start_from" in changes:
        changes = {**changes, "start_from": str(tmp_path / "wrong.safetensors")}
    with pytest.raises(RecipeError, match=reason):
        run(train_synthesizer(unlabelled, tiny_synthesizer(**changes), tmp_path / "run"))
    assert not RunFolder(tmp_path / "run").exists


def test_the_same_folder_takes_the_next_attempt(unlabelled: Path, tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="have no labels"):
        run(train_synthesizer(unlabelled, tiny_synthesizer(), tmp_path / "run"))
    best = run(train_synthesizer(unlabelled, tiny_synthesizer(masks="liver", **SHORT), tmp_path / "run"))
    assert "without their labels" in _of(tmp_path / "run", Note)[0].text
    assert all("cycle_images" in values and "supervised" not in values for _, values in _curve(tmp_path / "run"))
    assert list(read_card(best).styles) == ["unknown"]


def test_other_faults_are_one_clear_error(dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run to resume"):
        run(train_synthesizer(dataset, tiny_synthesizer(), tmp_path / "none", resume=True))
    with pytest.raises(DatasetError, match="holds no PNG, JPEG or TIFF"):
        run(train_synthesizer(tmp_path, tiny_synthesizer(), tmp_path / "run"))
    with pytest.raises(DatasetError, match="There is no folder"):
        run(train_synthesizer(tmp_path / "nowhere", tiny_synthesizer(), tmp_path / "run"))
    with pytest.raises(DeviceError, match="quantum"):
        run(train_synthesizer(dataset, tiny_synthesizer(), tmp_path / "run", device="quantum"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("encoding", ["binary", "contour"])
def test_other_encodings_train_too(encoding: str, dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    best = run(train_synthesizer(dataset, tiny_synthesizer(encoding=encoding, **SHORT), tmp_path / "run"))
    assert read_card(best).encoding == encoding


def test_a_network_without_styles_at_another_scale_and_stain(
    dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path
) -> None:
    networks = {
        "generator": {"name": "noisy-resnet", "width": 2, "blocks": 1},
        "segmenter": {"name": "resnet", "width": 2, "blocks": 1},
    }
    recipe = tiny_synthesizer(**networks, mpp=0.5, normalize="macenko", ema=0.0, **SHORT)
    card = read_card(run(train_synthesizer(dataset, recipe, tmp_path / "run")))
    assert card.styles == {}
    assert card.mpp == 0.5
    assert card.stain is not None
    assert card.stain["method"] == "macenko"


def test_tiles_smaller_than_the_crops_train(tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    for name, shape in (("few", (20, 50)), ("none", (7, 9))):
        (tmp_path / "data" / "images").mkdir(parents=True, exist_ok=True)
        imsave(tmp_path / "data" / "images" / f"{name}.png", np.full((*shape, 3), 240, np.uint8), check_contrast=False)
        labels = np.zeros(shape, np.int32)
        if name == "few":
            labels[6:14, 10:18] = 1
        write_labels(tmp_path / "data" / "labels" / f"{name}.tif", labels)
    run(train_synthesizer(tmp_path / "data", tiny_synthesizer(validation=0.0, **SHORT), tmp_path / "run"))
    assert len(_curve(tmp_path / "run")) == 1


# -- signals hidden in the images ----------------------------------------------------------------


def _cheat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the painter hide the mask in the last bits of a grey image, where S finds it."""
    monkeypatch.setattr(CycleGAN, "paint", lambda self, fields, style, seed=0: 0.001 * fields)
    monkeypatch.setattr(CycleGAN, "draw", lambda self, images: (images / 0.001).clamp(-1, 1))


@pytest.mark.parametrize("hiding_noise", [0.05, 0.0])  # the guard looks, whether the recipe hides or not
def test_a_mask_hidden_in_the_image_is_noted(
    hiding_noise: float,
    dataset: Path,
    tiny_synthesizer: Recipes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _cheat(monkeypatch)
    run(train_synthesizer(dataset, tiny_synthesizer(hiding_noise=hiding_noise, **SHORT), tmp_path / "run"))
    (scores,) = _of(tmp_path / "run", ValidationScores)
    assert scores.values["mask_error"] < 1e-6
    assert scores.values["hidden_signal"] > 100
    # To find every nucleus in such pictures is no merit, and the note says why.
    assert scores.values["own_aji"] > 0.8
    (warning,) = [note for note in _of(tmp_path / "run", Note) if note.level == "warning"]
    assert "hidden in the images" in warning.text
    assert "hiding_noise" in warning.text


def test_a_mask_that_is_to_be_seen_is_not(
    dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CycleGAN, "paint", lambda self, fields, style, seed=0: fields)
    monkeypatch.setattr(CycleGAN, "draw", lambda self, images: (0.9 * images).clamp(-1, 1))
    run(train_synthesizer(dataset, tiny_synthesizer(**SHORT), tmp_path / "run"))
    (scores,) = _of(tmp_path / "run", ValidationScores)
    assert scores.values["hidden_signal"] < 1.5
    assert not [note for note in _of(tmp_path / "run", Note) if note.level == "warning"]


# -- again and on --------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_losses(dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    for name in ("a", "b"):
        torch.manual_seed(ord(name))
        run(train_synthesizer(dataset, tiny_synthesizer(**SHORT), tmp_path / name))
    run(train_synthesizer(dataset, tiny_synthesizer(seed=1, **SHORT), tmp_path / "c"))
    assert _curve(tmp_path / "a") == _curve(tmp_path / "b") != _curve(tmp_path / "c")
    assert (
        read_card(tmp_path / "a" / "best.safetensors").sha256 == read_card(tmp_path / "b" / "best.safetensors").sha256
    )


def test_a_stopped_run_goes_on_as_if_never_stopped(
    whole: Path, dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path
) -> None:
    card = {"name": "my-run", "training_data": "five ellipses"}
    job = train_synthesizer(dataset, tiny_synthesizer(), tmp_path / "run", card=card)
    for event in job:
        if isinstance(event, Losses):
            break
    job.close()
    # The run's own recipe, parts and card are used, whatever else is given.
    run(train_synthesizer(dataset, tiny_synthesizer(seed=3, validation=0.0), tmp_path / "run", resume=True))
    assert _curve(tmp_path / "run") == _curve(whole)
    assert read_card(tmp_path / "run" / "best.safetensors") == read_card(whole / "best.safetensors")


def test_a_stop_waits_for_one_image_at_most(
    whole: Path, dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path
) -> None:
    job = train_synthesizer(dataset, tiny_synthesizer(), tmp_path / "run", card={"training_data": "five ellipses"})
    told: list[str] = []
    for event in job:
        told += [event.what] if isinstance(event, Progress) else []
        if told.count("validating") == PAINTED + 1:
            job.close()
    counts = {what: told.count(what) for what in told}
    # Two images train and two are held out; the styles of the first are read in the validation that was cut short.
    assert counts == {
        "preparing images": 4,
        "fitting masks": 2,
        "preparing crops": 2,
        "training": counts["training"],
        "validating": PAINTED + 1,
    }
    run(train_synthesizer(dataset, tiny_synthesizer(), tmp_path / "run", resume=True))
    assert _curve(tmp_path / "run") == _curve(whole)
    assert _of(tmp_path / "run", ValidationScores) == _of(whole, ValidationScores)


def test_a_killed_run_resumes_as_if_never_stopped(dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    recipe = tiny_synthesizer(epochs_constant=8, epochs_decay=4, validate_every=6, masks="labels")
    run(train_synthesizer(dataset, recipe, tmp_path / "whole"))
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", TRAIN, str(dataset), str(folder), recipe.model_dump_json()]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 300
    # Wait until it has a checkpoint, then strike at a random moment.
    while not list((folder / "checkpoints").glob("*.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(float(np.random.default_rng(int.from_bytes(os.urandom(4))).uniform(0, 0.2)))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    run(train_synthesizer(dataset, recipe, folder, resume=True))
    assert _curve(folder) == _curve(tmp_path / "whole")
    assert load_model(folder).card.sha256 == load_model(tmp_path / "whole").card.sha256


def test_a_run_of_another_kind_is_not_resumed(whole: Path, dataset: Path, tiny_recipe: Any) -> None:
    with pytest.raises(RecipeError, match="another kind of network"):
        run(train_segmenter(dataset, tiny_recipe(), whole, resume=True))


# -- fine-tuning ---------------------------------------------------------------------------------


def test_fine_tuning_begins_at_the_models_weights(
    whole: Path, dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path
) -> None:
    # A rate so small that the weights stay what they are tells what they were at the start.
    still = tiny_synthesizer(seed=4, start_from=str(whole), lr=1e-30, **SHORT)
    tuned = run(train_synthesizer(dataset, still, tmp_path / "tuned"))
    first, second = (load_model(path, "synthesizer").network.state_dict() for path in (whole, tuned))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert read_card(tuned).recipe["start_from"] == str(whole)


@pytest.mark.parametrize(
    "changes", [{"generator": {"name": "painter", "widths": (4, 6, 10), "style_size": 4}}, {"encoding": "contour"}]
)
def test_fine_tuning_refuses_another_network(
    changes: dict[str, Any], whole: Path, dataset: Path, tiny_synthesizer: Recipes, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="is another network"):
        run(train_synthesizer(dataset, tiny_synthesizer(start_from=str(whole), **changes), tmp_path / "tuned"))


# -- tissue --------------------------------------------------------------------------------------

KNOWS = {"generator": {"name": "tissue-unet", "classes": 3, "widths": [4, 6, 8], "style_size": 4, "features": 6}}


@pytest.fixture(scope="module")
def glands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three tiles with a gland in the middle of each."""
    folder = tmp_path_factory.mktemp("glands")
    for seed in range(3):
        pixels, labels, _ = tissue_picture(128, seed)
        write_image(folder / "images" / f"{seed}.png", pixels)
        write_labels(folder / "labels" / f"{seed}.tif", labels)
    return folder


@pytest.fixture(scope="module")
def tissue_run(glands: Path, tiny_synthesizer: Recipes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tissue"
    run(train_synthesizer(glands, tiny_synthesizer(**KNOWS), folder))
    return folder


def test_a_training_with_tissue_leaves_its_classes_on_the_card(tissue_run: Path) -> None:
    model = load_model(tissue_run, "synthesizer")
    classes, masks = classes_on(model.card), masks_on(model.card)
    assert classes is not None and masks is not None and masks.layout is not None
    assert len(classes.classes) == model.network.tissue_classes == 3
    assert masks.layout.classes == classes
    assert sample_tissue(masks, (64, 64), seed=1)[0].max() > 0


def test_a_training_with_tissue_resumes_as_if_never_stopped(
    tissue_run: Path, glands: Path, tiny_synthesizer: Recipes, tmp_path: Path
) -> None:
    job = train_synthesizer(glands, tiny_synthesizer(**KNOWS), tmp_path / "run")
    for event in job:
        if isinstance(event, Checkpoint) and event.step >= 8:
            job.close()
            break
    run(train_synthesizer(glands, tiny_synthesizer(), tmp_path / "run", resume=True))
    assert dict(_curve(tmp_path / "run")) == dict(_curve(tissue_run))
    assert read_card(tmp_path / "run" / "best.safetensors").sha256 == read_card(tissue_run / "best.safetensors").sha256


def test_tissue_is_learnt_from_a_painter_that_knows_none(
    whole: Path, tissue_run: Path, glands: Path, tiny_synthesizer: Recipes, tmp_path: Path
) -> None:
    run(train_synthesizer(glands, tiny_synthesizer(start_from=str(whole), **KNOWS, **SHORT), tmp_path / "a"))
    # One that knows tissue keeps its classes.
    run(
        train_synthesizer(
            glands, tiny_synthesizer(start_from=str(tissue_run), **KNOWS, **SHORT, seed=5), tmp_path / "b"
        )
    )
    found = [classes_on(read_card(folder / "best.safetensors")) for folder in (tissue_run, tmp_path / "b")]
    assert found[0] == found[1]
    other = KNOWS["generator"] | {"widths": [4, 6, 10]}
    with pytest.raises(RecipeError, match="another network"):
        run(train_synthesizer(glands, tiny_synthesizer(start_from=str(whole), generator=other), tmp_path / "c"))


def test_images_without_labels_have_tissue_too(glands: Path, tiny_synthesizer: Recipes, tmp_path: Path) -> None:
    recipe = tiny_synthesizer(**KNOWS, **SHORT, masks="liver")
    run(train_synthesizer(glands / "images", recipe, tmp_path / "run"))
    card = read_card(tmp_path / "run" / "best.safetensors")
    assert classes_on(card) is not None
    assert masks_on(card) is None
