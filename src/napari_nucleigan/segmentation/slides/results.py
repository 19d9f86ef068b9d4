"""What became of a slide: its files, its nuclei, and what could not be segmented."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nucleigan.segmentation.artefacts import ArtefactMap


@dataclass(frozen=True)
class LostTile:
    """A part of a slide that could not be segmented.

    Attributes
    ----------
    top, bottom, left, right : int
        First row, last row + 1, first and last column + 1, in pixels of the slide.
    error : str
        Why.
    """

    top: int
    bottom: int
    left: int
    right: int
    error: str

    def __str__(self) -> str:
        """Say it to people."""
        return f"x {self.left} to {self.right}, y {self.top} to {self.bottom}: {self.error}"


@dataclass(frozen=True)
class SlideResult:
    """What became of a slide.

    Attributes
    ----------
    name : str
        Name of the slide.
    outputs : tuple of Path
        What was written.
    nuclei : int
        How many were found.
    lost : tuple of LostTile
        Parts that could not be segmented, after several tries; all else was delivered.
    tiles, resumed : int
        Tiles with tissue, and how many of them an earlier run had done.
    notes : tuple of str
        What the user should know.
    provenance : dict
        Model, checksum, version, settings as used, device, precision and seconds; ready for JSON.
    seconds : float
        Time that it took, without loading the model.
    artefacts : ArtefactMap or None
        Where the slide is out of focus, folded, written upon, or has air under the glass.
    """

    name: str
    outputs: tuple[Path, ...]
    nuclei: int
    lost: tuple[LostTile, ...] = ()
    tiles: int = 0
    resumed: int = 0
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    artefacts: ArtefactMap | None = None
