"""Styles: the codes that a synthesizer can paint in, and how one is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import ModelError, RecipeError
from napari_nucleigan.base.events import Note
from napari_nucleigan.segmentation.predictor import is_blank
from napari_nucleigan.tiling import Scale, resize_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.data.images.files import HEImage
    from napari_nucleigan.models import Model, ModelCard
    from napari_nucleigan.networks.synthesizers import Synthesizer

RANDOM = "random"
"""The style that is drawn by the seed."""

CROP = 256
"""Side of the crops of a reference image whose style is read, in pixels at the model's scale."""

_LEAST = 64  # side of what a style can be read off
_CROPS = 16  # of a reference image, at most
_STREAM = 0x57  # keeps the draws of styles apart from those of noise


@dataclass(frozen=True, eq=False)
class Styles:
    """Style codes by name.

    Attributes
    ----------
    codes : dict of str to ndarray of float32, shape (n, style_size)
        Empty where the model has no styles to choose from.
    size : int
        Length of a code.
    notes : tuple of Note
        What the user should know.
    """

    codes: dict[str, NDArray[np.float32]]
    size: int
    notes: tuple[Note, ...] = field(default=())

    @classmethod
    def of(cls, style: str, model: Model, image: HEImage | None = None) -> Styles:
        """Find the codes that a setting means.

        Parameters
        ----------
        style : str
            ``"random"``, a style on the model's card, an H&E image file, a folder of them or a data set; of a data
            set, images that ``split.csv`` calls ``"test"`` are left out where there are others.
        model : Model
            A synthesizer.
        image : HEImage, optional
            An image to take after instead.

        Raises
        ------
        RecipeError
            If there is no such style and no such file.
        ImageError
            If an image cannot be read.
        ModelError
            If the codes on the card do not fit the network.
        """
        network = model.network
        size = int(network.style_size)
        if size == 0:
            said = (
                ()
                if style == RANDOM and image is None
                else (Note(f"The model {model.card.name!r} knows no styles.", "warning"),)
            )
            return cls({}, 0, said)
        if image is not None:
            codes, notes = _of_images([(image.name, image.name, image)], network, model.card)
            return cls(codes, size, notes)
        known = _on_card(model.card, size)
        if style == RANDOM:
            return cls(known, size)
        if style in known:
            return cls({style: known[style]}, size)
        path = Path(style).expanduser()
        if not path.exists():
            names = ", ".join([RANDOM, *sorted(known)])
            raise RecipeError(
                f"The model {model.card.name!r} has no style {style!r}, and there is no such image; choose one of "
                f"{names}, or the path of an H&E image."
            )
        codes, notes = _of_images(_read_images(path), network, model.card)
        return cls(codes, size, notes)

    def draw(self, seed: int | Sequence[int], organ: str = "") -> tuple[str, NDArray[np.float32]]:
        """Draw a style: a name, and a mixture of two of its codes.

        Parameters
        ----------
        seed : int or sequence of int
            The same seed draws the same style.
        organ : str
            What the mask shows; if there is a style of that name, it is taken.

        Returns
        -------
        name : str
            Empty where the model has no named styles.
        code : ndarray of float32, shape (size,)
        """
        values = [seed] if isinstance(seed, int) else list(seed)
        random = np.random.default_rng([*values, _STREAM])
        if not self.codes:  # a network that was trained without any
            code = random.standard_normal(self.size, dtype=np.float32)
            return "", _level(code, 1.0)
        name = str(random.choice(sorted(self.codes)))
        name = organ if organ in self.codes else name
        codes = self.codes[name]
        one, other = codes[random.integers(len(codes), size=2)]
        share = np.float32(random.random())
        # Codes have a length that the network knows; a plain mean of two is shorter.
        length = (1 - share) * _root_mean_square(one) + share * _root_mean_square(other)
        return name, _level((1 - share) * one + share * other, float(length))


