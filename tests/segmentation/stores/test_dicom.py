"""Annotations in DICOM, read back by highdicom and pydicom themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from classed_nuclei import CLASSES, image_nuclei, slide_nuclei
from dicom_files import write_dicom
from napari_nucleigan.base.events import run
from napari_nucleigan.base.text import printable
from napari_nucleigan.data.slides import dicom, list_slides
from napari_nucleigan.labels.outlines import draw
from napari_nucleigan.segmentation.artefacts import ArtefactMap
from napari_nucleigan.segmentation.formats import format_of, write_result, write_slide_results

if TYPE_CHECKING:
    from pathlib import Path

hd = pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")

SHAPE = (200, 240)


def test_the_nuclei_of_a_slide_are_read_back(tmp_path: Path) -> None:
    kinds = np.array([[0, 1]], np.uint8)
    found = replace(slide_nuclei(SHAPE), artefacts=ArtefactMap(kinds, kinds < 9, (200.0, 120.0)))
    path = tmp_path / "x.ann.dcm"
    run(write_slide_results([path], found))
    read = hd.ann.annread(path)
    assert isinstance(read, hd.ann.MicroscopyBulkSimpleAnnotations)
    assert read.Manufacturer == "napari-nucleigan"
    assert read.AnnotationCoordinateType == "2D"
    assert read.PixelOriginInterpretation == "VOLUME"
    canvas = np.zeros(SHAPE, np.int32)
    areas: list[float] = []
    labels = set()
    for group in read.get_annotation_groups():
        labels.add(group.label)
        polygons = group.get_graphic_data("2D")
        draw(
            canvas,
            [[polygon.astype(float)] for polygon in polygons],
            range(len(areas) + 1, len(areas) + len(polygons) + 1),
        )
        names, values, units = group.get_measurements()
        assert [name.meaning for name in names] == ["Area", "Confidence"]
        assert [unit.value for unit in units] == ["um2", "1"]
        areas += values[:, 0].tolist()
        assert values.shape == (len(polygons), 2)
        assert group.algorithm_identification[0].AlgorithmName == "napari-nucleigan"
    plain = {printable(name) or "Nucleus" for name in CLASSES}
    assert labels == plain | {f"{name} (blur)" for name in plain}
    assert len(areas) == found.count
    # Every pixel of every nucleus, and no other.
    assert np.array_equal(canvas > 0, found.paint(0, SHAPE[0], 0, SHAPE[1]) > 0)
    np.testing.assert_allclose(np.bincount(canvas.ravel())[1:] * 0.25**2, areas, rtol=1e-5)


def test_they_refer_to_a_slide_in_dicom_and_are_none_themselves(tmp_path: Path) -> None:
    (tmp_path / "slide").mkdir()
    slide = tmp_path / "slide" / "1.dcm"
    write_dicom(slide, np.full((*SHAPE, 3), 200, np.uint8), series="1.2.3.9", number=2)
    write_dicom(tmp_path / "slide" / "2.dcm", np.full((100, 120, 3), 200, np.uint8), series="1.2.3.9", number=3)
    assert dicom.files_of(tmp_path / "slide") == dicom.files_of(slide) == [slide, slide.with_name("2.dcm")]
    found = image_nuclei(SHAPE)
    of_slide = replace(found, image=replace(found.image, path=slide))
    write_result(tmp_path / "slide" / "x.ann.dcm", of_slide)
    read = pydicom.dcmread(tmp_path / "slide" / "x.ann.dcm")
    assert read.SOPClassUID.name == "Microscopy Bulk Simple Annotations Storage"
    assert read.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.9.2"
    assert read.StudyInstanceUID == "1.2.3.9.0"
    assert dicom.series(tmp_path / "slide" / "x.ann.dcm") is None
    assert list_slides(tmp_path / "slide") == [slide]
    write_result(tmp_path / "y.ann.dcm", found)
    assert pydicom.dcmread(tmp_path / "y.ann.dcm").ReferencedImageSequence[0].ReferencedSOPInstanceUID != "1.2.3.9.2"


def test_its_name(tmp_path: Path) -> None:
    assert format_of(tmp_path / "a.ann.dcm") == ".ann.dcm"
    assert format_of(tmp_path / "a.dcm") == ".ann.dcm"
