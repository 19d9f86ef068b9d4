"""HoVer-Net's editions of Kumar, CPM-17 and CoNSeP: images, and MATLAB files with a label image ``inst_map``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.data.datasets.formats.entries import ImportedImage
from napari_nucleigan.data.images.files import read_image, write_image
from napari_nucleigan.labels.checks import check_labels
from napari_nucleigan.labels.regions import Regions, numbered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.data.datasets.formats import Pairs


def read(image: Path, annotation: Path) -> ImportedImage:
    """Read an image and the label image of its .mat file; numbers stay as they are.

    Raises
    ------
    ImageError, LabelsError
        If the image cannot be read, or ``inst_map`` is no label image.
    Exception
        Whatever scipy raises on damaged files.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(annotation, variable_names=["inst_map"])
    except NotImplementedError as error:
        raise ValueError("it is of MATLAB 7.3; save it with the option -v7") from error
    if "inst_map" not in content:
        raise ValueError("it has no array 'inst_map'")
    picture = read_image(image)
    return ImportedImage(
        picture.pixels, check_labels(whole(content["inst_map"]), "inst_map"), picture.mpp, notes=picture.notes
    )


def whole(values: Any) -> npt.NDArray[Any]:
    """Turn whole numbers that are stored as floats into integers.

    Raises
    ------
    ValueError
        If there are fractions, or numbers that are no labels.
    """
    array = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
    if array.dtype.kind != "f":
        return array
    if not ((array >= 0) & (array < 2**31) & (array == np.floor(array))).all():
        raise ValueError("it holds numbers that are no labels: fractions, negative or too large")
    return array.astype(np.int32)


def write(folder: Path, pairs: Pairs) -> Iterator[str]:
    """Write ``Images/NAME.png`` and ``Labels/NAME.mat`` with ``inst_map`` and ``inst_centroid``.

    Nuclei become 1, 2, 3, ..., as programs for this format expect; row ``i`` of ``inst_centroid`` is (x, y) of nucleus
    ``i + 1``.
    """
    from scipy.io import savemat

    for name, image, labels in pairs:
        write_image(folder / "Images" / f"{name}.png", image.pixels, image.mpp)
        values, numbers = numbered(labels)
        centroids = Regions.of(numbers, len(values)).centres[:, ::-1]
        with atomic_write(folder / "Labels" / f"{name}.mat") as path:
            savemat(path, {"inst_map": numbers, "inst_centroid": centroids}, do_compression=True)
        yield name
