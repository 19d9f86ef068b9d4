"""Training crops: cut, turned, scaled and restained at random, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from napari_nucleigan.stains import RUIFROK

TRIES = 8
"""Windows that are drawn at most until one shows enough of what is known."""

LEAST_KNOWN = 0.25
"""Share of a crop that should be known."""

_FIELD = torch.tensor([False, False, False, True, True, True])[:, None, None]


@dataclass(frozen=True)
class Jitter:
    """How much crops vary.

    Attributes
    ----------
    zoom : tuple of float
        Smallest and largest magnification. The paper's "resize to 286, crop 256" is 286 / 256 for both.
    turns : bool
        Whether crops are turned by quarter turns and mirrored.
    rotation : float
        Largest further rotation in degrees, either way.
    stain : float
        Standard deviation of the logarithm of each stain's strength.
    hue : float
        Standard deviation of the components of the stain vectors, and of the logarithm of the gain of
        each colour channel's optical density.
    light : float
        Standard deviation of the brightness, as a share of the white point.
    blur : float
        Largest standard deviation of a Gaussian blur in pixels; half of the crops get one.
    noise : float
        Largest standard deviation of pixel noise, as a share of the white point; half of the crops get it.
    """

    zoom: tuple[float, float] = (1.0, 1.0)
    turns: bool = True
    rotation: float = 0.0
    stain: float = 0.0
    hue: float = 0.0
    light: float = 0.0
    blur: float = 0.0
    noise: float = 0.0


class PatchSampler:
    """Draws pairs of crops from images and their fields.

    A batch is a pure function of the seed and the step, so a resumed run sees what it would have seen.

    Parameters
    ----------
    images : sequence of (H, W, 3) uint8 arrays
        H&E images.
    fields : sequence of (3, H, W) float arrays
        Their fields of the mask domain, in [-1, 1].
    stains : sequence of (2, 3) arrays
        Haematoxylin and eosin vectors of each image, for the stain jitter.
    size : int
        Side of the crops in pixels. Smaller images are continued by reflection.
    jitter : Jitter
        How much the crops vary.
    seed : int
        Seed of everything.
    known : sequence of (H, W) bool arrays or None, optional
        Where each image's field is known; None for everywhere. In the crops, it is NaN elsewhere.
    classes : sequence of (H, W) uint8 arrays, optional
        Number of a class for each pixel of the images, such as its tissue, for `styled_batch`.
    cell : int
        Side in pixels of the cells of crops that have one class each; a divisor of `size`.
    """

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]],
        fields: Sequence[NDArray[np.floating]],
        stains: Sequence[NDArray[np.floating]],
        size: int = 256,
        jitter: Jitter | None = None,
        seed: int = 0,
        known: Sequence[NDArray[np.bool_] | None] | None = None,
        classes: Sequence[NDArray[np.uint8]] | None = None,
        cell: int = 16,
    ) -> None:
        self._cell = cell if classes is not None else 0
        nothing: list[None] = [None] * len(images)
        self._pairs = [
            torch.from_numpy(
                np.concatenate(
                    [
                        np.moveaxis(image, -1, 0),
                        np.rint((field + 1) * 127.5).astype(np.uint8),
                        *(() if where is None else (where[None] * np.uint8(255),)),
                        *(() if numbers is None else (numbers[None],)),
                    ]
                )
            )
            for image, field, where, numbers in zip(images, fields, known or nothing, classes or nothing, strict=True)
        ]
        # Vectors that are nearly parallel cannot be told apart; typical ones take their place.
        self._stains = [_with_residual(matrix if _apart(np.asarray(matrix)) else RUIFROK) for matrix in stains]
        self._size = size
        self._jitter = jitter or Jitter()
        self._seed = seed

    @property
    def crops_per_epoch(self) -> int:
        """How many crops fit side by side into the images."""
        return sum(-(-pair.shape[1] // self._size) * -(-pair.shape[2] // self._size) for pair in self._pairs)

    def batch(self, step: int, count: int, first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the batch of a step, or a part of it.

        Parameters
        ----------
        step : int
            Which batch.
        count : int
            Crops to draw.
        first : int
            Number in the batch of the first of them.

        Returns
        -------
        images, fields : (count, 3, size, size) float32 tensors
            Both in [-1, 1]; `fields` are NaN where they are not known.
        """
        crops = [self.crop(np.random.default_rng([self._seed, step, i])) for i in range(first, first + count)]
        both = torch.stack(crops)
        return both[:, :3].contiguous(), both[:, 3:].contiguous()

    def styled_batch(
        self, step: int, count: int, first: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[int], torch.Tensor | None]:
        """Draw the batch of a step, and beside each crop another one of the same image and stain.

        Parameters
        ----------
        step : int
            Number of the step.
        count : int
            Crops to draw.
        first : int
            Number in the batch of the first of them.

        Returns
        -------
        images, fields, others : (count, 3, size, size) float32 tensors
            In [-1, 1], `fields` NaN where they are not known; `others` shows the style of `images` without their
            content.
        indices : list of int
            Image of each crop.
        classes : (count, 1, size, size) float32 tensor or None
            Number of the class of each pixel of `images`, alike in all pixels of a cell; None without classes.
        """
        crops, others, indices, classes = [], [], [], []
        for i in range(first, first + count):
            random = np.random.default_rng([self._seed, step, i])
            index = int(random.integers(len(self._pairs)))
            pair = self._pairs[index]
            crop = self._draw(pair, random, bool(self._cell))
            if self._cell:
                classes.append(self._cells(crop))
                crop, pair = crop[:-1], pair[:-1]
            other = self._warp(pair, random)
            # One above the other, both get the same stain.
            both = torch.cat([crop[:3], other[:3]], dim=1)
            crop[:3], restained = self._restain(both, self._stains[index], random).chunk(2, dim=1)
            crops.append(_only_known(crop.mul_(2.0).sub_(1.0)))
            others.append(restained * 2.0 - 1.0)
            indices.append(index)
        stacked = torch.stack(crops)
        images, fields = stacked[:, :3].contiguous(), stacked[:, 3:].contiguous()
        return images, fields, torch.stack(others), indices, torch.stack(classes) if classes else None

    def crop(self, random: np.random.Generator) -> torch.Tensor:
        """Draw one crop, (6, size, size) float32 in [-1, 1]: three channels of the image, three of its field."""
        index = int(random.integers(len(self._pairs)))
        pair = self._pairs[index]
        if self._cell:
            pair = pair[:-1]
        crop = self._draw(pair, random)
        crop[:3] = self._restain(crop[:3], self._stains[index], random)
        return _only_known(crop.mul_(2.0).sub_(1.0))

    def _draw(self, pair: torch.Tensor, random: np.random.Generator, classes: bool = False) -> torch.Tensor:
        """Draw a window that shows enough of what is known, where the pair says what is."""
        crop = self._warp(pair, random, classes)
        for _ in range(TRIES if len(pair) - classes > 6 else 0):
            if float(crop[6].mean()) >= LEAST_KNOWN:
                break
            crop = self._warp(pair, random, classes)
        return crop

    def _warp(self, pair: torch.Tensor, random: np.random.Generator, classes: bool = False) -> torch.Tensor:
        jitter = self._jitter
        size = self._size
        low, high = jitter.zoom
        zoom = float(np.exp(random.uniform(np.log(low), np.log(high))))
        angle = float(np.deg2rad(random.uniform(-1, 1) * jitter.rotation))
        if jitter.turns:
            angle += float(random.integers(4)) * np.pi / 2
        mirror = -1.0 if jitter.turns and random.random() < 0.5 else 1.0
        # The window is the smallest upright square of the image that holds the turned crop.
        reach = size / zoom * (abs(np.cos(angle)) + abs(np.sin(angle)))
        side = int(np.ceil(reach - 1e-6)) + 2
        window = _window(pair, side, random)
        cos, sin = np.cos(angle) * size / (zoom * side), np.sin(angle) * size / (zoom * side)
        matrix = torch.tensor([[[mirror * cos, -sin, 0.0], [mirror * sin, cos, 0.0]]])
        grid = functional.affine_grid(matrix.float(), [1, pair.shape[0], size, size], align_corners=False)
        sampled = functional.grid_sample(
            window[None].float(),
            grid,
            mode="bilinear",
            padding_mode="reflection",
            align_corners=False,
        )
        warped = sampled[0].div_(255.0)
        if classes:
            # Between two classes there is no third one.
            nearest = functional.grid_sample(
                window[None, -1:].float(), grid, mode="nearest", padding_mode="reflection", align_corners=False
            )
            warped[-1] = nearest[0, 0]
        return warped

    def _cells(self, warped: torch.Tensor) -> torch.Tensor:
        """Give all pixels of a cell, of a warped crop whose last channel has the classes, that of the cell's centre."""
        half = self._cell // 2
        centres = warped[-1:, half :: self._cell, half :: self._cell]
        return centres.repeat_interleave(self._cell, 1).repeat_interleave(self._cell, 2)

    def _restain(self, crop: torch.Tensor, stains: NDArray[np.float64], random: np.random.Generator) -> torch.Tensor:
        jitter = self._jitter
        if jitter.blur and random.random() < 0.5:
            crop = _blur(crop, float(random.uniform(0.1, jitter.blur)))
        if jitter.stain or jitter.hue:
            # Half of the crops take the stain vectors of another image, jittered like all of them.
            other = self._stains[int(random.integers(len(self._stains)))]
            target = (stains if random.random() < 0.5 else other)[:2]
            vectors = np.clip(target + random.normal(0, jitter.hue, (2, 3)), 0.01, None)
            strength = np.append(np.exp(random.normal(0, jitter.stain, 2)), 1.0)
            gains = np.exp(random.normal(0, jitter.hue, 3))
            # Unmix, change the strengths, mix again: three steps in one matrix of optical densities.
            mixed_by = strength[:, None] * _with_residual(vectors) * gains
            matrix = np.linalg.solve(stains, mixed_by)
            density = -torch.log(crop.clamp_min(1 / 255.0))
            mixed = torch.from_numpy(matrix.T.astype(np.float32)) @ density.flatten(1)
            crop = torch.exp(-mixed).view_as(crop)
        if jitter.light:
            crop = crop * float(1 + random.normal(0, jitter.light))
        if jitter.noise and random.random() < 0.5:
            deviation = float(random.uniform(0, jitter.noise))
            noise = random.standard_normal(crop.shape, dtype=np.float32)
            crop = crop + deviation * torch.from_numpy(noise)
        return crop.clamp(0, 1)


