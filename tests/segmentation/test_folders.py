from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest

from napari_nucleigan.base.errors import ImageError, OutputError
from napari_nucleigan.base.events import Note, Progress, run
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.labels.geojson import read_geojson
from napari_nucleigan.segmentation import SegmentSettings, segment_files
from napari_nucleigan.segmentation.file_plan import file_key, plan_files
from napari_nucleigan.segmentation.formats import IMAGE_FORMATS
from oracle import alike, model, save_picture

if TYPE_CHECKING:
    from pathlib import Path


SETTINGS = SegmentSettings(device="cpu", precision="float32", mpp=0.25)


def _run(*args: object, **kwargs: object) -> tuple[list, list]:
    events: list[object] = []
    return run(segment_files(*args, settings=SETTINGS, model=model(), **kwargs), events.append), events


def test_one_image_goes_to_one_file(tmp_path: Path) -> None:
    truth = save_picture(tmp_path / "a.png")
    (result,), _ = _run([tmp_path / "a.png"], tmp_path / "out" / "nuclei.tif")
    assert result.outputs == (tmp_path / "out" / "nuclei.tif",)
    assert result.nuclei == truth.max()
    assert alike(read_labels(result.outputs[0]), truth)
    json.dumps(result.to_json(), allow_nan=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["nuclei.tif"]


def test_every_format_holds_the_same_nuclei(tmp_path: Path) -> None:
    truth = save_picture(tmp_path / "a.png")
    (result,), _ = _run([tmp_path / "a.png"], tmp_path / "a.geojson", formats=["tif", ".csv"])
    assert [path.name for path in result.outputs] == ["a.geojson", "a.tif", "a.csv"]
    assert alike(read_labels(tmp_path / "a.tif"), truth)
    assert alike(read_geojson(tmp_path / "a.geojson"), truth)
    with (tmp_path / "a.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == truth.max()
    assert {"label", "area_um2", "eccentricity", "haematoxylin_mean_od"} <= rows[0].keys()


def test_several_images_and_folders_go_to_a_folder(tmp_path: Path) -> None:
    for index, name in enumerate(["in/a.png", "in/b.png", "c.png"]):
        save_picture(tmp_path / name, index)
    results, events = _run([tmp_path / "in", tmp_path / "c.png", tmp_path / "in/a.png"], tmp_path / "out")
    assert [path.name for result in results for path in result.outputs] == ["a.tif", "b.tif", "c.tif"]
    progress = [event for event in events if isinstance(event, Progress)]
    assert [event.done for event in progress] == sorted(event.done for event in progress)
    assert progress[-1].total == 300
    assert progress[-1].what == "image 3 of 3, c.png: done"


def test_a_folder_of_one_image_goes_to_a_folder(tmp_path: Path) -> None:
    save_picture(tmp_path / "in" / "a.png")
    (result,), _ = _run([tmp_path / "in"], tmp_path / "out")
    assert result.outputs == (tmp_path / "out" / "a.tif",)


def test_it_goes_on_after_a_file_that_fails(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    save_picture(tmp_path / "c.png")
    names = [tmp_path / f"{name}.png" for name in "abcd"]
    results, events = _run(names, tmp_path / "out")
    assert [bool(result.error) for result in results] == [False, True, False, True]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tif")) == ["a.tif", "c.tif"]
    said = [event.text for event in events if isinstance(event, Note)]
    assert any("b.png" in text and "cut short" in text for text in said)
    assert "d.png" in results[3].error


def test_an_output_that_cannot_be_written_fails_alone(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png")
    save_picture(tmp_path / "b.png")
    (tmp_path / "out" / "a.tif").mkdir(parents=True)
    results, _ = _run([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out")
    assert "a folder of that name is in the way" in results[0].error
    assert not results[1].error
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tif")) == ["a.tif", "b.tif"]


def test_stopping_leaves_whole_files_only(tmp_path: Path) -> None:
    for name in "ab":
        save_picture(tmp_path / f"{name}.png")
    job = segment_files([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out", SETTINGS, model=model())
    for event in job:
        if isinstance(event, Progress) and "2 of 2" in event.what and "segmenting" in event.what:
            break
    job.close()
    assert [path.name for path in (tmp_path / "out").glob("*.tif")] == ["a.tif"]


class TestPlan:
    def test_equal_names_are_refused_before_anything_is_done(self, tmp_path: Path) -> None:
        for name in ("x/a.png", "y/a.png"):
            save_picture(tmp_path / name)
        with pytest.raises(OutputError, match="would both be written to"):
            plan_files([tmp_path / "x", tmp_path / "y"], tmp_path / "out", IMAGE_FORMATS)

    def test_an_image_is_never_overwritten_by_its_nuclei(self, tmp_path: Path) -> None:
        save_picture(tmp_path / "a.png")
        (tmp_path / "a.png").rename(tmp_path / "a.tif")
        for out in (tmp_path, tmp_path / "a.tif", tmp_path / "x" / ".." / "a.tif"):
            with pytest.raises(OutputError, match="would overwrite an input image"):
                plan_files([tmp_path / "a.tif"], out, IMAGE_FORMATS)

    def test_several_images_do_not_fit_into_one_file(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="give a folder"):
            plan_files([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out.tif", IMAGE_FORMATS)

    @pytest.mark.parametrize("out", ["out.png", "out.ome.zarr", "out.txt"])
    def test_unknown_formats_are_refused(self, tmp_path: Path, out: str) -> None:
        with pytest.raises(OutputError, match=r"choose one of \.tif, \.geojson, \.csv"):
            plan_files([tmp_path / "a.png"], tmp_path / out, IMAGE_FORMATS)
        with pytest.raises(OutputError, match="choose one of"):
            plan_files([tmp_path / "a.png"], tmp_path / "out", IMAGE_FORMATS, ["png"])

    def test_suffixes_have_synonyms(self, tmp_path: Path) -> None:
        (task,) = plan_files([tmp_path / "a.png"], tmp_path / "b.TIFF", IMAGE_FORMATS, ["json"])
        assert [path.name for path in task.outputs] == ["b.TIFF", "b.geojson"]

    def test_an_empty_folder_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="no images in"):
            plan_files([tmp_path], tmp_path / "out", IMAGE_FORMATS)

    def test_a_folder_that_looks_like_a_file_is_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "out.v2").mkdir()
        (task,) = plan_files([tmp_path / "a.png"], tmp_path / "out.v2", IMAGE_FORMATS)
        assert task.outputs == (tmp_path / "out.v2" / "a.tif",)

    def test_subfolders_are_kept_and_that_of_the_results_is_left_out(self, tmp_path: Path) -> None:
        for name in ("a.png", "x/a.png", "x/y/b.png", ".hidden/c.png", "out/d.png"):
            save_picture(tmp_path / name)
        tasks = plan_files([tmp_path], tmp_path / "out", IMAGE_FORMATS, recursive=True)
        assert [task.outputs[0].relative_to(tmp_path / "out").as_posix() for task in tasks] == [
            "a.tif",
            "x/a.tif",
            "x/y/b.tif",
        ]
        with pytest.raises(ImageError, match="no images in"):
            plan_files(
                [tmp_path / ".hidden"], tmp_path / "out", IMAGE_FORMATS, results=[file_key(tmp_path / ".hidden/c.png")]
            )
