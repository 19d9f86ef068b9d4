"""Layout of a TIFF's samples: which are colours, which is alpha, how many bits they have, which side is up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from napari_nucleigan.base.reading import FileFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    import tifffile

_PHOTOMETRIC = {0: "white-is-zero", 1: "grey", 2: "rgb", 3: "palette", 6: "ycbcr"}
_PLANES = {"Z": "a z-stack", "T": "a time series", "I": "a stack", "Q": "a stack"}
_CHANNELS = "CS"
JPEG = (6, 7)
"""Compressions by JPEG, of the first kind and as it is used."""

APERIO_YCBCR = 33003
"""Compression by JPEG 2000, of Aperio, that does not say that its colours are no RGB."""
_STRAIGHT, _PREMULTIPLIED = 2, 1  # ExtraSamples

# Names that microscopes and people give to channels of fluorescence.
_FLUOROPHORES = re.compile(
    r"dapi|hoechst|fitc|tritc|cy-?[3579]|[gryc]fp\b|cherry|alexa|\baf ?-?\d{3}|texas ?red|rhod|draq|opal|sytox|"
    r"fluor|cd\d+|ki-?67|\b[3-8]\d\d ?nm",
    re.IGNORECASE,
)

TURNED = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored upside down",
    5: "mirrored and turned by 90 degrees to the left",
    6: "turned by 90 degrees to the right",
    7: "mirrored and turned by 90 degrees to the right",
    8: "turned by 90 degrees to the left",
}
"""What is done to a picture by its orientation, as TIFF and EXIF number it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the samples of a picture are.

    Attributes
    ----------
    axis : str or None
        Letter of the axis of the samples; None where there is one for each pixel.
    colours : int
        1 for grey and palettes, 3 for colours; they come first.
    alpha : str
        ``"straight"`` or ``"premultiplied"`` where the next sample is opacity, else empty.
    spare : int
        Samples of unknown meaning that follow.
    photometric : str
        ``"grey"``, ``"white-is-zero"``, ``"rgb"``, ``"palette"`` or ``"ycbcr"``.
    separate : bool
        Whether three grey channels are taken for the colours, which may be fluorescence.
    bits : int
        Of a stored sample.
    orientation : int
        1 to 8.
    """

    axis: str | None
    colours: int
    alpha: str
    spare: int
    photometric: str
    separate: bool
    bits: int
    orientation: int

    @classmethod
    def of(cls, series: tifffile.TiffPageSeries, ome: str | None = None) -> Layout:
        """Read the layout of a picture, or of a level of one.

        Parameters
        ----------
        series : tifffile.TiffPageSeries
            The picture.
        ome : str, optional
            OME-XML of the file, which may name channels of fluorescence.

        Raises
        ------
        FileFault
            If it is a stack, has another number of colours, or stores them in a way that is not read.
        """
        page = series.keyframe
        photometric = _PHOTOMETRIC.get(int(page.photometric))
        if photometric is None:
            name = getattr(page.photometric, "name", page.photometric)
            raise FileFault(f"it stores its colours as {name}, which is not read; save it as an RGB TIFF")
        if photometric == "ycbcr" and int(page.compression) in JPEG:
            photometric = "rgb"  # the JPEG decoder has converted it
        axis, count = _sample_axis(series)
        extra = [int(one) for one in page.extrasamples] if axis == "S" else []
        coloured = photometric in ("rgb", "ycbcr") and count - len(extra) >= 3
        separate = not coloured and count == 3 and photometric == "grey"
        colours = 3 if coloured or separate else 1
        spare = count - colours
        alpha = {_STRAIGHT: "straight", _PREMULTIPLIED: "premultiplied"}.get(extra[0], "") if extra else ""
        # Grey with another sample is as likely two channels of fluorescence, unless that is opacity.
        known = axis == "S" and (coloured or (bool(alpha) and count == 2))
        if (spare and not known) or (photometric == "ycbcr" and not coloured):
            raise FileFault(f"it has {count} channels, and H&E has 3 (red, green, blue); choose or merge them first")
        if separate and ome and (names := _ome_fluorescence(ome)):
            raise FileFault(not_bright_field(names))
        alpha = alpha if spare else ""
        # Of samples of several lengths the decoder makes whole bytes.
        bits = page.bitspersample if isinstance(page.bitspersample, int) else 8
        orientation = int(page.tags.valueof("Orientation", default=1) or 1)
        if orientation not in range(1, 9):
            orientation = 1  # some scanners write 0
        return cls(axis, colours, alpha, spare - bool(alpha), photometric, separate, bits, orientation)

    def split(
        self, values: npt.NDArray[Any], axes: str
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None, tuple[str, ...]]:
        """Take stored values apart, the right side up.

        Parameters
        ----------
        values : ndarray
            As stored.
        axes : str
            Letters of their axes.

        Returns
        -------
        colours : ndarray, shape (H, W) or (H, W, 3)
        alpha : ndarray, shape (H, W), or None
        notes : tuple of str
        """
        keep = [axis for axis in axes if axis in "YX" or axis == self.axis]
        values = values.reshape([n for axis, n in zip(axes, values.shape, strict=True) if axis in keep])
        values = values.transpose([keep.index(axis) for axis in ("Y", "X", *(self.axis or ""))])
        notes = []
        if self.axis == "Q":
            notes.append("Channel-first: the 3 planes were taken for red, green and blue.")
        if self.orientation != 1:
            values = turned(values, self.orientation)
            notes.append(f"The file says how it was held: the picture was {TURNED[self.orientation]}.")
        if self.spare:
            notes.append(f"Samples that are neither colours nor opacity ({self.spare} of each pixel) were left out.")
        if self.axis is None:
            return values, None, tuple(notes)
        colours = values[..., :3] if self.colours == 3 else values[..., 0]
        return colours, values[..., self.colours] if self.alpha else None, tuple(notes)


def turned(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn a stored picture, rows and columns first, as its orientation from 1 to 8 says, without copying it."""
    if orientation in (3, 4, 6, 7):
        values = values[::-1]
    if orientation in (2, 3, 7, 8):
        values = values[:, ::-1]
    return values.swapaxes(0, 1) if orientation >= 5 else values


