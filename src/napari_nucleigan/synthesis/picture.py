"""Picture: from a mask to an H&E image whose every nucleus is known."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import ImageError, LabelsError, RecipeError
from napari_nucleigan.base.events import Event, Job, Note, Progress, relay
from napari_nucleigan.base.version import __version__
from napari_nucleigan.labels.regions import check_labels
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.models import load_model
from napari_nucleigan.networks.network_runner import network_errors
from napari_nucleigan.synthesis.settings import SynthesisSettings
from napari_nucleigan.synthesis.styles import Styles
from napari_nucleigan.synthesis.tiled_generator import TiledGenerator
from napari_nucleigan.tiling import COARSEST, FINEST, Scale, resize_image, resize_labels
from napari_nucleigan.tissue.features import grid_shape, spread
from napari_nucleigan.tissue.record import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from numpy.typing import NDArray

    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.models import Model
    from napari_nucleigan.stains import StainFit

    References: TypeAlias = Mapping[str, HEImage]

REFERENCE = "reference"
"""What `SynthesisSettings.restain` calls the project's own stain reference."""


@dataclass(frozen=True, eq=False)
class Synthesis:
    """An H&E image and the mask that it was painted from.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB, at the pixels of the mask.
    labels : ndarray of int32, shape (H, W)
        The mask.
    mpp : float
        Microns per pixel.
    style : str
        Name of the style; empty where it has none.
    code : ndarray of float32, shape (style_size,)
        The style code.
    settings : SynthesisSettings
        What was asked for.
    provenance : dict
        Model, checksum, version, settings, style, device, precision and seconds; ready for JSON.
    notes : tuple of str
        What the user should know.
    seconds : float
        Time that it took, without loading the model.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]
    mpp: float
    style: str
    code: NDArray[np.float32]
    settings: SynthesisSettings
    provenance: dict[str, Any]
    notes: tuple[str, ...]
    seconds: float


def synthesize(
    labels: NDArray[np.integer[Any]],
    settings: SynthesisSettings | None = None,
    model: Model | None = None,
    mpp: float | None = None,
    references: References | None = None,
    tissue: NDArray[np.integer[Any]] | None = None,
) -> Job[Synthesis]:
    """Paint H&E from a mask of any size and scale.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        0 is background, every other value is one nucleus. Values need not be consecutive.
    settings : SynthesisSettings, optional
        How.
    model : Model, optional
        A loaded synthesizer; by default the one that the settings name.
    mpp : float, optional
        Microns per pixel of the mask, where its source says them; the settings come first.
    references : mapping of str to HEImage, optional
        Images to take after instead of what the settings name: their ``"style"``, their stains (``"restain"``), or
        both.
    tissue : ndarray of integers, shape (h, w), optional
        A tissue map that covers the mask: numbers of the classes that the model knows, 0 where the tissue is unknown.
        It is brought to one value for each 16x16 pixels at the model's scale.

    Yields
    ------
    Progress or Note
        After each tile; closing the generator stops the work.

    Returns
    -------
    Synthesis

    Raises
    ------
    LabelsError
        If the mask is no label image, its scale cannot be right, it does not fit into memory, or the tissue map holds
        classes that the model does not know.
    ModelError
        If the model cannot be used.
    DeviceError
        If the device is not to be had, fails, or has not the memory.
    RecipeError, ImageError
        If the style or the stains that were asked for are not to be had.
    """
    settings = settings or SynthesisSettings()
    mask: NDArray[np.int32] = check_labels(labels).astype("int32", copy=False)
    if model is None:
        yield Progress(0, 1, "loading the model")
        model = load_model(settings.model, "synthesizer")
    too_large = LabelsError(
        f"A mask of {labels.shape[0]} x {labels.shape[1]} pixels does not fit into memory at {model.card.mpp} "
        "microns per pixel; crop it, or close other programs."
    )
    with network_errors(too_large):
        return (yield from _synthesize(mask, SynthesisContext(settings, model, references), mpp, tissue))


class SynthesisContext:
    """What all pictures of one model and settings share: the network on its device, styles, stains.

    Parameters
    ----------
    settings : SynthesisSettings
        How to paint.
    model : Model
        A synthesizer.
    references : mapping of str to HEImage, optional
        As `synthesize` takes them.

    Attributes
    ----------
    generator : TiledGenerator
        The network.
    styles : Styles
        The styles to draw from.
    """

    def __init__(self, settings: SynthesisSettings, model: Model, references: References | None = None) -> None:
        images = references or {}
        self.settings = settings
        self.card = model.card
        self.styles = Styles.of(settings.style, model, images.get("style"))
        self._target, notes = _stain_target(settings.restain, images.get("restain"))
        network: Any = model.network
        self.generator = TiledGenerator(network, settings.device, settings.precision, settings.tile)
        self._notes = [*self.styles.notes, *notes]

    def notes(self) -> list[Note]:
        """Return, once, what the user should know."""
        said, self._notes = [*self._notes, *self.generator.notes()], []
        return said

    def scale(self, shape: tuple[int, int], mpp: float | None) -> tuple[Scale, list[Note]]:
        """Plan how a mask gets to the model's scale, and its picture back.

        Parameters
        ----------
        shape : (int, int)
            Height and width of the mask.
        mpp : float or None
            Its microns per pixel, where its source says them.

        Returns
        -------
        Scale
            Between the mask and the model.
        list of Note

        Raises
        ------
        LabelsError
            If nuclei cannot be painted at this scale.
        """
        own = self.settings.mpp or mpp or self.card.mpp
        if not FINEST <= own <= COARSEST:
            raise LabelsError(
                f"The mask is said to have {own:.4g} microns per pixel, but nuclei can be painted from {FINEST} to "
                f"{COARSEST}; give the right value (about 0.25 at 40x, 0.5 at 20x)."
            )
        scale = Scale.of(shape, own, self.card.mpp)
        notes = []
        if scale.resamples:
            notes.append(
                Note(f"Painted at {self.card.mpp:g} microns per pixel, then resampled to the mask's {own:.4g}.")
            )
        return scale, notes

    def encode(
        self, labels: NDArray[np.int32], scale: Scale, tissue: NDArray[np.integer[Any]] | None = None
    ) -> NDArray[np.float32]:
        """Bring a mask and its tissue map to the model's scale, by the nearest pixel, and encode the mask.

        Parameters
        ----------
        labels : ndarray of int32, shape (H, W)
            The mask.
        scale : Scale
            As `scale` gives it.
        tissue : ndarray of integers, optional
            A tissue map that covers the mask.

        Returns
        -------
        ndarray of float32, shape (3, h, w), or (4, h, w) for a model that knows tissue

        Raises
        ------
        LabelsError
            If the tissue map holds classes that the model does not know.
        """
        field = encode(resize_labels(labels, scale.model_shape), self.card.encoding)
        if not self.generator.network.tissue_classes:
            if tissue is not None:
                self._notes.append(
                    Note(f"The model {self.card.name!r} knows no tissue; the tissue map is of no use to it.", "warning")
                )
            return field
        channel = spread(self.tissue_cells(tissue, scale), scale.model_shape)
        return np.concatenate([field, channel[None].astype(np.float32)])

    def tissue_cells(self, tissue: NDArray[np.integer[Any]] | None, scale: Scale) -> NDArray[np.uint8]:
        """Bring a tissue map that covers a mask to the cells of the model; unknown where there is none."""
        grid = grid_shape(scale.model_shape)
        if tissue is None:
            return np.full(grid, UNKNOWN, np.uint8)
        most = int(self.generator.network.tissue_classes)
        cells = check_labels(tissue)
        if cells.size == 0 or cells.min() < 0 or cells.max() > most:
            raise LabelsError(
                f"The model {self.card.name!r} knows the classes of tissue 1 to {most}, and 0 is unknown; the tissue "
                "map holds others. Take the map from this model, or train a model on such maps."
            )
        return resize_labels(cells.astype(np.int32), grid).astype(np.uint8)

    def source_stains(self, pixels: NDArray[np.uint8]) -> StainFit | None:
        """Find the stains of a painted image, if they are to be changed."""
        if self._target is None:
            return None
        from napari_nucleigan import stains

        source = stains.fit(pixels, self._target.method)
        self._notes += [Note(text, "warning") for text in source.notes]
        return source

    def restain(self, pixels: NDArray[np.uint8], source: StainFit | None) -> NDArray[np.uint8]:
        """Bring the stains of a painted image, or of a part of it, to those that were asked for."""
        if self._target is None or source is None:
            return pixels
        from napari_nucleigan import stains

        return stains.normalize(pixels, self._target, source)

    def provenance(self) -> dict[str, Any]:
        """Say how pictures are made here, ready for JSON."""
        return {
            "model": self.card.name,
            "sha256": self.card.sha256,
            "version": __version__,
            "settings": self.settings.model_dump(mode="json"),
        }

    def provenance_of(self, mpp: float, style: str, code: NDArray[np.float32]) -> dict[str, Any]:
        """Say how one picture was made, ready for JSON."""
        return self.provenance() | {
            "mpp": mpp,
            "style": style,
            "code": [round(float(value), 6) for value in code],
            "device": self.generator.device,
            "precision": self.generator.precision,
        }


def _synthesize(
    labels: NDArray[np.int32],
    context: SynthesisContext,
    mpp: float | None,
    tissue: NDArray[np.integer[Any]] | None,
) -> Job[Synthesis]:
    started, settings = time.perf_counter(), context.settings
    scale, notes = context.scale((labels.shape[0], labels.shape[1]), mpp)
    notes = context.notes() + notes
    yield from notes
    style, code = context.styles.draw(settings.seed)
    yield Progress(0, 1, "encoding the mask")
    painting = context.generator.painting(context.encode(labels, scale, tissue), settings.seed, code)

    def keep(event: Event) -> Event:
        if isinstance(event, Note):
            notes.append(event)
        return event

    pixels = yield from relay(painting, keep)
    pixels = context.restain(pixels, context.source_stains(pixels))
    for note in context.notes():
        notes.append(note)
        yield note
    seconds = time.perf_counter() - started
    provenance = context.provenance_of(scale.mpp, style, code) | {"seconds": round(seconds, 3)}
    said = tuple(note.text for note in notes)
    return Synthesis(
        resize_image(pixels, scale.shape), labels, scale.mpp, style, code, settings, provenance, said, seconds
    )


def _stain_target(restain: str, image: HEImage | None) -> tuple[StainFit | None, list[Note]]:
    if not restain and image is None:
        return None, []
    from napari_nucleigan import stains
    from napari_nucleigan.data.images.files import read_image

    if image is None and restain == REFERENCE:
        return stains.REFERENCE, []
    path = Path(restain if image is None else image.name).expanduser()
    if image is None and not path.is_file():
        raise RecipeError(
            f"There is no stain preset and no image {restain!r}; choose {REFERENCE!r}, or the path of an H&E image."
        )
    target = stains.fit((image or read_image(path)).pixels)
    if target.method == "identity":
        raise ImageError(f"The stains of {path} cannot be taken: {' '.join(target.notes)}")
    return target, [Note(f"{path.name}: {text}", "warning") for text in target.notes]
