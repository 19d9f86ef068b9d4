"""Corrected regions of an image, as a data set to fine-tune a segmenter with.

What a user has corrected is right inside the regions that they name, and nowhere else. So the data set holds the
surroundings of each region as a small image, the labels as they are, and in ``regions/`` where these are right: crops
are cut there, and the loss counts no other pixel. A nucleus on the edge of a region keeps its whole shape, or its
contour and its heart would lie in the wrong place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_nucleigan.base.errors import LabelsError, OutputError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.base.files import refuse_foreign
from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.labels.regions import check_labels

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.data.images.files import HEImage

MARGIN = 8.0
"""Microns around a region that are kept with it, for the nuclei on its edge."""

SMALLEST = 1024
"""Pixels that the regions of an image must have in all: 32 x 32."""

_USUAL_MPP = 0.25
_TOUCHING = np.ones((3, 3), dtype=bool)


def write_corrections(
    image: HEImage, labels: npt.NDArray[Any], regions: npt.NDArray[Any], folder: Path, name: str
) -> Job[list[str]]:
    """Write the corrected regions of an image as images of a data set.

    Parameters
    ----------
    image : HEImage
        The image.
    labels : (H, W) array of integers
        Its nuclei: right inside the regions, and outside as they may be.
    regions : (H, W) array of integers or bool
        0 where nobody has corrected the labels. Regions that touch become one image.
    folder : Path
        The data set; it may hold the regions of other images already.
    name : str
        Name of the image in the data set; a number is added for each region.

    Yields
    ------
    Progress
        One for each region.

    Returns
    -------
    list of str
        Names of the images written.

    Raises
    ------
    LabelsError
        If the sizes differ, the regions are too small, or there is no nucleus in them.
    OutputError
        If the data set holds regions of an image of this name, or cannot be written.
    """
    labels, known = check_labels(labels), np.asarray(regions) > 0
    shape = image.pixels.shape[:2]
    for what, size in (("nuclei", labels.shape), ("regions", known.shape)):
        if size != shape:
            raise LabelsError(
                f"The {what} of “{image.name}” are {size[1]} x {size[0]} pixels large, the image is {shape[1]} x "
                f"{shape[0]}; choose those that were made for it."
            )
    if np.count_nonzero(known) < SMALLEST:
        raise LabelsError(
            f"The corrected regions cover {np.count_nonzero(known)} pixels of “{image.name}”, which is too little to "
            f"learn from; draw larger ones ({SMALLEST} pixels at least, better some hundred on a side)."
        )
    if not labels[known].any():
        raise LabelsError(
            f"There are no nuclei in the corrected regions of “{image.name}”: the network would unlearn what a nucleus "
            "is. Draw the regions where nuclei are, and correct these."
        )
    numbered, count = ndimage.label(known, _TOUCHING)
    names = [f"{name}-{number}" for number in range(1, count + 1)]
    taken = next((each for each in names if (folder / "images" / f"{each}.tif").exists()), None)
    if taken is not None:
        raise OutputError(f"{folder} holds corrections of {name!r} already ({taken}); choose another folder.")
    for each in names:
        for kind in ("regions", "labels"):
            refuse_foreign(folder / kind / f"{each}.tif")
    margin = round(MARGIN / (image.mpp or _USUAL_MPP))
    for number, (each, box) in enumerate(zip(names, ndimage.find_objects(numbered), strict=True)):
        yield Progress(number, count, f"writing {each}")
        part = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)
        # The image comes last: without one, labels are no part of a data set.
        write_labels(folder / "regions" / f"{each}.tif", known[part].astype(np.uint8), image.mpp)
        write_labels(folder / "labels" / f"{each}.tif", labels[part], image.mpp)
        write_image(folder / "images" / f"{each}.tif", image.pixels[part], image.mpp)
    return names
