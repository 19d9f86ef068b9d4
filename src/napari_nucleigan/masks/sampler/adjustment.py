"""Adjustment: the tissue of one mask, changed as the fields of its statistics say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from napari_nucleigan.masks.sampler.parameters import FULL, PolygonMasks, Quantiles, TissueStatistics

# Fields that are scaled, and shares, which stay between 0 and 1.
_RELATIVE = ("density", "area", "area_spread", "elongation_spread", "clustering", "reach")
_SHARES = ("touching", "similarity", "shape_similarity", "coherence", "alignment")
_OVER_MASKS = ("density", "clustering", "alignment", "reach")
_KEPT = ("contacts", "touching_sizes", "association", "crowding")
_LEVELS = (np.arange(33) + 0.5) / 33


def tissue_of(statistics: PolygonMasks, draw: float) -> TissueStatistics:
    """Choose the tissue of one mask, with every field applied to it.

    Parameters
    ----------
    statistics : PolygonMasks
        Where it has tissues, its other fields are compared with the means of these: what differs changes each of them,
        in proportion; shares in proportion to their odds.
    draw : float
        In [0, 1): which tissue, by their shares.

    Returns
    -------
    TissueStatistics
    """
    if not statistics.tissues:
        plain = {name: float(getattr(statistics, name)) for name in (*_RELATIVE, *_SHARES, "elongation")}
        return _made(plain, (1.0,), (1.0,), ())
    shares = np.cumsum([each.share for each in statistics.tissues])
    chosen = int(np.searchsorted(shares, draw * shares[-1], "right"))
    return adjusted(statistics.tissues[min(chosen, len(shares) - 1)], statistics)


def adjusted(own: TissueStatistics, statistics: PolygonMasks) -> TissueStatistics:
    """Change a tissue as the fields of statistics that were fitted differ from the means of their tissues."""
    was, values = means(statistics.tissues), summary(own)
    if all(_same(getattr(statistics, name), mean) for name, mean in was.items()):
        return own
    for name in _RELATIVE:
        values[name] = _scaled(values[name], was[name], getattr(statistics, name))
    for name in _SHARES:
        values[name] = _shifted(values[name], was[name], getattr(statistics, name))
    logs = (float(np.log(each)) for each in (values["elongation"], was["elongation"], statistics.elongation))
    values["elongation"] = float(np.exp(_scaled(*logs)))
    # Fewer or smaller nuclei lie farther apart, in terms of their own size.
    cover = values["density"] * values["area"] / max(own.density * float(np.mean(own.areas)), 1e-9)
    spacings = tuple((np.array(own.spacings) / np.sqrt(max(cover, 1e-6))).tolist())
    return _made(values, own.areas, own.elongations, spacings, own)


def means(tissues: Sequence[TissueStatistics]) -> dict[str, float]:
    """Average the tissues of a fit: the values of its fields before a user changes them."""
    summaries = [summary(each) for each in tissues]
    masks = np.array([each.share for each in tissues])
    nuclei = masks * [max(each.density, 1e-9) for each in tissues]
    return {
        name: float(np.average([each[name] for each in summaries], weights=masks if name in _OVER_MASKS else nuclei))
        for name in summaries[0]
    }


def summary(tissue: TissueStatistics) -> dict[str, float]:
    """Return the values of the fields of `PolygonMasks` that make a tissue like this."""
    areas, elongations = np.asarray(tissue.areas), np.log(tissue.elongations)
    return {
        "area": float(areas.mean()),
        "area_spread": float(np.log(areas).std()),
        "elongation": float(np.exp(elongations.mean())),
        "elongation_spread": float(elongations.std()),
        **{name: getattr(tissue, name) for name in (*_RELATIVE, *_SHARES) if name in TissueStatistics.model_fields},
    }


def _made(
    values: dict[str, float],
    areas: Quantiles,
    elongations: Quantiles,
    spacings: Quantiles,
    own: TissueStatistics | None = None,
) -> TissueStatistics:
    # The tables give the form of the distributions; mean and spread come from the values.
    area = np.exp(_standard(areas) * values["area_spread"])
    area *= values["area"] / area.mean()
    ratio = np.exp(np.log(values["elongation"]) + _standard(elongations) * values["elongation_spread"])
    fields = {name: value for name, value in values.items() if name in TissueStatistics.model_fields}
    fields["density"] = min(values["density"], FULL * 1e6 / values["area"])
    return TissueStatistics(
        areas=tuple(area.tolist()),
        elongations=tuple(np.maximum(ratio, 1).tolist()),
        spacings=spacings,
        **fields,
        **({name: getattr(own, name) for name in _KEPT} if own else {}),
    )


def _standard(table: Quantiles) -> NDArray[np.float64]:
    # Logarithms of mean 0 and variance 1. From values that are all the same nothing can be learnt but a normal form.
    logs = np.log(table)
    if logs.std() < 1e-6:
        logs = ndtri(_LEVELS)
    standard: NDArray[np.float64] = (logs - logs.mean()) / logs.std()
    return standard


def _same(value: float, was: float) -> bool:
    # Fields are saved rounded.
    return abs(value - was) <= 1e-3 * abs(was) + 1e-6


def _scaled(own: float, was: float, value: float) -> float:
    if _same(value, was):
        return own
    return own * value / was if was > 1e-9 else value


def _shifted(own: float, was: float, value: float) -> float:
    # On the logistic scale shares stay shares, and all reach 0 and 1 together.
    if _same(value, was):
        return own
    if value <= 0 or value >= 1:
        return min(max(value, 0.0), 1.0)
    odds = value / (1 - value) * _odds(own) / _odds(was)
    return odds / (1 + odds)


def _odds(share: float) -> float:
    within = min(max(share, 1e-3), 1 - 1e-3)
    return within / (1 - within)
