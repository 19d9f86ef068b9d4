"""Masks that are laid out tissue first: nuclei of each tissue's own, and what a fit learns of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.masks.polygons import (
    PolygonMasks,
    fit,
    fit_tissue,
    fit_tissue_map,
    open_statistics,
    sample,
    sample_tissue,
    save,
)
from napari_nucleigan.masks.sampler.statistics import find_ellipses
from napari_nucleigan.masks.sampler.tissue_maps import BORDER, border_directions, class_at
from napari_nucleigan.tissue.features import grid_shape
from tissue_pictures import tissue_picture

CELL_UM = 4.0


@given(seed=st.integers(0, 2**31 - 1), height=st.integers(1, 150), width=st.integers(1, 150))
@settings(max_examples=12, deadline=None)
def test_a_mask_and_its_map_are_one_of_the_seed(
    tissue_statistics: PolygonMasks, seed: int, height: int, width: int
) -> None:
    labels, cells = sample_tissue(tissue_statistics, (height, width), seed=seed)
    again, same = sample_tissue(tissue_statistics, (height, width), seed=seed)
    assert cells is not None and same is not None
    assert (labels == again).all() and (cells == same).all()
    assert labels.shape == (height, width)
    assert cells.shape == grid_shape((height, width))
    assert set(np.unique(cells)) <= {1, 2, 3, 4}
    # Numbered without gaps, each of one piece.
    assert label(labels, background=0, connectivity=1).max() == labels.max() == len(np.unique(labels[labels > 0]))


def test_every_tissue_has_its_own_nuclei(tissue_statistics: PolygonMasks) -> None:
    tissue = tissue_statistics.layout
    assert tissue is not None
    counts, areas = np.zeros(5), np.zeros(5)
    for seed in range(6):
        labels, cells = sample_tissue(tissue_statistics, (320, 320), seed=seed)
        assert cells is not None
        centres = find_ellipses(labels, 0.25).centres / CELL_UM
        counts += np.bincount(class_at(cells, centres), minlength=5)
        areas += np.bincount(cells.ravel(), minlength=5)
    density = counts[1:] / np.maximum(areas[1:], 1)
    by_name = dict(zip(tissue.classes.names, density, strict=True))
    assert by_name["crowded"] > 2 * by_name["fibrous"]
    assert by_name["crowded"] > 2 * by_name["lumen"]


def test_what_a_user_changes_changes_every_tissue(tissue_statistics: PolygonMasks) -> None:
    fewer = tissue_statistics.changed(density=tissue_statistics.density / 3)
    assert fewer.layout == tissue_statistics.layout
    many, few = (
        sum(sample(each, (256, 256), seed=seed).max() for seed in range(3)) for each in (tissue_statistics, fewer)
    )
    assert few < 0.55 * many


@pytest.mark.parametrize("along", [0.9, -0.9])
def test_nuclei_lie_along_borders_or_across(tissue_statistics: PolygonMasks, along: float) -> None:
    tissue = tissue_statistics.layout
    assert tissue is not None
    nuclei = tuple(each.model_copy(update={"along": along}) for each in tissue.nuclei)
    turned = tissue_statistics.model_copy(update={"layout": tissue.model_copy(update={"nuclei": nuclei})})
    turned = turned.changed(elongation=2.5, touching=0)
    cosines = []
    for seed in range(4):
        labels, cells = sample_tissue(turned, (320, 320), seed=seed)
        assert cells is not None
        found = find_ellipses(labels, 0.25)
        angle, slope = border_directions(cells, found.centres / CELL_UM)
        beside = (slope > BORDER) & found.whole & (found.length > 1.6 * found.width)
        cosines.append(np.cos(2 * (found.angle - angle))[beside])
    assert np.sign(along) * np.concatenate(cosines).mean() > 0.2


def test_masks_without_a_layout_are_what_they_were(tissue_statistics: PolygonMasks) -> None:
    plain = tissue_statistics.model_copy(update={"layout": None})
    labels, cells = sample_tissue(plain, (64, 64), seed=3)
    assert cells is None
    tiles = [tissue_picture(seed=seed)[1] for seed in range(2)]
    assert plain == fit(tiles)
    assert (labels == sample(fit(tiles), (64, 64), seed=3)).all()


def test_statistics_come_back_from_their_file(tissue_statistics: PolygonMasks, tmp_path: Path) -> None:
    save(tissue_statistics, tmp_path / "tissue.json")
    again = open_statistics(tmp_path / "tissue.json")
    assert again == tissue_statistics
    assert (sample(again, (80, 80), seed=1) == sample(tissue_statistics, (80, 80), seed=1)).all()


def test_other_pixels_show_the_same_tissue(tissue_statistics: PolygonMasks) -> None:
    fine, coarse = (
        sample_tissue(tissue_statistics, (side, side), mpp, 5)[1] for side, mpp in ((256, 0.25), (128, 0.5))
    )
    assert fine is not None and coarse is not None
    assert (fine == coarse).all()


def test_labels_of_another_size_are_refused() -> None:
    pixels, labels, _ = tissue_picture(128)
    with pytest.raises(LabelsError, match="one size"):
        fit_tissue([pixels], [labels[:64]])


def test_a_painted_map_and_its_nuclei_teach_how_they_lie(tissue_statistics: PolygonMasks) -> None:
    assert tissue_statistics.layout is not None
    classes = tissue_statistics.layout.classes
    fibrous, crowded = classes.number("fibrous"), classes.number("crowded")
    cells = np.full((32, 32), crowded, np.uint8)
    cells[:, :12] = fibrous
    labels, _ = sample_tissue(tissue_statistics, (512, 512), seed=2, known=cells)
    cells[20:24] = 0  # what is unknown is taken for what lies beside it
    learnt = fit_tissue_map(cells, labels, classes)
    assert learnt.layout is not None
    assert learnt.layout.classes == classes
    for number in (fibrous, crowded):
        found, own = (each.nuclei[number - 1].nuclei.density for each in (learnt.layout, tissue_statistics.layout))
        assert found == pytest.approx(own, rel=0.3)
    drawn = [sample_tissue(learnt, (256, 256), seed=seed) for seed in range(6)]
    maps = np.stack([each[1] for each in drawn])
    shares = np.bincount(maps.ravel(), minlength=len(classes.names) + 1) / maps.size
    assert shares[fibrous] == pytest.approx(12 / 32, abs=0.2)
    assert shares[fibrous] + shares[crowded] == pytest.approx(1)  # nothing that nobody has painted
    # The same at a coarser scale of the mask.
    coarse = fit_tissue_map(cells, labels[::2, ::2], classes, 0.5)
    assert coarse.layout is not None
    assert coarse.layout.images == learnt.layout.images
    for wrong in (cells[:4], np.zeros_like(cells), np.full_like(cells, 9)):
        with pytest.raises(LabelsError, match="cells of the classes 1 to 4"):
            fit_tissue_map(wrong, labels, classes)
