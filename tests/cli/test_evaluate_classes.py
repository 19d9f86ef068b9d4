from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POINTS = "name,x,y,type\na,10,10,x\na,30,10,y\nb,10,10,x\n"
FOUND = "name,x,y,class\na,12,10,x\na,30,14,x\nb,90,90,x\n"


def test_classes_of_points_by_the_command(tmp_path: Path, nucleigan: Callable) -> None:
    truth, pred = tmp_path / "truth.csv", tmp_path / "pred.csv"
    truth.write_text(POINTS)
    pred.write_text(FOUND)
    line = ("evaluate", pred, truth, "--by", "class", "--mpp", 0.5)
    done = nucleigan(*line, "--csv", tmp_path / "out.csv", "--markdown", tmp_path / "out.md")
    assert done.exit_code == 0, done.output
    assert "weighted by true nuclei" in done.stdout
    assert "spurious" in done.stdout
    assert (tmp_path / "out.csv").read_text().startswith("level,name,class,n_truth")
    assert "*mean of classes*" in (tmp_path / "out.md").read_text()
    report = json.loads(nucleigan(*line, "--json").stdout)
    # x: one of two found right, of three predictions; y: found, but taken for x.
    assert report["classes"][0]["f1"] == 2 / 5
    assert report["confusion"]["counts"] == [[1, 0, 1], [1, 0, 0], [1, 0, 0]]
    near = json.loads(nucleigan(*line, "--json", "--within", 0.5).stdout)
    assert near["f1_weighted"] == 0


def test_options_that_do_not_go_together_are_said(tmp_path: Path, nucleigan: Callable) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text(POINTS)
    for options, words in (
        (("--by", "class", "--seed", 1), "--seed does not go with --by class"),
        (("--within", 3), "--within goes with --by class only"),
        (("--by", "class", "--synthetic"), "--by does not go with --synthetic"),
    ):
        done = nucleigan("evaluate", truth, truth, *options)
        assert done.exit_code == 2
        assert words in done.stderr
    done = nucleigan("evaluate", truth, truth, "--by", "class")
    assert done.exit_code == 1
    assert "give it by --mpp" in done.stderr
