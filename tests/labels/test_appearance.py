from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops_table
from skimage.segmentation import expand_labels

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels import appearance as module
from napari_nucleigan.labels.appearance import appearance
from napari_nucleigan.labels.features import measure


def _levels(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 8, (*shape, 2)).astype(np.float32)


def test_spread_is_that_of_scikit_image(tiny_he: Any) -> None:
    _, labels = tiny_he(96, 96, 8)
    amounts = _levels(labels.shape)
    found = appearance(labels, int(labels.max()), amounts, 0.25)
    theirs = regionprops_table(labels, amounts, properties=("intensity_std",))
    np.testing.assert_allclose(found["haematoxylin_std_od"], theirs["intensity_std-0"], rtol=1e-5)
    np.testing.assert_allclose(found["eosin_std_od"], theirs["intensity_std-1"], rtol=1e-5)


def test_texture_is_the_contrast_of_co_occurrence(tiny_he: Any) -> None:
    _, labels = tiny_he(96, 96, 8)
    amounts = _levels(labels.shape)
    found = appearance(labels, int(labels.max()), amounts, 0.5)
    for label in range(1, int(labels.max()) + 1):
        # Level 0 is what lies outside; of its pairs nothing is counted.
        alone = np.where(labels == label, amounts[..., 0], 0).astype(np.uint8)
        for name, hops in (("500nm", 1), ("1000nm", 2), ("2000nm", 4)):
            total = pairs = 0.0
            for angle, step in ((0, hops), (np.pi / 2, hops), (np.pi / 4, hops), (3 * np.pi / 4, hops)):
                # Along diagonals scikit-image rounds the distance in the same way.
                matrix = graycomatrix(alone, [step], [angle], levels=8, symmetric=True)[1:, 1:]
                pairs += matrix.sum()
                total += graycoprops(matrix, "contrast")[0, 0] * matrix.sum() if matrix.sum() else 0
            assert found[f"texture_{name}_od"][label - 1] == pytest.approx(np.sqrt(total / pairs)), (label, name)


def test_the_ring_is_the_background_around() -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[20:30, 20:30], labels[20:30, 33:40] = 1, 2
    amounts = np.zeros((60, 60, 2), np.float32)
    ring = np.where(labels == 0, expand_labels(labels, 4.8), 0)
    amounts[..., 1] = ring
    found = appearance(labels, 2, amounts, 0.5)
    # What is nearer to the one is all of the one, but for pixels that are as near to both: rings are octagons, up to
    # 4.5 pixels wide where 4 were asked for.
    np.testing.assert_allclose(found["ring_eosin_mean_od"], [1, 2], atol=0.15)
    assert found["ring_haematoxylin_mean_od"].tolist() == [0, 0]


def test_a_nucleus_without_background_around_has_the_ring_of_its_rim() -> None:
    amounts = np.full((9, 9, 2), 0.5, np.float32)
    found = appearance(np.ones((9, 9), np.int32), 1, amounts, 0.5)
    assert found["ring_eosin_mean_od"] == [0.5]
    assert found["rim_contrast_od"] == [0]


def test_a_dark_rim_and_a_nucleolus_show() -> None:
    y, x = np.mgrid[:80, :80]
    labels, amounts = np.zeros((80, 80), np.int32), np.zeros((80, 80, 2), np.float32)
    for number, centre in enumerate((15, 40, 65), 1):
        far = np.hypot(y - centre, x - centre)
        labels[far <= 11] = number
        amounts[far <= 11, 0] = 1
        if number == 2:
            amounts[(far > 8) & (far <= 11), 0] = 2
        if number == 3:
            amounts[far <= 3, 0] = 2
    found = appearance(labels, 3, amounts, 0.25)
    plain, rim, spot = found["rim_contrast_od"]
    assert plain == 0
    assert rim > 0.7
    assert spot < 0
    assert found["nucleolus_contrast_od"][0] == pytest.approx(0, abs=1e-6)
    assert found["nucleolus_contrast_od"][2] > 0.8


def test_nuclei_do_not_disturb_each_other_nor_does_their_number(tiny_he: Any) -> None:
    rgb, labels = tiny_he(96, 96, 8)
    table = measure(labels, rgb, 0.25, measurements="full")
    turned = measure(np.where(labels > 0, 9 - labels, 0), rgb, 0.25, measurements="full")
    for name, column in table.items():
        if name != "label":
            np.testing.assert_allclose(column, turned[name][::-1], err_msg=name)
    alone = measure(np.where(labels == 3, 3, 0), rgb, 0.25, measurements="full")
    own = [name for name in table if name.endswith("_od") and not name.startswith("ring")]
    assert {"texture_500nm_od", "rim_contrast_od", "nucleolus_contrast_od"} <= set(own)
    for name in own:
        assert alone[name][0] == pytest.approx(table[name][2]), name


def test_lengths_are_microns(tiny_he: Any) -> None:
    rgb, labels = tiny_he(96, 96, 6)
    fine = measure(labels.repeat(2, 0).repeat(2, 1), rgb.repeat(2, 0).repeat(2, 1), 0.25, measurements="full")
    coarse = measure(labels, rgb, 0.5, measurements="full")
    for name in ("haematoxylin_std_od", "ring_eosin_mean_od", "rim_contrast_od", "texture_2000nm_od"):
        np.testing.assert_allclose(fine[name], coarse[name], rtol=0.25, atol=0.03, err_msg=name)


def test_no_nuclei_have_the_same_columns() -> None:
    rgb = np.zeros((5, 6, 3), np.uint8)
    none, one = (measure(make((5, 6), int), rgb, 0.25, measurements="full") for make in (np.zeros, np.ones))
    assert list(none) == list(one)
    assert {len(column) for column in none.values()} == {0}


def test_without_microns_they_cannot_be_measured() -> None:
    with pytest.raises(LabelsError, match="microns per pixel"):
        measure(np.ones((4, 4), int), measurements="full")


def test_a_thousand_nuclei_take_a_quarter_of_a_second() -> None:
    y, x = np.mgrid[:31, :31]
    disc = (y - 15) ** 2 + (x - 15) ** 2 <= 100
    labels = np.zeros((992, 992), np.int32)
    for number in range(1024):
        row, column = divmod(number, 32)
        labels[31 * row : 31 * row + 31, 31 * column : 31 * column + 31][disc] = number + 1
    rgb = np.random.default_rng(0).integers(0, 255, (992, 992, 3), dtype=np.uint8)
    took = []
    for which in ("standard", "full"):
        begun = time.process_time()
        measure(labels, rgb, 0.25, measurements=which)  # type: ignore[arg-type]
        took.append(time.process_time() - begun)
    # 0.15 s on a core of its own; four times that tells a slip of the order and no busy neighbour.
    assert took[1] - took[0] < 0.6


def test_pixels_that_are_not_square_have_steps_of_their_own() -> None:
    from napari_nucleigan.base.pixels import Mpp

    steps = module._Steps(Mpp(0.25, 0.5))
    assert steps.texture[1][:2] == [(0, 2), (4, 0)]
    assert steps.spot == (2, 1)
