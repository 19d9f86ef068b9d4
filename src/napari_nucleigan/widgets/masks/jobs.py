"""Jobs of the Masks widget; nothing here touches Qt or a viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.masks.editing import edits
from napari_nucleigan.masks.editing.edits import Edit, fill
from napari_nucleigan.masks.polygons import fit

if TYPE_CHECKING:
    import numpy as np

    from napari_nucleigan.labels.regions import Bounds
    from napari_nucleigan.masks.sampler.parameters import PolygonMasks


@dataclass(frozen=True)
class FillOrder:
    """Random nuclei to add.

    Attributes
    ----------
    statistics : PolygonMasks
        What they look like.
    seed : int
        Which ones.
    region : Bounds or None
        Where; None for the whole canvas.
    replace : bool
        Whether those there are deleted first.
    like : str
        Name of the tissue that they imitate.
    tissue : ndarray of uint8, shape (h, w), or None
        What is known of the tissue map, for statistics with a layout.
    """

    statistics: PolygonMasks
    seed: int
    region: Bounds | None
    replace: bool
    like: str = ""
    tissue: np.ndarray[Any, Any] | None = None

    def record(self) -> dict[str, Any]:
        """Return what the mask's metadata say of it."""
        fields = self.statistics.model_dump(exclude={"tissues", "layout"})
        return {"like": self.like, **fields, "seed": self.seed, "region": self.region, "replace": self.replace}


@dataclass(frozen=True)
class EditOrder:
    """Nuclei to change.

    Attributes
    ----------
    name : str
        "jitter", "grow", "shrink", "copy" or "split".
    ids : tuple of int
        Which ones.
    amount : float
        How far, in microns.
    seed : int
        For what is random.
    """

    name: str
    ids: tuple[int, ...]
    amount: float
    seed: int


@dataclass(frozen=True)
class Done:
    """An order that was carried out, on which mask, and what came of it."""

    order: FillOrder | EditOrder
    before: np.ndarray[Any, Any]
    edit: Edit


def carry_out(order: FillOrder | EditOrder, labels: np.ndarray[Any, Any], mpp: float, first: int) -> Job[Done]:
    """Fill or edit a mask.

    Parameters
    ----------
    order : FillOrder or EditOrder
        What to do.
    labels : ndarray of int, shape (H, W)
        The mask; a copy that nobody else changes.
    mpp : float
        Microns per pixel.
    first : int
        Label of the first new nucleus.
    """
    yield Progress(0, 1, "laying out nuclei" if isinstance(order, FillOrder) else f"{order.name}: {len(order.ids)}")
    if isinstance(order, FillOrder):
        edit = fill(
            labels,
            order.statistics,
            mpp,
            order.seed,
            order.region,
            replace=order.replace,
            first=first,
            tissue=order.tissue,
        )
    elif order.name == "copy":
        edit = edits.copy(labels, order.ids, order.seed, first)
    elif order.name == "split":
        edit = edits.split(labels, order.ids, first)
    elif order.name == "jitter":
        edit = edits.jitter(labels, order.ids, order.amount, mpp, order.seed)
    else:
        edit = {"grow": edits.grow, "shrink": edits.shrink}[order.name](labels, order.ids, order.amount, mpp)
    return Done(order, labels, edit)


def learn(labels: np.ndarray[Any, Any], mpp: float) -> Job[PolygonMasks]:
    """Fit the sampler to a label image."""
    yield Progress(0, 1, "measuring nuclei")
    return fit([labels], mpp)


def outcome(done: Done) -> str:
    """Say what an order has done."""
    edit, order = done.edit, done.order
    left = edit.left_out
    if isinstance(order, FillOrder):
        text = f"{len(edit.ids)} nuclei added (seed {order.seed})"
        return f"{text}; {left} left out, which would overlap others." if left else f"{text}."
    if order.name == "split":
        return f"{len(edit.ids)} parts are nuclei of their own now." if edit.ids else "No nucleus is in several parts."
    verb = {"jitter": "moved", "copy": "copied", "grow": "grown", "shrink": "shrunk"}[order.name]
    count = len(edit.ids)
    text = f"{count} {'nucleus' if count == 1 else 'nuclei'} {verb}"
    return f"{text}; {left} left as they are, for want of room." if left else f"{text}."
