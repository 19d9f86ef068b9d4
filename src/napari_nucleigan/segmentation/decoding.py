"""Decoding: how a field is cut into nuclei, how sure each of them is, and which of them are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.masks.encoding import PROMINENCE, THRESHOLD, decode
from napari_nucleigan.segmentation.confidence import CONFIDENCE, confidence, regression
from napari_nucleigan.segmentation.instances import Instances, owned, renumbered
from napari_nucleigan.segmentation.settings import LARGEST_AREA, SegmentSettings
from napari_nucleigan.tiling import resize_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.models import ModelCard
    from napari_nucleigan.tiling import Tile


@dataclass(frozen=True)
class Decoding:
    """How a field is cut into nuclei: the settings, filled up from the model's card.

    Attributes
    ----------
    card : ModelCard
        Card of the model.
    arguments : dict
        Of `napari_nucleigan.masks.encoding.decode`.
    min_area, max_area : float
        Square microns.
    min_confidence : float
        Of a nucleus that is kept.
    tta : int
        Views of an image that fields are averaged over.
    """

    card: ModelCard
    arguments: dict[str, Any]
    min_area: float
    max_area: float
    min_confidence: float
    tta: int

    @classmethod
    def of(cls, settings: SegmentSettings, card: ModelCard) -> Decoding:
        """Fill up what the settings leave open.

        Raises
        ------
        ModelError
            If they ask for a confidence that the model does not tell.
        """

        def chosen(value: float | None, key: str, default: float) -> float:
            return float(card.decode.get(key, default)) if value is None else value

        tells = regression(card) is not None
        if settings.min_confidence and not tells:
            raise ModelError(
                f"The model {card.name!r} does not tell how sure it is of a nucleus; leave the least confidence at 0, "
                "or choose a bundled model."
            )
        arguments = {
            "encoding": card.encoding,
            "threshold": chosen(settings.threshold, "threshold", THRESHOLD),
            "prominence": chosen(settings.prominence, "prominence", PROMINENCE),
            "smoothing": chosen(None, "smoothing", 0.0),
        }
        return cls(
            card,
            arguments,
            chosen(settings.min_area, "min_area_um2", 0.0),
            chosen(settings.max_area, "max_area_um2", LARGEST_AREA),
            chosen(settings.min_confidence, "min_confidence", 0.0) if tells else 0.0,
            int(chosen(settings.tta, "views", 1)),
        )

    def labels(self, field: NDArray[np.floating[Any]]) -> NDArray[np.int32]:
        """Find the nuclei in a field, (3, H, W), of any size."""
        return decode(field.astype(np.float32), **self.arguments)

    def confidence(self, labels: NDArray[np.int32], field: NDArray[np.floating[Any]]) -> NDArray[np.float32] | None:
        """Tell how sure the nuclei are that `labels` has found, (n,); None where the model's card does not say."""
        return confidence(labels, field, self.card)

    def tile(self, field: NDArray[np.floating[Any]], tile: Tile) -> Instances:
        """Find the nuclei that belong to a tile.

        Parameters
        ----------
        field : ndarray of float, shape (3, H, W)
            Field of the tile's window in [-1, 1].
        tile : Tile
            Where it lies.

        Returns
        -------
        Instances
            The nuclei whose centroid lies in the core, or at most `BAND` pixels beside it, with their confidence.
        """
        labels = self.labels(field)
        keep, sure = owned(labels, tile), self.confidence(labels, field)
        return Instances.of(labels, tile.window, keep, {} if sure is None else {CONFIDENCE: sure[keep[1:]]})

    def wanted(self, areas: NDArray[np.floating[Any]], sure: NDArray[np.float32] | None = None) -> NDArray[np.bool_]:
        """Tell which labels are kept.

        Parameters
        ----------
        areas : ndarray of float, shape (n + 1,)
            Square microns of each label, the background's among them; 0 where there is none of that number.
        sure : ndarray of float32, shape (n,), optional
            As `confidence` gives it.

        Returns
        -------
        ndarray of bool, shape (n + 1,)
            True for those that are there, neither too small nor too large, and sure enough.
        """
        keep: NDArray[np.bool_] = (areas > 0) & (areas >= self.min_area) & (areas <= self.max_area)
        keep[0] = False
        if sure is not None:
            keep[1:] &= sure >= self.min_confidence
        return keep

    def filtered(
        self, labels: NDArray[np.int32], mpp: float, sure: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
        """Drop what is not `wanted` of labels of some microns per pixel, and number the rest without gaps.

        Returns
        -------
        labels : ndarray of int32, shape (H, W)
            The rest.
        sure : ndarray of float32 or None
            Their confidence.
        """
        areas = np.bincount(labels.ravel(), minlength=0 if sure is None else len(sure) + 1) * mpp**2
        keep = self.wanted(areas, sure)
        return renumbered(labels, keep), None if sure is None else sure[keep[1:]]

    def nuclei(self, field: NDArray[np.floating[Any]], shape: tuple[int, int], mpp: float) -> NDArray[np.int32]:
        """Find the nuclei of an image of some shape and microns per pixel in its field, and keep those `wanted`."""
        labels = self.labels(field)
        # How sure they are is not asked for where it decides nothing: validation calls this for every image.
        sure = self.confidence(labels, field) if self.min_confidence else None
        return self.filtered(resize_labels(labels, shape), mpp, sure)[0]

    def used(self, settings: SegmentSettings) -> dict[str, Any]:
        """Return the settings as they are used, ready for JSON."""
        return settings.model_dump(mode="json", by_alias=True) | {
            "threshold": self.arguments["threshold"],
            "prominence": self.arguments["prominence"],
            "min_area": self.min_area,
            # None for the usual limit, as for none in 0.1.0, whose results are gone on with.
            "max_area": self.max_area if np.isfinite(self.max_area) and self.max_area != LARGEST_AREA else None,
            "views": self.tta,
            "min_confidence": self.min_confidence,
        }
