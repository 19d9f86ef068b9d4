from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest

from napari_nucleigan.base.events import Note, run
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.evaluation import AVERAGED, Bootstrap, evaluate_folders
from napari_nucleigan.evaluation.report import COLUMNS
from napari_nucleigan.metrics import pool


@pytest.fixture
def report(many):
    return run(evaluate_folders(*many, bootstrap=Bootstrap(200, seed=3), workers=0))


def rows_of(report):
    return list(csv.DictReader(io.StringIO(report.to_csv())))


def test_groups_are_organs_and_those_of_none_come_last(report):
    assert [(group.name, len(group.images)) for group in report.groups] == [
        ("breast", 2),
        ("colon", 2),
        ("liver", 2),
        ("unknown", 2),
    ]
    assert list(report.organs) == ["breast", "colon", "liver", "unknown"]
    for name in AVERAGED:
        values = [getattr(image.scores, name) for image in report.groups[0].images]
        assert report.groups[0].mean[name] == pytest.approx(sum(values) / 2)
    assert sum(group.n_truth for group in report.groups) == report.overall.n_truth == report.pooled.n_truth


def test_no_organ_makes_no_group(many):
    (many[1] / "split.csv").unlink()
    report = run(evaluate_folders(*many, workers=0))
    assert report.groups == ()
    assert [row[0] for row in report.table("organ")[1]] == ["mean of 8", "95 %", "pooled", "95 %"]


def test_pooled_intervals_are_those_of_pooled_draws(report):
    tallies = [image.tally for image in report.images]
    random, n = np.random.default_rng(3), len(tallies)
    drawn = {name: [] for name in AVERAGED}
    for _ in range(200):
        found = pool([tallies[place] for place in random.integers(0, n, n)])
        for name in AVERAGED:
            drawn[name].append(getattr(found, name))
    for name in AVERAGED:
        ends = np.quantile(drawn[name], [0.025, 0.975])
        assert report.overall.pooled_intervals[name].to_json() == pytest.approx(ends), name


def test_intervals_hold_their_figures_and_follow_the_seed(many, report):
    for name in AVERAGED:
        interval = report.overall.mean_intervals[name]
        assert interval.low <= report.mean[name] <= interval.high
    again, other = (run(evaluate_folders(*many, bootstrap=Bootstrap(200, seed=seed))) for seed in (3, 4))
    assert again.to_json() == report.to_json()
    assert other.overall.mean_intervals != report.overall.mean_intervals


def test_tables_have_a_row_of_intervals_below_each_average(report):
    header, rows = report.table("organ")
    assert header == ["organ", *(heading for _, heading in COLUMNS), "true", "found"]
    assert {len(row) for row in rows} == {len(header)}
    organs = ["breast (2)", "colon (2)", "liver (2)", "unknown (2)"]  # of two images nobody can say how sure they are
    assert [row[0] for row in rows] == [*organs, "mean of 8", "95 %", "pooled", "95 %"]
    low, high = map(float, rows[-3][1].split("-"))
    assert low <= float(rows[-4][1]) <= high
    _, rows = report.table("image")
    assert [row[0] for row in rows[:8]] == [f"tile{place}" for place in range(8)]
    with pytest.raises(ValueError, match="magic"):
        report.table(by="magic")


def test_names_from_files_are_no_markup(many):
    pred, truth = many
    for folder in (pred, truth / "labels"):
        (folder / "tile0.tif").rename(folder / "[b]x <img src=a> *y*.tif")
        (folder / "tile1.tif").rename(folder / "=1+2.tif")
        (folder / "tile2.tif").rename(folder / "\x1b[31mred.tif")
    (pred / "tile3.tif").unlink()
    (truth / "labels" / "tile3.tif").rename(truth / "labels" / "`gone`.tif")
    (truth / "split.csv").write_text("name,organ\n[b]x <img src=a> *y*,<b>liver</b>|\n")
    report = run(evaluate_folders(pred, truth, workers=0))
    text = report.to_markdown("image")
    assert r"| \[b\]x &lt;img src=a> \*y\* |" in text
    assert r"| \\x1b\[31mred |" in text
    assert r"left out: \`gone\`" in text
    assert r"&lt;b>liver&lt;/b>\|" in report.to_markdown("organ")
    assert not set(text) & set("\x1b\r")
    assert "'=1+2" in {row["name"] for row in rows_of(report)}
    assert "=1+2" in {image["name"] for image in report.to_json()["images"]}


