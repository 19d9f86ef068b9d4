"""Make the sheet of 12 real and 12 synthetic crops of 256x256 pixels, shuffled, and write its key into the guide.

``python scripts/real_or_synthetic.py REAL [--model NAME] [--like LIKE] [--style STYLE] [--seed N] [--out FILE]``

REAL is a data set; only crops that may be shown (CC BY 4.0, such as those of TNBC) belong in the docs. Masks and style
of the synthetic crops are learnt from it where nothing else is said. One crop of each image, images of the split
``test`` left out. With ``--out`` elsewhere than in the docs the key is printed and the guide stays as it is.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.events import run
from napari_nucleigan.base.files import write_text
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_image
from napari_nucleigan.models import DEFAULT_SYNTHESIZER
from napari_nucleigan.synthesis import SetSettings, synthesize_set

if TYPE_CHECKING:
    from numpy.typing import NDArray

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHEET, PAGE = DOCS / "images" / "real-or-synthetic.png", DOCS / "guide" / "quality.md"
BEGIN, END = "<!-- key: written by scripts/real_or_synthetic.py -->", "<!-- end of key -->"
EACH, COLUMNS, SIDE, GAP = 12, 6, 256, 6


def real_crops(data: Dataset, random: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Cut one crop of each of `EACH` images, at random."""
    names = [name for name in data.names if data.splits[name] != "test"]
    crops = []
    for name in random.choice(names, EACH, replace=False):
        pixels = data.image(name).pixels
        top, left = (int(random.integers(length - SIDE + 1)) for length in pixels.shape[:2])
        crops.append(pixels[top : top + SIDE, left : left + SIDE])
    return crops


def synthetic_crops(settings: SetSettings) -> list[NDArray[np.uint8]]:
    """Paint as many."""
    with tempfile.TemporaryDirectory() as folder:
        run(synthesize_set(Path(folder) / "pairs", settings))
        painted = Dataset.open(Path(folder) / "pairs")
        return [painted.image(name).pixels for name in painted.names]


def sheet(crops: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Lay crops out in rows of `COLUMNS` on white."""
    padded = np.stack([np.pad(crop, ((GAP, 0), (GAP, 0), (0, 0)), constant_values=255) for crop in crops])
    rows = padded.reshape(-1, COLUMNS, *padded.shape[1:]).transpose(0, 2, 1, 3, 4)
    laid: NDArray[np.uint8] = rows.reshape(-1, COLUMNS * padded.shape[2], 3)
    return np.pad(laid, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def key(order: NDArray[np.intp]) -> str:
    """Tell which crops are synthetic, row by row."""
    rows = (order >= EACH).reshape(-1, COLUMNS)
    parts = [
        f"row {number}: {', '.join(map(str, np.flatnonzero(row) + 1)) or 'none'}" for number, row in enumerate(rows, 1)
    ]
    return f"Synthetic, counted from the left: {'; '.join(parts)}."


def main() -> None:
    """Write the sheet, and its key."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("real", type=Path)
    parser.add_argument("--model", default=DEFAULT_SYNTHESIZER)
    parser.add_argument("--like")
    parser.add_argument("--style")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=SHEET)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    settings = SetSettings.checked(
        model=given.model,
        like=given.like or str(given.real),
        style=given.style or str(given.real),
        count=EACH,
        size=SIDE,
        seed=given.seed,
    )
    crops = [*real_crops(Dataset.open(given.real), random), *synthetic_crops(settings)]
    order = random.permutation(len(crops))
    write_image(given.out, sheet([crops[index] for index in order]), level=9)
    if given.out != SHEET:
        print(key(order))
        return
    text = PAGE.read_text("utf-8")
    head, rest = text.split(BEGIN, 1)
    note = f'??? note "Which are synthetic"\n    {key(order)}'
    write_text(PAGE, f"{head}{BEGIN}\n\n{note}\n\n{END}{rest.split(END, 1)[1]}")
    print(f"{given.out}, {given.out.stat().st_size / 1e6:.1f} MB; the key is in {PAGE}")


if __name__ == "__main__":
    main()
