"""Training images: which train and which validate, at the recipe's scale and stain, and batches ahead of their time."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from skimage.transform import resize

from napari_nucleigan import stains
from napari_nucleigan.base.devices import computes_bfloat16
from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.events import Note, Progress
from napari_nucleigan.base.text import printable
from napari_nucleigan.data.datasets.patches import Jitter, PatchSampler
from napari_nucleigan.labels.numbering import remarks_on
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.tiling import TOLERANCE, plan_tiles, resize_labels
from napari_nucleigan.tissue.record import CELL
from napari_nucleigan.training.recipes import SegmenterRecipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.data.datasets.dataset import Dataset
    from napari_nucleigan.training.recipes import Recipe

_Batch = TypeVar("_Batch")

PART = 1024
"""Largest side, in pixels, of what a network is shown at once while it trains; larger images are seen in parts."""

AHEAD = 3
"""Batches that are made, or being made, before they are asked for."""


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """One image of a data set, as the networks see it.

    Attributes
    ----------
    name, organ : str
        As in the data set.
    pixels : (H, W, 3) uint8 array
        H&E at the recipe's microns per pixel and stain.
    labels : (H, W) int32 array
        Its nuclei; all 0 where the image has no labels.
    known : (H, W) bool array or None
        Where these are known to be right; None for everywhere.
    """

    name: str
    organ: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]
    known: NDArray[np.bool_] | None = None

    def certain(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return labels of the image with background wherever the true ones are not known."""
        return labels if self.known is None else np.where(self.known, labels, 0)


def split(dataset: Dataset, recipe: Recipe) -> tuple[Dataset, Dataset]:
    """Return the images to train on and those to validate on.

    Raises
    ------
    DatasetError
        If there is nothing to train on.
    """
    training, validation = dataset.part("train", "to train on"), dataset.subset("val")
    if len(validation):
        return training, validation
    return training.hold_out(recipe.validation, recipe.seed)


def prepare(dataset: Dataset, name: str, recipe: Recipe) -> TrainingImage:
    """Read an image and its labels, and bring them to the recipe's scale and stain."""
    if dataset.has_labels(name):
        image, labels = dataset.pair(name)
    else:
        image = dataset.image(name)
        labels = np.zeros(image.pixels.shape[:2], dtype=np.int32)
    pixels = image.pixels
    zoom = (image.mpp or recipe.mpp) / recipe.mpp
    labels = rescaled_labels(labels, zoom)
    known = dataset.regions(name)
    if known is not None and known.shape != image.pixels.shape[:2]:
        raise DatasetError(
            f"In {dataset.folder}, image and regions of {name!r} differ in size: {image.pixels.shape[:2]} and "
            f"{known.shape}."
        )
    if known is not None:
        known = rescaled_labels(known.astype(np.int32), zoom) > 0
    if pixels.shape[:2] != labels.shape:
        pixels = resize(pixels, labels.shape, order=1, anti_aliasing=zoom < 1, preserve_range=True)
        pixels = np.rint(pixels).astype(np.uint8)
    if recipe.normalize != "none":
        pixels = stains.normalize(pixels, stain_reference(recipe), stains.fit(pixels, recipe.normalize))
    return TrainingImage(name, dataset.organs[name], pixels, labels, known)


def prepare_all(dataset: Dataset, recipe: Recipe) -> Job[list[TrainingImage]]:
    """Prepare the images of a data set; a stop waits for the present one at most."""
    tiles = []
    for number, name in enumerate(dataset.names):
        yield Progress(number, len(dataset), "preparing images")
        tiles.append(prepare(dataset, name, recipe))
        for remark in remarks_on(tiles[-1].labels):
            yield Note(f"In the labels of {printable(name)}, {remark}", "warning")
    return tiles


def rescaled_labels(labels: NDArray[np.int32], zoom: float) -> NDArray[np.int32]:
    """Make a label image larger or smaller by the nearest pixel; by less than 5 %, leave it as it is."""
    if abs(zoom - 1) <= TOLERANCE:
        return labels
    height, width = (max(1, round(length * zoom)) for length in labels.shape)
    return resize_labels(labels, (height, width))


def sampler(
    tiles: Sequence[TrainingImage],
    recipe: Recipe,
    tissues: Sequence[NDArray[np.uint8]] | None = None,
) -> Job[PatchSampler]:
    """Make the sampler that cuts crops from the tiles as the recipe says, with the tissue of their pixels if given."""
    fields, matrices = [], []
    for number, tile in enumerate(tiles):
        yield Progress(number, len(tiles), "preparing crops")
        fields.append(encode(tile.labels, recipe.encoding))
        matrices.append(stains.fit(tile.pixels).matrix)
    jitter = Jitter(recipe.zoom, recipe.turns, recipe.rotation, recipe.stain, recipe.hue, recipe.light)
    # What paints learns whole images as they are; what segments learns pixel by pixel, and to bear with bad pictures.
    if isinstance(recipe, SegmenterRecipe):
        jitter = replace(jitter, blur=recipe.blur, noise=recipe.noise)
    images, known = [tile.pixels for tile in tiles], [tile.known for tile in tiles]
    return PatchSampler(images, fields, matrices, recipe.patch, jitter, recipe.seed, known, tissues, CELL)


def in_parts(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    pixels: NDArray[np.uint8],
    halo: int,
    stride: int,
    progress: Progress,
) -> Job[NDArray[np.float32]]:
    """Predict the field of an image; of a large one in parts, which take no more memory and can be stopped between.

    Parameters
    ----------
    predict : callable
        Maps an (H, W, 3) uint8 array to a (3, H, W) float32 array.
    pixels : (H, W, 3) uint8 array
        The image.
    halo : int
        Pixels around a part that are seen with it.
    stride : int
        Alignment of the parts in pixels.
    progress : Progress
        Yielded before each part.

    Returns
    -------
    (3, H, W) float32 array
        The field.
    """
    field = np.empty((3, *pixels.shape[:2]), np.float32)
    for tile in plan_tiles(pixels.shape[:2], PART, halo, stride):
        yield progress
        found = predict(pixels[tile.window.slices])
        field[:, *tile.core.slices] = found[:, *tile.core.within(tile.window)]
    return field


def stain_reference(recipe: Recipe) -> stains.StainFit:
    """Return the stain that the recipe brings images to."""
    return replace(stains.REFERENCE, method=recipe.normalize)


def in_bfloat16(recipe: Recipe, device: str) -> bool:
    """Tell whether the convolutions compute in bfloat16."""
    if recipe.precision == "auto":
        return computes_bfloat16(device)
    return recipe.precision == "bfloat16"


@contextmanager
def prefetched(batches: Callable[[int], _Batch], start: int, stop: int) -> Iterator[Iterator[_Batch]]:
    """Make the next batches in a thread of their own, while the networks compute.

    Parameters
    ----------
    batches : callable
        Maps a step to its batch.
    start, stop : int
        The steps, the last one excluded.

    Yields
    ------
    iterator
        The batches of these steps; what keeps one from being made is raised in its place.
    """
    # Crops are small: one core makes them faster than two that wait for each other.
    with ThreadPoolExecutor(1, "crops", torch.set_num_threads, (1,)) as thread:
        steps = iter(range(start, stop))
        ahead = deque(thread.submit(batches, step) for step in islice(steps, AHEAD))

        def take() -> Iterator[_Batch]:
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(thread.submit(batches, step) for step in islice(steps, 1))
                yield batch

        try:
            yield take()
        finally:
            thread.shutdown(cancel_futures=True)
