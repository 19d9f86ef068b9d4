"""DICOM: the outlines of nuclei as Microscopy Bulk Simple Annotations of a slide."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.extras import needed
from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.base.text import printable
from napari_nucleigan.base.version import __version__
from napari_nucleigan.labels.classes import CLASS
from napari_nucleigan.labels.outlines import outlines
from napari_nucleigan.segmentation.artefacts import ARTEFACT
from napari_nucleigan.segmentation.confidence import CONFIDENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.labels.outlines import Polygon
    from napari_nucleigan.segmentation.stores.nuclei import Nuclei

NUCLEUS = "Nucleus"
"""What a group of nuclei without a class is called."""

_OWN = "99NUCLEIGAN"  # designates codes that DICOM's dictionaries lack
_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"  # class of whole slides
_MAKER = "napari-nucleigan"
_LONGEST = 64  # letters of a label
_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_MEASURED = {
    "area_um2": (("42798000", "SCT", "Area"), ("um2", "UCUM", "square micrometer")),
    CONFIDENCE: ((CONFIDENCE, _OWN, "Confidence"), ("1", "UCUM", "no units")),
}


def write_annotations(path: Path, nuclei: Nuclei) -> Iterator[float]:
    """Write nuclei as Microscopy Bulk Simple Annotations; yields which share is written.

    Parameters
    ----------
    path : Path
        The file.
    nuclei : Nuclei
        What to write. Nuclei of one class and artefact are a group of polygons in pixels of the slide, with their area
        and confidence. A polygon has neither holes nor parts: of a nucleus in parts it is the largest. All polygons are
        held in memory. The annotations refer to the slide's own file if that is DICOM, else to one that is made up.

    Raises
    ------
    ExtraError
        If highdicom is not installed.
    OutputError
        If the file cannot be written.
    """
    hd = needed("highdicom", "dicom", "DICOM annotations")
    from pydicom.uid import ExplicitVRLittleEndian

    groups: dict[tuple[str, str], _Group] = defaultdict(_Group)
    done = 0
    for part in nuclei.parts():
        places = _places(nuclei, part.origin)
        drawn = outlines(part.labels)
        for row, label in enumerate(np.asarray(part.features["label"]).tolist()):
            of = (str(part.features[name][row]) if name in part.features else "" for name in (CLASS, ARTEFACT))
            groups[tuple(of)].add(places(drawn[label]), part.features, row)  # type: ignore[index]
        done += len(drawn)
        yield 0.8 * done / max(1, nuclei.count)
    written = hd.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[_slide(nuclei)],
        annotation_coordinate_type="2D",
        annotation_groups=[
            group.coded(number, *of) for number, (of, group) in enumerate(sorted(groups.items()), start=1)
        ],
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=_MAKER,
        manufacturer_model_name=printable(str(nuclei.provenance.get("model", "")))[:_LONGEST] or _MAKER,
        software_versions=__version__,
        device_serial_number=str(nuclei.provenance.get("sha256", ""))[:_LONGEST] or "0",
        content_label="NUCLEI",
        content_description=f"{nuclei.count} nuclei",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    with atomic_write(path) as temporary:
        written.save_as(temporary)
    yield 1.0


def _places(nuclei: Nuclei, origin: tuple[int, int]) -> Any:
    """Return what brings the largest of some polygons of a part to pixels of the slide, (n, 2), x before y."""
    factors = [inner / outer for inner, outer in zip(nuclei.pixel, sides(nuclei.mpp), strict=True)]

    def place(polygons: list[Polygon]) -> NDArray[np.float32]:
        ring = max((polygon[0] for polygon in polygons), key=len)
        corners: NDArray[np.float32] = ((np.array(ring) + origin[::-1]) * factors[::-1]).astype(np.float32)
        return corners

    return place


class _Group:
    """Polygons of one kind, and what was measured of them."""

    def __init__(self) -> None:
        self._polygons: list[NDArray[np.float32]] = []
        self._values: dict[str, list[float]] = defaultdict(list)

    def add(self, polygon: NDArray[np.float32], features: Any, row: int) -> None:
        self._polygons.append(polygon)
        for name in _MEASURED:
            if name in features:
                self._values[name].append(float(features[name][row]))

    def coded(self, number: int, name: str, artefact: str) -> Any:
        import highdicom as hd

        def code(value: str, scheme: str, meaning: str) -> Any:
            return hd.sr.CodedConcept(value, scheme, meaning)

        label = printable(name)[: _LONGEST // 2] or NUCLEUS
        algorithm = hd.AlgorithmIdentificationSequence(
            name=_MAKER, family=code("123109", "DCM", "Artificial Intelligence"), version=__version__
        )
        return hd.ann.AnnotationGroup(
            number=number,
            uid=hd.UID(),
            label=f"{label} ({artefact})" if artefact else label,
            annotated_property_category=code("91723000", "SCT", "Anatomical structure"),
            annotated_property_type=code("84640000", "SCT", "Nucleus"),
            graphic_type="POLYGON",
            graphic_data=self._polygons,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            measurements=[
                hd.ann.Measurements(code(*_MEASURED[what][0]), np.array(values, np.float32), code(*_MEASURED[what][1]))
                for what, values in self._values.items()
            ],
        )


def _slide(nuclei: Nuclei) -> Any:
    """Return the header of the slide's full resolution, or a made-up one where the slide is no DICOM."""
    import pydicom
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid

    from napari_nucleigan.data.slides import dicom

    height, width = nuclei.extent
    header: Dataset
    for path in dicom.files_of(nuclei.source) if nuclei.source is not None else ():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if (header.get("TotalPixelMatrixRows"), header.get("TotalPixelMatrixColumns")) == (height, width):
            break
    else:
        header = Dataset()
        header.SOPClassUID, header.Modality = _SLIDE, "SM"
        for level in ("SOPInstance", "SeriesInstance", "StudyInstance"):
            setattr(header, f"{level}UID", generate_uid(entropy_srcs=[_MAKER, level, nuclei.name]))
    for name in _EMPTY:
        if name not in header:
            setattr(header, name, "")
    if "FrameOfReferenceUID" not in header:
        header.FrameOfReferenceUID = generate_uid(entropy_srcs=[_MAKER, "frame", nuclei.name])
    return header
