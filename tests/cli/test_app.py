from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.version import __version__
from napari_nucleigan.data.images.files import read_image, read_labels, write_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

COMMAND = Path(sys.executable).with_name("nucleigan")


def _command(*arguments: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False, **kwargs
    )


class TestRealCommand:
    """What only a process of its own shows: exit codes, the two streams, signals, imports."""

    def test_help_is_quick_because_nothing_heavy_is_imported(self) -> None:
        code = (
            "import sys\nfrom napari_nucleigan.cli import main\n"
            "try:\n    main()\nexcept SystemExit:\n"
            "    heavy = {'torch', 'napari', 'scipy', 'skimage', 'numpy'} & sys.modules.keys()\n"
            "    print('imported:', heavy)\n"
        )
        for arguments in (["--help"], ["segment", "--help"], ["train", "segmenter", "--help"]):
            done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
            assert "imported: set()" in done.stdout
            assert "Usage" in done.stdout

    def test_segment_writes_labels_and_says_what_it_did(
        self, tmp_path: Path, tiny_model: Path, save_image: Callable[..., Path]
    ) -> None:
        image = save_image(tmp_path / "a.png")
        how = ("--model", "tiny", "--device", "cpu", "--mpp", "0.25")
        done = _command("segment", image, "-o", tmp_path / "out.tif", *how)
        assert done.returncode == 0, done.stderr
        assert "a.png: " in done.stdout
        assert "nuclei" in done.stdout
        assert read_labels(tmp_path / "out.tif").shape == (96, 96)

    def test_a_failure_is_one_line_on_stderr_and_exit_code_1(self, tmp_path: Path, tiny_model: Path) -> None:
        (tmp_path / "bad.png").write_bytes(b"nothing")
        done = _command("segment", tmp_path / "bad.png", "-o", tmp_path / "out.tif", "--model", "tiny")
        assert done.returncode == 1
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1
        assert "bad.png" in done.stderr
        assert not (tmp_path / "out.tif").exists()

    def test_wrong_usage_is_exit_code_2(self, tmp_path: Path) -> None:
        assert _command("segment").returncode == 2
        assert _command("no-such-command").returncode == 2

    @pytest.mark.skipif(os.name == "nt", reason="signals are sent as POSIX has them")
    def test_ctrl_c_is_exit_code_130_and_leaves_no_half_file(
        self, tmp_path: Path, tiny_model: Path, save_image: Callable[..., Path]
    ) -> None:
        for index in range(40):
            save_image(tmp_path / "in" / f"{index:02d}.png", 400)
        process = subprocess.Popen(
            [COMMAND, "segment", tmp_path / "in", "-o", tmp_path / "out", "--model", "tiny", "--mpp", "0.25"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + 90
        while not list((tmp_path / "out").glob("[!.]*.tif")) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode == 130, stderr
        assert "Traceback" not in stderr
        *written, report, record = sorted((tmp_path / "out").iterdir())
        assert (report.name, record.name) == ("nucleigan-segment.csv", "nucleigan-segment.jsonl")
        assert 1 <= len(written) < 40
        for path in written:
            assert path.suffix == ".tif"
            read_labels(path)


def test_version(nucleigan: Callable[..., object]) -> None:
    done = nucleigan("--version")
    assert (done.exit_code, done.stdout.strip()) == (0, f"nucleigan {__version__}")


class TestSegment:
    def test_json_holds_results_and_failures(
        self, tmp_path: Path, nucleigan: Callable[..., object], tiny_model: Path, save_image: Callable[..., Path]
    ) -> None:
        save_image(tmp_path / "in" / "a.png")
        (tmp_path / "in" / "b.png").write_bytes(b"nothing")
        done = nucleigan(
            *("segment", tmp_path / "in", "-o", tmp_path / "out", "--model", "tiny", "--device", "cpu"),
            *("--json", "--threshold", 0.4, "--mpp", 0.25, "-f", "tif", "-f", "csv", "-f", "geojson"),
        )
        assert done.exit_code == 1
        good, bad = json.loads(done.stdout)
        assert good["provenance"]["settings"]["threshold"] == 0.4
        assert [Path(path).name for path in good["outputs"]] == ["a.tif", "a.csv", "a.geojson"]
        assert all(Path(path).is_file() for path in good["outputs"])
        assert good["error"] is None
        assert "b.png" in bad["error"]
        assert "1 of 2 images failed" in done.stderr

    @pytest.mark.parametrize(
        "option",
        [("--threshold", "2"), ("--tile", "5"), ("--normalize", "pink"), ("--max-area", "0"), ("-f", "png")],
    )
    def test_values_that_cannot_be_are_usage_errors(
        self, tmp_path: Path, nucleigan: Callable[..., object], option: tuple[str, str]
    ) -> None:
        assert nucleigan("segment", "a.png", "-o", tmp_path / "a.tif", *option).exit_code == 2

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("--model", "no-such-model"), "no model named 'no-such-model'"),
            (("--model", "tiny", "--device", "tpu"), "no device 'tpu'"),
            (("--model", "tiny", "--mpp", "300"), "give the right value"),
        ],
    )
    def test_what_is_not_there_is_one_clear_line(
        self,
        tmp_path: Path,
        nucleigan: Callable[..., object],
        tiny_model: Path,
        save_image: Callable[..., Path],
        arguments: tuple[str, ...],
        reason: str,
    ) -> None:
        image = save_image(tmp_path / "a.png")
        done = nucleigan("segment", image, "-o", tmp_path / "a.tif", *arguments)
        assert done.exit_code == 1
        assert reason in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1

    def test_every_setting_is_an_option(self, nucleigan: Callable[..., object]) -> None:
        from napari_nucleigan.segmentation import SegmentSettings

        text = nucleigan("segment", "--help").stdout
        for name in SegmentSettings.model_fields:
            assert f"--{name.replace('_', '-')}" in text


