"""Statistics of measured nuclei: counts, densities, means and histograms by class, of all or of those in a region."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.labels.polygons import covered_area, inside

if TYPE_CHECKING:
    from napari_nucleigan.labels.classes import Colour
    from napari_nucleigan.labels.features import Table
    from napari_nucleigan.labels.polygons import Points

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Range = tuple[float, float]

MOST_DRAWN = 5_000
"""Nuclei that a scatter plot shows at most: a sample of them where there are more."""

NO_CLASS: Colour = (150, 150, 150)
"""Colour of nuclei without a class."""

_LEAST_BINS, _MOST_BINS = 8, 60
_MOST_KINDS = 20  # different texts of a column that are taken for classes
_UNITS = {
    "_um2": "µm²",
    "_per_mm2": "per mm²",
    "_um": "µm",
    "_px": "pixels",
    "_od": "OD",
}


@dataclass(frozen=True, eq=False)
class MeasuredNuclei:
    """Nuclei of a label image: their measurements, and where they lie.

    Attributes
    ----------
    table : mapping of str to ndarray, shape (n,)
        As from `napari_nucleigan.labels.features.measure`, perhaps with other columns.
    centres : ndarray of float64, shape (n, 2)
        Row and column of the centroids in pixels; the centre of the first pixel is (0, 0).
    shape : (int, int)
        Height and width of the label image in pixels.
    mpp : float or None
        Microns per pixel; None where they are not known.
    searched : tuple of polygons
        Where nuclei were looked for, as corners in pixels; everywhere if empty.
    """

    table: Table
    centres: Floats
    shape: tuple[int, int]
    mpp: float | None = None
    searched: tuple[Points, ...] = ()

    def __len__(self) -> int:
        """Count the nuclei."""
        return len(self.centres)

    @property
    def labels(self) -> npt.NDArray[Any]:
        """The label of each nucleus."""
        return self.table["label"]

    @property
    def diameters(self) -> Floats:
        """Diameter of the disc of the same area as each nucleus, in pixels; 0 where it is not known."""
        name = next((name for name in ("equivalent_diameter_px", "equivalent_diameter_um") if name in self.table), None)
        if name is None:
            return np.zeros(len(self))
        scale = self.mpp if name.endswith("_um") and self.mpp else 1.0
        return np.nan_to_num(self.table[name].astype(np.float64) / scale)

    @cached_property
    def measurements(self) -> dict[str, str]:
        """Columns that hold a measurement, with their names for people; those in microns only, where there are some."""
        numbers = [name for name, column in self.table.items() if column.dtype.kind in "fiu" and name != "label"]
        micron = {re.sub(r"_um2?$", "_px", name) for name in numbers if re.search(r"_um2?$", name)}
        places = [name for name in numbers if name.startswith("centroid_")]
        ordered = [*(name for name in numbers if name not in places), *places]
        return {name: title(name) for name in ordered if name not in micron}

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Columns of few different texts, such as classes."""
        texts = [name for name, column in self.table.items() if column.dtype.kind == "U"]
        return tuple(name for name in texts if 0 < len(np.unique(self.table[name])) <= _MOST_KINDS)

    def values(self, name: str) -> Floats:
        """Return a measurement of all nuclei, with NaN where it is not known or endless."""
        values = self.table[name].astype(np.float64)
        return np.where(np.isfinite(values), values, np.nan)

    def mm2(self, region: Sequence[Points] | None = None) -> float | None:
        """Area of a region, or of all that was searched, in square millimetres; None where the pixels have no size."""
        if self.mpp is None:
            return None
        polygons = self.searched if region is None else region
        whole = region is None and not polygons
        pixels = self.shape[0] * self.shape[1] if whole else covered_area(list(polygons), self.shape)
        return float(pixels * self.mpp**2 / 1e6)

    def within(self, region: Sequence[Points] | None = None) -> npt.NDArray[np.bool_]:
        """Tell which nuclei have their centroid in a region: in at least one of some polygons; None for all."""
        return np.ones(len(self), bool) if region is None else inside(self.centres, list(region))


