"""Artefacts of an image or a slide, as a layer under its nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleigan.contributions.layers import artefact_look
from napari_nucleigan.segmentation.artefacts import KINDS, ArtefactMap
from napari_nucleigan.widgets.base.layers import (
    METADATA_KEY,
    VIEW_KEY,
    labels_place,
    layer_info,
    moved,
    selection_kept,
    view_kind,
)

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

ARTEFACTS = "artefacts"


def show_artefacts(
    viewer: Viewer, image: Image, found: ArtefactMap | None, start: tuple[int, int] = (0, 0)
) -> Labels | None:
    """Show where an image has artefacts, in place of what was shown before.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where.
    image : Image
        The layer of the image.
    found : ArtefactMap or None
        The artefacts.
    start : (int, int)
        Row and column of the image where the map begins.

    Returns
    -------
    Labels or None
        The layer, just above the image: a value for each kind, whose name the status bar says; None where there is
        nothing to show.
    """
    for layer in list(viewer.layers):
        if view_kind(layer) == ARTEFACTS and layer_info(layer).get("image") == image.name:
            viewer.layers.remove(layer)
    if found is None or not found.kinds.any():
        return None
    there = [kind for number, kind in enumerate(KINDS, start=1) if (found.kinds == number).any()]
    with selection_kept(viewer):
        layer = viewer.add_labels(
            found.kinds,
            name=f"{image.name} {ARTEFACTS}: {', '.join(there)}",
            visible=image.visible,
            metadata={METADATA_KEY: {VIEW_KEY: ARTEFACTS, "image": image.name}},
            **artefact_look(),
            **moved(labels_place(image), found.square, start),
        )
        layer.editable = False
        viewer.layers.move(len(viewer.layers) - 1, viewer.layers.index(image) + 1)
    return layer