class TestNormalize:
    def test_images_come_out_with_their_scale(
        self, tmp_path: Path, nucleigan: Callable[..., object], save_image: Callable[..., Path]
    ) -> None:
        save_image(tmp_path / "in" / "a.png", 200)
        reference = save_image(tmp_path / "b.png", 200, seed=3)
        done = nucleigan("normalize", tmp_path / "in", "-o", tmp_path / "out", "--to", reference, "--json")
        assert done.exit_code == 0, done.stderr
        (result,) = json.loads(done.stdout)
        assert read_image(result["outputs"][0]).pixels.shape == (200, 200, 3)
        again = nucleigan("normalize", result["outputs"][0], "-o", tmp_path / "c.png", "--method", "reinhard")
        assert again.exit_code == 0
        assert read_image(tmp_path / "c.png").pixels.shape == (200, 200, 3)

    def test_a_reference_without_stains_is_refused(
        self, tmp_path: Path, nucleigan: Callable[..., object], save_image: Callable[..., Path]
    ) -> None:
        import imagecodecs

        image = save_image(tmp_path / "a.png")
        (tmp_path / "white.png").write_bytes(imagecodecs.png_encode(np.full((50, 50, 3), 255, np.uint8)))
        done = nucleigan("normalize", image, "-o", tmp_path / "b.png", "--to", tmp_path / "white.png")
        assert done.exit_code == 1
        assert "cannot be the reference" in done.stderr


class TestEvaluate:
    @pytest.fixture
    def labels(self, tmp_path: Path) -> tuple[Path, Path]:
        values = np.zeros((40, 40), np.int32)
        values[5:15, 5:15], values[20:35, 20:35] = 1, 2
        for name in "ab":
            write_labels(tmp_path / "truth" / f"{name}.tif", values)
            write_labels(tmp_path / "pred" / f"{name}.tif", np.where(values == 1, 0, values))
        return tmp_path / "pred", tmp_path / "truth"

    def test_folders_as_table_json_and_csv(
        self, tmp_path: Path, nucleigan: Callable[..., object], labels: tuple[Path, Path]
    ) -> None:
        pred, truth = labels
        table = nucleigan("evaluate", pred, truth, "--csv", tmp_path / "scores.csv")
        assert table.exit_code == 0
        assert "mean of 2" in table.stdout
        assert (tmp_path / "scores.csv").read_text().startswith("level,name,")
        report = json.loads(nucleigan("evaluate", pred, truth, "--json").stdout)
        assert report["mean"]["f1"] == pytest.approx(2 / 3)

    def test_one_file_against_another(self, nucleigan: Callable[..., object], labels: tuple[Path, Path]) -> None:
        pred, truth = labels
        done = nucleigan("evaluate", pred / "a.tif", truth / "b.tif", "--json")
        assert len(json.loads(done.stdout)["images"]) == 1

    def test_pairs_of_different_size_fail_and_the_rest_is_given(
        self, nucleigan: Callable[..., object], labels: tuple[Path, Path]
    ) -> None:
        pred, truth = labels
        write_labels(pred / "a.tif", np.ones((3, 3), np.int32))
        (truth / "b.tif").rename(truth / "c.tif")
        write_labels(truth / "b.tif", read_labels(truth / "c.tif"))
        done = nucleigan("evaluate", pred, truth)
        assert done.exit_code == 1
        assert "1 of 2 pairs could not be compared" in done.stderr
        assert "without a prediction: c" in done.stderr
        assert "mean of 1" in done.stdout

    def test_what_is_not_there(self, tmp_path: Path, nucleigan: Callable[..., object]) -> None:
        done = nucleigan("evaluate", tmp_path / "x", tmp_path / "y")
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: ")


