from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from napari_nucleigan.comparison import (
    METHODS,
    MethodComparison,
    Outcome,
    Trial,
    markdown,
    published,
    write_report,
)
from napari_nucleigan.comparison.chart import draw
from napari_nucleigan.comparison.results import Budget
from napari_nucleigan.metrics import Scores

if TYPE_CHECKING:
    from pathlib import Path

ORGANS = {"a": "colon", "b": "colon", "c": "liver", "d": "colon", "e": "colon", "f": "liver"}


def _scores(aji: float, distance: float | None = 2.0) -> Scores:
    values: dict[str, Any] = dict.fromkeys(Scores.__dataclass_fields__, 0.5)
    counts = dict.fromkeys(("n_truth", "n_pred", "tp", "fp", "fn", "matched", "missed", "spurious"), 10)
    return Scores(**{**values, **counts, "aji": aji, "average_hausdorff": distance})


def _outcome(name: str, *trials: tuple[float, float, float], reason: str = "") -> Outcome:
    budget = Budget(2, 20, 160, 70.0, 3, 1, 0, "cpu in float32")
    return Outcome(
        METHODS[name],
        tuple(
            Trial(
                seed,
                {key: _scores(value) for key, value in zip(ORGANS, (*ajis, *ajis), strict=True)},
                _scores(0.4),
                budget,
                1_500_000,
                "ab",
                validation={"validation images, mean": {"aji": 0.61}},
            )
            for seed, ajis in enumerate(trials)
        ),
        reason,
    )


@pytest.fixture
def comparison() -> MethodComparison:
    return MethodComparison(
        (
            _outcome("fcn", (0.2, 0.4, 0.6)),
            _outcome("mask-rcnn", reason="torchvision | is not installed"),
            _outcome("cgan", (0.5, 0.7, 0.5), (0.7, 0.7, 0.7)),
        ),
        ORGANS,
        "test",
        {"version": "0.1.0", "date": "2026-01-01", "data": "tiles", "seeds": [0, 1]},
    )


def test_means_are_over_images_and_seeds(comparison: MethodComparison) -> None:
    fcn, _, cgan = comparison.outcomes
    assert comparison.mean(fcn, "aji") == pytest.approx(0.4)
    assert comparison.mean(fcn, "aji", "colon") == pytest.approx(0.3)
    assert comparison.mean(cgan, "aji") == pytest.approx((0.6 + 0.7 + 0.6) / 3)
    assert comparison.gain(cgan, fcn, "aji")[0] == pytest.approx((0.4 + 0.3 + 0.0) / 3)
    interval = comparison.interval(fcn, "aji")
    assert interval is not None
    assert 0.2 <= interval.low < 0.4 < interval.high <= 0.6


def test_images_without_a_distance_do_not_count() -> None:
    trial = Trial(0, {"a": _scores(0.1, None), "b": _scores(0.2, 4.0)}, _scores(0), Budget(1, 1, 1, 1, 1, 0), 1, "")
    outcome = Outcome(METHODS["fcn"], (trial,))
    comparison = MethodComparison((outcome,), {"a": "colon", "b": "liver"}, "test")
    assert comparison.mean(outcome, "average_hausdorff") == 4.0
    assert comparison.mean(outcome, "average_hausdorff", "colon") is None
    assert comparison.interval(outcome, "average_hausdorff") is None
    json.dumps(comparison.to_json(), allow_nan=False)
    assert "| colon (1) | - " not in markdown(comparison)  # not a metric of the organs' tables


def test_published_figures_are_the_papers() -> None:
    assert published("proposed cGAN", "aji") == 0.721
    assert published("proposed cGAN", "average_hausdorff") == 4.291
    assert published("FCN", "f1", "colon") == published("FCN", "f1", "colorectal") == 0.719
    assert published("U-Net", "aji", "lung") is None
    assert published(None, "aji") is None
    for method in METHODS.values():
        assert (method.published is None) == (published(method.published, "aji") is None)


def test_published_figures_are_those_of_the_reference(request: pytest.FixtureRequest) -> None:
    import csv

    kumar: Path = request.getfixturevalue("kumar")
    path = kumar.parents[1] / "reference" / "paper_table.csv"
    names = {"AJI": "aji", "average_hausdorff_distance": "average_hausdorff", "F1": "f1"}
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 120
    for row in rows:
        assert published(row["method"], names[row["metric"]], row["organ"]) == float(row["value"])


