"""Artefacts of a slide: a coarse map of where it is out of focus, folded, written upon, or has air under the glass.

Each square of the map, about `PIXEL` microns long, is judged by how much light it absorbs and how sharp it is:

blur
    The finest structure that an image in focus shows is as strong as that of twice its size, whatever the tissue and
    the stain. Out of focus it fades first: the map compares both, and asks for less than `SHARP` of it.
fold
    Two layers absorb twice as much as one, in every colour alike: at least `FOLDED` times what the tissue absorbs
    elsewhere, in a band that is longer than wide. Crowded nuclei, blood and muscle darken some colours more.
pen
    Ink absorbs where neither haematoxylin nor eosin does: more red light or more blue light than green, or all colours
    alike; red ink is told from blood by its smoothness.
air
    The rim of a bubble is a thin grey line that closes: all that it encloses is marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.segmentation.coarse import averaged, level_of
from napari_nucleigan.segmentation.surround import black_surround

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.data.slides import Slide

    Floats = NDArray[np.float32]
    Bools = NDArray[np.bool_]

ARTEFACT = "artefact"
"""Column of a table of nuclei that names the artefact each lies in; an empty text where it lies in none."""

KINDS = ("blur", "fold", "pen", "air")
"""Artefacts; the map holds 1 for the first, and 0 where there is none."""

WORDS = dict(zip(KINDS, ("out of focus", "folded", "under pen", "under air"), strict=True))
"""What is said of tissue in each."""

PIXEL = 16.0
"""Microns that a square of the map is about long."""

SHARP = 0.5
"""Least power of structures of 1.6 microns over that of structures of 3.2 microns of an image in focus."""

FOLDED = 1.4
"""Times that a fold absorbs what the tissue around it absorbs, in each colour."""

_FINE = 1.0  # microns: longest pixel in which focus is judged by what is left of its sharpness
_COARSEST = 1.3  # microns: of coarser pixels it is not judged
_SIGMAS = 0.8, 1.6, 3.2  # microns, of Gaussians whose differences are the structures that are compared
_FLAT = 3e-6  # power below which there is nothing whose sharpness could be judged
_LEAST = 1e-9
_AROUND = 5  # squares a side, over which sharpness is averaged
_ALIKE = 1.2  # between what a fold adds to the colour that gains most and least
_LONG, _WIDEST = 3.0, 320.0  # times that a fold is longer than wide, and the microns that it is wide at most
_BLOCK = 64  # squares a side that are read at once
_GLASS = np.log(255 / 200)  # absorbed at most by empty glass
_TISSUE = 0.2  # optical density (natural logarithm) of the strongest colour from which a square shows tissue
_STROKES = 0.5  # share of a picture that strokes of a pen cover at most
_PARTS = 4  # parts of a square's side, the brightest of which is its floor


@dataclass(frozen=True, eq=False)
class ArtefactMap:
    """Where an image or a slide has artefacts.

    Attributes
    ----------
    kinds : ndarray of uint8, shape (h, w)
        0, or the place of its artefact in `KINDS`, from 1.
    tissue : ndarray of bool, shape (h, w)
        Where something absorbs light.
    square : (float, float)
        Height and width of a square of the map in pixels of the image; the first begins where the image does.
    """

    kinds: NDArray[np.uint8]
    tissue: NDArray[np.bool_]
    square: tuple[float, float]

    def shares(self) -> dict[str, float]:
        """Return the share of the tissue that lies in each kind of artefact, of those that there are."""
        count = np.bincount(self.kinds[self.tissue], minlength=len(KINDS) + 1)[1:].tolist()
        return {kind: many / int(self.tissue.sum()) for kind, many in zip(KINDS, count, strict=True) if many}

    def named(self, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.str_]:
        """Name the artefact at places (n,) in pixels of the image, the middle of the first of which is (0, 0)."""
        y, x = (
            ((np.asarray(place) + 0.5) / length).astype(np.intp).clip(0, most - 1)
            for place, length, most in zip((rows, columns), self.square, self.kinds.shape, strict=True)
        )
        names: NDArray[np.str_] = np.array(["", *KINDS])[self.kinds[y, x]]
        return names

    def column(self, table: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.str_]]:
        """Return the column `ARTEFACT` for nuclei, from the centroids that their table has."""
        return {ARTEFACT: self.named(table["centroid_y_px"], table["centroid_x_px"])}

    def note(self) -> str:
        """Say how much of the tissue has artefacts; nothing where hardly any has."""
        said = [f"{100 * share:.0f} % is {WORDS[kind]}" for kind, share in self.shares().items() if share >= 0.005]
        if not said:
            return ""
        return f"Of the tissue {', '.join(said)}: the column {ARTEFACT!r} tells which nuclei lie there."


def find_artefacts(
    source: Slide | HEImage, mpp: float, meets: Callable[[float, float, float, float], bool] | None = None
) -> Job[ArtefactMap]:
    """Look over an image or a slide at low resolution, block by block.

    Parameters
    ----------
    source : Slide or HEImage
        Of a slide a level of about 1 micron per pixel is read, or one that is finer.
    mpp : float
        Microns per pixel of the full resolution. If it is above 1.3, focus is not judged.
    meets : callable, optional
        Tells whether a box of pixels (top, bottom, left, right) is worth a look; by default all are.

    Yields
    ------
    Progress

    Returns
    -------
    ArtefactMap

        What cannot be read is taken for empty glass.
    """
    slide = _as_slide(source)
    number = level_of(slide, mpp, _FINE)
    height, width = (int(length) for length in slide.planes[number].shape[:2])
    pixel = slide.downsamples[number] * mpp
    step = max(1, int(_FINE / pixel * 1.01))
    pixel *= step
    side = _PARTS * max(1, round(PIXEL / pixel / _PARTS))
    cell = side * step  # pixels of the level
    shape = -(-height // cell), -(-width // cell)
    square = cell * slide.shape[0] / height, cell * slide.shape[1] / width
    seen = np.full((*shape, 8), np.nan, np.float32)  # where nobody looks
    blocks = [(row, column) for row in range(0, shape[0], _BLOCK) for column in range(0, shape[1], _BLOCK)]
    for done, (row, column) in enumerate(blocks):
        yield Progress(done, len(blocks), "looking for artefacts")
        last, end = min(row + _BLOCK, shape[0]), min(column + _BLOCK, shape[1])
        if meets and not meets(row * square[0], last * square[0], column * square[1], end * square[1]):
            continue
        above, before = min(row, 1), min(column, 1)  # a square more, as what is beside it smoothes into it
        bounds = (row - above) * cell, min((last + 1) * cell, height), (column - before) * cell, (end + 1) * cell
        try:
            pixels = slide.region((*bounds[:3], min(bounds[3], width)), number)
        except ImageError:  # whoever looks for nuclei there will say so
            continue
        part = _values(averaged(pixels, step), pixel, side)
        seen[row:last, column:end] = part[above : above + last - row, before : before + end - column]
    return _judged(seen, square, pixel <= _COARSEST)


def _as_slide(source: Slide | HEImage) -> Slide:
    from napari_nucleigan.data.slides import Slide

    if isinstance(source, Slide):
        return source
    return Slide(source.name, source.path or Path(source.name), (source.pixels,))  # type: ignore[arg-type]


def _values(fine: Floats, pixel: float, side: int) -> Floats:
    """Describe the squares of a block, (H, W, 3), of so many pixels a side.

    Returns
    -------
    ndarray of float32, shape (h, w, 8)
        Optical densities of red, green and blue; those of the brightest part; power of fine structures in green, and of
        those of twice their size.
    """
    density = -np.log(np.maximum(fine, 1) / np.float32(255))
    mean = averaged(density, side // _PARTS)
    spare = [(0, -length % _PARTS) for length in mean.shape[:2]]
    parts = np.pad(mean, (*spare, (0, 0)), mode="edge")
    height, width = (length // _PARTS for length in parts.shape[:2])
    floor = parts.reshape(height, _PARTS, width, _PARTS, 3).min(axis=(1, 3))
    first, second = _structures(density[..., 1], pixel)
    power = np.stack([averaged(first, side), averaged(second, side // 2)], axis=2)
    return np.concatenate([averaged(parts, _PARTS), floor, power], axis=2)


def _structures(green: Floats, pixel: float) -> tuple[Floats, Floats]:
    """Power of structures of 1.6 microns at each pixel, and of those of 3.2 microns at every second one."""
    one, two, three = _SIGMAS
    # Averages over pixels have smoothed already, each as a Gaussian of the same variance does.
    begun = np.sqrt(max(one**2 - pixel**2 / 12, 0.04))
    small = _smooth(green, begun / pixel)
    middle = _smooth(small, np.sqrt(two**2 - one**2) / pixel)
    every = middle[::2, ::2]
    large = _smooth(every, np.sqrt(three**2 - two**2) / (2 * pixel))
    return (small - middle) ** 2, (every - large) ** 2


def _smooth(values: Floats, sigma: float) -> Floats:
    smooth: Floats = ndimage.gaussian_filter(values, sigma, truncate=3, mode="nearest")
    return smooth


def _judged(seen: Floats, square: tuple[float, float], focus: bool) -> ArtefactMap:
    """Tell which squares lie in artefacts; where one lies in several, the last of these counts."""
    known = np.isfinite(seen[..., 0])
    brightest = np.percentile(seen[known, 3:6], 1, axis=0) if known.any() else _GLASS
    glass = np.minimum(brightest, _GLASS).astype(np.float32)
    seen = np.where(known[..., None], seen, np.float32(0))
    mean, floor, fine, coarse = seen[..., :3], seen[..., 3:6], seen[..., 6], seen[..., 7]
    density, floor = np.maximum(mean - glass, 0), np.maximum(floor - glass, 0)
    tissue = density.max(axis=2) > _TISSUE
    black = black_surround(255 * np.exp(-mean), PIXEL)
    if black is not None:
        tissue &= ~black
    ink = _pen(density, coarse, tissue)
    bare = tissue & ~ink
    found = {
        "blur": _blur(fine, coarse, bare) if focus else np.zeros_like(bare),
        "fold": _fold(density, floor, bare),
        "pen": ink,
        "air": _air(density, ink),
    }
    kinds = np.zeros(tissue.shape, np.uint8)
    for number, kind in enumerate(KINDS, start=1):
        kinds[found[kind]] = number
    return ArtefactMap(kinds, tissue | (kinds > 0), square)


def _blur(fine: Floats, coarse: Floats, tissue: Bools) -> Bools:
    # The mean of the logarithms: each square counts alike, however strong what it shows.
    known = tissue & (coarse > _FLAT)
    ratio = np.log(np.maximum(fine, _LEAST) / np.maximum(coarse, _LEAST)) * known
    weight = np.maximum(_around(known.astype(np.float32), _AROUND), _LEAST)
    return _opened(known & (_around(ratio, _AROUND) < np.log(SHARP) * weight))


def _fold(density: Floats, floor: Floats, tissue: Bools) -> Bools:
    if not tissue.any():
        return tissue
    usual = np.maximum(np.median(density[tissue], axis=0), 0.05).astype(np.float32)
    more: Floats = _around(density, 3) / usual
    least = (_around(floor, 3) / usual).min(axis=2)
    alike = more.max(axis=2) < _ALIKE * more.min(axis=2)
    dark: Bools = tissue & (more.min(axis=2) > FOLDED) & (least > 0.4 * FOLDED) & alike
    names, count = ndimage.label(dark, np.ones((3, 3)))
    if not count:
        return dark
    band: Bools = np.concatenate([[False], _is_band(names, count)])[names]
    # The averages have taken its rim off.
    rim = ndimage.binary_dilation(band, np.ones((3, 3))) & ((density / usual).min(axis=2) > 0.85 * FOLDED)
    folded: Bools = band | (rim & tissue)
    return folded


def _is_band(names: NDArray[np.int32], count: int) -> Bools:
    """Tell which of some areas are longer than wide, and no wider than folds are."""
    numbers = np.arange(1, count + 1)
    rows, columns = np.indices(names.shape)

    def mean(values: Any) -> NDArray[np.float64]:
        return np.asarray(ndimage.mean(values, names, numbers))

    area = ndimage.sum_labels(np.ones(names.shape), names, numbers)
    y, x = mean(rows), mean(columns)
    down, across, mixed = mean(rows**2) - y**2, mean(columns**2) - x**2, mean(rows * columns) - x * y
    half, spread = (down + across) / 2, np.hypot((down - across) / 2, mixed)
    straight = np.sqrt((half + spread + 1 / 12) / (half - spread + 1 / 12)) >= _LONG  # of the ellipse of these moments
    width = 2 * ndimage.maximum(ndimage.distance_transform_edt(names > 0), names, numbers)
    band: Bools = (area >= 12) & (width * PIXEL <= _WIDEST) & (straight | (area >= _LONG * width**2))
    return band


def _pen(density: Floats, coarse: Floats, tissue: Bools) -> Bools:
    red, green, blue = density[..., 0], density[..., 1], density[..., 2]
    strongest = density.max(axis=2)
    smooth = _around(coarse, 3) < (0.06 * green) ** 2
    ink = (
        (red > 1.05 * green)
        | (blue > 1.2 * green)
        | (np.minimum(red, blue) > 0.76 * strongest)
        | (smooth & (blue > 0.7 * green) & (red < 0.45 * blue) & (green > 0.6))
    )
    dark = tissue & (strongest > 0.3)
    found = _opened(dark & ink)
    # Where dark tissue lies under it, a stroke goes on with less of its own colour.
    weaker = (red > 0.95 * green) | (blue > 1.1 * green) | (np.minimum(red, blue) > 0.7 * strongest)
    wider: Bools = ndimage.binary_dilation(ndimage.binary_propagation(found, mask=found | (dark & weaker)))
    # What most of a picture has the colour of is its stain, however strange.
    return wider if wider.mean() <= _STROKES else np.zeros_like(wider)


def _air(density: Floats, ink: Bools) -> Bools:
    more = density - ndimage.grey_opening(density, (5, 5, 1), mode="nearest")
    rim: Bools = (more.min(axis=2) > 0.15) & (more.min(axis=2) > 0.6 * more.max(axis=2)) & ~ink
    if not rim.any():
        return rim
    closed = ndimage.binary_closing(np.pad(rim, 2), np.ones((3, 3)))[2:-2, 2:-2]
    inside = ndimage.binary_fill_holes(closed) & ~closed
    names, count = ndimage.label(inside)
    area = ndimage.sum_labels(inside, names, np.arange(1, count + 1)) if count else np.zeros(0)
    bubble = np.concatenate([[False], area >= (100 / PIXEL) ** 2])[names]
    found: Bools = ndimage.binary_dilation(bubble, np.ones((3, 3)), iterations=2) & (bubble | closed)
    return found


def _around(values: Floats, side: int) -> Floats:
    """Average over squares around each."""
    found: Floats = ndimage.uniform_filter(values, (side, side, *[1] * (values.ndim - 2)), mode="nearest")
    return found


def _opened(mask: Bools) -> Bools:
    """Leave out what no square of three a side fits into; beyond the border it goes on as it ends there."""
    opened: Bools = ndimage.binary_opening(np.pad(mask, 1, mode="edge"), np.ones((3, 3)))[1:-1, 1:-1]
    return opened
