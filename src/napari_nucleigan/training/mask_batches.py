"""Where a synthesizer's training takes the masks from that it paints: polygons, label images, or the data's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.base.events import Progress
from napari_nucleigan.data.images.files import read_labels, read_mpp
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.masks.polygons import (
    PRESETS,
    PolygonMasks,
    fit,
    is_statistics,
    label_files,
    open_statistics,
    preset,
    sample,
)
from napari_nucleigan.training.images import rescaled_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.training.images import TrainingImage
    from napari_nucleigan.training.recipes import SynthesizerRecipe

_OWN = ("fit", "labels")


class MaskBatches:
    """Draws fields of masks; the same ones for the same seed and step.

    Parameters
    ----------
    masks : mapping of str to PolygonMasks or sequence of (H, W) int arrays
        Statistics to draw polygons from, or label images to cut from, by the image that they suit. An image that is
        not there gets those of any other.
    recipe : SynthesizerRecipe
        Size, scale, encoding and seed.
    """

    def __init__(
        self, masks: Mapping[str, PolygonMasks | Sequence[NDArray[np.integer]]], recipe: SynthesizerRecipe
    ) -> None:
        self._masks = masks
        self._recipe = recipe

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
        side = size or self._recipe.patch
        return [
            self._one(image, np.random.default_rng([self._recipe.seed, step, i, 77]), side)
            for i, image in enumerate(images, first)
        ]

    def fields(self, step: int, images: Sequence[str], first: int = 0) -> torch.Tensor:
        """Draw masks as `draw` does, as a (N, 3, H, W) float32 tensor of fields in [-1, 1]."""
        drawn = self.draw(step, images, first=first)
        return torch.from_numpy(np.stack([encode(labels, self._recipe.encoding) for labels in drawn]))

    def _one(self, image: str, random: np.random.Generator, side: int) -> NDArray[np.int32]:
        names = sorted(self._masks)
        masks = self._masks[image if image in self._masks else names[int(random.integers(len(names)))]]
        if isinstance(masks, PolygonMasks):
            return sample(masks, (side, side), self._recipe.mpp, int(random.integers(2**31)))
        labels = masks[int(random.integers(len(masks)))]
        labels = np.pad(labels, [(0, max(0, side - length)) for length in labels.shape])
        top, left = (int(random.integers(length - side + 1)) for length in labels.shape)
        labels = np.rot90(labels[top : top + side, left : left + side], int(random.integers(4)))
        return np.ascontiguousarray(labels[::-1] if random.random() < 0.5 else labels).astype(np.int32)


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
        read_labels(label_files(path)[0])


def open_masks(recipe: SynthesizerRecipe, tiles: Sequence[TrainingImage]) -> Job[MaskBatches]:
    """Open what the recipe calls its masks.

    Parameters
    ----------
    recipe : SynthesizerRecipe
        Its field `masks` says what.
    tiles : sequence of TrainingImage
        Training tiles.

    Raises
    ------
    RecipeError, LabelsError
        As `check_masks`; or if masks are to be like those of the tiles, and none has nuclei, or a label image is
        damaged.
    """
    if recipe.masks == "labels":
        return MaskBatches({tile.name: [tile.labels] for tile in tiles}, recipe)
    if recipe.masks == "fit":
        return MaskBatches((yield from _fits(tiles, recipe.mpp)), recipe)
    if recipe.masks in PRESETS:
        return MaskBatches({recipe.masks: preset(recipe.masks)}, recipe)
    path = _there(recipe.masks)
    if is_statistics(path):
        return MaskBatches({"all": open_statistics(path)}, recipe)
    files, masks = label_files(path), []
    for number, file in enumerate(files):
        yield Progress(number, len(files), "reading masks")
        masks.append(_read(file, recipe.mpp))
    return MaskBatches({"all": masks}, recipe)


def _fits(tiles: Sequence[TrainingImage], mpp: float) -> Job[dict[str, PolygonMasks | Sequence[NDArray[np.integer]]]]:
    """Fit each tile alone, since a discriminator soon learns which nuclei go with which colours."""
    found: dict[str, PolygonMasks | Sequence[NDArray[np.integer]]] = {}
    for number, tile in enumerate(tiles):
        yield Progress(number, len(tiles), "fitting masks")
        try:
            found[tile.name] = fit([tile.labels], mpp)
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


def _read(path: Path, mpp: float) -> NDArray[np.int32]:
    return rescaled_labels(read_labels(path), (read_mpp(path) or mpp) / mpp)
