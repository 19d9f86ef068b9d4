"""Fit what a segmenter's card holds beside the network: the scale of images, and the confidence in nuclei.

    python scripts/calibrate_segmenter.py MODEL DATA [--unseen PATIENT ...] [--only confidence|scale] [--check]

MODEL is a model file; DATA the folder that holds the data sets ``kumar`` and ``tnbc``.

Scale: training tiles of Kumar and those of TNBC's patients 1 to 7, or those that ``--tiles`` says, each resampled to
scales from 0.16 to 1.2 microns per pixel, teach a ridge regression of what the network sees inside of nuclei, whose
strength is chosen by leaving whole organs and patients out.

Confidence: the nuclei that the model finds in the TNBC tiles of the patients ``--unseen``, from which the network must
not have learnt, teach a logistic regression; its calibration error is told with each patient left out. So is
chosen how sure the model must be of a nucleus to keep it: where AJI and F1 together, means over these tiles, are
largest.

What ``--only`` does not name stays on the card as it is. With ``--check`` nothing is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.transform import resize

from napari_nucleigan import Dataset, load_model, metrics, run
from napari_nucleigan.models import save_model
from napari_nucleigan.segmentation import Segmenter
from napari_nucleigan.segmentation.confidence import evidence
from napari_nucleigan.segmentation.scale import ZOOMS, combined, darkest_parts, look

SCALES = np.geomspace(0.19, 1.05, 6)
RIDGES = (1000.0, 3000.0, 10000.0, 30000.0)
WIDTHS = (0.7, 1.0, 1.5, 2.5)
BINS = 10

LEAST = tuple(number / 20 for number in range(11))

TILES = ("train", "all", "tnbc")

Fitted = tuple[np.ndarray, float]


@dataclass(frozen=True)
class JudgedTile:
    """A tile whose truth is known: what was found, its evidence, and whether each nucleus has a true partner."""

    patient: int
    truth: np.ndarray
    labels: np.ndarray
    evidence: np.ndarray
    true: np.ndarray


def main() -> None:
    """Look at the tiles, fit, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--unseen", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", choices=("confidence", "scale"))
    parser.add_argument(
        "--tiles",
        choices=TILES,
        default="train",
        help="what teaches the scale: all of Kumar and TNBC, TNBC, the default",
    )
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    segmenter = Segmenter(model)
    found: dict[str, object] = {}
    if arguments.only != "scale":
        fitted, least = fit_confidence(segmenter, arguments.data, arguments.unseen)
        found["confidence"] = on_card(fitted)
        found["decode"] = {**model.card.decode, "min_confidence": least}
    if arguments.only != "confidence":
        found["scale"] = fit_scale(segmenter, arguments.data, arguments.tiles)
    if arguments.check:
        return
    save_model(arguments.model, model.network.state_dict(), model.card.model_copy(update=found), half=True)


def on_card(fitted: Fitted) -> dict[str, object]:
    """Return a regression as a card holds it."""
    weights, bias = fitted
    return {"weights": [float(f"{weight:.6g}") for weight in weights], "bias": float(f"{bias:.6g}")}


def fit_confidence(segmenter: Segmenter, data: Path, patients: list[int]) -> tuple[Fitted, float]:
    """Fit the confidence on tiles that the network has not learnt from, and choose the least that keeps a nucleus."""
    tiles = judged(segmenter, data, patients)
    x, y, patient = pooled(tiles)
    told = left_out(x, y, patient, logistic, probability=True)
    print(f"confidence: {len(y)} nuclei, {y.mean():.3f} true, calibration error {calibration_error(told, y):.3f}")
    sure = np.split(told, np.cumsum([len(tile.true) for tile in tiles])[:-1])
    reached = {}
    for least in LEAST:
        rows = [
            metrics.evaluate(tile.truth, np.where(np.append(False, part >= least)[tile.labels], tile.labels, 0))
            for tile, part in zip(tiles, sure, strict=True)
        ]
        reached[least] = np.mean([(row.aji, row.f1) for row in rows], axis=0)
        print(f"kept from {least:.2f}: AJI {reached[least][0]:.4f}, F1 {reached[least][1]:.4f}")
    return logistic(x, y), max(LEAST, key=lambda least: float(reached[least].sum()))


def judged(segmenter: Segmenter, data: Path, patients: list[int]) -> list[JudgedTile]:
    """Return what is found in each tile of some patients, and what of it is true."""
    tnbc = Dataset.open(data / "tnbc")
    tiles = []
    for name in tnbc.names:
        patient = int(name.split("_")[1])
        if patient not in patients:
            continue
        image, truth = tnbc.pair(name)
        (field,) = segmenter.predictor([image.pixels])
        labels, _ = segmenter.decoding.filtered(segmenter.decoding.labels(field), segmenter.card.mpp)
        table = metrics.overlaps(truth, labels)
        true = np.isin(np.arange(1, labels.max() + 1), table.pred_ids[table.pred_index[table.ious > 0.5]])
        tiles.append(JudgedTile(patient, truth, labels, evidence(labels, field), true.astype(float)))
    return tiles


