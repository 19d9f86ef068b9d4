"""From an H&E image to its nuclei."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import DeviceError, ImageError, ModelError
from napari_nucleigan.base.events import Job, Note, Progress, run
from napari_nucleigan.base.version import __version__
from napari_nucleigan.masks.encoding import PROMINENCE, THRESHOLD
from napari_nucleigan.masks.splitting import GRID
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation.predictor import Predictor, is_blank
from napari_nucleigan.segmentation.settings import SegmentSettings
from napari_nucleigan.tiling.scale import Scale
from napari_nucleigan.tiling.tiles import (
    Instances,
    Mosaic,
    Tile,
    batches,
    decode_tile,
    plan_tiles,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.models import Model, ModelCard
    from napari_nucleigan.stains import StainFit

KEPT_PIXELS = 4096 * 4096
"""Pixels at the model's scale up to which the field is kept, so that filters can be moved."""

BLOCK = 2048
"""Side of the pieces in which a kept field is cut into nuclei."""

_MARGIN = 128  # around these pieces; more than any nucleus reaches from its centroid
_MOVABLE = ("threshold", "prominence", "min_area", "max_area")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The nuclei of an image.

    Attributes
    ----------
    labels : ndarray of int32, shape (H, W)
        At the image's own pixels; 0 is background, nuclei are numbered 1, 2, ... without gaps.
    features : dict of str to ndarray
        One entry for each nucleus, as `napari_nucleigan.labels.features.measure` gives them.
    field : ndarray of float16, shape (3, h, w), or None
        What the network saw, in [-1, 1], at the model's scale; None where the image is too large.
    mpp : float
        Microns per pixel of the image.
    settings : SegmentSettings
        What was asked for.
    provenance : dict
        Model, checksum, version, settings as used, device, precision and seconds; ready for JSON.
    notes : tuple of str
        What the user should know.
    seconds : float
        Time that it took, without loading the model.
    image : HEImage
        What was segmented.
    card : ModelCard
        Card of the model.
    """

    labels: NDArray[np.int32]
    features: dict[str, NDArray[Any]]
    field: NDArray[np.float16] | None
    mpp: float
    settings: SegmentSettings
    provenance: dict[str, Any]
    notes: tuple[str, ...]
    seconds: float
    image: HEImage
    card: ModelCard


@dataclass(frozen=True)
class Decoding:
    """How a field is cut into nuclei: the settings, filled up from the model's card.

    Attributes
    ----------
    decoding : dict
        Arguments of `napari_nucleigan.masks.encoding.decode`.
    min_area, max_area : float
        Square microns.
    """

    decoding: dict[str, Any]
    min_area: float
    max_area: float

    @classmethod
    def of(cls, settings: SegmentSettings, card: ModelCard) -> Decoding:
        """Fill up what the settings leave open."""

        def chosen(value: float | None, key: str, default: float) -> float:
            return float(card.decode.get(key, default)) if value is None else value

        decoding = {
            "encoding": card.encoding,
            "threshold": chosen(settings.threshold, "threshold", THRESHOLD),
            "prominence": chosen(settings.prominence, "prominence", PROMINENCE),
            "smoothing": chosen(None, "smoothing", 0.0),
        }
        return cls(
            decoding,
            chosen(settings.min_area, "min_area_um2", 0.0),
            chosen(settings.max_area, "max_area_um2", np.inf),
        )

    def cut(self, field: NDArray[np.floating[Any]], tile: Tile) -> Instances:
        """Find the nuclei of a tile in its field."""
        return decode_tile(field, tile, self.decoding)


def segment(image: HEImage, settings: SegmentSettings | None = None, model: Model | None = None) -> Job[Segmentation]:
    """Segment the nuclei of an H&E image of any size and magnification.

    Parameters
    ----------
    image : HEImage
        What to segment.
    settings : SegmentSettings, optional
        How.
    model : Model, optional
        A loaded model; by default the one that the settings name.

    Yields
    ------
    Progress or Note
        After each tile; closing the generator stops the work.

    Returns
    -------
    Segmentation

    Raises
    ------
    ModelError
        If the model cannot be used.
    DeviceError
        If the device is not to be had, fails, or has not the memory.
    ImageError
        If the image does not fit into memory, or its scale cannot be right.
    """
    settings = settings or SegmentSettings()
    if model is None:
        yield Progress(0, 1, "loading the model")
        model = load_model(settings.model, "segmenter")
    try:
        return (yield from _segment(image, settings, model))
    except MemoryError as error:
        raise ImageError(
            f"{image.name} does not fit into memory at {model.card.mpp} microns per pixel; "
            "crop it, or close other programs."
        ) from error
    except RuntimeError as error:  # torch's own; napari would swallow it
        raise DeviceError(f"The network failed: {error}; try the device 'cpu'.") from error


def refilter(segmentation: Segmentation, settings: SegmentSettings) -> Segmentation:
    """Cut the kept field into nuclei anew; the network does not run.

    Parameters
    ----------
    segmentation : Segmentation
        What `segment` returned.
    settings : SegmentSettings
        Thresholds and areas are taken from here; all else stays as it was.

    Returns
    -------
    Segmentation
        What `segment` would return with these thresholds and areas.

    Raises
    ------
    ImageError
        If the image was too large to keep its field.
    """
    if segmentation.field is None:
        raise ImageError(f"{segmentation.image.name} is too large to move its filters; segment it again.")
    moved = {name: getattr(settings, name) for name in _MOVABLE}
    settings = segmentation.settings.model_copy(update=moved)
    cutting = Decoding.of(settings, segmentation.card)
    shape = segmentation.image.pixels.shape
    scale = Scale.of((shape[0], shape[1]), segmentation.mpp, segmentation.card.mpp)
    labels = filter_areas(scale.labels_back(run(_cut_kept(segmentation.field, cutting))), cutting, scale)
    used = used_settings(settings, cutting, segmentation.provenance["settings"]["views"])
    return replace(
        segmentation,
        labels=labels,
        features=_features(labels, segmentation.image, scale),
        settings=settings,
        provenance={**segmentation.provenance, "settings": used},
    )


def segment_tiles(
    read: Callable[[Tile], NDArray[np.uint8]],
    tiles: Sequence[Tile],
    predictor: Predictor,
    cutting: Decoding,
) -> list[Instances]:
    """Find the nuclei of some tiles.

    Parameters
    ----------
    read : callable
        Maps a tile to the pixels of its window: uint8, (H, W, 3), at the model's scale, normalised.
    tiles : sequence of Tile
        Where to look.
    predictor : Predictor
        The network.
    cutting : Decoding
        How to cut its field.

    Returns
    -------
    list of Instances
        One for each tile.
    """
    fields = predictor([read(tile) for tile in tiles])
    return [cutting.cut(field, tile) for field, tile in zip(fields, tiles, strict=True)]


def _segment(image: HEImage, settings: SegmentSettings, model: Model) -> Job[Segmentation]:
    started = time.perf_counter()
    card = model.card
    notes: list[Note] = []
    cutting = Decoding.of(settings, card)
    scale = _scale(image, settings, card, notes)
    views = settings.views or int(card.decode.get("views", 1))
    predictor = Predictor(model.network, settings.device, settings.precision, settings.batch, views)
    paint = stain_filter(image, settings, card, notes)
    notes += predictor.notes()
    yield from notes
    pixels = scale.to_model(image.pixels)

    def read(tile: Tile) -> NDArray[np.uint8]:
        window = pixels[tile.window.slices]
        return paint(window) if paint and not is_blank(window) else window

    shape = scale.model_shape
    core = settings.tile or (1024 if predictor.on_cpu else 2048)
    tiles = plan_tiles(shape, core, int(model.network.halo), math.lcm(predictor.stride, GRID))
    kept = shape[0] * shape[1] <= KEPT_PIXELS
    field = np.empty((3, *shape), dtype=np.float16) if kept else None
    mosaic = Mosaic(shape)
    begun, done = time.perf_counter(), 0
    yield Progress(0, len(tiles), "segmenting")
    for group in batches(tiles, predictor.batch):
        if field is None:
            for instances in segment_tiles(read, group, predictor, cutting):
                mosaic.add(instances)
        else:
            for tile, part in zip(group, predictor([read(tile) for tile in group]), strict=True):
                field[:, *tile.core.slices] = part[:, *tile.core.within(tile.window)]
        for note in predictor.notes():
            notes.append(note)
            yield note
        done += len(group)
        left = (time.perf_counter() - begun) / done * (len(tiles) - done)
        yield Progress(done, len(tiles), "segmenting", left)
    labels = mosaic.labels if field is None else (yield from _cut_kept(field, cutting))
    labels = filter_areas(scale.labels_back(labels), cutting, scale)
    yield Progress(len(tiles), len(tiles), "measuring nuclei")
    features = _features(labels, image, scale)
    seconds = time.perf_counter() - started
    provenance = {
        "model": card.name,
        "sha256": card.sha256,
        "version": __version__,
        "settings": used_settings(settings, cutting, predictor.views),
        "mpp": scale.mpp,
        "device": predictor.device,
        "precision": predictor.precision,
        "seconds": round(seconds, 3),
    }
    said = (*image.notes, *(note.text for note in notes))
    return Segmentation(labels, features, field, scale.mpp, settings, provenance, said, seconds, image, card)


def _scale(image: HEImage, settings: SegmentSettings, card: ModelCard, notes: list[Note]) -> Scale:
    mpp = settings.mpp or image.mpp
    if mpp is None:
        mpp = card.mpp
        notes.append(
            Note(
                f"{image.name} does not say its microns per pixel; {mpp:g} was taken, as the model "
                "was trained at. Give the right value if nuclei look cut up or merged.",
                "warning",
            )
        )
    height, width = image.pixels.shape[:2]
    scale = Scale.of((height, width), mpp, card.mpp)
    if scale.resamples:
        notes.append(Note(f"Resampled from {mpp:.4g} to the model's {card.mpp:g} microns per pixel."))
    return scale


def stain_filter(
    image: HEImage, settings: SegmentSettings, card: ModelCard, notes: list[Note]
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
    """Fit the stains of the whole image; return what gives a part of it the reference's."""
    target = stain_reference(settings, card)
    if target is None:
        return None
    from napari_nucleigan import stains

    source = stains.fit(image.pixels, target.method)
    notes += [Note(text, "warning") for text in source.notes]
    return lambda window: stains.normalize(window, target, source)


