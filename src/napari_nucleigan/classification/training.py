"""Training: a classifier from nuclei whose class is known, its strength and its scores by images that are held back."""

from __future__ import annotations

import datetime
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import RecipeError, listing
from napari_nucleigan.base.text import printable
from napari_nucleigan.base.version import __version__
from napari_nucleigan.classification.classifier import Classifier, ClassifierCard, NucleusClass, design, standardised

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

COLUMNS = (
    "area_um2",
    "perimeter_um",
    "eccentricity",
    "solidity",
    "haematoxylin_mean_od",
    "eosin_mean_od",
    "haematoxylin_std_od",
    "eosin_std_od",
    "texture_500nm_od",
    "texture_1000nm_od",
    "texture_2000nm_od",
    "rim_contrast_od",
    "nucleolus_contrast_od",
    "ring_haematoxylin_mean_od",
    "ring_eosin_mean_od",
    "nearest_um",
    "neighbours_10um",
    "neighbours_25um",
    "neighbours_50um",
    "density_per_mm2",
)
"""Measurements that classifiers look at: those that do not depend on where the nucleus lies, nor on the pixel size."""

STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
"""Inverse strengths of the regularisation that are tried."""

USUAL = 0.003
"""The one that is taken where nothing can be held back to choose by."""

FOLDS = 5
"""Groups that are held back, one after the other."""

_TEMPERATURES = np.exp(np.linspace(np.log(0.2), np.log(5), 41))


@dataclass(frozen=True, eq=False)
class Examples:
    """Nuclei whose class is known.

    Attributes
    ----------
    rows : ndarray of float32, shape (n, d)
        As `napari_nucleigan.classification.classifier.design` makes them of `COLUMNS` and the embeddings.
    embedding : int
        How many numbers of a row are the embedding.
    types : tuple of str
        Class of each.
    images : tuple of str
        Image that each lies in.
    """

    rows: NDArray[np.float32]
    embedding: int
    types: tuple[str, ...]
    images: tuple[str, ...]

    @classmethod
    def of(
        cls,
        features: dict[str, NDArray[Any]],
        embeddings: NDArray[np.floating[Any]] | None,
        types: Sequence[str],
        image: str,
    ) -> Examples:
        """Take those nuclei of an image that have a class; ``""`` is none."""
        known = np.array([bool(each) for each in types], bool)
        width = 0 if embeddings is None else embeddings.shape[1]
        rows = design(COLUMNS, features, embeddings, width)[known]
        named = tuple(each for each in types if each)
        return cls(rows, width, named, (image,) * len(named))

    @classmethod
    def joined(cls, parts: Iterable[Examples]) -> Examples:
        """Join those of several images."""
        parts = list(parts)
        return cls(
            np.concatenate([part.rows for part in parts]),
            parts[0].embedding,
            tuple(each for part in parts for each in part.types),
            tuple(each for part in parts for each in part.images),
        )


def train(
    examples: Examples,
    classes: Sequence[NucleusClass],
    *,
    mpp: float,
    segmenter: str = "",
    sha256: str = "",
    name: str = "classifier",
    strength: float | None = None,
) -> Classifier:
    r"""Train a classifier.

    A multinomial logistic regression of what is seen of a nucleus, standardised. Classes count alike, however many
    nuclei of each there are. The strength of its regularisation is the one with the least log loss on held-back nuclei,
    and its probabilities are calibrated by them: logits are divided by one temperature.

    Parameters
    ----------
    examples : Examples
        What to learn from.
    classes : sequence of NucleusClass
        Names and colours, in the order in which they are shown; those without a nucleus are left out.
    mpp : float
        Microns per pixel of the images.
    segmenter, sha256 : str
        The model whose embeddings these are.
    name : str
        Name of the classifier.
    strength : float, optional
        Inverse strength of the regularisation; then nothing is held back, and the card has no scores.

    Returns
    -------
    Classifier

    Raises
    ------
    RecipeError
        If there are nuclei of fewer than two classes, or measurements that are not finite.
    """
    there = set(examples.types)
    chosen = [each for each in classes if each.name in there]
    if len(chosen) < 2:
        have = f"all {len(examples.types)} nuclei are {printable(next(iter(there)))!r}" if there else "there are none"
        raise RecipeError(f"A classifier needs nuclei of two classes at least, and {have}; give nuclei of others too.")
    number = {each.name: place for place, each in enumerate(chosen)}
    types = np.array([number[each] for each in examples.types])
    groups, kind = _groups(examples.images, types)
    temperature, scores = 1.0, dict[str, Any]()
    if strength is None:
        strength = USUAL
        if groups is not None:
            strength, held = _strength(examples.rows, types, groups, len(chosen))
            temperature = min(_TEMPERATURES, key=lambda one: _log_loss(_softmax(held / one), types))
            scores = _scores(_softmax(held / temperature), types, chosen, kind, len(np.unique(groups)))
    mean, scale, weights, bias = _fitted(examples.rows, types, len(chosen), strength)
    card = ClassifierCard(
        name=name,
        classes=tuple(chosen),
        columns=COLUMNS,
        embedding=examples.embedding,
        segmenter=segmenter,
        segmenter_sha256=sha256,
        mpp=float(mpp),
        counts={each.name: int((types == place).sum()) for place, each in enumerate(chosen)},
        images=len(set(examples.images)),
        regularisation=strength,
        scores=scores,
        version=__version__,
        date=datetime.date.today().isoformat(),
    )
    return Classifier(card, mean, scale, weights / temperature, bias / temperature)


