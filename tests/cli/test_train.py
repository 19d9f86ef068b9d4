from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import pytest

from napari_nucleigan.data.images.files import write_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

COMMAND = Path(sys.executable).with_name("nucleigan")
SMALL = {
    "generator": {"name": "compact-unet", "widths": [4, 4, 4, 4, 4]},
    "discriminator_width": 0,
    "patch": 64,
    "batch": 2,
    "crops_per_epoch": 4,
    "epochs_constant": 4,
    "epochs_decay": 1,
    "validate_every": 5,
    "checkpoint_every": 1,
    "warmup_steps": 0,
}
PAINTING = {
    "generator": {"name": "painter", "widths": [4, 4, 4], "style_size": 4},
    "segmenter": {"name": "compact-unet", "widths": [4, 4, 4]},
    "discriminator_width": 4,
    "discriminator_layers": 1,
    "patch": 32,
    "batch": 2,
    "crops_per_epoch": 4,
    "epochs_constant": 4,
    "epochs_decay": 1,
    "validate_every": 5,
    "checkpoint_every": 1,
}
RECIPES = {"segmenter": SMALL, "synthesizer": PAINTING}


@pytest.fixture
def data(tmp_path: Path, tiny_he: Callable[..., object]) -> Path:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    rows = ["name,organ,split"]
    for index, split in enumerate(["train", "train", "val"]):
        rgb, labels = tiny_he(96, 96, 20, index)
        (folder / "images" / f"{index}.png").write_bytes(imagecodecs.png_encode(rgb))
        write_labels(folder / "labels" / f"{index}.tif", labels)
        rows.append(f"{index},breast,{split}")
    (folder / "split.csv").write_text("\n".join(rows) + "\n")
    return folder


def _sets(kind: str = "segmenter", **changes: object) -> list[str]:
    fields = {**RECIPES[kind], **changes}
    return [part for key, value in fields.items() for part in ("--set", f"{key}={json.dumps(value)}")]


def test_a_run_makes_a_model_that_segments(tmp_path: Path, data: Path, nucleigan: Callable[..., Result]) -> None:
    run = tmp_path / "run"
    done = nucleigan("train", "segmenter", data, "--run", run, "--name", "mine", "--device", "cpu", *_sets())
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(run / "best.safetensors")
    assert "validation" in done.stderr
    assert json.loads(nucleigan("models", "info", run, "--json").stdout)["name"] == "mine"
    image = data / "images" / "2.png"
    out = tmp_path / "nuclei.tif"
    segmented = nucleigan("segment", image, "-o", out, "--model", run, "--device", "cpu", "--mpp", 0.25)
    assert segmented.exit_code == 0, segmented.stderr
    assert out.is_file()


def test_events_come_as_lines_of_json(tmp_path: Path, data: Path, nucleigan: Callable[..., Result]) -> None:
    done = nucleigan("train", "segmenter", data, "--run", tmp_path / "run", "--device", "cpu", "--json", *_sets())
    kinds = {json.loads(line)["event"] for line in done.stdout.splitlines()}
    assert {"losses", "progress", "scores", "checkpoint", "finished"} <= kinds


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("--set", "lr"), 2, "KEY=VALUE"),
        (("--set", "lr=-1"), 1, "lr"),
        (("--set", "colour=1"), 1, "colour"),
        (("--recipe", "no-such-recipe"), 1, "no-such-recipe"),
        (("--resume", "--recipe", "compact-segmenter"), 2, "--resume"),
        (("--resume",), 1, "no run to resume"),
    ],
)
def test_what_cannot_be_is_said_before_training(
    tmp_path: Path, data: Path, nucleigan: Callable[..., Result], arguments: tuple[str, ...], code: int, reason: str
) -> None:
    done = nucleigan("train", "segmenter", data, "--run", tmp_path / "run", "--device", "cpu", *arguments)
    assert done.exit_code == code
    assert reason in done.stderr


def test_an_order_that_is_none_is_said(nucleigan: Callable[..., Result]) -> None:
    done = nucleigan("train", "ordered", "-")
    assert done.exit_code == 1
    assert "no order in JSON" in done.stderr


