from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nucleigan import Dataset, SegmentSettings, load_model, segment
from napari_nucleigan.adaptation import Adaptation, adapt, write_adaptation_report
from napari_nucleigan.adaptation.adapt import PAIRS, SURE, sure_parts
from napari_nucleigan.base.errors import DatasetError, LabelsError, OutputError, RecipeError, RunError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage, write_image, write_labels
from napari_nucleigan.data.images.samples import synthetic_he
from napari_nucleigan.models.registry import DEFAULT_SEGMENTER

if TYPE_CHECKING:
    from pathlib import Path

SHORT: dict[str, Any] = {
    "patch": 64,
    "batch": 2,
    "crops_per_epoch": 2,
    "epochs_constant": 1,
    "epochs_decay": 0,
    "warmup_steps": 0,
    "precision": "float32",
}
GENERATOR = {
    "generator": {"name": "painter", "widths": [8, 8, 8]},
    "segmenter": {"name": "compact-unet", "widths": [8, 8]},
    "discriminator_width": 4,
    "discriminator_scales": 1,
    "discriminator_layers": 1,
    "patch": 32,
    "epochs_constant": 1,
    "epochs_decay": 0,
    "crops_per_epoch": 2,
    "precision": "float32",
}
ASKED: dict[str, Any] = {
    "changes": SHORT,
    "generator_changes": GENERATOR,
    "pairs": PAIRS.model_copy(update={"count": 2, "size": 64, "min_consistency": None}),
    "device": "cpu",
}


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two images without labels, and two others with, of one look."""
    root = tmp_path_factory.mktemp("looks")
    image, labels = synthetic_he()
    for number, (top, left) in enumerate(((0, 0), (0, 200), (200, 0), (200, 200))):
        box = np.s_[top : top + 160, left : left + 160]
        folder = root / ("plain" if number < 2 else "judged")
        write_image(folder / "images" / f"part{number}.png", image.pixels[box], image.mpp)
        if number >= 2:
            write_labels(folder / "labels" / f"part{number}.tif", labels[box], image.mpp)
    return root / "plain", root / "judged"


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory, looks: tuple[Path, Path]) -> tuple[Path, Adaptation]:
    """Both ways, measured on labelled images."""
    out = tmp_path_factory.mktemp("adapted")
    return out, run(adapt(looks[0], out, DEFAULT_SEGMENTER, truth=looks[1], **ASKED))


def test_both_ways_give_models_that_are_measured(adapted: tuple[Path, Adaptation], looks: tuple[Path, Path]) -> None:
    out, adaptation = adapted
    assert set(adaptation.runs) == {"self-training", "synthetic"}
    for path in adaptation.runs.values():
        assert load_model(path, "segmenter").card.recipe["start_from"].endswith("nucleigan-he.safetensors")
    assert set(adaptation.scores) == {"start", "self-training", "synthetic"}
    assert set(adaptation.scores["start"]) == {"part2", "part3"}
    assert adaptation.values("start").mean() > 0.4
    # Labelled images to measure with teach nothing.
    for name in ("self-training", "synthetic", "generator"):
        data = json.loads((out / "runs" / name / "data.json").read_text())
        assert set(data["train"]) == {"part0", "part1"}
    assert all(0 < each["mirror_aji"] <= 1 and 0 < each["confidence"] < 1 for each in adaptation.agreement.values())


def test_it_goes_on_from_what_is_there(adapted: tuple[Path, Adaptation], looks: tuple[Path, Path]) -> None:
    out, adaptation = adapted
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = run(adapt(looks[0], out, DEFAULT_SEGMENTER, truth=looks[1], **ASKED))
    assert again.scores == adaptation.scores
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == before
    with pytest.raises(RunError, match="trained otherwise"):
        run(adapt(looks[0], out, DEFAULT_SEGMENTER, **ASKED | {"changes": SHORT | {"lr": 1e-5}}))
    with pytest.raises(RunError, match="other images"):
        run(adapt(looks[1], out, DEFAULT_SEGMENTER, **ASKED))


def test_the_report_is_honest(adapted: tuple[Path, Adaptation], tmp_path: Path) -> None:
    adaptation = adapted[1]
    assert "On 2 labelled images" in adaptation.verdict
    # Two images make no interval, so nothing is claimed.
    assert "helps" not in adaptation.verdict
    blind = Adaptation(adaptation.runs, {}, adaptation.agreement, adaptation.provenance)
    assert blind.verdict.startswith("Nobody can tell")
    text = write_adaptation_report(blind, tmp_path).read_text()
    assert "is not accuracy" in text
    assert "AJI gained" not in text
    (tmp_path / "adaptation.md").write_text("mine")
    with pytest.raises(OutputError, match="not made by this program"):
        write_adaptation_report(blind, tmp_path)


def test_only_sure_nuclei_are_learnt_and_doubt_is_left_open() -> None:
    image, _ = synthetic_he()
    part = HEImage(image.pixels[:256, :256], image.mpp, image.name)
    result = run(segment(part, SegmentSettings(mpp=part.mpp), load_model(DEFAULT_SEGMENTER)))
    labels, known = sure_parts(result)
    confidence = result.features["confidence"]
    kept = np.unique(labels)[1:]
    assert set(kept.tolist()) == set((np.flatnonzero(confidence >= SURE[1]) + 1).tolist())
    doubtful = np.flatnonzero((confidence > SURE[0]) & (confidence < SURE[1])) + 1
    assert not known[np.isin(result.labels, doubtful)].any()
    assert known[labels > 0].all()
    assert known.mean() > 0.5


def test_faults_are_said_before_anything_is_trained(looks: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such way to adapt: magic"):
        run(adapt(looks[0], tmp_path, DEFAULT_SEGMENTER, ["magic"]))
    with pytest.raises(DatasetError, match="both an image to adapt to and one to measure with"):
        run(adapt(looks[1], tmp_path, DEFAULT_SEGMENTER, truth=looks[1]))
    empty = tmp_path / "empty"
    write_image(empty / "images" / "glass.png", np.full((128, 128, 3), 240, np.uint8), 0.25)
    with pytest.raises(LabelsError, match="sure of no nucleus"):
        run(adapt(empty, tmp_path / "out", DEFAULT_SEGMENTER, **ASKED))
    assert not (tmp_path / "out" / "runs").exists()


def test_the_command(looks: tuple[Path, Path], tmp_path: Path) -> None:
    changes = [part for key, value in SHORT.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    command = [sys.executable, "-m", "napari_nucleigan", "adapt", str(looks[0]), "-o", str(tmp_path)]
    command += ["-m", "self-training", "--device", "cpu", *changes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Nobody can tell" in done.stdout
    assert f"self-training: nucleigan segment IMAGE -o OUT --model {tmp_path / 'runs' / 'self-training'}" in done.stdout
    assert Dataset.open(tmp_path / "found").regions("part0") is not None


def test_labelled_data_that_are_not_there_are_told_before_anything_is_learnt(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", np.full((64, 64, 3), 200, np.uint8))
    with pytest.raises(DatasetError, match="nowhere"):
        run(adapt(tmp_path / "in", tmp_path / "out", real=tmp_path / "nowhere"))
    assert not (tmp_path / "out").exists()
