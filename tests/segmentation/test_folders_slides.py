"""Whole slides among the images of a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from dicom_files import write_dicom
from napari_nucleigan.base.errors import ImageError, OutputError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import read_labels, write_image
from napari_nucleigan.data.slides import is_slide, list_slides
from napari_nucleigan.labels.geojson import parts
from napari_nucleigan.segmentation import SegmentSettings, SlideOptions, segment_files
from napari_nucleigan.segmentation.file_plan import REPORT, plan_files
from napari_nucleigan.segmentation.formats import IMAGE_FORMATS, SLIDE_FORMATS
from oracle import model, picture, scatter
from slide_files import write_pyramid, write_zarr

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nucleigan.segmentation import FileResult

SETTINGS = SegmentSettings(device="cpu", precision="float32", tile=256, mpp=0.25)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Hold an image, a slide of a scanner and one in OME-Zarr."""
    found = tmp_path / "in"
    found.mkdir()
    write_image(found / "image.png", picture(scatter((200, 200))).pixels, 0.25)
    write_pyramid(found / "slide.svs", picture(scatter((500, 400))).pixels, compression="zlib")
    write_zarr(found / "zarred.ome.zarr", picture(scatter((300, 300))).pixels, "0.5")
    return found


def segmented(folder: Path, out: Path, formats: tuple[str, ...] = (), **options: object) -> dict[str, FileResult]:
    results = run(segment_files([folder], out, SETTINGS, formats, model(), **options))  # type: ignore[arg-type]
    return {result.source.name: result for result in results}


def test_slides_are_found_and_get_their_own_results(folder: Path, tmp_path: Path) -> None:
    assert [path.name for path in list_slides(folder)] == ["slide.svs", "zarred.ome.zarr"]
    assert not is_slide(folder / "image.png")
    out = tmp_path / "out"
    found = segmented(folder, out)
    assert {name: [path.name for path in result.outputs] for name, result in found.items()} == {
        "image.png": ["image.tif"],
        "slide.svs": ["slide.ome.zarr", "slide.geojson.gz", "slide.csv", "slide.density.tif"],
        "zarred.ome.zarr": ["zarred.ome.zarr", "zarred.geojson.gz", "zarred.csv", "zarred.density.tif"],
    }
    assert all(path.exists() and result.nuclei > 50 for result in found.values() for path in result.outputs)
    assert {result.state for result in segmented(folder, out).values()} == {"skipped"}
    # Results are no slides.
    assert list_slides(out) == []


def test_all_files_of_many_nuclei_are_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST", 60)
    for state in ("done", "skipped"):
        result = segmented(folder, tmp_path / "out", ("geojson",))["slide.svs"]
        assert result.state == state
        count = -(-result.nuclei // 60)
        assert count > 1
        further = [f"slide.part{number}.geojson" for number in range(2, count + 1)]
        assert [path.name for path in result.outputs] == ["slide.geojson", *further]


def test_each_kind_gets_those_of_the_formats_that_it_has(folder: Path, tmp_path: Path) -> None:
    found = segmented(folder, tmp_path / "out", ("tif", "ome.zarr"))
    assert [path.name for path in found["image.png"].outputs] == ["image.tif"]
    assert [path.name for path in found["slide.svs"].outputs] == ["slide.tif", "slide.ome.zarr"]
    assert read_labels(found["slide.svs"].outputs[0]).max() == found["slide.svs"].nuclei
    with pytest.raises(OutputError, match=r"cannot be written as 'ome\.zarr'"):
        segmented(folder, tmp_path / "none", ("ome.zarr",))


def test_one_slide_to_one_file(folder: Path, tmp_path: Path) -> None:
    (task,) = plan_files([folder / "slide.svs"], tmp_path / "x.ome.zarr", IMAGE_FORMATS, ["csv"], slides=SLIDE_FORMATS)
    assert task.slide
    assert task.outputs == (tmp_path / "x.ome.zarr", tmp_path / "x.csv")
    (task,) = plan_files([folder / "zarred.ome.zarr"], tmp_path / "y.csv", IMAGE_FORMATS, slides=SLIDE_FORMATS)
    assert task.outputs == (tmp_path / "y.csv",)
    with pytest.raises(OutputError, match=r"cannot be written as '\.png'"):
        plan_files([folder / "slide.svs"], tmp_path / "x.png", IMAGE_FORMATS, slides=SLIDE_FORMATS)
    with pytest.raises(OutputError, match="would overwrite an input"):
        plan_files([folder / "zarred.ome.zarr"], folder, IMAGE_FORMATS, slides=SLIDE_FORMATS)


def test_a_folder_of_tiles_is_a_slide_when_it_is_said_to_be(tmp_path: Path) -> None:
    whole = picture(scatter((512, 512))).pixels
    (tmp_path / "tiles").mkdir()
    for row in range(2):
        for column in range(2):
            part = whole[row * 256 : (row + 1) * 256, column * 256 : (column + 1) * 256]
            write_image(tmp_path / "tiles" / f"t_r{row}_c{column}.png", part, 0.25)
    (result,) = segmented(tmp_path / "tiles", tmp_path / "out", ("tif",), slides=SlideOptions(whole=True)).values()
    assert result.outputs == (tmp_path / "out" / "tiles.tif",)
    assert read_labels(result.outputs[0]).shape == (512, 512)
    assert len(segmented(tmp_path / "tiles", tmp_path / "each", ("tif",))) == 4


def test_slides_in_dicom_have_folders_of_their_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "in" / name).mkdir(parents=True)
        write_dicom(tmp_path / "in" / name / "1.dcm", np.full((60, 60, 3), 200, np.uint8), series=name)
    known = {"known": IMAGE_FORMATS, "slides": SLIDE_FORMATS, "formats": ["csv"]}
    tasks = plan_files([tmp_path / "in"], tmp_path / "out", recursive=True, **known)
    assert [task.outputs for task in tasks] == [(tmp_path / "out" / name / "1.csv",) for name in ("one", "two")]
    with pytest.raises(ImageError, match=r"choose another folder, or take those of its subfolders \(--recursive\)"):
        plan_files([tmp_path / "in"], tmp_path / "out", **known)


