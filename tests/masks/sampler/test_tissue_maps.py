"""Random tissue maps: windows that join, shares as observed, and glands that are closed rings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_nucleigan.masks.sampler.parameters import Glands, TissueLayout
from napari_nucleigan.masks.sampler.tissue_maps import border_directions, choose_image, class_at, draw_map, find_glands
from napari_nucleigan.tissue.classes import tissue_map
from tissue_pictures import tissue_picture

if TYPE_CHECKING:
    from napari_nucleigan.masks.polygons import PolygonMasks

AROUND = np.ones((3, 3))


@pytest.fixture(scope="module")
def layout(tissue_statistics: PolygonMasks) -> TissueLayout:
    assert tissue_statistics.layout is not None
    return tissue_statistics.layout


@given(
    seed=st.integers(0, 2**31 - 1),
    origin=st.tuples(st.integers(-40, 40), st.integers(-40, 40)),
    cut=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
@settings(max_examples=10, deadline=None)
def test_windows_join_without_seams(
    layout: TissueLayout, seed: int, origin: tuple[int, int], cut: tuple[int, int]
) -> None:
    image = layout.images[seed % len(layout.images)]
    whole = draw_map(layout, image, (16, 15), seed, origin)
    part = draw_map(layout, image, (6, 5), seed, (origin[0] + cut[0], origin[1] + cut[1]))
    assert (part == whole[cut[0] : cut[0] + 6, cut[1] : cut[1] + 5]).all()


@given(
    seed=st.integers(0, 2**31 - 1),
    density=st.floats(10, 2000),
    lumen=st.floats(1, 60),
    wall=st.floats(1, 60),
)
@settings(max_examples=25, deadline=None)
def test_glands_are_closed_rings(layout: TissueLayout, seed: int, density: float, lumen: float, wall: float) -> None:
    glands = Glands(density=density, lumen=lumen, wall=wall)
    image = layout.images[0].model_copy(update={"glands": glands})
    found = find_glands(layout.classes, image, (40, 40), seed, (0, 0))
    assert found is not None
    assert (found.lumen <= found.rim).all()
    assert not (found.between & found.wall).any()
    # Whatever touches what lies within the epithelium, by a corner even, belongs to the gland.
    inner = slice(1, -1)
    beside = ndimage.binary_dilation(found.rim, AROUND)[inner, inner]
    assert (beside <= found.wall[inner, inner]).all()


def test_there_are_glands_with_lumens(layout: TissueLayout) -> None:
    image = layout.images[0].model_copy(update={"glands": Glands(density=300, lumen=12, wall=12)})
    found = find_glands(layout.classes, image, (120, 120), 3, (0, 0))
    assert found is not None
    expected = 300 * (120 * 16 * 0.25e-3) ** 2
    assert ndimage.label(found.lumen)[1] == pytest.approx(expected, rel=0.3)
    cells = draw_map(layout, image, (118, 118), 3, (1, 1))
    assert (cells[found.lumen[1:-1, 1:-1]] == layout.classes.number("lumen")).all()


def test_drawn_maps_have_the_shares_and_the_scale_of_the_image(layout: TissueLayout) -> None:
    real = tissue_map(tissue_picture(seed=0)[0], layout.classes)
    drawn = [draw_map(layout, layout.images[0], (48, 48), seed) for seed in range(6)]
    count = len(layout.classes.classes) + 1
    shares = [np.bincount(np.ravel(cells), minlength=count) / np.size(cells) for cells in (real, np.stack(drawn))]
    assert np.abs(shares[0] - shares[1]).max() < 0.12
    same = [np.mean([(cells[1:] == cells[:-1]).mean() for cells in maps]) for maps in ([real], drawn)]
    assert same[1] == pytest.approx(same[0], abs=0.15)


def test_images_come_by_their_shares(layout: TissueLayout) -> None:
    first, second = (
        image.model_copy(update={"share": share}) for image, share in zip(layout.images, (1, 3), strict=True)
    )
    both = layout.model_copy(update={"images": (first, second)})
    assert [choose_image(both, draw) is first for draw in (0.0, 0.2, 0.3, 0.99)] == [True, True, False, False]


def test_borders_run_along_the_edge_of_a_tissue() -> None:
    cells = np.ones((20, 20), np.uint8)
    cells[:, 10:] = 2
    places = np.array([[10.0, 9.5], [10.0, 10.5], [10.0, 2.0]])
    angle, slope = border_directions(cells, places)
    assert np.abs(np.cos(2 * (angle[:2] - np.pi / 2))) == pytest.approx(1)
    assert np.cos(2 * (angle[0] - np.pi / 2)) == pytest.approx(1)
    assert slope[0] > 0.2
    assert slope[2] == pytest.approx(0, abs=1e-3)


def test_places_beyond_the_map_have_the_class_of_its_edge() -> None:
    cells = np.array([[1, 2], [3, 4]], np.uint8)
    places = np.array([[-3.0, 0.5], [0.5, 1.5], [9.0, 9.0]])
    assert class_at(cells, places).tolist() == [1, 2, 4]