def stain_reference(settings: SegmentSettings, card: ModelCard) -> StainFit | None:
    """Return the stains that an image is brought to, or None where it is left as it is.

    Raises
    ------
    ModelError
        If the model's card holds something else.
    """
    if settings.normalize == "none" or (settings.normalize == "model" and card.stain is None):
        return None
    from napari_nucleigan import stains

    if card.stain is None:
        return replace(stains.REFERENCE, method=settings.normalize)
    try:
        target = stains.StainFit.from_json(card.stain)
    except ValueError as error:
        raise ModelError(
            f"The stain reference of the model {card.name!r} is not valid; segment without normalisation."
        ) from error
    return target if settings.normalize == "model" else replace(target, method=settings.normalize)


def _cut_kept(field: NDArray[np.float16], cutting: Decoding) -> Job[NDArray[np.int32]]:
    mosaic = Mosaic((field.shape[1], field.shape[2]))
    tiles = plan_tiles(mosaic.labels.shape, BLOCK, _MARGIN, GRID)
    for index, tile in enumerate(tiles):
        if len(tiles) > 1:
            yield Progress(index, len(tiles), "separating nuclei")
        mosaic.add(cutting.cut(field[:, *tile.window.slices], tile))
    return mosaic.labels


def filter_areas(labels: NDArray[np.int32], cutting: Decoding, scale: Scale) -> NDArray[np.int32]:
    """Drop nuclei that are too small or too large, and number the rest without gaps."""
    areas = np.bincount(labels.ravel()) * scale.mpp**2
    keep = (areas > 0) & (areas >= cutting.min_area) & (areas <= cutting.max_area)
    keep[0] = False
    names = np.zeros(areas.size, dtype=np.int32)
    names[keep] = np.arange(1, np.count_nonzero(keep) + 1, dtype=np.int32)
    return names[labels]


def _features(labels: NDArray[np.int32], image: HEImage, scale: Scale) -> dict[str, NDArray[Any]]:
    from napari_nucleigan.labels.features import measure

    return measure(labels, image.pixels, scale.mpp)


def used_settings(settings: SegmentSettings, cutting: Decoding, views: int) -> dict[str, Any]:
    """Return the settings as they were used, ready for JSON."""
    return settings.model_dump(mode="json") | {
        "threshold": cutting.decoding["threshold"],
        "prominence": cutting.decoding["prominence"],
        "min_area": cutting.min_area,
        "max_area": cutting.max_area if np.isfinite(cutting.max_area) else None,
        "views": views,
    }
