"""Image segmentation: from an H&E image to its nuclei."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.events import Job, Note, Progress, quiet, run
from napari_nucleigan.classification import load_classifier
from napari_nucleigan.labels.features import measure
from napari_nucleigan.masks.splitting import GRID
from napari_nucleigan.models import load_model
from napari_nucleigan.networks.network_runner import network_errors
from napari_nucleigan.segmentation.artefacts import find_artefacts
from napari_nucleigan.segmentation.confidence import CONFIDENCE
from napari_nucleigan.segmentation.decoding import Decoding
from napari_nucleigan.segmentation.embedding import coarse, coarse_shape, pooled
from napari_nucleigan.segmentation.instances import Mosaic
from napari_nucleigan.segmentation.scale import pixel_size
from napari_nucleigan.segmentation.segmenter import Segmenter, normalized
from napari_nucleigan.segmentation.settings import FILTERS, SegmentSettings
from napari_nucleigan.segmentation.surround import as_glass, note
from napari_nucleigan.tiling import Scale, batches, plan_tiles, resize_image, resize_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.classification import Classifier
    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.models import Model, ModelCard
    from napari_nucleigan.segmentation.artefacts import ArtefactMap
    from napari_nucleigan.segmentation.instances import Instances

    Nuclei = tuple[NDArray[np.int32], NDArray[np.float32] | None]
    """Labels 1, 2, ... and how sure each is, where the model tells."""

LARGEST_PIXELS = 12_000**2
"""Pixels up to which an image may be enlarged to the scale of a model."""

KEPT_PIXELS = 4096 * 4096
"""Pixels at the model's scale up to which the field is kept, so that filters can be moved."""

BLOCK = 2048
"""Side of the pieces in which a kept field is cut into nuclei."""

_MARGIN = 128  # around these pieces; more than any nucleus reaches from its centroid


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The nuclei of an image.

    Attributes
    ----------
    labels : ndarray of int32, shape (H, W)
        At the image's own pixels; 0 is background, nuclei are numbered 1, 2, ... without gaps.
    features : dict of str to ndarray
        One entry for each nucleus, as `napari_nucleigan.labels.features.measure` gives them, and ``confidence``: how
        likely it is one, in [0, 1]. A model whose card holds no calibration gives no such column. ``artefact`` names
        what is wrong with the image where the nucleus lies; it is empty where nothing is.
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
    embeddings : ndarray of float32, shape (n, D), or None
        What the network's decoder saw of each nucleus, in the order of `features`, where all was measured.
    seen : ndarray of float16, shape (D, h / 4, w / 4), or None
        What it saw everywhere, kept beside the field.
    artefacts : ArtefactMap or None
        Where the image is out of focus, folded, written upon, or has air under the glass.
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
    embeddings: NDArray[np.float32] | None = None
    seen: NDArray[np.float16] | None = None
    artefacts: ArtefactMap | None = None


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
    too_large = ImageError(
        f"{image.name} does not fit into memory at {model.card.mpp} microns per pixel; "
        "crop it, or close other programs."
    )
    with network_errors(too_large):
        return (yield from _segment(image, settings, model))


def refilter(segmentation: Segmentation, settings: SegmentSettings) -> Segmentation:
    """Cut the kept field into nuclei again; the network does not run.

    Parameters
    ----------
    segmentation : Segmentation
        What `segment` returned.
    settings : SegmentSettings
        Thresholds, areas and the least confidence are taken from here; all else stays as it was.

    Returns
    -------
    Segmentation
        What `segment` would return with these.

    Raises
    ------
    ImageError
        If the image was too large to keep its field.
    """
    if segmentation.field is None:
        raise ImageError(f"{segmentation.image.name} is too large to move its filters; segment it again.")
    moved = {name: getattr(settings, name) for name in FILTERS}
    settings = segmentation.settings.model_copy(update=moved)
    decoding = Decoding.of(settings, segmentation.card)
    labels, sure = run(_cut_kept(segmentation.field, decoding))
    labels, sure = decoding.filtered(resize_labels(labels, segmentation.labels.shape), segmentation.mpp, sure)
    classifier = load_classifier(settings.classifier) if settings.classifier else None
    shape = segmentation.field.shape[1], segmentation.field.shape[2]
    seen = _Seen(segmentation.seen, shape, classifier, segmentation.artefacts)
    features, embeddings = seen.measured(labels, sure, segmentation.image, segmentation.mpp, settings)
    return replace(
        segmentation,
        labels=labels,
        features=features,
        embeddings=embeddings,
        settings=settings,
        provenance={**segmentation.provenance, "settings": decoding.used(settings)},
    )


