"""Networks that paint what the image itself says, so that the truth of every pixel is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_nucleigan.data.images.files import HEImage, write_image
from napari_nucleigan.masks.encoding import decode, encode
from napari_nucleigan.models import Model, ModelCard
from napari_nucleigan.networks.generators import Generator

if TYPE_CHECKING:
    from numpy.typing import NDArray


# The contours are shown inverted: else the background would be black, which is no tissue.
SIGNS = torch.tensor([1.0, -1.0, 1.0]).view(3, 1, 1)


class Oracle(Generator):
    """Returns what its input shows: an image of an encoded field is its own answer."""

    stride = 32
    halo = 128

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * SIGNS


class Noisy(Oracle):
    """Adds noise that depends on the whole window, as rounding does; ten times that of bfloat16."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        random = torch.Generator().manual_seed(int(images.double().sum().abs() * 1000) % 2**31)
        return super().forward(images) + 0.04 * (2 * torch.rand(images.shape, generator=random) - 1)


class Contextual(Oracle):
    """Looks around: a blur that meets zeros at the window's edge, on the grid of its stride."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        functional = torch.nn.functional
        images = super().forward(images)
        near = functional.avg_pool2d(images, 5, stride=1, padding=2)
        far = functional.interpolate(functional.avg_pool2d(images, 32), scale_factor=32, mode="bilinear")
        return 0.8 * images + 0.15 * near + 0.05 * far


def model(network: Generator | None = None, **card: object) -> Model:
    """Wrap a network up as a loaded model at 0.25 microns per pixel."""
    values = {"name": "oracle", "kind": "segmenter", "architecture": {}, "mpp": 0.25, **card}
    network = network if network is not None else Oracle()
    return Model(ModelCard.model_validate(values), Path("oracle"), network.eval())


def picture(labels: NDArray[np.int32], mpp: float | None = 0.25) -> HEImage:
    """Make an image that shows the encoded field of labels."""
    field = np.rint((np.moveaxis(encode(labels) * SIGNS.numpy(), 0, -1) + 1) * 127.5)
    return HEImage(np.ascontiguousarray(field.astype(np.uint8)), mpp, "picture")


def save_picture(path: Path, seed: int = 0, shape: tuple[int, int] = (100, 120)) -> NDArray[np.int32]:
    """Write an image that shows the encoded field of scattered nuclei, and return what is to be found in it."""
    labels = scatter(shape, seed=seed)
    write_image(path, picture(labels).pixels)
    return decode(encode(labels))


def scatter(shape: tuple[int, int], spacing: int = 24, seed: int = 0, touching: bool = True) -> NDArray[np.int32]:
    """Scatter ellipses of 4 to 11 pixels radius around the points of a grid.

    Later ones lie over earlier ones; what is left of a nucleus may be in parts, of which the
    largest is kept. Where `touching` is not wanted they are smaller and keep to their squares.
    """
    from scipy import ndimage

    random = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    largest, margin = (11, 0.0) if touching else (7, 8.0)
    name = 0
    for top in range(0, shape[0], spacing):
        for left in range(0, shape[1], spacing):
            row, column = np.array([top, left]) + random.uniform(margin, spacing - margin, 2)
            radii = random.uniform(4, largest, 2)
            angle = random.uniform(0, np.pi)
            low = np.maximum(0, np.floor([row - 12, column - 12])).astype(int)
            rows, columns = np.ogrid[low[0] : min(shape[0], int(row) + 13), low[1] : min(shape[1], int(column) + 13)]
            along = (rows - row) * np.cos(angle) + (columns - column) * np.sin(angle)
            across = (columns - column) * np.cos(angle) - (rows - row) * np.sin(angle)
            inside = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1
            name += 1
            view = labels[low[0] : low[0] + inside.shape[0], low[1] : low[1] + inside.shape[1]]
            view[inside] = name
    clean = np.zeros_like(labels)
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        parts, count = ndimage.label(labels[box] == index)
        sizes = np.bincount(parts.ravel())[1:]
        if count and sizes.max() >= 12:
            clean[box][parts == sizes.argmax() + 1] = index
    return clean


def alike(first: NDArray[np.int32], second: NDArray[np.int32], pixels: int = 0) -> bool:
    """Tell whether two label images show the same nuclei under whatever numbers.

    Each nucleus may differ by a few `pixels`; none may be lost, doubled or merged.
    """
    if first.shape != second.shape or first.max() != second.max():
        return False
    if not np.array_equal(first > 0, second > 0):
        return False
    one, other, common = overlapping(first, second)
    best = np.zeros(int(first.max()) + 1, int)
    np.maximum.at(best, one, common)
    partner = np.zeros_like(best)
    hits = common == best[one]
    partner[one[hits]] = other[hits]
    if np.unique(partner).size != partner.size:
        return False
    areas = np.bincount(first.ravel())
    return bool((areas[1:] - best[1:] <= pixels).all())


def overlapping(
    first: NDArray[np.int32], second: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """List the pairs of nuclei that overlap, and the pixels that they share."""
    inside = (first > 0) & (second > 0)
    base = int(second.max(initial=0)) + 1
    keys, common = np.unique(first[inside].astype(np.int64) * base + second[inside], return_counts=True)
    return keys // base, keys % base, common


def f1(truth: NDArray[np.int32], found: NDArray[np.int32], least: float) -> float:
    """F1 of the nuclei that match with an intersection over union of at least `least`."""
    one, other, common = overlapping(truth, found)
    first, second = np.bincount(truth.ravel()), np.bincount(found.ravel())
    hits = (common / (first[one] + second[other] - common) >= least).sum()
    return float(2 * hits / (np.count_nonzero(first[1:]) + np.count_nonzero(second[1:])))