def _sample_axis(series: tifffile.TiffPageSeries) -> tuple[str | None, int]:
    """Find the axis of the samples, once all others are known to be rows, columns or single, and its length."""
    found: tuple[str | None, int] = None, 1
    for axis, size in zip(series.axes, series.shape, strict=True):
        if axis in "YX" or size == 1:
            continue
        # Planes of unknown meaning, written by tifffile, are colours if they are three.
        if found[0] is None and (axis in _CHANNELS or (axis == "Q" and size in (3, 4) and len(series.axes) == 3)):
            found = axis, size
            continue
        raise FileFault(
            f"it is {_PLANES.get(axis, 'a stack')} of {size} planes, and nuclei are found in 2-D images; "
            "save the plane you want as its own file"
        )
    return found


def not_bright_field(names: Sequence[str]) -> str:
    """Say that an image shows fluorescence, by the names of its channels."""
    return (
        f"its channels are those of fluorescence ({', '.join(names[:5])}), and nuclei are found in bright-field H&E; "
        "open it with a reader for fluorescence"
    )


def fluorescence(names: Iterable[str]) -> list[str]:
    """Find the names of channels that are those of fluorescence."""
    return [name for name in names if _FLUOROPHORES.search(name)]


def _ome_fluorescence(ome: str) -> list[str]:
    """Find the channels that OME-XML calls those of fluorescence."""
    try:
        root = ElementTree.fromstring(ome)
    except (ElementTree.ParseError, ValueError):
        return []
    channels = [node for node in root.iter() if node.tag.rpartition("}")[2] == "Channel"]
    lit = [node for node in channels if any(node.get(name) for name in ("Fluor", "EmissionWavelength"))]
    return [node.get("Name") or "one without a name" for node in lit] or fluorescence(
        node.get("Name", "") for node in channels
    )
