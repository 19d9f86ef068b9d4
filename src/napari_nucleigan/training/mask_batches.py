"""Masks that a synthesizer learns to paint: drawn from statistics or cut from labels, with their tissue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.data.datasets.dataset import read_nuclei
from napari_nucleigan.data.images.files import read_mpp
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.masks.polygons import (
    PRESETS,
    PolygonMasks,
    fit,
    fit_tissue,
    is_statistics,
    label_files_to_learn_from,
    open_statistics,
    preset,
    sample_tissue,
)
from napari_nucleigan.tissue.features import spread
from napari_nucleigan.tissue.record import CELL
from napari_nucleigan.training.images import TrainingImage, rescaled_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.tissue.record import TissueClasses
    from napari_nucleigan.training.recipes import SynthesizerRecipe

_OWN = ("fit", "labels")


class MaskWithTissue(NamedTuple):
    """A mask to paint.

    Attributes
    ----------
    labels : (H, W) int32 array
        Its nuclei.
    tissue : (H, W) uint8 array
        Number of the tissue of each pixel, alike in a cell; 0 where it is unknown.
    """

    labels: NDArray[np.int32]
    tissue: NDArray[np.uint8]


class MaskBatches:
    """Draws fields of masks; the same ones for the same seed and step.

    Parameters
    ----------
    masks : mapping of str to PolygonMasks or sequence of (H, W) int arrays
        Statistics to draw polygons from, or label images to cut from, by the image that they suit. An image that is
        not there gets those of any other.
    recipe : SynthesizerRecipe
        Size, scale, encoding and seed.
    maps : mapping of str to (H, W) uint8 array, optional
        Tissue of each pixel of the only label image of some images; the tissue of others is unknown.
    """

    def __init__(
        self,
        masks: Mapping[str, PolygonMasks | Sequence[NDArray[np.integer]]],
        recipe: SynthesizerRecipe,
        maps: Mapping[str, NDArray[np.uint8]] | None = None,
    ) -> None:
        self._masks = masks
        self._recipe = recipe
        self._maps = maps or {}

    def draw(
        self, step: int, images: Sequence[str], size: int | None = None, first: int = 0
    ) -> list[NDArray[np.int32]]:
        """Draw one label image to suit each image.

        Parameters
        ----------
        step : int
            Number of the step.
        images : sequence of str
            Names of the images whose tissue the masks are to be of.
        size : int, optional
            Side in pixels; by default the recipe's patch.
        first : int
            Number in the batch of the first image.

        Returns
        -------
        list of (size, size) int32 arrays
        """
        return [mask.labels for mask in self.masks(step, images, size, first)]

    def masks(self, step: int, images: Sequence[str], size: int | None = None, first: int = 0) -> list[MaskWithTissue]:
        """Draw label images as `draw` does, each with the tissue of its pixels."""
        side = size or self._recipe.patch
        return [
            self._one(image, np.random.default_rng([self._recipe.seed, step, i, 77]), side)
            for i, image in enumerate(images, first)
        ]

    def batch(self, step: int, images: Sequence[str], first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw masks as `draw` does, as fields.

        Returns
        -------
        fields : (N, 3, H, W) float32 tensor
            In [-1, 1].
        tissues : (N, 1, H, W) float32 tensor
            Number of the tissue of each pixel, alike in a cell; 0 where it is unknown.
        """
        drawn = self.masks(step, images, first=first)
        fields = np.stack([encode(mask.labels, self._recipe.encoding) for mask in drawn])
        tissues = np.stack([mask.tissue[None] for mask in drawn]).astype(np.float32)
        return torch.from_numpy(fields), torch.from_numpy(tissues)

    def _one(self, image: str, random: np.random.Generator, side: int) -> MaskWithTissue:
        names = sorted(self._masks)
        image = image if image in self._masks else names[int(random.integers(len(names)))]
        masks = self._masks[image]
        if isinstance(masks, PolygonMasks):
            drawn, cells = sample_tissue(masks, (side, side), self._recipe.mpp, int(random.integers(2**31)))
            # A map of other classes than the network's would tell it nonsense; `open_masks` gives none.
            unknown = np.zeros((side, side), np.uint8)
            return MaskWithTissue(drawn, unknown if cells is None else spread(cells, (side, side)))
        labels = masks[int(random.integers(len(masks)))]
        tissue = self._maps.get(image, np.zeros(labels.shape, np.uint8))
        # What lies beyond a small label image has no nuclei and no tissue that is known.
        both: NDArray[np.int32] = np.stack([labels.astype(np.int32), tissue.astype(np.int32)], -1)
        both = np.pad(both, [*((0, max(0, side - length)) for length in labels.shape), (0, 0)])
        top, left = (int(random.integers(length - side + 1)) for length in both.shape[:2])
        both = np.rot90(both[top : top + side, left : left + side], int(random.integers(4)))
        both = both[::-1] if random.random() < 0.5 else both
        cells = both[CELL // 2 :: CELL, CELL // 2 :: CELL, 1].astype(np.uint8)
        return MaskWithTissue(np.ascontiguousarray(both[..., 0]), spread(cells, (side, side)))


def check_masks(recipe: SynthesizerRecipe, labelled: bool) -> None:
    """Make sure that there is what the recipe calls its masks, before anything is begun.

    Parameters
    ----------
    recipe : SynthesizerRecipe
        Its field `masks` says what.
    labelled : bool
        Whether the training images have labels.

    Raises
    ------
    RecipeError
        If the masks are to come from labels that are not there, or from nothing that is known, or a file does not
        hold statistics.
    LabelsError
        If a folder holds no label images, or its first is none.
    """
    if recipe.masks in _OWN and not labelled:
        raise RecipeError(
            f"The images have no labels, so masks cannot be taken from them (masks = {recipe.masks!r}); give a "
            f"folder of label images or a preset: {', '.join(PRESETS)}."
        )
    if recipe.masks in (*_OWN, *PRESETS):
        return
    path = _there(recipe.masks)
    if is_statistics(path):
        open_statistics(path)
    else:
        read_nuclei(label_files_to_learn_from(path)[0])


def open_masks(
    recipe: SynthesizerRecipe,
    tiles: Sequence[TrainingImage],
    classes: TissueClasses | None = None,
    maps: Mapping[str, NDArray[np.uint8]] | None = None,
) -> Job[MaskBatches]:
    """Open what the recipe calls its masks.

    Parameters
    ----------
    recipe : SynthesizerRecipe
        Its field `masks` says what.
    tiles : sequence of TrainingImage
        Training tiles.
    classes : TissueClasses, optional
        Classes of tissue that the network knows: masks like those of the tiles are laid out tissue first.
    maps : mapping of str to (H, W) uint8 array, optional
        Tissue of each pixel of the tiles, by their names.

    Raises
    ------
    RecipeError, LabelsError
        As `check_masks`; or if masks are to be like those of the tiles, and none has nuclei, or a label image is
        damaged.
    """
    if recipe.masks == "labels":
        return MaskBatches({tile.name: [tile.labels] for tile in tiles}, recipe, maps)
    if recipe.masks == "fit":
        return MaskBatches((yield from _fits(tiles, recipe.mpp, classes)), recipe, maps)
    if recipe.masks in PRESETS:
        return MaskBatches({recipe.masks: preset(recipe.masks)}, recipe)
    path = _there(recipe.masks)
    if is_statistics(path):
        statistics = open_statistics(path)
        if statistics.layout is not None and statistics.layout.classes != classes:
            # Their tissues are others than those that the network knows.
            statistics = statistics.model_copy(update={"layout": None})
        return MaskBatches({"all": statistics}, recipe)
    files, masks = label_files_to_learn_from(path), []
    for number, file in enumerate(files):
        yield Progress(number, len(files), "reading masks")
        masks.append(rescaled_labels(read_nuclei(file), (read_mpp(file) or recipe.mpp) / recipe.mpp))
    return MaskBatches({"all": masks}, recipe)


def _fits(
    tiles: Sequence[TrainingImage], mpp: float, classes: TissueClasses | None
) -> Job[dict[str, PolygonMasks | Sequence[NDArray[np.integer]]]]:
    """Fit each tile alone, since a discriminator soon learns which nuclei go with which colours."""
    found: dict[str, PolygonMasks | Sequence[NDArray[np.integer]]] = {}
    for number, tile in enumerate(tiles):
        yield Progress(number, len(tiles), "fitting masks")
        try:
            if classes is None:
                found[tile.name] = fit([tile.labels], mpp)
            else:
                found[tile.name] = fit_tissue([tile.pixels], [tile.labels], mpp, classes)
        except LabelsError:
            # Of too few nuclei to learn from: the tile's own labels are like it.
            found[tile.name] = [tile.labels]
    if not any(isinstance(masks, PolygonMasks) for masks in found.values()):
        fit([tile.labels for tile in tiles], mpp)
    return found


def _there(masks: str) -> Path:
    path = Path(masks).expanduser()
    if not path.exists():
        raise RecipeError(
            f"masks = {masks!r} is neither a file nor a folder, nor one of {', '.join((*_OWN, *PRESETS))}."
        )
    return path