def test_odd_labels_are_said_everywhere(many):
    pred, truth = many
    labels = np.zeros((48, 48), np.int32)
    labels[::8, ::8] = 1 + np.arange(36).reshape(6, 6) % 12
    write_labels(pred / "tile0.tif", labels)
    events = []
    report = run(evaluate_folders(pred, truth, workers=2), events.append)
    remark = "in the prediction, 12 of 12 labels, 1 first, have pieces that lie far apart"
    assert any(event.text.startswith(f"tile0: {remark}") for event in events if isinstance(event, Note))
    assert report.to_json()["images"][0]["notes"][0].startswith(remark)
    assert rows_of(report)[0]["note"].startswith(remark)
    assert f"- tile0: {remark}" in report.to_markdown()


def test_without_draws_there_are_no_intervals(many):
    report = run(evaluate_folders(*many, bootstrap=Bootstrap(0), workers=0))
    assert [row[0] for row in report.table("organ")[1]][-2:] == ["mean of 8", "pooled"]
    assert "bootstrap" not in report.to_markdown()
    assert set(report.overall.mean_intervals.values()) == {None}


def test_distances_that_were_not_measured_are_dashes(many):
    report = run(evaluate_folders(*many, hausdorff=False, workers=0))
    header, rows = report.table()
    assert rows[0][header.index("AHD px")] == rows[-2][header.index("AHD px")] == "-"
    assert report.pooled.hausdorff is report.mean["hausdorff"] is None


def test_markdown_names_the_averaging_and_what_was_left_out(many):
    pred, truth = many
    (pred / "tile1.tif").unlink()
    write_labels(pred / "more.tif", np.ones((4, 4), np.int32))
    write_labels(pred / "tile2.tif", np.ones((4, 4), np.int32))
    text = run(evaluate_folders(pred, truth, workers=0, iou=0.6)).to_markdown()
    lines = text.splitlines()
    assert lines[0].startswith("| organ | AJI | AJI+ |")
    assert {line.count("|") for line in lines if line.startswith("|")} == {11}
    assert "mean over images" in text
    assert "all nuclei as if in one image" in text
    assert "IoU > 0.6" in text
    assert "95 % interval: percentile bootstrap over images, 2000 resamples, seed 0" in text
    assert "Without a prediction, left out: tile1" in text
    assert "Without true labels, left out: more" in text
    assert "- tile2: The true labels are of shape (48, 48)" in text


def test_csv_holds_every_row_at_full_precision(many, report):
    rows = rows_of(report)
    images = [row for row in rows if row["level"] == "image"]
    assert [row["name"] for row in images] == [image.name for image in report.images]
    assert float(images[3]["aji"]) == report.images[3].scores.aji
    assert images[0]["aji_low"] == ""
    overall = {row["averaging"]: row for row in rows if row["level"] == "overall"}
    assert float(overall["mean over images"]["aji"]) == report.mean["aji"]
    assert float(overall["pooled"]["pq"]) == report.pooled.pq
    assert float(overall["pooled"]["pq_low"]) == report.overall.pooled_intervals["pq"].low
    assert sum(row["level"] == "organ" for row in rows) == 8
    (many[0] / "tile7.tif").unlink()
    missing = [row for row in rows_of(run(evaluate_folders(*many, workers=0))) if row["note"]]
    assert [(row["name"], row["note"], row["aji"]) for row in missing] == [("tile7", "no prediction", "")]


def test_json_is_plain_and_says_how_it_was_made(report):
    record = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert record["bootstrap"] == {"over": "images", "resamples": 200, "level": 0.95, "seed": 3}
    assert record["iou"] == 0.5
    assert record["organs"]["liver"]["images"] == 2
    low, high = record["mean"]["intervals"]["aji"]
    assert low <= record["mean"]["aji"] <= high
    assert not math.isnan(record["pooled"]["average_hausdorff"])
    assert record["images"][2]["organ"] is None
