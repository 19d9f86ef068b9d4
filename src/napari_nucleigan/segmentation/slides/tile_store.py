"""What one tile has found: a small record that travels between processes and waits on disk."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.files import make_folder, write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.instances import Instances

_FEATURE = "feature:"


@dataclass(frozen=True, eq=False)
class TileRecord:
    """The nuclei of one tile.

    Attributes
    ----------
    corners : ndarray of int32, shape (n, 2)
        First row and column of each nucleus, in pixels at the model's scale.
    shapes : ndarray of int32, shape (n, 2)
        Height and width of each.
    bits : ndarray of uint8
        The masks, row by row, one after the other, eight pixels to a byte.
    features : dict of str to ndarray, shape (n,)
        As `napari_nucleigan.labels.features.measure` gives them, in pixels of the slide; without labels.
    """

    corners: NDArray[np.int32]
    shapes: NDArray[np.int32]
    bits: NDArray[np.uint8]
    features: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, found: Instances, features: dict[str, NDArray[Any]]) -> TileRecord:
        """Make a record of nuclei and their features."""
        masks = found.masks
        flat = np.concatenate([mask.ravel() for mask in masks]) if masks else np.zeros(0, bool)
        shapes = np.array([mask.shape for mask in masks], np.int32).reshape(-1, 2)
        return cls(found.corners.astype(np.int32), shapes, np.packbits(flat), features)

    def __len__(self) -> int:
        """Return how many nuclei there are."""
        return len(self.corners)

    @property
    def ends(self) -> NDArray[np.int32]:
        """Last row + 1 and last column + 1 of each nucleus."""
        return self.corners + self.shapes

    def masks(self) -> list[NDArray[np.bool_]]:
        """Unpack the mask of each nucleus, cropped."""
        sizes = self.shapes.prod(axis=1, dtype=np.int64)
        flat = np.unpackbits(self.bits, count=int(sizes.sum())).astype(bool)
        return (
            [
                part.reshape(shape)
                for part, shape in zip(np.split(flat, np.cumsum(sizes)[:-1]), self.shapes.tolist(), strict=True)
            ]
            if len(self)
            else []
        )

    def pack(self) -> bytes:
        """Represent the record by bytes; nothing in them can be executed."""
        buffer = io.BytesIO()
        columns: dict[str, Any] = {_FEATURE + name: values for name, values in self.features.items()}
        np.savez_compressed(buffer, corners=self.corners, shapes=self.shapes, bits=self.bits, **columns)
        return buffer.getvalue()

    @classmethod
    def unpack(cls, content: bytes) -> TileRecord:
        """Read what `pack` gave.

        Raises
        ------
        ValueError
            If it is something else.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                features = {
                    name.removeprefix(_FEATURE): arrays[name] for name in arrays.files if name.startswith(_FEATURE)
                }
                return cls(arrays["corners"], arrays["shapes"], arrays["bits"], features)
        except Exception as error:  # whatever a damaged archive makes zipfile and numpy say
            raise ValueError(f"no record of a tile ({error})") from error


class TileStore:
    """The records of a slide's tiles on disk; each appears whole or not at all.

    Parameters
    ----------
    folder : Path
        Where they are; it is made.

    Raises
    ------
    OutputError
        If the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder)

    def put(self, number: int, record: TileRecord) -> None:
        """Keep the record of a tile.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        # A record that a power cut takes along is computed again.
        write_bytes(self._path(number), record.pack(), flush=False)

    def get(self, number: int) -> TileRecord | None:
        """Return the record of a tile; None where there is none, or only a damaged one."""
        try:
            return TileRecord.unpack(self._path(number).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        except OSError as error:
            raise OutputError(f"Cannot read {self._path(number)}: {error.strerror or error}.") from error

    def numbers(self) -> set[int]:
        """Return which tiles have a record."""
        return {int(path.stem) for path in self.folder.glob("*.npz") if path.stem.isdecimal()}

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:07d}.npz"