def _on_card(card: ModelCard, size: int) -> dict[str, NDArray[np.float32]]:
    found = {}
    for name, codes in (getattr(card, "styles", None) or {}).items():
        try:
            array = np.asarray(codes, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ModelError(f"The style {name!r} of the model {card.name!r} is not valid.") from error
        if array.ndim != 2 or array.shape[1] != size or not len(array) or not np.isfinite(array).all():
            raise ModelError(f"The style {name!r} of the model {card.name!r} is not valid; train the model again.")
        found[name] = array
    return found


def _read_images(path: Path) -> Iterator[tuple[str, str, HEImage]]:
    """Read images, each with its style: the organ where they are a data set that names it, else the path's name."""
    from napari_nucleigan.data.datasets.splits import read_split
    from napari_nucleigan.data.images.files import list_images, read_image

    folder = path / "images" if (path / "images").is_dir() else path
    paths = list_images(folder) if folder.is_dir() else [folder]
    if not paths:
        raise RecipeError(f"There are no images in {folder} to take the style of; choose another folder.")
    rows = read_split(folder.parent / "split.csv") if folder.name == "images" else {}
    # Test images are for the final figure: neither masks nor colours of training data are learnt from them.
    paths = [one for one in paths if rows.get(one.stem, {}).get("split") != "test"] or paths
    for one in paths:
        yield rows.get(one.stem, {}).get("organ") or path.stem, one.name, read_image(one)


def _of_images(
    images: Iterable[tuple[str, str, HEImage]], network: Synthesizer, card: ModelCard
) -> tuple[dict[str, NDArray[np.float32]], tuple[Note, ...]]:
    """Read the codes of images, each given with the name of its style and its own."""
    codes: dict[str, list[NDArray[np.float32]]] = {}
    bare = []
    for style, name, image in images:
        if image.mpp is None:
            bare.append(name)
        codes.setdefault(style, []).append(encode_style(image.pixels, image.mpp or card.mpp, network, card.mpp))
    notes: tuple[Note, ...] = ()
    if bare:
        which = bare[0] if len(bare) == 1 else f"{len(bare)} images, {bare[0]} first,"
        does = "does not say its" if len(bare) == 1 else "do not say their"
        notes = (Note(f"{which} {does} microns per pixel; {card.mpp:g} was taken for the style.", "warning"),)
    return {name: np.stack(each) for name, each in codes.items()}, notes


def encode_style(pixels: NDArray[np.uint8], mpp: float, network: Synthesizer, model_mpp: float) -> NDArray[np.float32]:
    """Read the style code of an H&E image: the mean over crops that show tissue.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB.
    mpp : float
        Its microns per pixel.
    network : Synthesizer
        On the CPU.
    model_mpp : float
        Microns per pixel that the network paints at.

    Returns
    -------
    ndarray of float32, shape (style_size,)
    """
    import torch

    scale = Scale.of((pixels.shape[0], pixels.shape[1]), mpp, model_mpp)
    crops = _crops(resize_image(pixels, scale.model_shape))
    with torch.inference_mode():
        codes = [
            network.encode_style(torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1)[0].numpy()
            for crop in crops
        ]
    lengths = [_root_mean_square(code) for code in codes]
    mean: NDArray[np.float32] = np.mean(codes, axis=0)
    return _level(mean, float(np.mean(lengths)))


def _crops(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Spread crops evenly over an image, those of empty glass left out where there are others."""
    sides = [min(CROP, length) for length in pixels.shape[:2]]
    count = int(_CROPS**0.5)
    tops, lefts = (
        sorted({round(start) for start in np.linspace(0, length - side, count)})
        for length, side in zip(pixels.shape[:2], sides, strict=True)
    )
    crops = [pixels[top : top + sides[0], left : left + sides[1]] for top in tops for left in lefts]
    # The layers that read a style halve their input several times.
    spare = [(0, max(0, _LEAST - side)) for side in sides]
    crops = [np.pad(crop, (*spare, (0, 0)), mode="symmetric") for crop in crops]
    return [crop for crop in crops if not is_blank(crop)] or crops


def _root_mean_square(code: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(code)))) if code.size else 0.0


def _level(code: NDArray[np.float32], length: float) -> NDArray[np.float32]:
    levelled: NDArray[np.float32] = (code * (length / max(_root_mean_square(code), 1e-6))).astype(np.float32)
    return levelled
