"""Files that version 0.1.0 wrote (`make_data.py` made them) are opened, resumed and gone on with."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_nucleigan as ng
from napari_nucleigan.comparison import compare
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.tiff import read_density
from napari_nucleigan.data.slides.label_pyramids import open_label_pyramid
from napari_nucleigan.masks.polygons import learn
from napari_nucleigan.segmentation import segment_files
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.run_library import list_runs
from napari_nucleigan.training.runs.status import state_of

DATA = Path(__file__).parent / "data"
ROOT = "/tmp/nucleigan-0.1.0"  # where they were written
# What `make_data.py` changed in the recipe of the comparison.
CHANGED = (
    "generator",
    "discriminator_width",
    "discriminator_layers",
    "patch",
    "batch",
    "crops_per_epoch",
    "warmup_steps",
    "validate_every",
    "checkpoint_every",
    "validation",
    "precision",
)


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, moved to where a user may have them; the models are the user's."""
    root = tmp_path / "old"
    shutil.copytree(DATA, root)
    for path in root.rglob("*"):
        # A checkpoint knows how long its run's events were: they stay as they are.
        if path.suffix in (".json", ".jsonl", ".csv") and path.name != "events.jsonl":
            path.write_text(path.read_text("utf-8").replace(ROOT, root.as_posix()), "utf-8")
    monkeypatch.setenv("NUCLEIGAN_MODELS", str(root / "models"))
    monkeypatch.setenv("NUCLEIGAN_CONFIG", str(root))
    monkeypatch.setenv("NUCLEIGAN_RUNS", str(root / "runs"))
    return root


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_models_are_listed_and_segment_and_paint(old: Path) -> None:
    assert {"segmenter", "synthesizer"} <= {card.name for card in ng.list_models()}
    image = ng.read_image(old / "tiles" / "images" / "tile0.png")

    result = ng.run(ng.segment(image, ng.SegmentSettings(model="segmenter", device="cpu", mpp=0.25)))

    np.testing.assert_array_equal(result.labels > 0, ng.read_labels(old / "results" / "tile0.tif") > 0)
    painted = ng.run(ng.synthesize(result.labels, ng.SynthesisSettings(model="synthesizer", device="cpu", mpp=0.25)))
    assert painted.pixels.shape == (*result.labels.shape, 3)


def test_runs_are_listed_as_stopped_with_what_they_reached(old: Path) -> None:
    found = {status.name: status for status in list_runs()}

    assert set(found) == {"segmenter", "synthesizer"}
    for name, status in found.items():
        assert (status.kind, status.state, status.step, status.steps) == (name, "stopped", 8, 16)
        assert status.checkpoint == 8
        assert status.best
        assert status.model == old / "runs" / name / "best.safetensors"


@pytest.mark.parametrize("name", ["segmenter", "synthesizer"])
def test_a_run_is_resumed_to_its_end(old: Path, name: str) -> None:
    run = RunFolder(old / "runs" / name)
    # Told after the checkpoint was written, the last line is not what it knows of.
    before = b"".join((run.path / "events.jsonl").read_bytes().splitlines(keepends=True)[:-1])
    train, recipes = {
        "segmenter": (ng.train_segmenter, ng.SegmenterRecipe),
        "synthesizer": (ng.train_synthesizer, ng.SynthesizerRecipe),
    }[name]

    model = ng.run(train(old / "tiles", recipes(), run, resume=True, device="cpu"))

    assert (run.path / "events.jsonl").read_bytes().startswith(before)
    steps = [line["step"] for line in lines(run.path / "events.jsonl") if line["event"] == "checkpoint"]
    assert steps[0] == 4
    assert steps[-2:] == [12, 16]
    status = state_of(run)
    assert (status.state, status.step) == ("finished", 16)
    assert ng.load_model(model, name).card.architecture == ng.load_model(name, name).card.architecture


def test_a_recipe_of_a_run_trains_again(old: Path) -> None:
    recipe = ng.SegmenterRecipe.model_validate(json.loads((old / "runs" / "segmenter" / "recipe.json").read_text()))

    model = ng.run(ng.train_segmenter(old / "tiles", recipe, old / "again", device="cpu"))

    assert ng.load_model(model, "segmenter").card.recipe["generator"]["widths"] == [4, 4, 8]


