from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleigan.base.errors import DatasetError, NucleiganError, OutputError
from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.datasets.formats import EXPORTS, FORMATS
from napari_nucleigan.data.datasets.formats.exchange import export_dataset, import_dataset
from napari_nucleigan.data.images.files import HEImage, write_labels
from napari_nucleigan.labels.regions import numbered

# Small values and sizes, so that labels touch, enclose and cross each other in every way.
label_images = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3))


@pytest.mark.parametrize("form", EXPORTS)
def test_a_data_set_comes_back(form: str, dataset: Path, tmp_path: Path) -> None:
    report = run(export_dataset(form, dataset, tmp_path / "x"))
    assert (report.images, report.nuclei) == (3, 7)
    again = run(import_dataset(form, tmp_path / "x", tmp_path / "back"))
    assert (again.images, again.nuclei, again.tally, again.left_out) == (3, 7, {}, {})
    before, after = Dataset.open(dataset), Dataset.open(tmp_path / "back")
    assert (after.names, after.organs, after.splits) == (before.names, before.organs, before.splits)
    for name in before.names:
        labels = before.labels(name)
        assert np.array_equal(after.labels(name), labels if form == "geojson" else numbered(labels)[1])
        assert np.array_equal(after.image(name).pixels, before.image(name).pixels)
        assert after.image(name).mpp == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize("form", EXPORTS)
@settings(max_examples=40)
@given(labels=label_images)
def test_any_labels_come_back(form: str, labels: np.ndarray) -> None:
    image = HEImage(np.full((*labels.shape, 3), 200, np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        assert list(FORMATS[form].write(Path(folder), iter([("x", image, labels)]))) == ["x"]
        (entry,) = FORMATS[form].find(Path(folder)).entries
        tile = entry.read()
    assert np.array_equal(numbered(tile.labels)[1], numbered(labels)[1])
    assert not any(tile.tally.values())


def test_only_a_split(dataset: Path, tmp_path: Path) -> None:
    assert run(export_dataset("coco", dataset, tmp_path / "x", split="test")).images == 1
    with pytest.raises(DatasetError, match="test, train, val"):
        run(export_dataset("coco", dataset, tmp_path / "y", split="fold1"))


def test_what_cannot_be_exported(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="for import only"):
        run(export_dataset("pannuke", dataset, tmp_path / "x"))
    with pytest.raises(DatasetError, match="the formats are"):
        run(export_dataset("dicom", dataset, tmp_path / "x"))
    with pytest.raises(OutputError, match="holds something"):
        run(export_dataset("coco", dataset, dataset))


def test_nothing_is_left_where_it_fails_or_stops(dataset: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    job = export_dataset("hovernet", dataset, tmp_path / "x")
    for event in job:
        if isinstance(event, Progress) and event.done == 1:
            break
    job.close()
    assert sorted(tmp_path.iterdir()) == before
    write_labels(dataset / "labels" / "two.tif", np.ones((3, 3), np.int32))
    with pytest.raises(NucleiganError, match="differ in size"):
        run(export_dataset("hovernet", dataset, tmp_path / "x"))
    assert sorted(tmp_path.iterdir()) == before


def test_what_a_killed_export_left_is_not_used(dataset: Path, tmp_path: Path) -> None:
    job = export_dataset("kumar", dataset, tmp_path / "x")
    for event in job:
        if isinstance(event, Progress) and event.done == 1:
            break
    shutil.copytree(tmp_path / ".x.exporting", tmp_path / "kept")
    job.close()
    (tmp_path / "kept" / "stray").touch()
    (tmp_path / "kept").rename(tmp_path / ".x.exporting")
    run(export_dataset("kumar", dataset, tmp_path / "x"))
    assert not (tmp_path / "x" / "stray").exists()


def test_a_split_of_no_name_is_not_all_of_them(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="split"):
        run(export_dataset("coco", dataset, tmp_path / "out", split=""))
    assert not (tmp_path / "out").exists()
