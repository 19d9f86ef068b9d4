from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleigan.base.pixels import Mpp
from napari_nucleigan.labels.features import measure
from napari_nucleigan.labels.statistics import (
    MOST_DRAWN,
    NO_CLASS,
    Classes,
    MeasuredNuclei,
    Question,
    bins,
    brushed,
    sample,
    statistics,
    title,
)

CORNER = np.array([[-0.5, -0.5], [-0.5, 4.5], [9.5, 4.5], [9.5, -0.5]])
COLOURS = {"tumour": (1, 2, 3), "never": (4, 5, 6), "lymphocyte": (7, 8, 9)}
finite = st.floats(-1e100, 1e100)


def nuclei_at(centres: list[tuple[float, float]], mpp: float | None = None, **columns: list[float]) -> MeasuredNuclei:
    table: dict[str, Any] = {"label": np.arange(1, len(centres) + 1)}
    table |= {name: np.array(values) for name, values in columns.items()}
    return MeasuredNuclei(table, np.array(centres, float).reshape(-1, 2), (10, 10), mpp)


FOUR = nuclei_at([(0, 0), (5, 4), (9, 9), (2, 8)], 0.5, size=[1.0, 3.0, 8.0, np.nan], other=[2.0, 6.0, 16.0, 1.0])
KINDS = Classes.named(np.array(["lymphocyte", "tumour", "lymphocyte", ""]), COLOURS)


def test_counts_densities_and_means_by_class() -> None:
    found = statistics(FOUR, KINDS, Question("size"))
    assert KINDS.names == ("tumour", "lymphocyte", "")
    assert KINDS.colours == ((1, 2, 3), (7, 8, 9), NO_CLASS)
    assert found.mm2 == pytest.approx(25e-6)
    assert [(one.name, one.count) for one in found.classes] == [("tumour", 1), ("lymphocyte", 2), ("", 1)]
    lymphocytes = found.classes[1]
    assert lymphocytes.density == pytest.approx(2 / 25e-6)
    assert (lymphocytes.mean, lymphocytes.median) == (4.5, 4.5)
    assert lymphocytes.deviation == pytest.approx(np.std([1, 8], ddof=1))
    assert np.isnan(found.classes[0].deviation)  # of one nucleus there is none
    assert np.isnan(found.classes[2].mean)  # its value is not known
    assert (found.total.count, found.total.mean, found.unknown) == (4, 4.0, 1)


def test_of_a_region_and_without_a_hidden_class() -> None:
    found = statistics(FOUR, KINDS, Question("size", region=(CORNER,), hidden=frozenset({"tumour"})))
    assert found.mm2 == pytest.approx(12.5e-6)
    assert found.rows.tolist() == [0]
    assert [one.count for one in found.classes] == [1, 1, 0]  # what is hidden is counted
    assert found.total.count == 2
    assert found.histogram is not None
    assert found.histogram.counts.sum() == 1


def test_a_region_beside_the_image_has_no_area_and_no_density() -> None:
    found = statistics(FOUR, KINDS, Question("size", region=(CORNER + 100,)))
    assert (found.mm2, found.total.count, found.histogram) == (0.0, 0, None)
    assert np.isnan(found.total.density)


def test_densities_are_of_what_was_searched() -> None:
    assert replace(FOUR, searched=(CORNER,)).mm2() == pytest.approx(12.5e-6)
    assert replace(FOUR, mpp=Mpp(0.5, 2.0)).mm2() == pytest.approx(100e-6)
    assert replace(FOUR, mpp=None).mm2() is None


def test_histogram_and_selection_share_bins() -> None:
    found = statistics(FOUR, KINDS, Question("size"))
    assert found.histogram is not None
    assert found.histogram.counts.sum(axis=1).tolist() == [1, 2, 0]
    rows = brushed(FOUR, found, (0, 3))
    assert rows.tolist() == [0, 1]
    assert found.histogram.count(FOUR.values("size")[rows]).sum() == 2


def test_scatter_and_its_brush() -> None:
    found = statistics(FOUR, KINDS, Question("size", "other"))
    assert found.drawn.tolist() == [0, 1, 2]
    assert found.correlation == pytest.approx(1)
    assert brushed(FOUR, found, (8, 2), (6, 16)).tolist() == [1, 2]  # whichever corner comes first
    assert brushed(FOUR, found, (0, 9), (2, 2)).tolist() == [0]


@pytest.mark.parametrize("y", [None, "size"])
def test_no_nuclei_and_one_nucleus(y: str | None) -> None:
    none = nuclei_at([], 0.5, size=[])
    found = statistics(none, Classes.none(0), Question("size", y))
    assert (found.total.count, found.histogram, found.unknown) == (0, None, 0)
    one = nuclei_at([(1, 1)], None, size=[7.0])
    found = statistics(one, Classes.none(1), Question("size", y))
    assert (found.total.count, found.total.mean, found.mm2) == (1, 7.0, None)
    assert np.isnan([found.total.density, found.total.deviation, found.correlation]).all()
    assert found.drawn.tolist() == [0] * (y is not None)


@given(hnp.arrays(np.float64, st.integers(1, 50), elements=finite))
def test_every_value_is_in_a_bin(values: np.ndarray) -> None:
    edges = bins(values)
    assert (np.diff(edges) >= 0).all()
    assert len(edges) <= 61
    assert np.histogram(values, edges)[0].sum() == len(values)


def test_whole_numbers_have_bins_of_their_own() -> None:
    assert bins(np.array([3.0, 5.0, 5.0])).tolist() == [2.5, 3.5, 4.5, 5.5]
    assert bins(np.array([4.0, 4.0])).tolist() == [2.0, 6.0]


@given(st.integers(0, 300), st.integers(1, 40))
def test_a_sample_of_a_part_keeps_its_nuclei(count: int, most: int) -> None:
    whole = sample(np.arange(count), count, most)
    assert len(whole) == min(count, most)
    assert (np.diff(whole) > 0).all()
    part = np.arange(count)[: count // 2 + 1]
    assert set(whole) & set(part.tolist()) <= set(sample(part, count, most).tolist())


def test_many_nuclei_are_thinned_out_but_all_are_brushed() -> None:
    count = MOST_DRAWN + 3
    many = nuclei_at([(0, 0)] * count, None, size=list(np.arange(count, dtype=float)))
    found = statistics(many, Classes.none(count), Question("size", "size"))
    assert len(found.drawn) == MOST_DRAWN
    assert len(brushed(many, found, (-1, count), (-1, count))) == count


def test_titles_for_people() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[2:6, 2:6] = 4
    table = measure(labels, np.full((9, 9, 3), 200, np.uint8), 0.5, measurements="full")
    names = MeasuredNuclei(table, np.zeros((1, 2)), (9, 9)).measurements
    assert names["area_um2"] == "Area (µm²)"
    assert "area_px" not in names  # there is one in microns
    assert names["haematoxylin_mean_od"] == "Haematoxylin mean (OD)"
    assert names["texture_500nm_od"] == "Texture 500 nm (OD)"
    assert names["neighbours_25um"] == "Neighbours within 25 µm"
    assert names["density_per_mm2"] == "Density (per mm²)"
    assert list(names)[-2:] == ["centroid_y_um", "centroid_x_um"]
    assert title("area_px") == "Area (pixels)"
    assert title("confidence") == "Confidence"
