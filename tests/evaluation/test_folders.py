from __future__ import annotations

import json

import numpy as np
import pytest

from napari_nucleigan.base.errors import DatasetError, LabelsError
from napari_nucleigan.base.events import Note, Progress, run
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.evaluation import AVERAGED, evaluate_folders, evaluate_pair
from napari_nucleigan.metrics import evaluate


def test_rows_means_and_pooled_figures(folders):
    pred, truth, labels = folders
    events = []
    report = run(evaluate_folders(pred, truth), events.append)
    bad = evaluate(labels[1], np.where(labels[1] > 2, 3 + labels[1] % 2, 0))
    assert [image.name for image in report.images] == ["a", "b"]
    assert report.images[0].scores.aji == 1
    assert report.images[1].scores == bad
    assert report.mean["aji"] == pytest.approx((1 + bad.aji) / 2)
    assert report.mean["average_hausdorff"] == pytest.approx(bad.average_hausdorff / 2)
    assert report.missing == ("c",)
    assert report.extra == report.failed == ()
    assert [event.done for event in events if isinstance(event, Progress)] == [0, 1, 2]
    # Side by side in one image, the nuclei give the pooled figures.
    other = np.where(labels[1] > 2, 1000 + labels[1] % 2, 0)
    one = evaluate(np.hstack([labels[0], np.where(labels[1], labels[1] + 100, 0)]), np.hstack([labels[0], other]))
    for name in ("tp", "fp", "fn", "matched", "missed", "spurious", *AVERAGED):
        assert getattr(report.pooled, name) == pytest.approx(getattr(one, name)), name


def test_organs_and_splits(folders):
    pred, truth, _ = folders
    report = run(evaluate_folders(pred, truth))
    assert list(report.organs) == ["liver"]
    assert report.organs["liver"] == report.mean
    test = run(evaluate_folders(pred, truth / "labels", split="test"))
    assert [image.name for image in test.images] == ["b"]
    assert test.missing == ("c",)
    with pytest.raises(DatasetError, match="split 'validation'"):
        run(evaluate_folders(pred, truth, split="validation"))
    with pytest.raises(DatasetError, match="no table of splits"):
        run(evaluate_folders(pred, truth, split_csv=pred / "none.csv"))
    (pred / "other.csv").write_text("name,organ\na,skin\n")
    other = run(evaluate_folders(pred, truth, split_csv=pred / "other.csv"))
    assert [image.organ for image in other.images] == ["skin", None]


def test_what_cannot_be_compared_is_listed(folders):
    pred, truth, labels = folders
    write_labels(pred / "b.tif", labels[1][:50])
    write_labels(pred / "d.tif", labels[1])
    (pred / "c.tif").write_bytes((pred / "d.tif").read_bytes()[:60])
    (pred / "notes.txt").write_text("not an image")
    report = run(evaluate_folders(pred, truth))
    assert [image.name for image in report.images] == ["a"]
    assert report.extra == ("d",)
    assert [bad.name for bad in report.failed] == ["b", "c"]
    assert "(64, 64)" in report.failed[0].reason
    assert "(50, 64)" in report.failed[0].reason
    assert "c.tif" in report.failed[1].reason
    (pred / "a.tif").unlink()
    with pytest.raises(DatasetError, match="None of 2 predictions"):
        run(evaluate_folders(pred, truth))


def test_of_two_files_of_one_name_the_tiff_is_taken(folders):
    from skimage.io import imsave

    pred, truth, _ = folders
    imsave(pred / "a.png", np.zeros((64, 64), np.uint8), check_contrast=False)
    events = []
    report = run(evaluate_folders(pred, truth), events.append)
    assert report.images[0].scores.aji == 1
    assert [e.level for e in events if isinstance(e, Note)] == ["warning"]


def test_single_files(folders):
    pred, truth, _ = folders
    report = run(evaluate_folders(pred / "b.tif", truth / "labels" / "a.tif"))
    assert [image.name for image in report.images] == ["a"]
    report = run(evaluate_folders(pred / "b.tif", truth))
    assert [image.name for image in report.images] == ["b"]
    assert report.missing == ()


def test_empty_and_missing_folders(folders, tmp_path):
    pred, truth, _ = folders
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds no label images"):
        run(evaluate_folders(tmp_path / "empty", truth))
    with pytest.raises(DatasetError, match="neither a label image nor a folder"):
        run(evaluate_folders(pred, tmp_path / "nowhere"))
    write_labels(tmp_path / "else" / "z.tif", np.ones((4, 4), np.int32))
    with pytest.raises(DatasetError, match="has the name"):
        run(evaluate_folders(tmp_path / "else", truth))


