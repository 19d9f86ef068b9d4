from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dicom_files import write_dicom
from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.contributions.readers import get_reader
from napari_nucleigan.data.slides import is_slide, list_slides, open_slide
from napari_nucleigan.data.slides.dicom import series
from napari_nucleigan.segmentation.file_plan import slide_name

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rgb(tiny_he: Any) -> np.ndarray:
    pixels: np.ndarray = tiny_he(150, 200, 20)[0]
    return pixels


@pytest.mark.parametrize("name", ["a.dcm", "a", "1.2.840.77"])
def test_slides_are_told_by_their_content(tmp_path: Path, rgb: np.ndarray, name: str) -> None:
    path = write_dicom(tmp_path / name, rgb)
    assert is_slide(path)
    assert series(path) == "1.2.3.4"
    assert list_slides(tmp_path) == [path]


def test_what_is_no_slide(tmp_path: Path, rgb: np.ndarray) -> None:
    data = write_dicom(tmp_path / "a.dcm", rgb).read_bytes()
    (tmp_path / "a.dcm").write_bytes(
        data.replace(b"1.2.840.10008.5.1.4.1.1.77.1.6", b"1.2.840.10008.5.1.4.1.1.20\0\0\0\0")
    )
    (tmp_path / "b.dcm").write_bytes(b"nothing")
    (tmp_path / "c").write_bytes(b"")
    assert [series(path) for path in sorted(tmp_path.iterdir())] == [None] * 3
    assert list_slides(tmp_path) == []
    with pytest.raises(ImageError, match=r"a\.dcm: it is damaged, cut short or no slide"):
        open_slide(tmp_path / "a.dcm")


@pytest.mark.parametrize("length", [0, 100, 140, 300, 600])
def test_cut_short(tmp_path: Path, rgb: np.ndarray, length: int) -> None:
    path = write_dicom(tmp_path / "a.dcm", rgb)
    path.write_bytes(path.read_bytes()[:length])
    series(path)
    with pytest.raises(ImageError, match=r"a\.dcm"):
        open_slide(path)


class TestOpen:
    @pytest.fixture(autouse=True)
    def needs_openslide(self) -> None:
        pytest.importorskip("openslide")

    def test_a_file(self, tmp_path: Path, rgb: np.ndarray) -> None:
        with open_slide(write_dicom(tmp_path / "a.dcm", rgb)) as slide:
            assert (slide.name, slide.shape, slide.mpp) == ("a", (150, 200), 0.5)
            assert np.array_equal(slide.region((0, 150, 0, 200)), rgb)

    def test_a_name_of_numbers_is_kept_whole(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write_dicom(tmp_path / "1.2.840.77", rgb)
        with open_slide(path) as slide:
            assert slide.name == slide_name(path) == "1.2.840.77"

    def test_a_folder_of_one_slide_is_that_slide(self, tmp_path: Path, rgb: np.ndarray) -> None:
        first = write_dicom(tmp_path / "DCM_0", rgb)
        write_dicom(tmp_path / "DCM_1", rgb[:75, :100], 1.0, number=2)
        assert list_slides(tmp_path) == [first]
        with open_slide(tmp_path) as slide:
            assert [plane.shape[:2] for plane in slide.planes] == [(150, 200), (75, 100)]
        for path in (tmp_path, tmp_path / "DCM_1"):
            reader = get_reader(str(path)) if path.is_dir() else None
            if reader:
                assert reader(str(path))[0][0][0].shape == (150, 200, 3)

    def test_a_folder_of_two_is_none(self, tmp_path: Path, rgb: np.ndarray) -> None:
        for number in (1, 2):
            write_dicom(tmp_path / f"{number}.dcm", rgb, series=f"1.2.{number}")
        assert len(list_slides(tmp_path)) == 2
        assert get_reader(str(tmp_path)) is None
        assert get_reader(str(tmp_path / "1.dcm")) is not None
        with pytest.raises(ImageError):
            open_slide(tmp_path)

    @pytest.mark.parametrize(
        ("bounds", "expected"),
        [
            ((30, 20, 120, 90), (30, 20, 120, 90)),
            ((0, 0, 200, 150), (0, 0, 200, 150)),
            ((30, 20, 500, 90), (0, 0, 200, 150)),
            ((-1, 0, 20, 20), (0, 0, 200, 150)),
            (("x", 0, 20, 20), (0, 0, 200, 150)),
        ],
    )
    def test_coordinates_begin_where_the_scan_does(
        self, tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch, bounds: Any, expected: Any
    ) -> None:
        import openslide

        path = write_dicom(tmp_path / "a.dcm", rgb)
        known = dict(openslide.OpenSlide(path).properties)
        names = ("x", "y", "width", "height")
        known |= {f"openslide.bounds-{name}": str(value) for name, value in zip(names, bounds, strict=True)}
        monkeypatch.setattr(openslide.OpenSlide, "properties", known)
        x, y, width, height = expected
        with open_slide(path) as slide:
            assert slide.shape == (height, width)
            assert np.array_equal(slide.region((0, height, 0, width)), rgb[y : y + height, x : x + width])
            assert np.array_equal(slide.region((5, 50, 9, 40)), rgb[y + 5 : y + 50, x + 9 : x + 40])
            assert any("cut to the part" in note for note in slide.notes) == (width < 200)

    @pytest.mark.parametrize(
        ("changes", "mpp", "said"),
        [
            ({"mpp-x": "0", "mpp-y": "0", "objective-power": "20"}, 0.5, "estimated from the magnification, 20x"),
            ({"mpp-x": "none", "objective-power": "40"}, 0.25, "estimated"),
            ({"mpp-x": "none"}, None, "does not say"),
        ],
    )
    def test_the_objective_where_the_scale_cannot_be(
        self, tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch, changes: Any, mpp: Any, said: str
    ) -> None:
        import openslide

        path = write_dicom(tmp_path / "a.dcm", rgb)
        known = dict(openslide.OpenSlide(path).properties)
        monkeypatch.setattr(
            openslide.OpenSlide, "properties", known | {f"openslide.{name}": value for name, value in changes.items()}
        )
        with open_slide(path) as slide:
            assert slide.mpp == mpp
            assert said in " ".join(slide.notes)
