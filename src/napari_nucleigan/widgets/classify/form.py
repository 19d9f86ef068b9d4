"""The form of *Classify nuclei*: which nuclei of which image, at which scale, looked at with which model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels

from napari_nucleigan.models import DEFAULT_SEGMENTER
from napari_nucleigan.segmentation.settings import SegmentSettings
from napari_nucleigan.widgets.base.fields import Form, combo, list_layers, objective_button, pixel_size
from napari_nucleigan.widgets.base.layers import image_layers, image_shape, is_large, known_mpp, layer_mpp, view_kind
from napari_nucleigan.widgets.base.model_picker import ModelPicker

if TYPE_CHECKING:
    from napari.viewer import Viewer

_TIPS = {
    "image": "The H&E image.",
    "labels": "Its nuclei: what Segment nuclei has found, or labels that you have opened.",
    "mpp": "Microns per pixel of the image. By default what the image says, or what its nuclei were segmented with.",
    "model": "The network that looks at each nucleus. Take the one that found the nuclei, and later the same again.",
    "device": "Where to compute.",
}


class ClassifyForm(Form):
    """Fields for an image, its nuclei, a pixel size and a model."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.image = self.add("Image", combo({}, _TIPS["image"]))
        self.labels = self.add("Nuclei", combo({}, _TIPS["labels"]))
        mpp = pixel_size("from image", _TIPS["mpp"])
        self.mpp = self.add("Pixel size", mpp, objective_button(mpp))
        self.picker = ModelPicker(self, ("segmenter",), (_TIPS["model"], _TIPS["device"]), DEFAULT_SEGMENTER)
        self.picker.add_model_row(self.rows, "Model")
        self.picker.chosen.connect(self.changed.emit)
        self.picker.ready.connect(self.changed.emit)
        self.list_layers()

    def list_layers(self) -> None:
        """List the layers of the viewer."""
        list_layers(self.image, image_layers(self._viewer))
        list_layers(self.labels, [layer for layer in reversed(self._viewer.layers) if _is_nuclei(layer)])
        self.changed.emit()

    @property
    def image_layer(self) -> Image | None:
        """The chosen image."""
        return self._layer(self.image.currentData())

    @property
    def labels_layer(self) -> Labels | None:
        """The chosen nuclei."""
        return self._layer(self.labels.currentData())

    def _layer(self, chosen: object) -> object:
        return next((layer for layer in self._viewer.layers if layer.unique_id == chosen), None)

    @property
    def microns(self) -> float | None:
        """Microns per pixel: as typed, as the image says, or as its nuclei were segmented with; None if not known."""
        image, labels = self.image_layer, self.labels_layer
        said = (image and layer_mpp(image)) or (labels and known_mpp(labels))
        return float(self.mpp.value()) or said or None

    def settings(self) -> SegmentSettings:
        """Return the settings as given."""
        device = self.picker.device.currentData()
        return SegmentSettings.checked(model=self.picker.path, device=device, mpp=self.microns)

    def problem(self) -> str:
        """Why nuclei cannot be measured; empty where they can."""
        image, labels = self.image_layer, self.labels_layer
        if image is None:
            return "Open an H&E image first."
        if labels is None:
            return "Segment the image first, or open labels of its nuclei."
        if is_large(image) or labels.multiscale or labels.ndim != 2:
            return "Slides are classified by nucleigan segment --classifier; choose a tile here."
        if tuple(labels.data.shape) != image_shape(image):
            return "The nuclei are of another size than the image: choose those of this image."
        if self.microns is None:
            return "The image does not say its pixel size: type it above in microns, or choose the objective."
        if self.picker.waiting:
            return self.picker.waiting
        return (
            "No model is installed: add a model file with the “Add” button beside Model." if self.picker.empty else ""
        )


def _is_nuclei(layer: object) -> bool:
    return isinstance(layer, Labels) and view_kind(layer) is None
