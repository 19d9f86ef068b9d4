"""Arrays of any kind to 8-bit RGB, with every change said."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.errors import ImageError

UInt8Array = npt.NDArray[np.uint8]
AnyArray = npt.NDArray[Any]

# A camera's numbers fill one of these depths; the smallest that holds them all is taken.
_DEPTHS = (8, 10, 12, 14, 16, 24, 32, 64)
_DARK_MEDIAN = 60  # of 255; the darkest of the H&E tiles at hand has 82
_BLACK, _LIT, _BRIGHT = 40, 0.02, 130  # levels of black; share and median level of what it may surround
_SAMPLES = 250_000  # pixels looked at to tell dark backgrounds

DARK_NOTE = (
    "The picture has a dark background, as fluorescence and inverted images have. Bright-field "
    "H&E is expected, so nuclei may be missed or invented; invert an inverted picture first."
)
DARK_CHANNELS = (
    "its three channels lie on a dark background, as those of fluorescence do, and nuclei are found in bright-field "
    "H&E; if it is H&E, save it as RGB"
)
GREY_NOTE = "Greyscale: the value was copied to red, green and blue. Without colour fewer nuclei may be found."


def to_rgb(
    array: Any, channel_axis: int | None = None, *, premultiplied: bool = False
) -> tuple[UInt8Array, tuple[str, ...]]:
    """Turn a 2-D image of any common kind into 8-bit RGB.

    Greyscale is copied to three channels. Alpha is laid over white. Channel-first becomes
    channel-last. Integers of more bits are scaled by the smallest usual depth (8, 10, 12, 14, 16,
    ...) that holds the largest value. Floats are taken for 0 to 1 (largest value up to 1.5), for
    -1 to 1 (smallest from -1.5 to -0.5), for 0 to 255 (up to 300), else for 0 to 65535. Pixels that are
    not finite become white, the colour of empty glass.

    Parameters
    ----------
    array : array-like, shape (H, W), (H, W, 1 | 3 | 4) or (1 | 3 | 4, H, W)
        Boolean, integer or floating-point image. Axes of length 1 may precede.
    channel_axis : int, optional
        Axis of the colours. If not given, the last axis where it has length 3 or 4, else the first.
    premultiplied : bool
        Whether the colours have been multiplied by alpha, where there is one.

    Returns
    -------
    rgb : ndarray of uint8, shape (H, W, 3)
        May share memory with the input where nothing had to be changed.
    notes : tuple of str
        One sentence for each conversion, and for what may spoil the result.

    Raises
    ------
    ImageError
        If it is no 2-D colour or grey image: stacks, 2 or more than 4 channels, no pixels, complex
        numbers.
    """
    values = np.asarray(array)
    if values.dtype.kind not in "buif":
        raise ImageError(f"An image of type {values.dtype} has no colours; give 8-bit or 16-bit integers or floats.")
    if 0 in values.shape:
        raise ImageError(f"The image is empty: its shape is {values.shape}.")
    notes: list[str] = []
    values = _channels_last(values, channel_axis, notes)
    if values.shape[-1] == 4 and premultiplied:
        values = _to_bytes(values, notes)  # at once: colours mean nothing without their alpha
    pixels = _to_bytes(values[..., : 1 if values.shape[-1] == 1 else 3], notes)
    if values.shape[-1] == 4:
        pixels = _over_white(pixels, values[..., 3], notes, premultiplied)
    if pixels.shape[-1] == 1:
        notes.append(GREY_NOTE)
        pixels = np.repeat(pixels, 3, axis=-1)
    if is_dark(pixels) or _is_negative(pixels):
        notes.append(DARK_NOTE)
    return np.ascontiguousarray(pixels), tuple(notes)


def _channels_last(values: AnyArray, channel_axis: int | None, notes: list[str]) -> AnyArray:
    """Bring an image to (H, W, channels) with 1, 3 or 4 channels."""
    shape = values.shape
    if channel_axis is not None:
        if not -values.ndim <= channel_axis < values.ndim:
            raise ImageError(f"An image of shape {shape} has no axis {channel_axis} for its colours.")
        first = values.ndim > 2 and channel_axis % values.ndim != values.ndim - 1
        values = np.moveaxis(values, channel_axis, -1)
        if values.ndim > 3:
            values = _drop_leading(values, 3)
        if values.ndim == 3 and first and values.shape[-1] > 1:
            notes.append("Channel-first: the colours were moved to the last axis.")
    else:
        values = _drop_leading(values, 3)
        if values.ndim == 3 and values.shape[-1] not in (1, 3, 4):
            values = _channel_first(values, notes)
    if values.ndim == 2 and channel_axis is None:
        values = values[..., None]
    if values.ndim != 3:
        raise ImageError(
            f"Nuclei are found in 2-D images; this one has shape {shape}."
            + (" Choose one plane of the stack." if len(shape) > 3 else "")
        )
    if values.shape[-1] not in (1, 3, 4):
        raise ImageError(
            f"H&E has 3 colours (red, green, blue); this image of shape {shape} has "
            f"{values.shape[-1]} channels."
            " Choose or merge them first."
        )
    return values


def _drop_leading(values: AnyArray, ndim: int) -> AnyArray:
    while values.ndim > ndim and values.shape[0] == 1:
        values = values[0]
    return values


def _channel_first(values: AnyArray, notes: list[str]) -> AnyArray:
    planes = len(values)
    if planes == 1:
        return values.reshape(values.shape[1:])
    if values.shape[-1] == 2:
        raise ImageError(f"H&E has 3 colours (red, green, blue); this image of shape {values.shape} has 2 channels.")
    # Four planes are RGBA only if the last is alpha, mostly opaque; else they are a stack.
    if planes == 3 or (planes == 4 and np.mean(values[3] == values[3].max()) > 0.5 and values[3].any()):
        name = "red, green and blue" if planes == 3 else "red, green, blue and alpha"
        notes.append(f"Channel-first: the {planes} planes were taken for {name}.")
        return np.moveaxis(values, 0, -1)
    raise ImageError(
        f"Nuclei are found in 2-D images; this one of shape {values.shape} is a stack of {planes} "
        f"planes. "
        "Choose one plane."
    )


def _to_bytes(values: AnyArray, notes: list[str]) -> UInt8Array:
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values
    if kind == "b":
        notes.append("Black-and-white: true was taken for white.")
        return values.astype(np.uint8) * np.uint8(255)
    if kind == "f":
        return _from_float(values, notes)
    return _from_integer(values, notes)


def _from_integer(values: AnyArray, notes: list[str]) -> UInt8Array:
    info = np.iinfo(values.dtype)
    low, high = int(values.min()), int(values.max())
    if low < 0:
        notes.append(f"Negative values (down to {low}) were set to 0.")
        values = np.maximum(values, 0)
    own = info.bits - (info.min < 0)
    bits = min(next(bits for bits in _DEPTHS if high < 2**bits), own)
    if bits <= 8:
        notes.append(f"Values up to {high} in {info.bits} bits were taken as 8-bit.")
        return full_range(values, bits)
    notes.append(f"{bits}-bit values (0 to {2**bits - 1}) were scaled to 8 bits.")
    return full_range(values, bits)


def _from_float(values: AnyArray, notes: list[str]) -> UInt8Array:
    finite = np.isfinite(values)
    if not finite.all():
        bad = int((~finite.all(axis=-1)).sum())
        if not finite.any():
            raise ImageError("The image holds no numbers: every pixel is NaN or infinite.")
        notes.append(f"{bad} pixels were NaN or infinite; they became white.")
    low = float(np.min(values, initial=np.inf, where=finite))
    high = float(np.max(values, initial=-np.inf, where=finite))
    offset = 0.0
    unknown = high > 65535 or (high <= 1.5 and low < -1.5)
    if unknown:
        raise ImageError(
            f"Floating-point values from {low:.4g} to {high:.4g} have no known white; scale them to 0 to 1 first."
        )
    if low < -0.5 and high <= 1.5:
        notes.append("Floating-point values from -1 to 1 were scaled to 0 to 255.")
        offset, factor = 1.0, 127.5
    elif high <= 1.5:
        notes.append("Floating-point values from 0 to 1 were scaled to 0 to 255.")
        factor = 255.0
    elif high <= 300:
        notes.append("Floating-point values from 0 to 255 were rounded to 8 bits.")
        factor = 1.0
    else:
        notes.append("Floating-point values from 0 to 65535 were scaled to 0 to 255.")
        factor = 255 / 65535
    if not finite.all():
        white = np.asarray(255 / factor - offset, dtype=values.dtype)
        values = np.where(finite.all(axis=-1, keepdims=True), values, white)
    return _scaled(values, factor, offset)


def full_range(values: AnyArray, bits: int) -> UInt8Array:
    """Scale unsigned integers of so many bits to bytes, black to 0 and white to 255."""
    return _scaled(values, 255 / (2**bits - 1))


def _scaled(values: AnyArray, factor: float, offset: float = 0.0) -> UInt8Array:
    out = np.empty(values.shape, dtype=np.uint8)
    # By rows, so that large images need no second copy in floating point.
    step = max(1, 4_000_000 // max(1, values[0].size))
    for start in range(0, len(values), step):
        part = (values[start : start + step].astype(np.float64) + offset) * factor
        out[start : start + step] = np.clip(np.rint(part), 0, 255).astype(np.uint8)
    return out


def _over_white(pixels: UInt8Array, alpha: AnyArray, notes: list[str], premultiplied: bool) -> UInt8Array:
    ignored: list[str] = []
    opacity = _to_bytes(alpha[..., None], ignored)
    if not opacity.any():
        notes.append("The alpha channel is 0 everywhere; it was ignored.")
        return pixels
    seen = float(np.mean(opacity == 255))
    if seen == 1:
        notes.append("RGBA: the alpha channel, opaque everywhere, was dropped.")
        return pixels
    notes.append(f"RGBA: {100 * (1 - seen):.3g} % of the pixels are transparent and were laid over white.")
    return over_white(pixels, opacity, premultiplied=premultiplied)


def over_white(colours: UInt8Array, opacity: UInt8Array, *, premultiplied: bool = False) -> UInt8Array:
    """Lay colours, of shape (H, W, channels), over white by their opacity, of shape (H, W, 1)."""
    if premultiplied:
        # Rounding, and some programs, leave colours above their alpha.
        return np.minimum(colours, opacity) + (255 - opacity)
    out = np.empty_like(colours)
    for row in range(0, len(colours), 512):
        part = slice(row, row + 512)
        weight = opacity[part].astype(np.uint16)
        mixed = colours[part] * weight + 255 * (255 - weight)
        out[part] = (mixed + 127) // 255
    return out


def is_dark(pixels: UInt8Array) -> bool:
    """Tell dark backgrounds, as those of fluorescence; black around bright tissue is none."""
    levels = _sample(pixels)
    lit = levels[levels.max(axis=1) > _BLACK]
    if len(lit) > _LIT * len(levels) and float(np.median(lit.mean(axis=1))) >= _BRIGHT:
        red, green, blue = lit.mean(axis=0)
        if green < min(red, blue) - 3:  # eosin and haematoxylin absorb green most; bright grey on black is no H&E
            return False
    return float(np.median(levels.mean(axis=1))) < _DARK_MEDIAN


def _is_negative(pixels: UInt8Array) -> bool:
    """Tell inverted H&E: eosin and haematoxylin absorb green most, so only a negative has more of it than of others."""
    red, green, blue = _sample(pixels).mean(axis=0)
    return bool(green > red + 10 and green > blue + 10)


def _sample(pixels: UInt8Array) -> UInt8Array:
    step = max(1, round((pixels.shape[0] * pixels.shape[1] / _SAMPLES) ** 0.5))
    return pixels[::step, ::step].reshape(-1, 3)