def pooled(tiles: list[JudgedTile]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the evidence of the nuclei of all tiles, whether each is true, and whose it is."""
    x, y = (np.concatenate([getattr(tile, name) for tile in tiles]) for name in ("evidence", "true"))
    return x, y, np.concatenate([np.full(len(tile.true), tile.patient) for tile in tiles])


def logistic(x: np.ndarray, y: np.ndarray, ridge: float = 1.0) -> Fitted:
    """Fit a logistic regression by Newton's method, on standardised values, and return it for values as they are."""
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    design = np.column_stack([(x - mean) / deviation, np.ones(len(x))])
    penalty = ridge * np.diag([*np.ones(x.shape[1]), 0.0])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ weights))
        step = np.linalg.solve(
            (design * (p * (1 - p))[:, None]).T @ design + penalty, design.T @ (y - p) - penalty @ weights
        )
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    raw = weights[:-1] / deviation
    return raw, float(weights[-1] - mean @ raw)


def calibration_error(told: np.ndarray, true: np.ndarray) -> float:
    """Return the expected calibration error over ten bins of equal width."""
    bins = np.minimum((told * BINS).astype(int), BINS - 1)
    gaps = [abs(told[bins == b].mean() - true[bins == b].mean()) * np.mean(bins == b) for b in np.unique(bins)]
    return float(np.sum(gaps))


def fit_scale(segmenter: Segmenter, data: Path, tiles: str = "train") -> dict[str, object]:
    """Fit the regression of the scale; groups that are left out choose strength and width, and straighten the whole."""
    views, exponents, groups = seen(segmenter, data, tiles)
    flat, each = views.reshape(-1, views.shape[-1]), np.repeat(groups, len(ZOOMS))
    of_view = (exponents[:, None] - np.log2(ZOOMS)).ravel()
    found: dict[str, object] = {}
    for strength in RIDGES:
        told = left_out(flat, of_view, each, lambda x, y, strength=strength: ridge(x, y, strength))
        for width in WIDTHS:
            found[strength, width] = combined(told.reshape(len(exponents), -1), width)
    best = min(found, key=lambda key: float(np.mean(np.minimum(np.abs(found[key] - exponents), 1))))
    slope, offset = np.polyfit(found[best], exponents, 1)
    error = np.abs(offset + slope * found[best] - exponents)
    within = float(np.mean(error <= np.log2(1.2)))
    print(f"scale: {len(error)} pictures, ridge and width {best}: within 20 % {within:.3f} with each group left out")
    rest = {"width": best[1], "slope": float(f"{slope:.6g}"), "offset": float(f"{offset:.6g}")}
    return on_card(ridge(flat, of_view, best[0])) | rest


def seen(segmenter: Segmenter, data: Path, tiles: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the network sees of each tile at each scale, the scale's exponent, and the tile's group."""
    tnbc = Dataset.open(data / "tnbc")
    kumar = Dataset.open(data / "kumar") if tiles != "tnbc" else None
    if kumar and tiles == "train":
        kumar = kumar.subset("train")
        tnbc = tnbc.only(name for name in tnbc.names if int(name.split("_")[1]) <= 7)
    random = np.random.default_rng(0)
    rows, exponents, groups = [], [], []
    for dataset in filter(None, (kumar, tnbc)):
        for name in dataset.names:
            pixels = dataset.image(name).pixels
            group = dataset.organs[name] if dataset is kumar else "tnbc" + name.split("_")[1]
            for mpp in SCALES * np.exp(random.uniform(-0.17, 0.17, len(SCALES))):
                view = resampled(pixels, 0.25, mpp)
                rows.append(run(look(darkest_parts(view), segmenter))[:, 1:])
                exponents.append(np.log2(mpp / segmenter.card.mpp))
                groups.append(group)
            print(name, flush=True)
    return np.array(rows), np.array(exponents), np.array(groups)


def resampled(pixels: np.ndarray, mpp: float, to: float) -> np.ndarray:
    """Show an image at another scale."""
    sides = [round(length * mpp / to) for length in pixels.shape[:2]]
    view = resize(pixels, sides, order=1, anti_aliasing=to > mpp, preserve_range=True)
    return np.rint(view).astype(np.uint8)


def ridge(x: np.ndarray, y: np.ndarray, strength: float) -> Fitted:
    """Fit a ridge regression on standardised values, and return it for values as they are."""
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
    standard = (x - mean) / deviation
    weights = np.linalg.solve(standard.T @ standard + strength * np.eye(x.shape[1]), standard.T @ (y - y.mean()))
    raw = weights / deviation
    return raw, float(y.mean() - mean @ raw)


def left_out(
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    fit: Callable[[np.ndarray, np.ndarray], Fitted],
    probability: bool = False,
) -> np.ndarray:
    """Return what the others teach of each group."""
    told = np.empty(len(x))
    for group in np.unique(groups):
        own = groups == group
        weights, bias = fit(x[~own], y[~own])
        told[own] = x[own] @ weights + bias
    return 1 / (1 + np.exp(-told)) if probability else told


if __name__ == "__main__":
    main()