def test_a_run_makes_a_model_that_paints(tmp_path: Path, data: Path, nucleigan: Callable[..., Result]) -> None:
    run = tmp_path / "run"
    start = ("train", "synthesizer", data, "--run", run, "--name", "mine", "--device", "cpu")
    done = nucleigan(*start, *_sets("synthesizer"))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(run / "best.safetensors")
    assert "with their labels" in done.stderr
    assert "own_aji" in done.stderr
    card = json.loads(nucleigan("models", "info", run, "--json").stdout)
    assert (card["name"], card["kind"], card["recipe"]["masks"]) == ("mine", "synthesizer", "fit")
    assert list(card["styles"]) == ["breast"]
    assert sorted(path.name for path in (run / "previews").iterdir()) == ["00000010.png"]
    # It cuts out no nuclei.
    refused = nucleigan("segment", data / "images" / "2.png", "-o", tmp_path / "x.tif", "--model", run)
    assert refused.exit_code == 1
    assert "is a synthesizer, but a segmenter is needed" in refused.stderr


@pytest.mark.parametrize("masks", ["kidney", "labels", "FOLDER"])
def test_masks_to_paint_are_named_on_the_command_line(
    masks: str, tmp_path: Path, data: Path, nucleigan: Callable[..., Result]
) -> None:
    # A plain folder of images has no labels of its own.
    source = data if masks == "labels" else data / "images"
    chosen = str(data / "labels") if masks == "FOLDER" else masks
    start = ("train", "synthesizer", source, "--run", tmp_path / "run", "--masks", chosen, "--device", "cpu", "--json")
    done = nucleigan(*start, *_sets("synthesizer", epochs_constant=1, epochs_decay=0))
    assert done.exit_code == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"note", "losses", "progress", "scores", "preview", "checkpoint", "finished"} <= {e["event"] for e in events}
    losses = next(event["values"] for event in events if event["event"] == "losses")
    assert ("supervised" in losses) == (masks == "labels")
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["masks"] == chosen


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ((), 1, "give a folder of label images or a preset: all, breast, kidney"),
        (("--masks", "lung"), 1, "'lung' is neither a file nor a folder, nor one of fit, labels, all"),
        (("--recipe", "compact-segmenter"), 1, "another kind of network; choose compact-synthesizer"),
        (("--set", "l1_weight=3"), 1, "l1_weight"),
        (("--set", "patch=32"), 1, "crops of 32 pixels are too small"),
        (("--resume", "--masks", "breast"), 2, "--resume"),
        (("--resume",), 1, "no run to resume"),
    ],
)
def test_what_cannot_be_painted_is_said_before_training(
    tmp_path: Path, data: Path, nucleigan: Callable[..., Result], arguments: tuple[str, ...], code: int, reason: str
) -> None:
    images = data / "images"
    done = nucleigan("train", "synthesizer", images, "--run", tmp_path / "run", "--device", "cpu", *arguments)
    assert done.exit_code == code
    assert reason in " ".join(done.stderr.split())
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_a_run_of_the_other_kind_is_not_resumed(tmp_path: Path, data: Path, nucleigan: Callable[..., Result]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text(json.dumps({"name": "compact-segmenter"}))
    done = nucleigan("train", "synthesizer", data, "--run", run, "--resume")
    assert done.exit_code == 1
    assert "another kind of network" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals are sent as POSIX has them")
@pytest.mark.parametrize("kind", ["segmenter", "synthesizer"])
def test_ctrl_c_saves_and_resume_goes_on(kind: str, tmp_path: Path, data: Path) -> None:
    run = tmp_path / "run"
    start = [COMMAND, "train", kind, data, "--run", run, "--device", "cpu", "--json"]
    changes = _sets(kind, epochs_constant=100_000, checkpoint_every=100_000, validate_every=100_000)
    process = subprocess.Popen([*start, *changes], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if json.loads(line)["event"] == "losses":
            process.send_signal(signal.SIGINT)
            break
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "--resume" in stderr
    assert "Traceback" not in stderr
    assert list((run / "checkpoints").iterdir())
    again = subprocess.Popen([*start, "--resume"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    steps = []
    for line in again.stdout:
        event = json.loads(line)
        if event["event"] == "losses":
            steps.append(event["step"])
            again.send_signal(signal.SIGTERM)
            break
    again.communicate(timeout=60)
    assert again.returncode == 143
    assert steps[0] > 10


def test_recipes_explain_themselves(nucleigan: Callable[..., Result]) -> None:
    text = nucleigan("train", "recipes").stdout
    assert "compact-segmenter" in text
    assert "paper-segmenter" in text
    assert "lambda_n: weight of the image that comes back" in text
    assert json.loads(nucleigan("train", "recipes", "paper-segmenter", "--json").stdout)
    assert nucleigan("train", "recipes", "none").exit_code == 1
