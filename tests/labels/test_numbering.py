from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.numbering import check_nuclei, remarks_on

if TYPE_CHECKING:
    from numpy.typing import NDArray


def discs(count: int, side: int = 300, radius: int = 6) -> NDArray[np.int64]:
    """Label image of discs in rows."""
    labels = np.zeros((side, side), int)
    y, x = np.ogrid[:side, :side]
    across = side // 20
    for number in range(count):
        row, column = 10 + 20 * (number // across), 10 + 20 * (number % across)
        labels[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number + 1
    return labels


@pytest.mark.parametrize("count", [2, 3, 30])
@pytest.mark.parametrize("white", [1, 255])
def test_masks_are_no_labels(count: int, white: int) -> None:
    mask = np.where(discs(count) > 0, white, 0)
    if (count, white) == (2, 1):
        check_nuclei(mask)  # may be a nucleus in two parts
        return
    with pytest.raises(LabelsError, match=r"^truth\.png is no label image: it only tells nuclei from background"):
        check_nuclei(mask, "truth.png")


def test_two_nuclei_far_apart_under_one_number_are_a_mask() -> None:
    labels = discs(30)
    with pytest.raises(LabelsError, match="only tells nuclei"):
        check_nuclei(np.isin(labels, (1, 30)).astype(int))


def test_kinds_of_nuclei_are_no_labels() -> None:
    labels = discs(60)
    with pytest.raises(LabelsError, match="only tells nuclei"):
        check_nuclei(np.where(labels > 0, labels % 3 + 1, 0))


@pytest.mark.parametrize("labels", [discs(0), discs(1), discs(2), discs(8), discs(60), 255 * (discs(1) > 0)])
def test_nuclei_are_labels(labels: NDArray[np.int64]) -> None:
    check_nuclei(labels)
    assert remarks_on(labels) == ()


def test_specks_make_no_mask_of_a_nucleus() -> None:
    labels = discs(1)
    labels[100, 100:110:3] = 1
    check_nuclei(labels)


def test_wrapped_numbers_are_said() -> None:
    labels = discs(300, 400)
    (remark,) = remarks_on(labels.astype(np.uint8))
    assert remark == (
        "44 of 255 labels, 1 first, have pieces that lie far apart, and count as one nucleus each: numbers above 255 "
        "have wrapped around; number the nuclei anew and save them with 16 bits or more."
    )
    check_nuclei(labels.astype(np.uint8))


def test_numbers_that_begin_anew_in_every_tile_are_said() -> None:
    labels = np.tile(discs(20, 100), (2, 2))
    (remark,) = remarks_on(labels)
    assert remark.startswith("20 of 20 labels, 1 first")
    assert "wrapped" not in remark


def test_a_slip_among_many_and_parts_that_are_near_are_no_fault() -> None:
    labels = discs(200)
    labels[labels == 200] = 1
    labels[labels == 100] = 99
    assert remarks_on(labels) == ()


@pytest.mark.parametrize("ground", [1, 61, 255])
def test_a_background_with_a_number_is_refused(ground: int) -> None:
    labels = discs(60)
    counted = np.where(labels > 0, labels + (ground == 1), ground)
    with pytest.raises(LabelsError, match=rf"no pixel of it is 0, as background is, and {ground} reaches all four"):
        check_nuclei(counted)


def test_images_full_of_nuclei_are_labels() -> None:
    check_nuclei(np.ones((9, 9), int))
    check_nuclei(np.arange(1, 82).reshape(9, 9))
    check_nuclei(np.repeat([[1, 2, 3]], 9, axis=0))
    check_nuclei(np.zeros((0, 9), int))