def test_json_is_plain(folders):
    pred, truth, _ = folders
    record = json.loads(json.dumps(run(evaluate_folders(pred, truth)).to_json(), allow_nan=False))
    assert record["mean"]["images"] == 2
    assert record["organs"]["liver"]["images"] == 2
    assert record["images"][0]["name"] == "a"
    assert record["missing"] == ["c"]
    assert set(AVERAGED) < set(record["pooled"])


def test_distances_can_be_left_out(folders):
    pred, truth, _ = folders
    report = run(evaluate_folders(pred, truth, hausdorff=False))
    assert report.mean["hausdorff"] is None
    assert report.pooled.matched is None


def test_one_pair(folders):
    pred, truth, labels = folders
    found = evaluate_pair(truth=truth / "labels" / "a.tif", pred=pred / "a.tif")
    assert found == evaluate(labels[0], labels[0])
    with pytest.raises(LabelsError):
        evaluate_pair(truth=truth / "labels" / "a.tif", pred=pred / "none.tif")


def test_the_threshold_decides_what_is_found(folders):
    pred, truth, _ = folders
    strict, mild = (run(evaluate_folders(pred, truth, iou=iou)) for iou in (0.9, 0.0))
    assert mild.images[1].scores.tp == 2
    assert strict.images[1].scores.tp == 0
    assert (strict.iou, mild.pooled.f1 > strict.pooled.f1) == (0.9, True)
    for wrong in ({"iou": 1.0}, {"workers": -1}):
        with pytest.raises(ValueError, match="must be"):
            run(evaluate_folders(pred, truth, **wrong))


def test_only_the_names_asked_for(folders):
    pred, truth, _ = folders
    report = run(evaluate_folders(pred, truth, names=["b", "c"]))
    assert ([image.name for image in report.images], report.missing) == (["b"], ("c",))
    with pytest.raises(DatasetError, match="no labels of q"):
        run(evaluate_folders(pred, truth, names=["a", "q"]))


def test_a_data_set_against_a_data_set(folders, tmp_path):
    _, truth, labels = folders
    for name, found in zip("ab", labels, strict=False):
        write_labels(tmp_path / "other" / "labels" / f"{name}.tif", found)
    report = run(evaluate_folders(tmp_path / "other", truth))
    assert report.mean["aji"] == 1
    assert report.missing == ("c",)


def test_predictions_that_no_split_knows_are_extra(folders):
    pred, truth, labels = folders
    write_labels(pred / "z.tif", labels[0])
    (truth / "split.csv").write_text((truth / "split.csv").read_text() + "gone,colon,test\n")
    events = []
    report = run(evaluate_folders(pred, truth, split="test"), events.append)
    assert report.extra == ("z",)
    assert [event.text for event in events if isinstance(event, Note)] == [
        "split.csv names images of the split 'test' without labels: gone."
    ]


def test_ome_suffixes_do_not_count(folders):
    pred, truth, _ = folders
    (pred / "a.tif").rename(pred / "a.ome.tif")
    assert [image.name for image in run(evaluate_folders(pred, truth)).images] == ["a", "b"]


@pytest.mark.parametrize("workers", [0, 1])
def test_only_what_is_known_is_compared(folders, workers):
    pred, truth, labels = folders
    known = np.zeros((64, 64), np.int32)
    known[:, 20:] = 1
    write_labels(truth / "regions" / "b.tif", known)
    inside = [np.where(known, part, 0) for part in (labels[1], np.where(labels[1] > 2, 3 + labels[1] % 2, 0))]
    one = run(evaluate_folders(pred / "b.tif", truth / "labels" / "b.tif", workers=workers))
    assert one.images[0].scores == evaluate(*inside)
    for given in (truth, truth / "labels"):
        events = []
        report = run(evaluate_folders(pred, given, workers=workers), events.append)
        assert report.images[0].scores.aji == 1
        assert report.images[1].scores == evaluate(*inside)
        assert [event.text for event in events if isinstance(event, Note)] == [
            "Only what lies within its regions/ is compared in 1 of 2 images."
        ]
    write_labels(truth / "regions" / "b.tif", known[:, :30])
    (bad,) = run(evaluate_folders(pred, truth, workers=workers)).failed
    assert "regions/ differ in size: (64, 64) and (64, 30)" in bad.reason
    # Nothing known is nothing to score, and no perfect score.
    write_labels(truth / "regions" / "b.tif", np.zeros_like(known))
    (bad,) = run(evaluate_folders(pred, truth, workers=workers)).failed
    assert "nobody has looked at" in bad.reason