def test_a_region_of_an_image_that_is_no_slide(folder: Path, tmp_path: Path) -> None:
    region = (((0.0, 0.0), (0.0, 100.0), (200.0, 100.0), (200.0, 0.0)),)
    options = SlideOptions(region=region, whole=True)
    (part,) = run(segment_files([folder / "image.png"], tmp_path / "p.tif", SETTINGS, (), model(), slides=options))
    (whole,) = run(segment_files([folder / "image.png"], tmp_path / "w.tif", SETTINGS, (), model()))
    assert 0 < part.nuclei < whole.nuclei
    assert read_labels(tmp_path / "p.tif")[:, 130:].max() == 0


def test_a_slide_that_lost_tiles_counts_as_failed_and_is_tried_again(folder: Path, tmp_path: Path) -> None:
    slide = folder / "slide.svs"
    with tifffile.TiffFile(slide) as tif:
        page = tif.series[0].levels[0].keyframe
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    whole = slide.read_bytes()
    times = slide.stat().st_atime_ns, slide.stat().st_mtime_ns
    slide.write_bytes(whole[:offset] + np.random.default_rng(0).bytes(count) + whole[offset + count :])
    found = segmented(folder, tmp_path / "out", ("csv",))
    assert found["slide.svs"].state == "failed"
    assert "tiles could not be segmented, the first at x 0" in found["slide.svs"].error
    assert (tmp_path / "out" / "slide.csv").exists()
    assert found["image.png"].state == "done"
    slide.write_bytes(whole)
    os.utime(slide, ns=times)
    again = segmented(folder, tmp_path / "out", ("csv",))
    assert again["slide.svs"].state == "done"
    assert again["image.png"].state == "skipped"


def test_a_folder_of_tiles_is_written_to_one_file(tmp_path: Path) -> None:
    pixels = picture(scatter((128, 128))).pixels
    for column in (0, 1):
        write_image(
            tmp_path / "in" / f"r0_c{column}.png", np.ascontiguousarray(pixels[:, 64 * column : 64 * column + 64])
        )
    options = SlideOptions(whole=True)
    (result,) = run(segment_files([tmp_path / "in"], tmp_path / "out.tif", SETTINGS, (), model(), slides=options))
    assert result.outputs == (tmp_path / "out.tif",)
    assert read_labels(tmp_path / "out.tif").shape == (128, 128)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.tif"]


def test_a_foreign_report_stays(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.png", picture(scatter((64, 64))).pixels)
    (tmp_path / "out").mkdir()
    report = tmp_path / "out" / REPORT
    report.write_text("my,table\n")
    events: list[object] = []
    run(segment_files([tmp_path / "in"], tmp_path / "out", SETTINGS, (), model()), events.append)
    assert report.read_text() == "my,table\n"
    assert any("was not made by this program" in str(event) for event in events)