def _groups(images: Sequence[str], types: NDArray[np.intp]) -> tuple[NDArray[np.intp] | None, str]:
    """Divide nuclei into groups to be held back: by image where there are several, else by turns within each class."""
    names, of = np.unique(np.array(images), return_inverse=True)
    if len(names) > 1:
        # Large images first, each to the smallest group, so that groups are of about one size.
        sizes = np.bincount(of)
        totals = np.zeros(min(FOLDS, len(names)))
        group = np.zeros(len(names), np.intp)
        for image in np.argsort(-sizes, kind="stable"):
            group[image] = totals.argmin()
            totals[group[image]] += sizes[image]
        return group[of], "images"
    if np.bincount(types).min() < 2:
        return None, ""
    turns = np.zeros(len(types), np.intp)
    random = np.random.default_rng(0)
    for each in np.unique(types):
        places = random.permutation(np.flatnonzero(types == each))
        turns[places] = np.arange(len(places)) % min(FOLDS, int(np.bincount(types).max()))
    return turns, "nuclei"


def _strength(
    rows: NDArray[np.float32], types: NDArray[np.intp], groups: NDArray[np.intp], many: int
) -> tuple[float, NDArray[np.float64]]:
    """Choose the strength by the log loss of nuclei that were held back; return it and their logits."""
    best: tuple[float, float, NDArray[np.float64]] | None = None
    for strength in STRENGTHS:
        held = np.zeros((len(rows), many))
        for out, inside in _held_back(groups):
            held[out] = _logits(rows[out], *_fitted(rows[inside], types[inside], many, strength))
        loss = min(_log_loss(_softmax(held / one), types) for one in _TEMPERATURES[::4])
        if best is None or loss < best[0] - 1e-4:
            best = loss, strength, held
    assert best is not None
    return best[1], best[2]


def _held_back(groups: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    for group in np.unique(groups):
        yield np.flatnonzero(groups == group), np.flatnonzero(groups != group)


def _fitted(
    rows: NDArray[np.float32], types: NDArray[np.intp], many: int, strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit mean, scale, weights and bias. A class without a nucleus among these is not expected at all."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    finite = np.where(np.isfinite(rows), rows, np.nan).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a column without any number
        mean, scale = np.nanmean(finite, axis=0), np.nanstd(finite, axis=0)
    mean = np.nan_to_num(mean)
    scale = np.where(scale > 1e-9 * np.maximum(np.abs(mean), 1), scale, 1.0)
    weights, bias = np.zeros((many, rows.shape[1])), np.full(many, -_NEVER)
    present = np.unique(types)
    if len(present) == 1:
        bias[present] = 0.0
        return mean, scale, weights, bias
    regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=300, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # that near to the optimum nothing is seen of the rest
        regression.fit(standardised(rows, mean, scale), types)
    found, start = regression.coef_, regression.intercept_
    if len(present) == 2:  # one line between them, as half of it each
        found, start = np.concatenate([-found, found]) / 2, np.concatenate([-start, start]) / 2
    weights[present], bias[present] = found, start
    return mean, scale, weights, bias


_NEVER = 20.0


def _logits(
    rows: NDArray[np.float32],
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    weights: NDArray[np.float64],
    bias: NDArray[np.float64],
) -> NDArray[np.float64]:
    logits: NDArray[np.float64] = standardised(rows, mean, scale) @ weights.T + bias
    return logits


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    likely: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return likely


def _log_loss(likely: NDArray[np.float64], types: NDArray[np.intp]) -> float:
    """Average, over the classes, of the mean of -ln p of the true class; a p below 1 % counts as that."""
    losses = -np.log(np.maximum(likely[np.arange(len(types)), types], 0.01))
    counts = np.bincount(types)
    return float((np.bincount(types, losses)[counts > 0] / counts[counts > 0]).mean())


def _scores(
    likely: NDArray[np.float64], types: NDArray[np.intp], classes: Sequence[NucleusClass], kind: str, groups: int
) -> dict[str, Any]:
    """Score held-back nuclei; ready for JSON."""
    best = likely.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (types, best), 1)
    right, found, true = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    f1 = 2 * right / np.maximum(found + true, 1)
    return {
        "held_back": kind,
        "groups": groups,
        "accuracy": round(float(right.sum() / len(types)), 4),
        "balanced_accuracy": round(float((right / np.maximum(true, 1)).mean()), 4),
        "weighted_f1": round(float((f1 * true).sum() / true.sum()), 4),
        "f1": {each.name: round(float(value), 4) for each, value in zip(classes, f1, strict=True)},
        "confusion": confusion.tolist(),
        "log_loss": round(_log_loss(likely, types), 4),
    }


def describe_scores(card: ClassifierCard) -> str:
    """Say in a sentence how well a classifier did on nuclei that were held back."""
    scores = card.scores
    if not scores:
        return "No nuclei could be held back to score it: click two of each class at least."
    each = listing(f"{name} {value:.2f}" for name, value in scores["f1"].items())
    if scores["held_back"] == "images":
        how = f"on images that were held back ({scores['groups']} groups of {card.images} images)"
    else:
        how = "on nuclei of the one image that were held back; on other images it may do worse"
    return f"F1 {scores['weighted_f1']:.2f} ({each}) {how}."