@pytest.mark.skipif(sys.platform == "win32", reason="the log names files as POSIX does")
def test_a_folder_of_results_goes_on_where_it_was_left(old: Path) -> None:
    images = old / "tiles" / "images"
    for line in lines(old / "results" / "nucleigan-segment.jsonl"):
        if line["state"] == "done":  # the copy has another time of change than the file that was segmented
            os.utime(line["source"], ns=(line["mtime_ns"], line["mtime_ns"]))
    before = bytes_of(old / "results")

    settings = ng.SegmentSettings(model="segmenter", device="cpu", mpp=0.25)
    results = ng.run(segment_files([images], old / "results", settings, [".tif", ".csv"]))

    assert [(result.source.stem, result.skipped, result.error) for result in results] == [
        ("tile0", True, ""),
        ("tile1", True, ""),
        ("tile2", False, ""),
        ("tile3", False, ""),
    ]
    after = bytes_of(old / "results")
    assert {name: after[name] for name in before if name.startswith("tile")} == {
        name: content for name, content in before.items() if name.startswith("tile")
    }
    report, earlier = (
        list(csv.DictReader(each["nucleigan-segment.csv"].decode().splitlines())) for each in (after, before)
    )
    # Columns have come since, and no value of an earlier one has changed.
    assert [{name: row[name] for name in earlier[0]} for row in report[:2]] == earlier
    assert len(report) == 4


def test_a_synthetic_data_set_goes_on_to_more_pairs(old: Path) -> None:
    pairs = old / "pairs"
    before = {name: bytes_of(pairs / name) for name in ("images", "labels")}

    settings = ng.SetSettings(model="synthesizer", device="cpu", count=4, size=64, seed=3, like="liver")
    ng.run(ng.synthesize_set(pairs, settings))

    assert len(lines(pairs / "pairs.jsonl")) == 4
    for name, known in before.items():
        after = bytes_of(pairs / name)
        assert len(after) == 4
        assert {file: after[file] for file in known} == known
    assert len(Dataset.open(pairs).names) == 4


def test_statistics_of_masks_are_read(old: Path) -> None:
    masks = learn(old / "statistics.json")

    assert masks.model_dump(mode="json") == json.loads((old / "statistics.json").read_text())


def test_results_of_a_slide_are_opened(old: Path) -> None:
    labels = open_label_pyramid(old / "slides" / "slide.ome.zarr")
    density = read_density(old / "slides" / "slide.density.tif")

    assert (labels.mpp, labels.provenance["model"], labels.provenance["version"]) == (0.25, "segmenter", "0.1.0")
    assert labels.planes[0].shape == (320, 320)
    assert int(np.asarray(labels.planes[0][:, :]).max()) > 0
    assert np.asarray(density.values).max() > 0


def test_a_comparison_is_reported_without_training(old: Path) -> None:
    recipe = json.loads((old / "comparison" / "runs" / "cgan" / "recipe.json").read_text())
    changes = {name: recipe[name] for name in CHANGED}
    model = old / "comparison" / "runs" / "cgan" / "best.safetensors"
    before = model.stat().st_mtime_ns

    found = ng.run(compare(old / "tiles", old / "comparison", ("cgan",), epochs=(1, 1), changes=changes, device="cpu"))

    (outcome,) = found.outcomes
    assert (outcome.method.name, outcome.reason, len(outcome.trials)) == ("cgan", "", 1)
    assert model.stat().st_mtime_ns == before


def test_the_memory_of_the_docks_fills_their_fields(old: Path, qtbot: Any) -> None:
    from napari_nucleigan.widgets.base.preferences import recall_mpp
    from napari_nucleigan.widgets.batch.form import BatchForm

    form = BatchForm()
    qtbot.addWidget(form)

    assert Path(form.images.line.text()) == old / "tiles" / "images"
    assert Path(form.out.line.text()) == old / "results"
    assert recall_mpp((old / "tiles" / "images").as_posix()) == 0.25
