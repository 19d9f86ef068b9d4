"""Series of a training run: its numbers, kept so that a plot of 100 000 steps can be drawn again within milliseconds.

Nothing here touches Qt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter

from napari_nucleigan.base.events import Event, Losses, ValidationScores
from napari_nucleigan.base.tables import write_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LR = "learning rate"
SPEED = "images per second"


class Curve:
    """Values at rising steps, with a running mean.

    The mean is an exponential one, free of the pull of its first value: ``sum(a**(n-k) x_k) / sum(a**(n-k))``.

    Parameters
    ----------
    smoothing : float
        Share `a` of the past in the mean, in 0 to 1; 0 for none.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        self._smoothing = smoothing
        self._count = self._averaged = 0
        self._table = np.empty((3, 256))  # steps, values, running mean

    def __len__(self) -> int:
        """Return the number of values."""
        return self._count

    @property
    def steps(self) -> Floats:
        """Steps, rising."""
        return self._table[0, : self._count]

    @property
    def values(self) -> Floats:
        """Values as they came."""
        return self._table[1, : self._count]

    @property
    def smooth(self) -> Floats:
        """Running mean of the values; where there is no smoothing, the values."""
        if not self._smoothing:
            return self.values
        self._average()
        return self._table[2, : self._count]

    def extend(self, steps: Sequence[float], values: Sequence[float]) -> None:
        """Add values; those that are there already from the first of their steps on are forgotten."""
        if not len(steps):
            return
        self.rewind(steps[0])
        end = self._count + len(steps)
        if end > self._table.shape[1]:
            table = np.empty((3, max(end, 2 * self._table.shape[1])))
            table[:, : self._count] = self._table[:, : self._count]
            self._table = table
        self._table[0, self._count : end] = steps
        self._table[1, self._count : end] = values
        self._count = end

    def rewind(self, step: float) -> None:
        """Forget what is at a step and later: a resumed run begins at its last checkpoint."""
        if self._count and self._table[0, self._count - 1] >= step:
            self._count = int(np.searchsorted(self.steps, step))
            self._averaged = min(self._averaged, self._count)

    def set_smoothing(self, smoothing: float) -> None:
        """Change the share of the past in the running mean."""
        if smoothing != self._smoothing:
            self._smoothing, self._averaged = smoothing, 0

    def at(self, step: float, smooth: bool = False) -> float | None:
        """Value at the step nearest to `step`; None where there are no values."""
        if not self._count:
            return None
        after = int(np.searchsorted(self.steps, step))
        near = [index for index in (after - 1, after) if 0 <= index < self._count]
        index = min(near, key=lambda index: abs(self.steps[index] - step))
        return float((self.smooth if smooth else self.values)[index])

    def _average(self) -> None:
        begin, share = self._averaged, self._smoothing
        if begin == self._count:
            return
        # The filter's state is its last sum; it follows from the last mean and its weight.
        state = self._table[2, begin - 1] * (1 - share**begin) * share if begin else 0.0
        fresh = self._table[1, begin : self._count]
        sums, _ = lfilter([1 - share], [1, -share], fresh, zi=[state])
        weights = 1 - share ** np.arange(begin + 1, self._count + 1, dtype=float)
        self._table[2, begin : self._count] = sums / weights
        self._averaged = self._count


