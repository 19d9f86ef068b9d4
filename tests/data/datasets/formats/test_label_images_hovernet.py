from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import csc_array

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.reading import FileFault
from napari_nucleigan.data.datasets.formats import FORMATS
from napari_nucleigan.data.datasets.formats.label_images import read_hovernet, write_hovernet
from napari_nucleigan.data.images.files import HEImage, write_image

if TYPE_CHECKING:
    from pathlib import Path

LABELS = np.array([[0, 5, 5, 0], [0, 5, 0, 7], [2, 0, 0, 7]])


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    write_image(tmp_path / "Images" / "x.png", np.full((3, 4, 3), 200, np.uint8))
    (tmp_path / "Labels").mkdir()
    return tmp_path / "Images" / "x.png", tmp_path / "Labels" / "x.mat"


@pytest.mark.parametrize("kind", [np.float64, np.uint16, np.int32, csc_array])
def test_maps_of_every_type(pair: tuple[Path, Path], kind: Any, tmp_path: Path) -> None:
    savemat(pair[1], {"inst_map": kind(LABELS.astype(float)), "type_map": LABELS > 0})
    (entry,) = FORMATS["hovernet"].find(tmp_path).entries
    labels = entry.read().labels
    assert np.array_equal(labels, LABELS)
    assert labels.dtype.kind in "ui"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"other": LABELS}, "inst_map"),
        ({"inst_map": LABELS + 0.5}, "no labels"),
        ({"inst_map": np.where(LABELS > 0, np.nan, 0)}, "no labels"),
        ({"inst_map": -LABELS}, "negative"),
        ({"inst_map": "text"}, "no label image"),
        ({"inst_map": np.zeros((2, 3, 5), np.int32)}, "shape"),
    ],
)
def test_other_content_is_refused(pair: tuple[Path, Path], content: dict[str, Any], error: str) -> None:
    savemat(pair[1], content)
    with pytest.raises((ValueError, LabelsError), match=error):
        read_hovernet(*pair)


def test_matlab_73_is_named(pair: tuple[Path, Path]) -> None:
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    pair[1].write_bytes(header + b"\x89HDF\r\n\x1a\n" + bytes(600))
    with pytest.raises(ValueError, match="-v7"):
        read_hovernet(*pair)


def test_what_others_expect_is_written(tmp_path: Path) -> None:
    image = HEImage(np.full((3, 4, 3), 200, np.uint8))
    assert list(write_hovernet(tmp_path, iter([("x", image, LABELS), ("none", image, 0 * LABELS)]))) == ["x", "none"]
    content = loadmat(tmp_path / "Labels" / "x.mat")
    assert np.array_equal(np.unique(content["inst_map"]), [0, 1, 2, 3])
    assert np.allclose(content["inst_centroid"], [[0, 2], [4 / 3, 1 / 3], [3, 1.5]])
    assert loadmat(tmp_path / "Labels" / "none.mat")["inst_centroid"].shape == (0, 2)


def test_bombs_are_not_unpacked(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_nucleigan.data.datasets.formats.label_images._MAT_MOST", 1_000_000)
    savemat(pair[1], {"inst_map": np.zeros((4000, 4000), np.uint8)}, do_compression=True)
    with pytest.raises(FileFault, match="GB of memory"):
        read_hovernet(*pair)
    # Of another array, which nobody asks for, too.
    savemat(pair[1], {"inst_map": LABELS, "more": np.zeros((4000, 4000), np.uint8)}, do_compression=True)
    with pytest.raises(FileFault, match="GB of memory"):
        read_hovernet(*pair)


def test_large_maps_of_few_entries_are_refused(pair: tuple[Path, Path]) -> None:
    savemat(pair[1], {"inst_map": csc_array(([1.0], ([0], [0])), shape=(30_000, 30_000))})
    with pytest.raises(FileFault, match=r"7\.2 GB of memory"):
        read_hovernet(*pair)


@pytest.mark.parametrize("packed", [True, False])
def test_packed_or_not(pair: tuple[Path, Path], packed: bool) -> None:
    savemat(pair[1], {"other": LABELS, "inst_map": LABELS}, do_compression=packed)
    assert np.array_equal(read_hovernet(*pair).labels, LABELS)
    savemat(pair[1], {"inst_map": LABELS.astype(float)}, format="4")
    assert np.array_equal(read_hovernet(*pair).labels, LABELS)