def test_the_report_names_all_that_a_figure_needs(comparison: MethodComparison, tmp_path: Path) -> None:
    results, text, picture = write_report(comparison, tmp_path)
    assert picture is not None
    written = text.read_text()
    interval = comparison.interval(comparison.outcomes[0], "aji")
    assert interval is not None
    assert f"| FCN | real | 0.400 [{interval.low:.3f}, {interval.high:.3f}] *0.351* |" in written
    assert "| 0.567, 0.700 |" in written  # the AJI of each seed of the conditional GAN
    assert "| Mask R-CNN | real | not run: torchvision \\| is not installed |" in written
    assert "| colon (4) | 0.300 *0.247* | **0.650** *0.686* |" in written
    assert "| **overall** | 0.400 *0.351* | **0.633** *0.721* |" in written
    assert "doi:10.1109/TMI.2019.2927182" in written
    assert "6 images of the split `test` of the data set `tiles` (colon 4, liver 2)" in written
    assert "Seed 0, 1" in written
    assert "| FCN | 0 | 3 + 1 | - | 2 | 20 | 160 | 1 min 10 s | cpu in float32 | 1.5 M | 0.610 |" in written
    found = json.loads(results.read_text())["methods"]
    assert found["fcn"]["mean"]["aji"] == pytest.approx(0.4)
    assert found["fcn"]["published_overall"] == {"aji": 0.351, "average_hausdorff": 8.163, "f1": 0.746}
    assert found["mask-rcnn"]["not_run"] == "torchvision | is not installed"
    with Image.open(picture) as image:
        assert image.size[0] > 2000
        colours = image.convert("RGB").getcolors(1 << 24)
    assert colours is not None
    assert len(colours) > 100


def test_a_picture_of_nothing_is_drawn_too(comparison: MethodComparison, tmp_path: Path) -> None:
    nothing = MethodComparison(comparison.outcomes[1:2], ORGANS, "test")
    draw(nothing, tmp_path / "nothing.png")
    with Image.open(tmp_path / "nothing.png") as image:
        assert image.size[0] > 2000
    assert "not run" in markdown(nothing)


def test_without_matplotlib_the_report_has_no_picture(
    comparison: MethodComparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    _, text, picture = write_report(comparison, tmp_path)
    assert picture is None
    assert "## Overall" in text.read_text()
    assert "report.png" not in text.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.md", "results.json"]


def test_the_report_begins_with_what_helps_and_what_does_not(comparison: MethodComparison) -> None:
    more = (
        _outcome("u-net", (0.5, 0.6, 0.4)),
        _outcome("cgan", (0.5, 0.7, 0.5)),
        _outcome("cgan-both", (0.6, 0.8, 0.6)),
        _outcome("u-net-both", (0.4, 0.7, 0.4)),
        _outcome("cgan-r1", (0.4, 0.6, 0.4)),
        _outcome("fcn", (0.2, 0.3, 0.1)),
    )
    shown = markdown(replace(comparison, outcomes=more)).splitlines()
    assert shown[2].startswith("- **Best AJI:** conditional GAN, real + synthetic, 0.667 [")
    assert shown[3].startswith("- **Helps:** the adversary (+0.067 [")
    assert "synthetic pairs beside real ones (+0.100 [+0.100, +0.100])" in shown[3]
    assert shown[4] == (
        "- **Harms:** a gradient penalty (-0.100 [-0.100, -0.100]); FCN instead of U-Net (-0.300 [-0.300, -0.300])."
    )
    assert "synthetic pairs beside real ones, without the adversary (+0.000 [-0." in shown[5]
    assert shown[7] == "By AJI on the same test images; the intervals are over images, not over seeds."
    assert "AJI of each seed" not in "\n".join(shown)
    assert "| the adversary | U-Net | +0.067 [" in "\n".join(shown)
    # What is held against a method that was not run has no verdict.
    alone = markdown(replace(comparison, outcomes=more[2:3])).splitlines()
    assert (alone[2][:12], alone[3]) == ("- **Best AJI", "")


def test_what_a_method_is_held_against_is_a_method() -> None:
    assert {method.baseline for method in METHODS.values()} <= {"", *METHODS}
    assert all(method.baseline != name for name, method in METHODS.items())