class TestModels:
    def test_list_info_and_export(self, tmp_path: Path, nucleigan: Callable[..., object], tiny_model: Path) -> None:
        (tiny_model.parent / "broken.safetensors").write_bytes(b"nothing")
        listed = nucleigan("models", "list")
        assert "tiny: segmenter, 0.25 µm per pixel" in listed.stdout
        assert "nucleigan-kumar: segmenter, 0.25 µm per pixel, CC BY-NC-SA 4.0, 20" in listed.stdout
        assert "broken: cannot be used" in listed.stderr
        entries = {entry["name"]: entry for entry in json.loads(nucleigan("models", "list", "--json").stdout)}
        assert entries["tiny"]["card"]["mpp"] == 0.25
        assert entries["broken"]["card"] is None
        assert "training data: none" in nucleigan("models", "info", "tiny").stdout
        told = nucleigan("models", "info", "nucleigan-kumar").stdout
        assert " numbers\n" in told  # of the scale, which nobody reads
        assert told.index("licence: CC BY-NC-SA 4.0") < told.index("recipe:")
        assert json.loads(nucleigan("models", "info", "tiny", "--json").stdout)["sha256"]
        done = nucleigan("models", "export", "tiny", "-o", tmp_path / "out")
        assert done.stdout.strip() == str(tmp_path / "out" / "tiny.safetensors")
        assert (tmp_path / "out" / "tiny.safetensors").read_bytes() == tiny_model.read_bytes()

    def test_an_unknown_model(self, nucleigan: Callable[..., object]) -> None:
        done = nucleigan("models", "info", "none")
        assert (done.exit_code, done.stderr[:7]) == (1, "Error: ")


@pytest.mark.skipif(os.name == "nt", reason="signals are sent as POSIX has them")
def test_sigterm_is_exit_code_143_and_what_is_finished_is_kept(
    tmp_path: Path, tiny_model: Path, save_image: Callable[..., Path]
) -> None:
    for index in range(40):
        save_image(tmp_path / "in" / f"{index:02d}.png", 400)
    line = [COMMAND, "segment", tmp_path / "in", "-o", tmp_path / "out", "--model", "tiny", "--device", "cpu"]
    line += ["--mpp", "0.25"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 90
    while not list((tmp_path / "out").glob("[!.]*.tif")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 143, stderr
    assert "Traceback" not in stderr
    assert "goes on from it" in stderr.splitlines()[-1]
    written = [path for path in (tmp_path / "out").iterdir() if path.suffix == ".tif"]
    assert 1 <= len(written) < 40
    for path in written:
        read_labels(path)
    assert not list((tmp_path / "out").glob(".*"))


LONG = "n" * 300


@pytest.mark.parametrize(
    "line",
    [
        f"segment {LONG}.png -o out.tif",
        f"segment . -o {LONG}",
        f"normalize {LONG}.png -o out.tif",
        f"models info {LONG}",
        f"models export nucleigan-he -o {LONG}/m.safetensors",
        f"runs show {LONG}",
        f"train segmenter {LONG} --run {LONG}",
        f"train segmenter . --run run --recipe {LONG}",
        f"train --watch {LONG}",
        f"masks -o {LONG}",
        f"synthesize {LONG} -o {LONG}",
        f"import coco {LONG} {LONG}",
        f"export coco {LONG} {LONG}",
        f"compare {LONG} -o {LONG}",
        f"evaluate {LONG} {LONG}",
        "segment two\x00words -o out.tif",
    ],
)
def test_whatever_the_system_says_is_one_line(
    nucleigan: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = nucleigan(*line.split(" "))
    assert done.exit_code in (1, 2), done.output
    assert isinstance(done.exception, SystemExit)
    if done.exit_code == 1:
        assert done.stderr.startswith("Error: ")
        assert len(done.stderr.strip().splitlines()) == 1


def test_errors_that_nobody_foresaw_are_one_line_too_and_traced_for_developers(
    nucleigan: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from napari_nucleigan import models

    def fail(**_: object) -> None:
        raise LookupError("\x1b[31mred\nlines")

    monkeypatch.setattr(models, "list_models", fail)
    done = nucleigan("models", "list")
    assert done.exit_code == 1
    assert "LookupError: \\x1b[31mred lines" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not caplog.text
    monkeypatch.setenv("NUCLEIGAN_DEBUG", "1")
    nucleigan("models", "list")
    assert "Traceback" in caplog.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("line", [["models", "list"], ["models", "list", "--json"], ["--help"]])
def test_an_output_that_is_full_or_gone_is_no_traceback(line: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([COMMAND, *line], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "no space left" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    reader, writer = os.pipe()
    os.close(reader)
    gone = subprocess.run([COMMAND, *line], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (gone.returncode, gone.stderr) == (1, "")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_no_text_can_be_said(tmp_path: Path, tiny_model: Path, save_image: Callable[..., Path]) -> None:
    source = save_image(tmp_path / "a.png")
    odd = source.rename(tmp_path / os.fsdecode(b"caf\xe9\x1b[31m.png"))
    done = _command("segment", odd, "-o", tmp_path / "out.tif", "--model", "tiny", "--mpp", "0.25")
    assert done.returncode == 0, done.stderr
    assert "caf\\udce9\\x1b[31m.png: " in done.stdout
