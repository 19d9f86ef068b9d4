"""Fit the regression by which a segmenter tells the scale of an image, and write it on the model's card.

    python scripts/fit_scale.py MODEL DATA [--check]

MODEL is a model file; DATA the folder that holds the data sets ``kumar`` and ``tnbc``. Training tiles of Kumar and
those of TNBC's patients 1 to 7, each resampled to scales from 0.18 to 1.1 microns per pixel, teach it. The strength of
the ridge is chosen by leaving whole organs and patients out. With ``--check`` nothing is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from skimage.transform import resize

from napari_nucleigan import Dataset, load_model
from napari_nucleigan.models import save_model
from napari_nucleigan.segmentation import Segmenter
from napari_nucleigan.segmentation.scale import look, terms

SCALES = np.geomspace(0.18, 1.1, 9)
RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def main() -> None:
    """Look at the tiles, fit, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    rows, exponents, groups = seen(Segmenter(model), arguments.data)
    errors = {ridge: left_out(rows, exponents, groups, ridge) for ridge in RIDGES}
    for ridge, error in errors.items():
        within = float(np.mean(np.abs(error) <= np.log2(1.2)))
        print(f"ridge {ridge}: within 20 % {within:.3f}, median {2 ** np.median(np.abs(error)) - 1:.3f}")
    best = min(errors, key=lambda ridge: float(np.mean(np.minimum(np.abs(errors[ridge]), 1))))
    weights, bias = fit(rows, exponents, best)
    if arguments.check:
        return
    scale = {"weights": [float(f"{weight:.6g}") for weight in weights], "bias": float(f"{bias:.6g}")}
    state = model.network.state_dict()
    save_model(arguments.model, state, model.card.model_copy(update={"scale": scale}), half=True)
    print(f"written with ridge {best}")


def seen(segmenter: Segmenter, data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the network sees of each tile at each scale, the scale's exponent, and the tile's group."""
    kumar, tnbc = Dataset.open(data / "kumar").subset("train"), Dataset.open(data / "tnbc")
    tnbc = tnbc.only(name for name in tnbc.names if int(name.split("_")[1]) <= 7)
    random = np.random.default_rng(0)
    rows, exponents, groups = [], [], []
    for dataset in (kumar, tnbc):
        for name in dataset.names:
            pixels = dataset.image(name).pixels
            group = dataset.organs[name] if dataset is kumar else "tnbc" + name.split("_")[1]
            for mpp in SCALES * np.exp(random.uniform(-0.1, 0.1, len(SCALES))):
                sides = [round(length * 0.25 / mpp) for length in pixels.shape[:2]]
                view = resize(pixels, sides, order=1, anti_aliasing=mpp > 0.25, preserve_range=True)
                rows.append(terms(look(np.rint(view).astype(np.uint8), segmenter)))
                exponents.append(np.log2(mpp / segmenter.card.mpp))
                groups.append(group)
            print(name, flush=True)
    return np.array(rows), np.array(exponents), np.array(groups)


def fit(rows: np.ndarray, exponents: np.ndarray, ridge: float) -> tuple[np.ndarray, float]:
    """Fit a ridge regression on standardised terms, and return it for the terms as they are."""
    mean, deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    standard = (rows - mean) / deviation
    gram = standard.T @ standard + ridge * np.eye(rows.shape[1])
    weights = np.linalg.solve(gram, standard.T @ (exponents - exponents.mean())) / deviation
    return weights, float(exponents.mean() - mean @ weights)


def left_out(rows: np.ndarray, exponents: np.ndarray, groups: np.ndarray, ridge: float) -> np.ndarray:
    """Return the errors on each group of what the others have taught."""
    errors = np.empty(len(rows))
    for group in np.unique(groups):
        own = groups == group
        weights, bias = fit(rows[~own], exponents[~own], ridge)
        errors[own] = rows[own] @ weights + bias - exponents[own]
    return errors


if __name__ == "__main__":
    main()