def _segment(image: HEImage, settings: SegmentSettings, model: Model) -> Job[Segmentation]:
    started = time.perf_counter()
    segmenter = Segmenter(model, settings)
    predictor, decoding, card = segmenter.predictor, segmenter.decoding, model.card
    size, notes = pixel_size(image, segmenter)
    mpp = size.mpp
    scale = Scale.of((image.pixels.shape[0], image.pixels.shape[1]), mpp, card.mpp)
    if math.prod(scale.model_shape) > max(math.prod(scale.shape), LARGEST_PIXELS):
        raise MemoryError  # which is said as where it really runs out
    if scale.resamples:
        notes.append(Note(f"Resampled from {mpp:.4g} to the model's {card.mpp:g} microns per pixel."))
    lit, black = as_glass(image.pixels, mpp)
    if black:
        notes.append(Note(note("picture", black), "warning"))
    fits = segmenter.fit_stains(lit)
    notes += [Note(text, "warning") for text in (fits[0].notes if fits else ())]
    artefacts = yield from quiet(find_artefacts(image, mpp), Progress(0, 1, "looking for artefacts"))
    notes += [Note(text) for text in (artefacts.note(),) if text]
    notes += predictor.notes()
    yield from notes
    pixels = resize_image(lit, scale.model_shape)
    shape = scale.model_shape
    tiles = segmenter.tiles(shape, settings.tile or (1024 if predictor.on_cpu else 2048))
    kept = shape[0] * shape[1] <= KEPT_PIXELS
    field = np.empty((3, *shape), dtype=np.float16) if kept else None
    whole = _Whole((0, 0) if kept else shape)
    embeds = segmenter.embeds
    features = np.zeros((predictor.embedding, *coarse_shape(shape)), np.float16) if embeds else None
    begun, done = time.perf_counter(), 0
    yield Progress(0, len(tiles), "segmenting")
    for group in batches(tiles, predictor.batch):
        windows = [normalized(pixels[tile.window.slices], fits) for tile in group]
        parts = predictor.described(windows) if embeds else [(part, None) for part in predictor(windows)]
        for tile, (part, described) in zip(group, parts, strict=True):
            if features is not None and described is not None:
                core, inner = coarse(tile)
                features[:, *core] = described[:, *inner]
            if field is None:
                whole.add(decoding.tile(part, tile))
            else:
                field[:, *tile.core.slices] = part[:, *tile.core.within(tile.window)]
        for said in predictor.notes():
            notes.append(said)
            yield said
        done += len(group)
        left = (time.perf_counter() - begun) / done * (len(tiles) - done)
        yield Progress(done, len(tiles), "segmenting", left)
    labels, sure = whole.nuclei if field is None else (yield from _cut_kept(field, decoding))
    labels, sure = decoding.filtered(resize_labels(labels, scale.shape), mpp, sure)
    yield Progress(len(tiles), len(tiles), "measuring nuclei")
    seen = _Seen(features, shape, segmenter.classifier, artefacts)
    table, embeddings = seen.measured(labels, sure, image, mpp, settings)
    seconds = time.perf_counter() - started
    texts = (*image.notes, *(one.text for one in notes))
    provenance = segmenter.provenance(size, seconds)
    return Segmentation(
        labels,
        table,
        field,
        mpp,
        settings,
        provenance,
        texts,
        seconds,
        image,
        card,
        embeddings,
        features if kept else None,
        artefacts,
    )


@dataclass(frozen=True)
class _Seen:
    """What was seen of an image: by the network, (D, h, w), of a shape at the model's scale; classes; artefacts."""

    features: NDArray[np.float16] | None
    shape: tuple[int, int]
    classifier: Classifier | None
    artefacts: ArtefactMap | None = None

    def measured(
        self,
        labels: NDArray[np.int32],
        sure: NDArray[np.float32] | None,
        image: HEImage,
        mpp: float,
        settings: SegmentSettings,
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32] | None]:
        """Measure nuclei, tell how sure they are, and classify them where there is a classifier."""
        which = "full" if self.classifier is not None else settings.measurements
        table = measure(labels, image.pixels, mpp, measurements=which)
        if sure is not None:
            table[CONFIDENCE] = sure
        embeddings = None if self.features is None else pooled(labels, self.features, self.shape)
        if self.classifier is not None:
            table |= self.classifier.columns(table, embeddings)
        if self.artefacts is not None:
            table |= self.artefacts.column(table)
        return table, embeddings


class _Whole(Mosaic):
    """A mosaic that knows how sure its nuclei are."""

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__(shape)
        self._sure: list[NDArray[np.float32]] = []

    def add(self, instances: Instances) -> NDArray[np.bool_]:
        painted = super().add(instances)
        if CONFIDENCE in instances.features:
            self._sure.append(instances.features[CONFIDENCE][painted])
        return painted

    @property
    def nuclei(self) -> Nuclei:
        return self.labels, np.concatenate(self._sure) if self._sure else None


def _cut_kept(field: NDArray[np.float16], decoding: Decoding) -> Job[Nuclei]:
    whole = _Whole((field.shape[1], field.shape[2]))
    tiles = plan_tiles(whole.labels.shape, BLOCK, _MARGIN, GRID)
    for index, tile in enumerate(tiles):
        if len(tiles) > 1:
            yield Progress(index, len(tiles), "separating nuclei")
        whole.add(decoding.tile(field[:, *tile.window.slices], tile))
    return whole.nuclei
