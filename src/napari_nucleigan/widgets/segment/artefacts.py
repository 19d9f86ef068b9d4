"""Artefacts of an image or a slide, as a layer under its nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleigan.segmentation.artefacts import ARTEFACT, KINDS, ArtefactMap
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

COLOURS = {"blur": "#0072b2", "fold": "#d55e00", "pen": "#009e73", "air": "#f0e442"}
"""Colours of the kinds, which the colour-blind can tell apart."""

_OPACITY = 0.4


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
    from napari.utils.colormaps import DirectLabelColormap

    for layer in list(viewer.layers):
        if view_kind(layer) == ARTEFACTS and layer_info(layer).get("image") == image.name:
            viewer.layers.remove(layer)
    if found is None or not found.kinds.any():
        return None
    colours: dict[int | None, str] = {
        None: "transparent",
        0: "transparent",
        **dict(enumerate((COLOURS[kind] for kind in KINDS), start=1)),
    }
    there = [kind for number, kind in enumerate(KINDS, start=1) if (found.kinds == number).any()]
    with selection_kept(viewer):
        layer = viewer.add_labels(
            found.kinds,
            name=f"{image.name} {ARTEFACTS}: {', '.join(there)}",
            opacity=_OPACITY,
            visible=image.visible,
            colormap=DirectLabelColormap(color_dict=colours),
            features={"index": range(1, len(KINDS) + 1), ARTEFACT: KINDS},
            metadata={METADATA_KEY: {VIEW_KEY: ARTEFACTS, "image": image.name}},
            **moved(labels_place(image), found.square, start),
        )
        layer.editable = False
        viewer.layers.move(len(viewer.layers) - 1, viewer.layers.index(image) + 1)
    return layer
