"""Report on synthetic images: figures of the sets and the distances between them, as data, JSON and tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_nucleigan.evaluation.synthetic.appearance import CHANNELS, PERIODS, REGIONS

THRESHOLDS = (0.4, 0.5, 0.6)
"""Consistencies of which the share of pairs at or above them is given."""

Table = tuple[list[str], list[list[str]]]


@dataclass(frozen=True, slots=True)
class SetFigures:
    """Figures of one set of pictures.

    Attributes
    ----------
    images, crops : int
        How many were looked at.
    scores : dict of str to float
        Consistency of each image: mean AJI over its crops of what the segmenter finds against the labels, 0 to 1.
    colours : dict
        ``[region][channel]``: mean and standard deviation over pixels, CIELAB; region is ``"nuclei"`` or
        ``"stroma"``, channel ``"L"``, ``"a"`` or ``"b"``. nan for a region without pixels.
    diversity : float
        Of colour, as `napari_nucleigan.evaluation.synthetic.diversity`.
    deep_diversity : float
        Of what is shown: mean distance between the deep features of two crops of different images, by the square root
        of their number.
    sharpness, slope, blocks : float
        As the properties of `napari_nucleigan.evaluation.synthetic.Texture`.
    grid : dict of int to float
        Strength by period in pixels, as the property of `napari_nucleigan.evaluation.synthetic.Texture`.
    repetition, repetition_std : float
        Mean over crops of `napari_nucleigan.evaluation.synthetic.repetition`, and its standard deviation over images.
    """

    images: int
    crops: int
    scores: dict[str, float]
    colours: dict[str, dict[str, tuple[float, float]]]
    diversity: float
    deep_diversity: float
    sharpness: float
    slope: float
    blocks: float
    grid: dict[int, float]
    repetition: float
    repetition_std: float

    @property
    def consistency(self) -> float:
        """Mean consistency over images, 0 to 1."""
        return float(np.mean(list(self.scores.values())))

    @property
    def consistency_std(self) -> float:
        """Standard deviation of the consistency over images."""
        return float(np.std(list(self.scores.values())))

    def share(self, threshold: float) -> float:
        """Share of the images whose consistency is at least `threshold`."""
        return float(np.mean([score >= threshold for score in self.scores.values()]))

    def to_json(self) -> dict[str, Any]:
        """Represent the figures by dictionaries, numbers and strings; None stands for nan."""
        found: dict[str, Any] = _plain(
            {
                "images": self.images,
                "crops": self.crops,
                "consistency": self.consistency,
                "consistency_std": self.consistency_std,
                "consistency_shares": {threshold: self.share(threshold) for threshold in THRESHOLDS},
                "colours": {
                    region: {channel: {"mean": mean, "std": std} for channel, (mean, std) in channels.items()}
                    for region, channels in self.colours.items()
                },
                "diversity": self.diversity,
                "deep_diversity": self.deep_diversity,
                "sharpness": self.sharpness,
                "slope": self.slope,
                "blocks": self.blocks,
                "grid": self.grid,
                "repetition": self.repetition,
                "repetition_std": self.repetition_std,
                "scores": self.scores,
            }
        )
        return found


@dataclass(frozen=True, slots=True)
class SetDistance:
    """How far two sets of pictures are apart.

    Attributes
    ----------
    what : str
        Which sets, for people.
    kid, kid_std : float
        Kernel distance of the deep features, and its standard deviation: over subsets, or over halvings.
    fine_kid, fine_kid_std : float
        The same of the fine features.
    pretrained_kid, pretrained_kid_std : float
        The same of the features of an encoder that has learnt from photographs; nan where it is not installed.
    colour : dict of str to float
        By region, as `napari_nucleigan.evaluation.synthetic.colour_distance`.
    accuracy, accuracy_std : float
        As `napari_nucleigan.evaluation.synthetic.real_or_synthetic`, on deep and fine features; of halvings, the
        spread over these. nan where a set has one image only.
    """

    what: str
    kid: float
    kid_std: float
    fine_kid: float
    fine_kid_std: float
    pretrained_kid: float
    pretrained_kid_std: float
    colour: dict[str, float]
    accuracy: float
    accuracy_std: float

    def to_json(self) -> dict[str, Any]:
        """Represent the distances by dictionaries, numbers and strings; None stands for nan."""
        found: dict[str, Any] = _plain({name: getattr(self, name) for name in self.__slots__})
        return found


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What an evaluation of synthetic images found.

    Attributes
    ----------
    synthetic, real : SetFigures
        Figures of each set.
    comparison : SetDistance
        Of the synthetic set with the real one.
    reference : SetDistance or None
        Of real pictures with real ones, to read the other by; None where there are too few.
    notes : tuple of str
        What the reader should know.
    provenance : dict
        Models, their checksums, version, settings; ready for JSON.
    """

    synthetic: SetFigures
    real: SetFigures
    comparison: SetDistance
    reference: SetDistance | None
    notes: tuple[str, ...]
    provenance: dict[str, Any]

    @property
    def kid_ratio(self) -> float:
        """KID of synthetic with real by that of real with real; nan where that is not above 0."""
        return _ratio(self.comparison.kid, self.reference.kid if self.reference else math.nan)

    def to_json(self) -> dict[str, Any]:
        """Represent the report by dictionaries, lists, numbers and strings; None stands for nan."""
        return {
            "synthetic": self.synthetic.to_json(),
            "real": self.real.to_json(),
            "comparison": self.comparison.to_json(),
            "reference": self.reference.to_json() if self.reference else None,
            "kid_ratio": _plain(self.kid_ratio),
            "notes": list(self.notes),
            "provenance": self.provenance,
        }

    def tables(self) -> tuple[Table, Table]:
        """Lay the figures of the sets, and the distances between them, out as text.

        Returns
        -------
        figures, distances : tuple of (list of str, list of list of str)
            A header and rows each.
        """
        return self._figures(), self._distances()

    def _figures(self) -> Table:
        sets = (self.synthetic, self.real)
        rows = [["images", *(str(each.images) for each in sets)], ["crops", *(str(each.crops) for each in sets)]]

        def add(name: str, figure: Callable[[SetFigures], float], digits: int = 2) -> None:
            rows.append([name, *(_text(figure(each), digits) for each in sets)])

        rows.append(["consistency (AJI)", *(_spread(each.consistency, each.consistency_std) for each in sets)])
        for threshold in THRESHOLDS:
            rows.append([f"  at least {threshold:g}", *(f"{each.share(threshold):.0%}" for each in sets)])
        for region in REGIONS:
            for index, channel in enumerate(CHANNELS):
                pairs = [each.colours[region][channel] for each in sets]
                name = f"{region}: {channel}" if index == 0 else f"  {channel}"
                rows.append([name, *(_spread(mean, std, 1) for mean, std in pairs)])
        add("diversity of colour", lambda each: each.diversity, 1)
        add("diversity of what is shown", lambda each: each.deep_diversity, 3)
        add("sharpness", lambda each: each.sharpness)
        add("slope of the spectrum", lambda each: each.slope)
        for period in PERIODS:
            add(f"grid of {period} pixels", lambda each, period=period: each.grid[period])  # type: ignore[misc]
        add("blocks", lambda each: each.blocks)
        repetitions = [_spread(each.repetition, each.repetition_std) for each in sets]
        rows.append(["repetition of the background", *repetitions])
        return ["figure", "synthetic", "real"], rows

    def _distances(self) -> Table:
        sides = (self.comparison, self.reference) if self.reference else (self.comparison,)
        kids = [
            ("KID, what is shown (x1000)", "kid"),
            ("KID, how it is drawn (x1000)", "fine_kid"),
            ("KID, pretrained encoder (x1000)", "pretrained_kid"),
        ]
        rows: list[list[str]] = []
        for title, name in kids:
            values = [(getattr(each, name), getattr(each, f"{name}_std")) for each in sides]
            row = [title, *(_spread(1000 * mean, 1000 * deviation, 1) for mean, deviation in values)]
            rows.append([*row, *self._ratio_of(lambda each, name=name: getattr(each, name))])  # type: ignore[misc]
        for region in REGIONS:
            row = [f"colour of {region}", *(_text(each.colour[region], 2) for each in sides)]
            rows.append([*row, *self._ratio_of(lambda each, region=region: each.colour[region])])  # type: ignore[misc]
        told = [_spread(each.accuracy, each.accuracy_std, 2) for each in sides]
        rows.append(["told apart (0.5 = never)", *told, *([""] if self.reference else [])])
        header = ["distance", *(each.what for each in sides), *(["ratio"] if self.reference else [])]
        return header, rows

    def _ratio_of(self, distance: Callable[[SetDistance], float]) -> list[str]:
        """Distance of synthetic and real by that of real and real, as a cell of the table; none without a reference."""
        if not self.reference:
            return []
        return [_text(_ratio(distance(self.comparison), distance(self.reference)), 1)]


def _ratio(value: float, scale: float) -> float:
    return value / scale if scale > 0 else math.nan


def _text(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def _spread(mean: float, deviation: float, digits: int = 3) -> str:
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}" if math.isfinite(mean) else "-"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
