"""Paint the bundled sample: a synthetic H&E picture whose nuclei are known, from nothing but random numbers.

Run ``python scripts/make_sample.py`` to make the files of ``src/napari_nucleigan/_sample_data`` anew. No real
image, and no part of one, goes into it: glands, fibres, vessels and nuclei are placed at random, their contents of
haematoxylin and eosin are drawn, and light is sent through them by the law of Beer and Lambert.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_nucleigan.data.images import write_labels
from napari_nucleigan.features import measure
from napari_nucleigan.files import write_bytes, write_text

MPP = 0.25
SEED = 20
SIZE = 1000
FOLDER = Path(__file__).resolve().parents[1] / "src" / "napari_nucleigan" / "_sample_data"

# Optical density of red, green and blue for one unit of each dye; the third is the red of blood cells.
HAEMATOXYLIN = np.array([0.60, 0.70, 0.36], np.float32)
EOSIN = np.array([0.13, 0.81, 0.50], np.float32)
BLOOD = np.array([0.16, 1.02, 0.82], np.float32)
GLASS = np.array([243.0, 241.0, 244.0], np.float32)


@dataclass(frozen=True)
class Kind:
    """What nuclei of one kind look like; lengths in pixels."""

    radius: tuple[float, float]  # geometric mean of the half axes: mean and deviation
    aspect: tuple[float, float]  # long over short axis: lowest and highest
    lobes: float  # unevenness of the outline
    density: tuple[float, float]  # haematoxylin of the body: lowest and highest
    rim: float  # more of it at the border
    clumps: float  # contrast of the chromatin
    nucleolus: float  # chance of one


EPITHELIUM = Kind((12.6, 1.4), (1.05, 1.45), 0.05, (0.40, 1.0), 0.8, 0.75, 0.6)
FIBROBLAST = Kind((8.4, 1.4), (1.8, 5.0), 0.09, (0.8, 1.5), 0.2, 0.45, 0.0)
LYMPHOCYTE = Kind((8.2, 0.9), (1.0, 1.4), 0.045, (1.2, 1.9), 0.2, 0.5, 0.0)


class Tissue:
    """A piece of tissue under construction."""

    def __init__(self, size: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.size = size
        self.y, self.x = np.mgrid[:size, :size].astype(np.float32)
        self.labels = np.zeros((size, size), np.int32)
        self.place_glands()
        self.lay_fibres()
        self.place_vessels()
        self.place_nuclei()

    def noise(self, *scales: float) -> np.ndarray:
        """Smooth noise of mean 0 and deviation 1, of several sizes in pixels with equal parts."""
        total = np.zeros((self.size, self.size), np.float32)
        for scale in scales:
            # Coarse noise is drawn on a coarse grid.
            step = max(1, int(scale / 3))
            few = self.random.standard_normal((self.size // step + 8,) * 2).astype(np.float32)
            few = ndimage.gaussian_filter(few, scale / step)
            layer = (
                ndimage.zoom(few, step, order=1)[: self.size, : self.size]
                if step > 1
                else few[: self.size, : self.size]
            )
            total += layer / layer.std()
        return total / np.float32(len(scales) ** 0.5)

    def place_glands(self) -> None:
        """Glands: bodies of epithelium with a lumen, apart from each other."""
        warp_y, warp_x = 15 * self.noise(60, 25), 15 * self.noise(60, 25)
        self.gland = np.zeros((self.size, self.size), np.int32)
        centres: list[tuple[float, float, float]] = []
        for _ in range(4000):
            radius = self.random.uniform(62, 150) * min(1, self.size / 700)
            y, x = self.random.uniform(-40, self.size + 40, 2)
            if all(np.hypot(y - cy, x - cx) > radius + other + 16 for cy, cx, other in centres):
                centres.append((y, x, radius))
            if len(centres) == 1 + self.size**2 // 62_000:
                break
        for number, (cy, cx, radius) in enumerate(centres, 1):
            angle, aspect = self.random.uniform(0, np.pi), self.random.uniform(1.0, 1.5)
            dy, dx = self.y - cy + warp_y, self.x - cx + warp_x
            along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
            inside = (along / aspect**0.5) ** 2 + (across * aspect**0.5) ** 2 < radius**2
            self.gland[inside & (self.gland == 0)] = number
        near = ndimage.maximum_filter(self.gland, 11) != ndimage.minimum_filter(
            np.where(self.gland == 0, 10**6, self.gland), 11
        )
        self.gland[near & (ndimage.maximum_filter(self.gland, 11) != self.gland)] = 0
        self.depth = ndimage.distance_transform_edt(self.gland > 0).astype(np.float32)
        self.away = ndimage.distance_transform_edt(self.gland == 0).astype(np.float32)
        thickness = 52 + 11 * self.noise(40, 14) + 1.8 * self.noise(5)
        self.into_lumen = self.depth - thickness

    def lay_fibres(self) -> None:
        """Collagen: noise smeared along lines that flow around the glands."""
        # Level lines of a slope, on which glands and noise are hills: an even flow that bends around the glands.
        slope = 0.75 * (0.8 * self.y - 0.6 * self.x)
        hills = 34 * np.exp(-ndimage.gaussian_filter(self.away - self.depth, 9) / 30)
        height = slope + np.minimum(hills, 60) + 20 * self.noise(75) + 2.6 * self.noise(18)
        gy, gx = np.gradient(height)
        length = np.hypot(gy, gx) + 1e-6
        self.along_y, self.along_x = (gx / length).astype(np.float32), (-gy / length).astype(np.float32)
        self.fine = self.smear(self.noise(0.9), 14)
        self.coarse = self.smear(self.noise(3.5), 34)

    def smear(self, field: np.ndarray, reach: int) -> np.ndarray:
        """Mean of a field along the fibres, of deviation 1."""
        total = field.copy()
        for sign in (1, -1):
            y, x = self.y.copy(), self.x.copy()
            for _ in range(reach):
                iy = np.clip(np.rint(y), 0, self.size - 1).astype(np.intp)
                ix = np.clip(np.rint(x), 0, self.size - 1).astype(np.intp)
                y += sign * self.along_y[iy, ix]
                x += sign * self.along_x[iy, ix]
                total += field[iy, ix]
        total -= total.mean()
        return total / total.std()

    def place_vessels(self) -> None:
        """Capillaries in the stroma: slits along the fibres, some with blood."""
        self.vessel = np.zeros((self.size, self.size), np.float32)
        self.blood = np.zeros((self.size, self.size), np.float32)
        for _ in range(self.size**2 // 110_000):
            y, x = self.spot(self.away > 16)
            length, width = self.random.uniform(20, 48), self.random.uniform(6, 11)
            reach = self.ellipse(y, x, length, width, np.arctan2(self.along_y[y, x], self.along_x[y, x]))
            inside = np.clip((1 - reach + 0.10 * self.noise(9)) * width, 0, 1)
            self.vessel = np.maximum(self.vessel, inside)
            for _ in range(self.random.integers(2, 8)):
                cy, cx = self.spot(inside > 0.9)
                cell = self.ellipse(cy, cx, *self.random.uniform(5, 8, 2), self.random.uniform(0, np.pi))
                self.blood = np.maximum(self.blood, np.clip((1.15 - cell) * 4, 0, 1) * inside)

    def spot(self, where: np.ndarray) -> tuple[int, int]:
        """Choose a pixel of a mask at random."""
        found = np.flatnonzero(where)
        return divmod(int(found[self.random.integers(len(found))]), self.size)

    def ellipse(self, y: float, x: float, long: float, short: float, angle: float) -> np.ndarray:
        """Distance from a centre in half axes: 1 on the ellipse."""
        dy, dx = self.y - y, self.x - x
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        return np.hypot(along / long, across / short)

    def place_nuclei(self) -> None:
        """Nuclei of three kinds; the first to come covers those that come later, so some touch."""
        self.chromatin = np.zeros((self.size, self.size), np.float32)
        self.cover = np.zeros((self.size, self.size), np.float32)
        self.centres: list[tuple[float, float]] = []
        self.grain = self.noise(1.0, 2.0)
        dy, dx = np.gradient(ndimage.gaussian_filter(self.depth, 6))
        inwards = np.arctan2(dy, dx)
        along = np.arctan2(self.along_y, self.along_x)
        area = self.size**2 / 1e6
        basal = np.exp(-(((self.depth - 18) / 9) ** 2)) + 0.35 * np.exp(-(((self.depth - 38) / 10) ** 2))
        epithelial = np.where((self.depth > 11) & (self.into_lumen < -9), basal, 0)
        stromal = np.where((self.away > 9) & (self.vessel < 0.05), 1.0, 0) * np.exp(self.coarse * 0.4)
        follicle = np.where((self.away > 8) & (self.vessel < 0.05), np.clip(self.noise(55) - 1.0, 0, None) ** 1.5, 0)
        lining = (ndimage.maximum_filter(self.vessel, 13) > 0.5) & (self.vessel < 0.1) & (self.away > 5)
        self.scatter(EPITHELIUM, epithelial, int(9000 * area), inwards, 0.5, 0.86)
        self.scatter(FIBROBLAST, lining.astype(float), int(60 * area), along, 0.2, 1.1)
        self.scatter(LYMPHOCYTE, follicle, int(260 * area), along, 2.0, 0.98)
        self.scatter(FIBROBLAST, stromal, int(150 * area), along, 0.15, 1.25)
        self.scatter(LYMPHOCYTE, stromal, int(26 * area), along, 2.0, 1.2)

    def scatter(
        self, kind: Kind, chance: np.ndarray, tries: int, angles: np.ndarray, spread: float, room: float
    ) -> None:
        """Throw nuclei at places of a density; those that would lie on others are taken back."""
        cumulative = np.cumsum(chance.ravel())
        if cumulative[-1] <= 0:
            return
        places = np.searchsorted(cumulative, self.random.random(tries) * cumulative[-1], side="right")
        for place in places.tolist():
            y, x = divmod(place, self.size)
            self.add_nucleus(kind, y, x, float(angles[y, x]) + spread * self.random.standard_normal(), room)

    def add_nucleus(self, kind: Kind, y: int, x: int, angle: float, room: float) -> None:
        """Draw one nucleus unless it would cover others."""
        random = self.random
        radius = max(4.5, random.normal(*kind.radius))
        aspect = random.uniform(*kind.aspect)
        waves = random.standard_normal(4) * kind.lobes / np.arange(1, 5) ** 0.5
        phases = random.uniform(0, 2 * np.pi, 4)
        body, rim = random.uniform(*kind.density), kind.rim * random.uniform(0.6, 1.2)
        focus = random.uniform(0.6, 1.1) if random.random() > 0.12 else random.uniform(1.8, 2.6)
        if self.labels[y, x]:
            return
        reach = int(radius * aspect**0.5 * 1.4) + 6
        top, left = max(0, y - reach), max(0, x - reach)
        part = (slice(top, y + reach + 1), slice(left, x + reach + 1))
        dy, dx = self.y[part] - y, self.x[part] - x
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        along, across = along / aspect**0.5, across * aspect**0.5
        turn = np.arctan2(across, along)
        outline = radius * (
            1 + sum(a * np.cos((k + 2) * turn + p) for k, (a, p) in enumerate(zip(waves, phases, strict=True)))
        )
        inward = (outline - np.hypot(along, across)) * np.float32(aspect**-0.25)
        shape = inward > 0
        taken = self.labels[part] > 0
        widened = inward > -radius * (room - 1) if room > 1 else inward > radius * (1 - room) * 1.6
        if (taken & widened).any() or shape.sum() < 30:
            return
        new = shape & ~taken
        pieces, count = ndimage.label(new)
        if count > 1:
            new = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
        self.labels[part][new] = len(self.centres) + 1
        self.centres.append((float(y), float(x)))
        # Dense at the border, clumped within, and blurred as far as it lies out of focus.
        grain = self.grain[part]
        vesicle = np.clip(inward / radius, 0, 1)
        density = body * (1 - 0.5 * rim * vesicle) + rim * np.exp(-(((inward - 1.2) / 1.5) ** 2))
        density = density * (1 + kind.clumps * np.tanh(0.9 * grain) * np.clip(inward / 3, 0, 1))
        if random.random() < kind.nucleolus:
            for _ in range(random.integers(1, 3)):
                oy, ox = random.uniform(-0.4, 0.4, 2) * radius
                spot = np.hypot(dy - oy, dx - ox) / random.uniform(1.6, 2.9)
                density = density + random.uniform(0.4, 1.0) * np.exp(-(spot**3))
        edge = np.clip(inward + 0.5, 0, 1) * (new | (inward < 0.6) & ~taken)
        painted = ndimage.gaussian_filter(np.clip(density, 0.12, None) * edge, focus)
        self.chromatin[part] = np.maximum(self.chromatin[part], painted)
        self.cover[part] = np.maximum(self.cover[part], ndimage.gaussian_filter(edge, focus))

    def stain(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Amounts of haematoxylin, eosin and blood in each pixel."""
        within = np.clip(self.depth / 2.0, 0, 1)
        lumen = np.clip(self.into_lumen / 3 + 0.5, 0, 1)
        # Cytoplasm: granular, darker at the base, with faint borders between cells.
        tree = cKDTree(np.array(self.centres or [(0.0, 0.0), (1.0, 1.0)]))
        near, _ = tree.query(np.column_stack([self.y.ravel(), self.x.ravel()]), k=2)
        border = np.exp(-(((near[:, 1] - near[:, 0]) / 1.8) ** 2)).reshape(self.labels.shape).astype(np.float32)
        foam = np.clip(self.noise(2.2, 4) - 0.55, 0, 1.6)
        grain = self.noise(0.9, 1.7, 3.2)
        basal = np.exp(-self.depth / 30)
        patch = self.noise(70)
        cyto_e = 0.53 + 0.07 * patch + 0.15 * grain - 0.24 * foam + 0.10 * border - 0.05 * basal
        cyto_h = 0.22 + 0.06 * patch + 0.10 * grain - 0.11 * foam + 0.10 * basal
        # Collagen: fibres, and gaps between them that let light through.
        bundle = self.noise(60, 25)
        loose = np.clip(self.noise(85) * 0.9 - 0.25, 0, 1)
        mesh = self.noise(1.3, 2.6, 6)
        gap = np.clip(0.6 * self.coarse + 0.3 * self.fine - 1.25 - 0.3 * bundle, 0, 1)
        gap = np.maximum(gap, 0.5 * loose / (1 + np.exp(-1.5 * mesh - 1.2 * self.coarse - self.fine)))
        stroma_e = 0.70 + 0.11 * self.fine + 0.13 * self.coarse + 0.12 * bundle + 0.07 * mesh
        stroma_e = stroma_e * (1 - 0.3 * loose) * (1 - 0.92 * np.minimum(1, 1.6 * gap))
        stroma_h = 0.05 * (1 - loose) + 0.02 * self.fine + 0.03 * bundle + 0.02 * mesh
        # Glands shrink away from the stroma here and there.
        cleft = np.exp(-(((self.away - 3.5) / 2.4) ** 2)) * np.clip(self.noise(40) * 1.3 - 0.5, 0, 1)
        stroma_e *= 1 - 0.9 * cleft
        secretion = np.clip(self.noise(26, 9) - 1.25, 0, 0.6) * 0.5 + 0.015
        eosin = stroma_e * (1 - within) + cyto_e * within
        haematoxylin = stroma_h * (1 - within) * (1 - cleft) + cyto_h * within
        eosin = eosin * (1 - lumen) + secretion * lumen
        haematoxylin = haematoxylin * (1 - lumen) + 0.15 * secretion * lumen
        eosin *= 1 - 0.95 * self.vessel
        haematoxylin *= 1 - 0.95 * self.vessel
        eosin = eosin * (1 - 0.55 * self.cover) + 0.10 * self.cover
        haematoxylin = haematoxylin * (1 - self.cover) + self.chromatin
        return np.clip(haematoxylin, 0, 2.6), np.clip(eosin, 0, 2), 0.95 * self.blood * (1 - self.cover)

    def photograph(self) -> np.ndarray:
        """Send light through the stained tissue, blur it as a lens does, and add the camera's noise."""
        haematoxylin, eosin, blood = self.stain()
        uneven = 1 + 0.06 * self.noise(160)
        density = (
            (haematoxylin * uneven)[..., None] * HAEMATOXYLIN
            + (eosin * uneven)[..., None] * EOSIN
            + blood[..., None] * BLOOD
        )
        light = ndimage.gaussian_filter(np.exp(-density), (0.7, 0.7, 0))
        # Slide scanners sharpen.
        light = (light + 0.5 * (light - ndimage.gaussian_filter(light, (1.6, 1.6, 0)))) * GLASS
        light += self.random.standard_normal(light.shape).astype(np.float32) * 1.6
        return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def make(size: int = SIZE, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """Make a picture and its labels.

    Parameters
    ----------
    size : int
        Height and width in pixels.
    seed : int
        The same seed gives the same picture.

    Returns
    -------
    rgb : ndarray of uint8, shape (size, size, 3)
    labels : ndarray of int32, shape (size, size)
    """
    tissue = Tissue(size, seed)
    return tissue.photograph(), tissue.labels


def png(rgb: np.ndarray, mpp: float) -> bytes:
    """Encode a picture with its resolution, in a chunk of pixels per metre behind the header of 33 bytes."""
    data = imagecodecs.png_encode(rgb, level=9)
    density = round(1e6 / mpp)
    chunk = b"pHYs" + struct.pack(">IIB", density, density, 1)
    return data[:33] + struct.pack(">I", 9) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


def main() -> None:
    rgb, labels = make()
    count = len(measure(labels)["label"])
    write_bytes(FOLDER / "synthetic_he.png", png(rgb, MPP))
    write_labels(FOLDER / "synthetic_he_labels.tif", labels, MPP)
    about = {
        "title": "Synthetic H&E with true labels",
        "made_by": "scripts/make_sample.py: painted from random numbers, not from a real section",
        "seed": SEED,
        "mpp": MPP,
        "nuclei": count,
        "licence": "BSD-3-Clause",
    }
    write_text(FOLDER / "synthetic_he.json", json.dumps(about, indent=2) + "\n")
    print(f"{count} nuclei, {(FOLDER / 'synthetic_he.png').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
