"""Nuclei of a tissue map: each class's own, along or across its borders."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.masks.sampler.adjustment import adjusted
from napari_nucleigan.masks.sampler.layout import Layout, Scattered, margin_of, pull, scatter, settle
from napari_nucleigan.masks.sampler.tissue_maps import BORDER, border_directions, choose_image, class_at, draw_map
from napari_nucleigan.tissue.features import mask_grid
from napari_nucleigan.tissue.record import CELL, UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.masks.sampler.parameters import ClassNuclei, PolygonMasks, TissueLayout


def lay_out_tissue(
    random: np.random.Generator,
    statistics: PolygonMasks,
    tissue: TissueLayout,
    shape: tuple[int, int],
    draw: float,
    seed: int,
    mpp: float,
    known: NDArray[np.uint8] | None = None,
) -> tuple[Layout, NDArray[np.uint8]]:
    """Draw a tissue map, or what is unknown of one, and place the nuclei of each of its tissues.

    Parameters
    ----------
    random : numpy.random.Generator
        Source of chance.
    statistics : PolygonMasks
        Its fields change the nuclei of every class as they change those of every tissue.
    tissue : TissueLayout
        What the map shall look like.
    shape : (int, int)
        Height and width of the mask in pixels.
    draw : float
        In [0, 1): which image's tissue, by their shares.
    seed : int
        Of the map.
    mpp : float
        Microns per pixel of the mask.
    known : ndarray of uint8, shape (h, w), optional
        What is known of the map; only its unknown cells are drawn.

    Returns
    -------
    layout : Layout
        Nuclei on the mask and on a margin around it.
    cells : ndarray of uint8, shape (h, w)
        The map at the classes' scale, a cell for every 16 pixels that the mask has or begins at that scale.

    Raises
    ------
    RecipeError
        If what is known has another shape, or classes that there are not.
    """
    cell_um = CELL * tissue.classes.mpp
    size = shape[0] * mpp, shape[1] * mpp
    grid = mask_grid(shape, mpp, tissue.classes.mpp)
    if known is not None and (known.shape != grid or known.max(initial=0) > len(tissue.nuclei)):
        raise RecipeError(
            f"The tissue map is to have {grid[0]} x {grid[1]} cells of the classes 0 to {len(tissue.nuclei)}; it has "
            f"{' x '.join(map(str, known.shape))} cells up to class {known.max(initial=0)}. Begin another map."
        )
    nuclei = [_changed(each, statistics) for each in tissue.nuclei]
    margin = max(margin_of(each.nuclei, size) for each in nuclei)
    around = int(np.ceil(margin / cell_um)) + 1
    wide = draw_map(
        tissue, choose_image(tissue, draw), (grid[0] + 2 * around, grid[1] + 2 * around), seed, (-around, -around)
    )
    if known is not None:
        inner = wide[around : around + grid[0], around : around + grid[1]]
        np.copyto(inner, known, where=known != UNKNOWN)
    parts = []
    for number, each in enumerate(nuclei, 1):
        scattered = scatter(random, each.nuclei, size, margin)
        places = scattered.layout.centres / cell_um + around
        parts.append(_only(_turned(random, scattered, each.along, wide, places), class_at(wide, places) == number))
    cells = wide[around : around + grid[0], around : around + grid[1]].copy()
    joined = _joined(parts)
    settled = settle(joined, mpp)
    # What has been pushed into a lumen from outside would float there.
    lumen = tissue.classes.number("lumen")
    came, went = (class_at(wide, each.centres / cell_um + around) == lumen for each in (joined.layout, settled))
    kept = came | ~went | (lumen == UNKNOWN)
    return Layout(**{name: values[kept] for name, values in vars(settled).items()}), cells


def _changed(own: ClassNuclei, statistics: PolygonMasks) -> ClassNuclei:
    """Change the nuclei of a class as a user has changed the fields of the statistics."""
    return own.model_copy(update={"nuclei": adjusted(own.nuclei, statistics)}) if statistics.tissues else own


def _turned(
    random: np.random.Generator,
    scattered: Scattered,
    along: float,
    cells: NDArray[np.uint8],
    places: NDArray[np.float64],
) -> Scattered:
    """Turn the nuclei beside a border along it, or across where `along` is negative."""
    angle, slope = border_directions(cells, places)
    chance = random.standard_normal((2, len(places)))
    force = pull(abs(along)) * np.sign(along)
    turned = np.arctan2(force * np.sin(2 * angle) + chance[0], force * np.cos(2 * angle) + chance[1]) / 2
    beside = (slope > BORDER) & (along != 0)
    layout = replace(scattered.layout, angle=np.where(beside, turned, scattered.layout.angle))
    return replace(scattered, layout=layout)


def _only(scattered: Scattered, kept: NDArray[np.bool_]) -> Scattered:
    layout = Layout(**{name: values[kept] for name, values in vars(scattered.layout).items()})
    return Scattered(layout, scattered.goal[kept], scattered.touch[kept], scattered.small)


def _joined(parts: list[Scattered]) -> Scattered:
    names = vars(parts[0].layout)
    layout = Layout(**{name: np.concatenate([getattr(part.layout, name) for part in parts]) for name in names})
    counts = np.array([len(part.goal) for part in parts])
    return Scattered(
        layout,
        np.concatenate([part.goal for part in parts]),
        np.concatenate([part.touch for part in parts]),
        float(np.average([part.small for part in parts], weights=counts)) if counts.sum() else 0.0,
    )