class MixedSampler:
    """Draws crops from real and from synthetic pairs, as deterministic as `PatchSampler`.

    Parameters
    ----------
    real, synthetic : PatchSampler
        Where the crops come from; both of one size.
    share : float
        Probability, in [0, 1], that a crop is synthetic.
    seed : int
        Seed of everything.
    """

    def __init__(self, real: PatchSampler, synthetic: PatchSampler, share: float, seed: int = 0) -> None:
        self._real = real
        self._synthetic = synthetic
        self._share = share
        self._seed = seed

    def batch(self, step: int, count: int, first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the batch of a step, as `PatchSampler.batch` does."""
        crops = []
        for i in range(first, first + count):
            random = np.random.default_rng([self._seed, step, i])
            source = self._synthetic if random.random() < self._share else self._real
            crops.append(source.crop(random))
        both = torch.stack(crops)
        return both[:, :3].contiguous(), both[:, 3:].contiguous()


def _only_known(crop: torch.Tensor) -> torch.Tensor:
    """Take the channel away that tells where the field is known, and make this NaN elsewhere."""
    # Beside the edge of what is known, a pixel is a mixture with what is not.
    return crop if len(crop) == 6 else crop[:6].masked_fill_((crop[6] < 0.99) & _FIELD, torch.nan)


def _window(pair: torch.Tensor, side: int, random: np.random.Generator) -> torch.Tensor:
    height, width = pair.shape[1:]
    for axis, length in ((1, height), (2, width)):
        if length >= side:
            start = int(random.integers(length - side + 1))
            pair = pair.narrow(axis, start, side)
        else:
            # Triangle-wave indices continue a short image by reflection as often as needed.
            shift = int(random.integers(2 * length))
            ramp = (torch.arange(side) + shift) % (2 * length)
            pair = pair.index_select(axis, torch.minimum(ramp, 2 * length - 1 - ramp))
    return pair


def _blur(crop: torch.Tensor, deviation: float) -> torch.Tensor:
    radius = max(1, int(np.ceil(2.5 * deviation)))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = functional.pad(crop[None], (radius, radius, radius, radius), mode="reflect")
    rows = functional.conv2d(padded, kernel[:, :, None, :], groups=3)
    return functional.conv2d(rows, kernel[:, :, :, None], groups=3)[0]


def _apart(stains: NDArray[np.floating]) -> bool:
    cross = np.cross(stains[0], stains[1])
    return float(np.linalg.norm(cross)) > 0.1 * float(np.prod(np.linalg.norm(stains, axis=1)))


def _with_residual(stains: NDArray[np.floating]) -> NDArray[np.float64]:
    # A third vector across the two stains keeps what they do not explain: pigment, folds, blood.
    unit = stains / np.linalg.norm(stains, axis=1, keepdims=True)
    residual = np.cross(unit[0], unit[1])
    return np.concatenate([unit, residual[None] / max(np.linalg.norm(residual), 1e-9)])