class Series:
    """All curves of one run, filled from its events.

    Parameters
    ----------
    smoothing : float
        As for `Curve`; for losses only.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        self._smoothing = smoothing
        self.losses: dict[str, Curve] = {}
        self.scores: dict[str, Curve] = {}
        self.rates: dict[str, Curve] = {}
        self.last_step = 0

    def feed(self, events: Iterable[Event]) -> None:
        """Take in what a run has told since; other events than losses and scores are passed over."""
        found: dict[tuple[int, str], tuple[list[float], list[float]]] = {}
        for event in events:
            if isinstance(event, Losses):
                rates = {LR: event.lr, SPEED: event.images_per_second}
                groups: Sequence[Mapping[str, float]] = (event.values, {}, rates)
            elif isinstance(event, ValidationScores):
                groups = ({}, event.values, {})
            else:
                continue
            if event.step <= self.last_step and any(event.step <= step[-1] for step, _ in found.values()):
                self._take(found)  # the run was resumed in the midst of these events
                found = {}
            if event.step < self.last_step:
                self._rewind(event.step)
            self.last_step = event.step
            for kind, values in enumerate(groups):
                for name, value in values.items():
                    steps, numbers = found.setdefault((kind, name), ([], []))
                    steps.append(event.step)
                    numbers.append(value)
        self._take(found)

    def set_smoothing(self, smoothing: float) -> None:
        """Change the smoothing of the losses."""
        self._smoothing = smoothing
        for curve in self.losses.values():
            curve.set_smoothing(smoothing)

    @property
    def columns(self) -> dict[str, Curve]:
        """All curves, by the names of their columns in a table."""
        named = {"loss": self.losses, "score": self.scores, "": self.rates}
        return {f"{kind} {name}".strip(): curve for kind, group in named.items() for name, curve in group.items()}

    def rows(self, columns: Sequence[str]) -> list[list[float | None]]:
        """Return some columns as a table: a row for each step, which comes first."""
        table: dict[float, dict[str, float]] = {}
        for name, curve in self.columns.items():
            for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
                table.setdefault(step, {})[name] = value
        return [[int(step), *map(table[step].get, columns)] for step in sorted(table)]

    def _take(self, found: dict[tuple[int, str], tuple[list[float], list[float]]]) -> None:
        for (kind, name), (steps, values) in found.items():
            group = (self.losses, self.scores, self.rates)[kind]
            if name not in group:
                group[name] = Curve(self._smoothing if kind == 0 else 0.0)
            group[name].extend(steps, values)

    def _rewind(self, step: float) -> None:
        for group in (self.losses, self.scores, self.rates):
            for curve in group.values():
                curve.rewind(step)


def thin(steps: Floats, values: Floats, begin: float, end: float, columns: int) -> tuple[Floats, Floats]:
    """Reduce a curve to what a plot of so many columns can show, so that it looks the same.

    Parameters
    ----------
    steps, values : ndarray of float64, shape (n,)
        The curve; `steps` rise.
    begin, end : float
        What part of the steps is shown; one value on each side is kept beyond it.
    columns : int
        Columns of pixels.

    Returns
    -------
    steps, values : ndarray of float64, shape (m,)
        At most about 2 `columns` values: the lowest and the highest of each group. NaN is left out.
    """
    first = max(0, int(np.searchsorted(steps, begin)) - 1)
    last = min(len(steps), int(np.searchsorted(steps, end, side="right")) + 1)
    steps, values = steps[first:last], values[first:last]
    size = -(-len(steps) // max(1, columns))
    if size < 3:
        finite = np.isfinite(values)
        return steps[finite], values[finite]
    groups = np.arange(0, len(steps), size)
    pairs = np.empty(2 * len(groups))
    # fmin and fmax pass over NaN where there is any other value.
    pairs[0::2] = np.fmin.reduceat(values, groups)
    pairs[1::2] = np.fmax.reduceat(values, groups)
    places = np.repeat(steps[groups], 2)
    finite = np.isfinite(pairs)
    return places[finite], pairs[finite]


def save_table(path: Path, runs: Mapping[str, Series]) -> None:
    """Write the numbers of runs as one table, a row for each run and step.

    Parameters
    ----------
    path : Path
        The file.
    runs : dict of str to Series
        Runs by name.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    columns = list(dict.fromkeys(column for series in runs.values() for column in series.columns))
    rows = ([name, *row] for name, series in runs.items() for row in series.rows(columns))
    write_csv(path, ["run", "step", *columns], rows)
