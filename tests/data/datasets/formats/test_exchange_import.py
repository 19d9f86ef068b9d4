from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_nucleigan.base.errors import DatasetError, OutputError
from napari_nucleigan.base.events import Note, Progress, run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.datasets.formats import EXPORTS
from napari_nucleigan.data.datasets.formats.exchange import export_dataset, import_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nucleigan.data.datasets.formats.exchange import ImportReport


def imported(form: str, source: Path, out: Path, **options: Any) -> ImportReport:
    return run(import_dataset(form, source, out, **options))


@pytest.fixture
def folders(dataset: Path, tmp_path: Path) -> Path:
    """The data set, exported as folders of PNG."""
    run(export_dataset("png-folders", dataset, tmp_path / "folders"))
    return tmp_path / "folders"


def test_the_folder_appears_when_it_is_whole(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    job = import_dataset("png-folders", folders, out)
    for event in job:
        assert not out.exists() or (isinstance(event, Progress) and event.what == "imported")
    data = Dataset.open(out)
    assert data.names == ("none", "one", "two")
    assert data.organs["two"] == "lung"
    assert data.splits == {"none": "val", "one": "train", "two": "test"}
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    record = json.loads((out / "provenance.json").read_text())
    assert (record["format"], record["report"]["nuclei"]) == ("png-folders", 7)


def test_goes_on_where_it_was_broken_off(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = import_dataset("png-folders", folders, out)
    for event in job:
        if isinstance(event, Progress) and event.done == 2:
            break
    job.close()
    with (tmp_path / ".out.importing" / "import.jsonl").open("a") as handle:
        handle.write('{"name": "tw')  # as a sudden end leaves it
    assert not out.exists()
    report = imported("png-folders", folders, out)
    assert (report.images, report.kept) == (3, 2)
    assert len((out / "import.jsonl").read_text().splitlines()) == 3
    assert Dataset.open(out).labels("two").max() == 3


def test_what_has_changed_is_made_anew_and_other_attempts_are_forgotten(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    mask = folders / "two" / "masks" / "00001.png"
    whole = mask.read_bytes()
    mask.write_bytes(whole[:30])
    with pytest.raises(DatasetError, match="two"):
        imported("png-folders", folders, out)
    assert not out.exists()
    mask.write_bytes(whole)
    image = folders / "one" / "images" / "one.png"
    os.utime(image, ns=(0, 0))
    assert imported("png-folders", folders, out).kept == 1
    shutil.rmtree(out)
    with pytest.raises(DatasetError):
        mask.write_bytes(b"")
        imported("png-folders", folders, out)
    mask.write_bytes(whole)
    assert imported("png-folders", folders, out, mpp=0.5).kept == 0
    assert Dataset.open(out).image("one").mpp == pytest.approx(0.5)


def test_broken_ones_are_left_out_if_asked(folders: Path, tmp_path: Path) -> None:
    (folders / "two" / "masks" / "00001.png").write_bytes(b"")
    (folders / "one" / "images" / "one.png").unlink()
    with pytest.raises(DatasetError, match=r"2 of 3 pairs .*--skip-broken"):
        imported("png-folders", folders, tmp_path / "out")
    report = imported("png-folders", folders, tmp_path / "out", skip_broken=True)
    assert (report.images, report.kept) == (1, 1)
    assert report.left_out.keys() == {"one", "two"}
    assert "empty" in report.left_out["two"]
    assert Dataset.open(tmp_path / "out").names == ("none",)


def test_what_has_gone_from_the_source_is_not_in_the_set(folders: Path, tmp_path: Path) -> None:
    job = import_dataset("png-folders", folders, tmp_path / "out")
    for event in job:
        if isinstance(event, Progress) and event.done == 2:
            break
    job.close()
    shutil.rmtree(folders / "one")
    report = imported("png-folders", folders, tmp_path / "out")
    assert (report.images, report.kept) == (2, 1)
    assert Dataset.open(tmp_path / "out").names == ("none", "two")
    assert [json.loads(line)["name"] for line in (tmp_path / "out" / "import.jsonl").read_text().splitlines()] == [
        "none",
        "two",
    ]


def test_nothing_that_can_be_imported(folders: Path, tmp_path: Path) -> None:
    for path in folders.glob("*/images/*.png"):
        path.write_bytes(b"x")
    with pytest.raises(DatasetError, match="3 of 3 pairs"):
        imported("png-folders", folders, tmp_path / "out", skip_broken=True)


def test_of_an_attempt_that_has_converted_nothing_nothing_stays(folders: Path, tmp_path: Path) -> None:
    for path in folders.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DatasetError):
        run(import_dataset("png-folders", folders, tmp_path / "out"))
    assert not [path for path in tmp_path.iterdir() if "importing" in path.name]


def test_a_place_that_is_taken_is_refused(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(OutputError, match="holds something"):
        imported("png-folders", folders, tmp_path / "out")
    with pytest.raises(OutputError, match="holds something"):
        imported("png-folders", folders, tmp_path / "out" / "mine.txt")
    with pytest.raises(OutputError, match="is what is to be imported"):
        imported("png-folders", folders, folders)
    (tmp_path / "empty").mkdir()
    assert imported("png-folders", folders, tmp_path / "empty").images == 3
    (tmp_path / ".new.importing").mkdir()
    (tmp_path / ".new.importing" / "mine.txt").touch()
    with pytest.raises(OutputError, match="is not this program's"):
        imported("png-folders", folders, tmp_path / "new")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        *(({"mpp": mpp}, "0.02 to 15") for mpp in (0, 1e-9, float("nan"), float("inf"))),
        ({"table": "absent.csv"}, "no file"),
    ],
)
def test_options_that_cannot_be(folders: Path, tmp_path: Path, options: dict[str, Any], error: str) -> None:
    with pytest.raises(DatasetError, match=error):
        imported("png-folders", folders, tmp_path / "out", **options)
    with pytest.raises(DatasetError, match="the formats are kumar"):
        imported("dicom", folders, tmp_path / "out")
    with pytest.raises(DatasetError, match="no folder"):
        imported("kumar", tmp_path / "absent", tmp_path / "out")


def test_a_table_of_ones_own(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("name,split\none,val\n")
    imported("png-folders", folders, tmp_path / "out", table=tmp_path / "mine.csv")
    data = Dataset.open(tmp_path / "out")
    assert data.splits == {"none": "train", "one": "val", "two": "train"}
    assert set(data.organs.values()) == {"unknown"}


def test_what_is_idle_is_said(dataset: Path, tmp_path: Path) -> None:
    run(export_dataset("geojson", dataset, tmp_path / "g"))
    (tmp_path / "g" / "geojson" / "one.geojson").unlink()
    events = list(import_dataset("geojson", tmp_path / "g", tmp_path / "out"))
    assert [event.text for event in events if isinstance(event, Note)] == [
        "Left out, images without annotation: images/one.png."
    ]


ANNOTATIONS = {
    "kumar": "Annotations/one.xml",
    "png-folders": "one/masks/00001.png",
    "hovernet": "Labels/one.mat",
    "geojson": "geojson/one.geojson",
    "coco": "annotations.json",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair in every format."""
    from napari_nucleigan.data.images.files import write_image, write_labels

    root = tmp_path_factory.mktemp("sources")
    labels = np.zeros((12, 14), np.int32)
    labels[2:8, 2:6], labels[3:9, 6:12] = 1, 2
    write_image(root / "data" / "images" / "one.png", np.full((12, 14, 3), 180, np.uint8))
    write_labels(root / "data" / "labels" / "one.tif", labels)
    for form in EXPORTS:
        run(export_dataset(form, root / "data", root / form))
    return root


@pytest.mark.parametrize("form", EXPORTS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_give_one_clear_error_or_labels(form: str, data: st.DataObject, sources: Path) -> None:
    path = sources / form / ANNOTATIONS[form]
    whole = path.read_bytes()
    content = bytearray(whole)
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    out = sources / f"out-{form}"
    try:
        path.write_bytes(content)
        report = imported(form, sources / form, out)
        assert report.images == 1
        Dataset.open(out).pair("one")
    except DatasetError as error:
        assert "\n" not in str(error)
        assert not out.exists()
    finally:
        path.write_bytes(whole)
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(sources / f".out-{form}.importing", ignore_errors=True)
