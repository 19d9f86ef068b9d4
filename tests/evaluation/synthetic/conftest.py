"""Small real sets, and sets that are spoilt in one way each, as stand-ins for synthetic ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest

from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.evaluation.synthetic.settings import JUDGE
from napari_nucleigan.models import load_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.models import Model

Pair = tuple["NDArray[np.uint8]", "NDArray[np.int32]"]
SIDE = 256


@pytest.fixture(scope="session")
def segmenter() -> Model:
    """The bundled segmenter."""
    return load_model(JUDGE, "segmenter")


@pytest.fixture(scope="session")
def tiles(kumar: Path) -> dict[str, tuple[Pair, Pair]]:
    """Two places, 256x256 each, of two training tiles of every organ."""
    data = Dataset.open(kumar).subset("train")
    organs = sorted({data.organs[name] for name in data.names})
    chosen = [name for organ in organs for name in [n for n in data.names if data.organs[n] == organ][:2]]
    found = {}
    for name in chosen:
        image, labels = data.pair(name)
        places = [(slice(start, start + SIDE), slice(start, start + SIDE)) for start in (0, 600)]
        first, second = ((image.pixels[place], labels[place]) for place in places)
        found[f"{data.organs[name]}-{name}"] = (first, second)
    return found


@pytest.fixture(scope="session")
def write_set() -> Callable[..., Path]:
    """Write pairs as a data set."""

    def write(folder: Path, pairs: dict[str, Pair], splits: dict[str, str] | None = None) -> Path:
        (folder / "images").mkdir(parents=True)
        (folder / "labels").mkdir()
        rows = ["name,organ,split"]
        for name, (pixels, labels) in pairs.items():
            png = imagecodecs.png_encode(np.ascontiguousarray(pixels), level=1)
            (folder / "images" / f"{name}.png").write_bytes(png)
            write_labels(folder / "labels" / f"{name}.tif", labels, 0.25)
            rows.append(f"{name},{name.split('-')[0]},{(splits or {}).get(name, '')}")
        (folder / "split.csv").write_text("\n".join(rows))
        return folder

    return write