@dataclass(frozen=True, eq=False)
class Classes:
    """The class of each nucleus.

    Attributes
    ----------
    names : tuple of str
        The classes; one that is empty stands for none.
    colours : tuple of (int, int, int)
        Red, green and blue of each, 0 to 255.
    of : ndarray of int64, shape (n,)
        Place of each nucleus' class among them.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    of: npt.NDArray[np.int64]

    @classmethod
    def none(cls, count: int) -> Classes:
        """Leave nuclei without classes."""
        return cls(("",), (NO_CLASS,), np.zeros(count, np.int64))

    @classmethod
    def named(cls, values: npt.NDArray[Any], colours: Mapping[str, Colour]) -> Classes:
        """Take the classes of nuclei by their names; those that none has are left out.

        Parameters
        ----------
        values : ndarray of str, shape (n,)
            An empty text for no class.
        colours : mapping of str to (int, int, int)
            All classes, in their order.
        """
        names, of = np.unique(np.asarray(values, dtype=str), return_inverse=True)
        order = {name: place for place, name in enumerate(colours)}
        places = sorted(
            range(len(names)), key=lambda place: (order.get(str(names[place]), len(order)), not names[place])
        )
        ordered = tuple(str(names[place]) for place in places)
        rank = np.argsort(np.array(places, np.int64)) if places else np.zeros(0, np.int64)
        return cls(ordered, tuple(colours.get(name, NO_CLASS) for name in ordered), rank[of.ravel()].astype(np.int64))


@dataclass(frozen=True)
class Question:
    """What is to be told of nuclei.

    Attributes
    ----------
    x, y : str, str or None
        Columns of the measurements: of the histogram, or with `y` of the scatter plot.
    region : tuple of polygons or None
        Where the centroids lie, as corners in pixels; None for all nuclei.
    hidden : frozenset of str
        Classes that are counted, but not plotted.
    """

    x: str
    y: str | None = None
    region: tuple[Points, ...] | None = None
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Figures:
    """What is told of the nuclei of a class, or of all.

    Attributes
    ----------
    name : str
        The class.
    count : int
        Nuclei.
    density : float
        Of them per square millimetre; NaN where the area is not known.
    mean, deviation, median : float
        Of the measurement `x`, the deviation with n - 1; NaN where there are too few values.
    """

    name: str
    count: int
    density: float
    mean: float
    deviation: float
    median: float


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many nuclei have which values.

    Attributes
    ----------
    edges : ndarray of float64, shape (b + 1,)
        Borders of the bins, ascending; the upper one belongs to the last bin.
    counts : ndarray of int64, shape (k, b)
        Nuclei of each class in each bin.
    """

    edges: Floats
    counts: npt.NDArray[np.int64]

    def count(self, values: Floats) -> npt.NDArray[np.int64]:
        """Count values, (n,), in the same bins; shape (b,)."""
        return np.histogram(values[np.isfinite(values)], self.edges)[0].astype(np.int64)


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is told of nuclei.

    Attributes
    ----------
    question : Question
        What was asked.
    rows : ndarray of int, shape (m,)
        The nuclei in the region whose class is not hidden, ascending.
    mm2 : float or None
        Area of the region.
    classes : tuple of Figures
        One for each class.
    total : Figures
        Of all nuclei in the region.
    unknown : int
        Nuclei of `rows` that lack a value, so that they are not plotted.
    histogram : Histogram or None
        Of `x`; None for a scatter plot, and where no value is known.
    drawn : ndarray of int, shape (d,)
        The nuclei that a scatter plot shows, at most `MOST_DRAWN`; always the same ones of the same nuclei.
    correlation : float
        Pearson's, of `x` and `y`; NaN where there is none.
    """

    question: Question
    rows: Rows
    mm2: float | None
    classes: tuple[Figures, ...]
    total: Figures
    unknown: int
    histogram: Histogram | None
    drawn: Rows
    correlation: float


def statistics(nuclei: MeasuredNuclei, classes: Classes, question: Question) -> Statistics:
    """Tell of nuclei what is asked.

    Parameters
    ----------
    nuclei : MeasuredNuclei
        The nuclei.
    classes : Classes
        Their classes.
    question : Question
        Which nuclei, and which measurements.

    Returns
    -------
    Statistics
    """
    within, area, x = nuclei.within(question.region), nuclei.mm2(question.region), nuclei.values(question.x)
    figures = [_figures(name, x[within & (classes.of == place)], area) for place, name in enumerate(classes.names)]
    hidden = question.hidden if any(classes.names) else frozenset()  # without classes there is nothing to tick
    shown = np.array([name not in hidden for name in classes.names], bool)
    rows = np.flatnonzero(within & shown[classes.of])
    known = rows[np.isfinite(x[rows])]
    histogram, drawn, correlation = None, np.zeros(0, np.intp), np.nan
    if question.y is not None:
        y = nuclei.values(question.y)
        known = known[np.isfinite(y[known])]
        drawn, correlation = sample(known, len(nuclei)), _correlation(x[known], y[known])
    elif len(known):
        edges = bins(x[known])
        counts = [np.histogram(x[known[classes.of[known] == place]], edges)[0] for place in range(len(classes.names))]
        histogram = Histogram(edges, np.array(counts, np.int64))
    return Statistics(
        question,
        rows,
        area,
        tuple(figures),
        _figures("", x[within], area),
        len(rows) - len(known),
        histogram,
        drawn,
        correlation,
    )


def bins(values: Floats) -> Floats:
    r"""Choose the bins of a histogram.

    Their width is :math:`2 \cdot \mathrm{IQR} / \sqrt[3]{n}` [1]_, but there are 8 to 60 of them. Each of
    few whole numbers has a bin of its own.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite; at least one.

    Returns
    -------
    ndarray of float64, shape (b + 1,)
        Borders, ascending.

    References
    ----------
    .. [1] D. Freedman, P. Diaconis, On the histogram as a density estimator, 1981.
    """
    low, high = float(values.min()), float(values.max())
    if 0 < high - low < _MOST_BINS and np.array_equal(values, np.rint(values)):
        return np.arange(low, high + 2) - 0.5
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        half = 0.5 * abs(low) or 0.5
        return np.array([low - half, high + half])
    first, third = np.quantile(values, (0.25, 0.75))
    width = 2 * (third - first) / len(values) ** (1 / 3)
    count = int(np.clip(np.ceil((high - low) / width), _LEAST_BINS, _MOST_BINS)) if width > 0 else _LEAST_BINS
    return np.linspace(low, high, count + 1)


def sample(rows: Rows, total: int, most: int = MOST_DRAWN) -> Rows:
    """Take some of many rows at random, ascending; of the same `total` always the same ones come first."""
    if len(rows) <= most:
        return rows
    rank = np.random.default_rng(0).permutation(total)
    return np.sort(rows[np.argpartition(rank[rows], most)[:most]])


def brushed(nuclei: MeasuredNuclei, found: Statistics, x: Range, y: Range | None = None) -> Rows:
    """List the plotted nuclei whose measurements lie in a range, or in two of them; the borders belong to it."""
    rows = found.rows
    for name, span in ((found.question.x, x), (found.question.y, y)):
        if name is not None and span is not None:
            values = nuclei.values(name)[rows]
            rows = rows[(values >= min(span)) & (values <= max(span))]
    return rows


def title(name: str) -> str:
    """Name a measurement for people, by its column: ``"area_um2"`` is "Area (µm²)"."""
    if match := re.fullmatch(r"neighbours_(\d+)um", name):
        return f"Neighbours within {match[1]} µm"
    unit = next((end for end in _UNITS if name.endswith(end) and name != end), "")
    plain = re.sub(r"(\d+)nm", r"\1 nm", name.removesuffix(unit).replace("_", " "))
    return f"{plain[:1].upper()}{plain[1:]}" + (f" ({_UNITS[unit]})" if unit else "")


def _figures(name: str, values: Floats, area: float | None) -> Figures:
    known = values[np.isfinite(values)]
    return Figures(
        name,
        len(values),
        len(values) / area if area else np.nan,
        float(known.mean()) if len(known) else np.nan,
        float(known.std(ddof=1)) if len(known) > 1 else np.nan,
        float(np.median(known)) if len(known) else np.nan,
    )


def _correlation(x: Floats, y: Floats) -> float:
    if len(x) < 3 or not np.ptp(x) or not np.ptp(y):
        return np.nan
    return float(np.corrcoef(x, y)[0, 1])
