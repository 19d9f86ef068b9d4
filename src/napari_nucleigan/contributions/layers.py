"""Images and labels as napari layer data, for readers and samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.pixels import sides

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.data.images.tiff import DensityMap
    from napari_nucleigan.data.slides.label_pyramids import SlideLabels
    from napari_nucleigan.data.slides.slide import Slide

ARTEFACT_COLOURS = {"blur": "#0072b2", "fold": "#d55e00", "pen": "#009e73", "air": "#f0e442"}
"""Colours of the kinds of artefacts, which the colour-blind can tell apart."""

LayerData = tuple[Any, dict[str, Any], str]
"""Data, arguments and type of a layer, as napari takes them."""


def image_layer(image: HEImage, name: str | None = None) -> LayerData:
    """Describe an RGB layer in microns, or in pixels where their size is not known.

    Parameters
    ----------
    image : HEImage
        The image. Its path and what was converted go to the layer's metadata, under ``"nucleigan"``.
    name : str, optional
        Name of the layer; the image's own if not given.

    Returns
    -------
    data, arguments, type
    """
    arguments = {"name": name or image.name, "rgb": True, "metadata": {"nucleigan": _known(image)}}
    return image.pixels, arguments | _place(image.mpp), "image"


def slide_layer(slide: Slide) -> LayerData:
    """Describe a multiscale RGB layer of a slide; see `image_layer`.

    Its metadata also name the pictures of the glass, under ``"associated"``.
    """
    known = {**_known(slide), "associated": list(slide.associated)}
    arguments = {"name": slide.name, "rgb": True, "multiscale": True, "metadata": {"nucleigan": known}}
    return list(slide.levels), arguments | _place(slide.mpp), "image"


def labels_layer(labels: npt.NDArray[np.int32], mpp: float | None, name: str) -> LayerData:
    """Describe a Labels layer in microns, or in pixels where their size is not known."""
    return labels, {"name": name} | _place(mpp), "labels"


def pyramid_layer(pyramid: SlideLabels) -> LayerData:
    """Describe a multiscale Labels layer where its slide lies; what made it goes to the metadata, as from *Segment*."""
    features = str(pyramid.features) if pyramid.features else None
    known = {**pyramid.provenance, **_known(pyramid), "features": features}
    name = f"{pyramid.name} nuclei" if pyramid.provenance else pyramid.name
    # napari takes one level only for an image, not for a pyramid.
    several = len(pyramid.levels) > 1
    arguments = {"name": name, "multiscale": several, "metadata": {"nucleigan": known}}
    data = list(pyramid.levels) if several else pyramid.levels[0]
    return data, arguments | _place(pyramid.mpp) | {"translate": pyramid.offset}, "labels"


def density_layer(density: DensityMap) -> LayerData:
    """Describe a layer of a density map, see-through, over its slide."""
    length = density.pixel_um or 1.0
    arguments = {
        "name": density.name,
        "colormap": "inferno",
        "opacity": 0.5,
        "blending": "translucent",
        "contrast_limits": (0, max(1.0, float(density.values.max(initial=0)))),
        # napari puts the middle of a pixel where it is said to be; half a pixel of the slide does not matter here.
        "translate": (length / 2, length / 2),
        "metadata": {"nucleigan": {"path": str(density.path), "view": "density"}},
    }
    return density.values, _place(density.pixel_um) | arguments, "image"


def artefact_look() -> dict[str, Any]:
    """Describe how a map of artefacts looks: a colour for each kind, whose name the status bar says."""
    from napari.utils.colormaps import DirectLabelColormap

    from napari_nucleigan.segmentation.artefacts import ARTEFACT, KINDS

    colours: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    colours |= dict(enumerate((ARTEFACT_COLOURS[kind] for kind in KINDS), start=1))
    return {
        "opacity": 0.4,
        "colormap": DirectLabelColormap(color_dict=colours),
        "features": {"index": range(1, len(KINDS) + 1), ARTEFACT: KINDS},
    }


def artefact_layer(kinds: npt.NDArray[np.uint8], pixel_um: float | None, path: Path) -> LayerData:
    """Describe a see-through layer of a map of artefacts, over its slide."""
    height, width = sides(pixel_um or 1.0)
    arguments = {
        "name": path.stem,
        "translate": (height / 2, width / 2),
        "metadata": {"nucleigan": {"path": str(path), "view": "artefacts"}},
    }
    return kinds, _place(pixel_um) | artefact_look() | arguments, "labels"


def _known(source: HEImage | Slide | SlideLabels) -> dict[str, Any]:
    return {"path": str(source.path) if source.path else None, "mpp": source.mpp, "notes": list(source.notes)}


def _place(mpp: float | None) -> dict[str, Any]:
    return {"scale": sides(mpp), "units": ("um", "um")} if mpp else {}
