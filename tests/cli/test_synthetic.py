from __future__ import annotations

import json
from typing import TYPE_CHECKING

import imagecodecs
import pytest

from napari_nucleigan.data.images.files import write_labels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from click.testing import Result
    from numpy.typing import NDArray


@pytest.fixture
def data(tmp_path: Path, tiny_he: Callable[..., tuple[NDArray[np.uint8], NDArray[np.int32]]]) -> Callable[..., Path]:
    """Write a data set of small images."""

    def write(name: str, count: int, seed: int, side: int = 128) -> Path:
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        (folder / "labels").mkdir()
        for index in range(count):
            pixels, labels = tiny_he(side, side, 12, seed + index)
            (folder / "images" / f"{index}.png").write_bytes(imagecodecs.png_encode(pixels))
            write_labels(folder / "labels" / f"{index}.tif", labels)
        return folder

    return write


def test_the_command_prints_two_tables_or_json(
    tiny_model: Path, data: Callable[..., Path], nucleigan: Callable[..., Result]
) -> None:
    sets = data("made", 8, 0), data("real", 8, 100)
    options = ("--synthetic", "--segmenter", "tiny", "--features", tiny_model, "--crop", 64, "--device", "cpu")
    done = nucleigan("evaluate", *sets, *options)
    assert done.exit_code == 0, done.stderr
    assert "do not say their microns per pixel" in done.stderr
    for words in ("consistency (AJI)", "diversity of colour", "grid of 4 pixels", "KID", "told apart", "half to half"):
        assert words in done.stdout
    answer = json.loads(nucleigan("evaluate", *sets, *options, "--json").stdout)
    assert answer["synthetic"]["crops"] == 32
    assert answer["provenance"]["features"]["name"] == "tiny"
    assert answer["provenance"]["settings"]["crop"] == 64


def test_a_failure_is_one_line(data: Callable[..., Path], tmp_path: Path, nucleigan: Callable[..., Result]) -> None:
    done = nucleigan("evaluate", data("made", 1, 0), tmp_path / "none", "--synthetic")
    assert done.exit_code == 1
    assert "is not a data set" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--crop", "64"), "--crop goes with --synthetic only"),
        (("--synthetic", "--by", "organ"), "--by does not go with --synthetic"),
        (("--synthetic", "--csv", "x.csv"), "--csv does not go with --synthetic"),
        (("--synthetic", "--crop", "100"), "multiple of 32"),
    ],
)
def test_wrong_usage(nucleigan: Callable[..., Result], tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    done = nucleigan("evaluate", tmp_path, tmp_path, *options)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
