"""Jobs of the Evaluate widget's page of folders: looking into two folders, opening one of their images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nucleigan.base.events import Progress
from napari_nucleigan.contributions.layers import LayerData, image_layer, labels_layer
from napari_nucleigan.data.images.files import list_images, read_image, read_labels, read_mpp
from napari_nucleigan.evaluation.folders import pair_files, split_rows
from napari_nucleigan.widgets.base.layers import METADATA_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.evaluation.folders import Pairing
    from napari_nucleigan.evaluation.processes import FilePair


@dataclass(frozen=True, slots=True)
class FolderPair:
    """Two folders that can be compared.

    Attributes
    ----------
    pred, truth : Path
        The folders.
    split : str or None
        The part of them that is meant.
    pairing : Pairing
        What answers to what.
    splits : tuple of str
        The splits that ``split.csv`` names.
    """

    pred: Path
    truth: Path
    split: str | None
    pairing: Pairing
    splits: tuple[str, ...]

    @property
    def text(self) -> str:
        """What is in them, for people."""
        pairing = self.pairing
        organs = {pair.organ for pair in pairing.pairs if pair.organ}
        parts = [
            f"{len(pairing.pairs)} pair{'' if len(pairing.pairs) == 1 else 's'}",
            f"{len(organs)} organ{'' if len(organs) == 1 else 's'}" if organs else "",
            f"{len(pairing.missing)} without a prediction" if pairing.missing else "",
            f"{len(pairing.extra)} without true labels" if pairing.extra else "",
        ]
        return " · ".join(filter(None, parts))


def look_into(pred: Path, truth: Path, split: str | None) -> Job[FolderPair]:
    """Find what answers to what in two folders.

    Raises
    ------
    DatasetError
        If they cannot be compared.
    """
    rows = split_rows(truth)
    splits = tuple(sorted({name for row in rows.values() if (name := row.get("split"))}))
    split = split if split in splits else None
    pairing = yield from pair_files(pred, truth, split)
    return FolderPair(pred, truth, split, pairing, splits)


def read_pair(pair: FilePair) -> Job[list[LayerData]]:
    """Read the layers of one image: the image, if the data set of the true labels has it, the truth, the prediction.

    Raises
    ------
    ImageError, LabelsError
        If a file cannot be read.
    """
    yield Progress(0, 1, f"reading {pair.name}")
    layers: list[LayerData] = []
    mpp = None
    if (source := _image_of(pair)) is not None:
        image = read_image(source)
        mpp = image.mpp
        layers.append(image_layer(image))
    for path, what in ((pair.truth, "truth"), (pair.pred, "prediction")):
        labels = read_labels(path)
        data, arguments, kind = labels_layer(labels, mpp or read_mpp(path), f"{pair.name} ({what})")
        layers.append((data, arguments | {"metadata": {METADATA_KEY: {"path": str(path)}}}, kind))
    return layers


def _image_of(pair: FilePair) -> Path | None:
    """Image of a data set that its labels belong to."""
    folder = pair.truth.parent.parent / "images"
    if pair.truth.parent.name != "labels" or not folder.is_dir():
        return None
    return next((path for path in list_images(folder) if path.stem == pair.name), None)
