"""Registry of models, the bundled ones and the user's own: their files, and the cards in these. No torch here."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.files import app_folder
from napari_nucleigan.base.reading import check_regular, read_bytes, reading
from napari_nucleigan.base.text import printable

CARD_FORMAT = 1
"""The card format that this version writes, and the newest that it reads."""

KEY = "nucleigan"
"""The metadata key of the card."""

Kind = Literal["segmenter", "synthesizer"]

MPP = (0.1, 10.0)
"""Microns per pixel that a network may have been trained at: from oil immersion (100x) to overviews (1x)."""

_DECODING = {
    **dict.fromkeys(("threshold", "prominence"), (0.0, 1.0)),
    **{"smoothing": (0.0, 100.0), "min_area_um2": (0.0, 1e6), "max_area_um2": (0.0, 1e9), "views": (1.0, 8.0)},
}

_LONGEST_HEADER = 16_000_000  # bytes; those of the largest networks here have a hundredth of that
_LARGEST = 800_000_000  # bytes of a model, which are in memory twice while it is loaded
_NO_MODEL = "model of napari-nucleigan"


class ModelCard(BaseModel):
    """What a model is, what it expects, and where it comes from.

    Fields that a later version adds within the same `format` are kept, so that copying a model
    loses nothing.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    format: int = Field(CARD_FORMAT, ge=1, description="Version of the card's own layout.")
    name: str = Field(min_length=1, description="Name of the model.")
    kind: Kind = Field(description="What the network does.")
    architecture: dict[str, Any] = Field(description="What `networks.build` needs to build it.")
    encoding: str = Field("distance", description="Encoding of the mask domain that it speaks.")
    mpp: float = Field(ge=MPP[0], le=MPP[1], description="Microns per pixel that it was trained at.")
    stain: dict[str, Any] | None = Field(
        None, description="Stain reference (a StainFit) that images are brought to, if it asks."
    )
    decode: dict[str, Any] = Field(
        default_factory=dict,
        description="Default decoding: threshold, prominence, smoothing, min_area_um2, views.",
    )
    confidence: dict[str, Any] | None = Field(
        None, description="Regression that tells how likely what the network finds is a nucleus."
    )
    scale: dict[str, Any] | None = Field(
        None, description="Regression that tells the scale of an image from what the network finds in it."
    )
    styles: dict[str, list[list[float]]] = Field(
        default_factory=dict, description="Style codes of a synthesizer by the name of the tissue they were read off."
    )
    tissue: dict[str, Any] | None = Field(
        None, description="Classes of tissue that a synthesizer knows, and statistics of masks laid out on them."
    )
    recipe: dict[str, Any] = Field(default_factory=dict, description="The recipe that trained it.")
    training_data: str = Field("", description="What it was trained on.")
    data_licence: str = Field("", description="Licence of the training data.")
    licence: str = Field("", description="Licence of the weights.")
    scores: dict[str, Any] = Field(default_factory=dict, description="Measured scores.")
    version: str = Field("", description="Version of this package that made it.")
    date: str = Field("", description="Day on which it was made, YYYY-MM-DD.")
    sha256: str = Field("", description="SHA-256 over the tensors.")
    notes: str = Field("", description="Anything else a user should know.")

    @property
    def licence_name(self) -> str:
        """Name of the weights' licence, without what is said of it in brackets; empty where the card names none."""
        return self.licence.split(" (")[0]

    @field_validator("decode")
    @classmethod
    def _decoding(cls, decode: dict[str, Any]) -> dict[str, Any]:
        for name, (low, high) in _DECODING.items():
            value = decode.get(name, low)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f"{name} must be a number from {low:g} to {high:g}")
        if decode.get("views", 1) not in (1, 2, 4, 8):
            raise ValueError("views must be 1, 2, 4 or 8")
        return decode


def read_card(path: str | Path) -> ModelCard:
    """Read the card of a model file from its header alone, without torch.

    Parameters
    ----------
    path : str or Path
        The model file.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        If the file is not a model of this package, is cut short, or was made by a newer version.
    """
    file = Path(path)
    with reading(file, ModelError, _NO_MODEL):
        check_regular(file)
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            header = stream.read(length) if length <= _LONGEST_HEADER else b""
        return parse_card(start + header, size, file)


def read_checked(path: Path) -> tuple[ModelCard, bytes]:
    """Read a whole model file and hold its tensors against the checksum on its card.

    Parameters
    ----------
    path : Path
        The model file.

    Returns
    -------
    card : ModelCard
        Its card.
    content : bytes
        The whole file.

    Raises
    ------
    ModelError
        As `read_card`; also if the tensors are not those that were saved.
    """
    with reading(path, ModelError, _NO_MODEL):
        content = read_bytes(path, _LARGEST)
        card = parse_card(content, len(content), path)
        if digest(content) != card.sha256:
            raise ModelError(
                f"{path} is damaged: its tensors do not match the checksum on its card; copy or train the model again."
            )
        return card, content


def digest(content: bytes) -> str:
    """SHA-256 over the tensors of a safetensors file: name, dtype, shape and bytes, by name."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    data = memoryview(content)[8 + length :]
    sha = hashlib.sha256()
    for name in sorted(header.keys() - {"__metadata__"}):
        entry = header[name]
        begin, end = entry["data_offsets"]
        sha.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
        sha.update(data[begin:end])
    return sha.hexdigest()


def parse_card(content: bytes, size: int, path: Path) -> ModelCard:
    """Take the card out of the beginning of a model file.

    Parameters
    ----------
    content : bytes
        The file, or at least its header.
    size : int
        Size of the whole file in bytes.
    path : Path
        The file's name, for messages.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        As `read_card`.
    """
    text = (_header(content, size, path).get("__metadata__") or {}).get(KEY)
    if text is None:
        raise ModelError(
            f"{path} is a safetensors file, but not a model of napari-nucleigan (it has no card); choose another file."
        )
    try:
        values = json.loads(text, parse_constant=_refuse_number)
        newer = isinstance(values, dict) and int(values.get("format", 1)) > CARD_FORMAT
        if not newer:
            return ModelCard.model_validate(values)
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(
            f"The card of the model file {path} is not valid{_fault(error)}; choose another file."
        ) from error
    raise ModelError(f"{path} was made by a newer version of napari-nucleigan; update it to use this model.")


def _refuse_number(name: str) -> float:
    raise ValueError(f"it says {name} where a number should be")


def _fault(error: Exception) -> str:
    """Say which field of a card is at fault, where that is known."""
    if not isinstance(error, ValidationError):
        return printable(f" ({error})")
    first = error.errors()[0]
    said = str(first["msg"]).removeprefix("Value error, ")
    return printable(f" ({'.'.join(map(str, first['loc']))}: {said})")


def _header(content: bytes, size: int, path: Path) -> dict[str, Any]:
    # The layout: 8 bytes of length (little endian), that many of JSON, the tensors without gaps.
    length = int.from_bytes(content[:8], "little")
    if size < 8 or length > _LONGEST_HEADER or content[8:9] not in (b"{", b""):
        raise ModelError(f"{path} is not a model file (not in the safetensors format); choose another file.")
    if 8 + length > size:
        raise ModelError(f"{path} is cut short (it ends within its header); copy the file again.")
    try:
        header = json.loads(content[8 : 8 + length])
        ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is not a model file (its header is not valid); choose another file.") from error
    whole = 8 + length + max(ends, default=0)
    if size < whole:
        raise ModelError(f"{path} is cut short ({size} of {whole} bytes); copy the file again.")
    return cast("dict[str, Any]", header)


DEFAULT_SEGMENTER = "nucleigan-he"
"""Name of the bundled segmenter."""

DEFAULT_SYNTHESIZER = "nucleigan-paint"
"""Name of the bundled synthesizer."""

SUFFIX = ".safetensors"

_BUNDLED = Path(__file__).parents[1] / "weights"
_VARIABLE = "NUCLEIGAN_MODELS"
_chosen = ""


@dataclass(frozen=True)
class ModelFile:
    """A model file of the registry.

    Attributes
    ----------
    name : str
        The name that `resolve` finds it by.
    path : Path
        Where it lies.
    bundled : bool
        Whether it came with this package.
    card : ModelCard or None
        Its card; None where the file cannot be used.
    problem : str
        Why it cannot be used; empty where it can.
    """

    name: str
    path: Path
    bundled: bool
    card: ModelCard | None
    problem: str = ""


def use_folder(folder: str | Path) -> None:
    """Choose the folder of the user's own models for this process; empty for the usual one.

    It counts where ``NUCLEIGAN_MODELS`` names none. A child process finds the same models by `child_environment`.
    """
    global _chosen
    _chosen = str(folder)


def child_environment() -> dict[str, str]:
    """Return the environment of a child process that is to find the same models as this one."""
    return {**os.environ, _VARIABLE: chosen} if (chosen := _chosen_folder()) else dict(os.environ)


def _chosen_folder() -> str:
    return os.environ.get(_VARIABLE) or _chosen


def user_folder() -> Path:
    """Folder of the user's own models: ``NUCLEIGAN_MODELS``, that of `use_folder`, else in the user's data folder."""
    if chosen := _chosen_folder():
        return Path(chosen).expanduser()
    return app_folder(_VARIABLE, "data", "models")


def list_models(kind: Kind | None = None, *, broken: bool = False) -> list[ModelFile]:
    """List the models of the registry: the user's own, then the bundled ones.

    Parameters
    ----------
    kind : {"segmenter", "synthesizer"}, optional
        Only those of this kind.
    broken : bool
        Also list files that cannot be used, with the reason in `problem`.

    Returns
    -------
    list of ModelFile
        In each folder by file name. A user's model hides a bundled one of the same name.
    """
    found: dict[str, ModelFile] = {}
    for folder, bundled in ((user_folder(), False), (_BUNDLED, True)):
        # Of a folder that may not be entered nothing else is heard.
        if broken and folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
            problem = f"Cannot read the folder of the models {printable(folder)}: permission denied."
            found[folder.name] = ModelFile(folder.name, folder, bundled, None, problem)
        for path in sorted(folder.glob(f"[!.]*{SUFFIX}")):
            try:
                card = read_card(path)
            except ModelError as error:
                if broken:
                    file = ModelFile(path.stem, path, bundled, None, str(error))
                    found.setdefault(file.name, file)
                continue
            if kind in (None, card.kind):
                found.setdefault(card.name, ModelFile(card.name, path, bundled, card))
    return list(found.values())


def resolve(source: str | Path) -> Path:
    """Find the file of a model.

    Parameters
    ----------
    source : str or Path
        Name of a model of the registry (the user's own come before the bundled ones), path of a
        model file, or folder of a training run (its best model).

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If there is none.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path
    best = path / f"best{SUFFIX}"
    if best.is_file():
        return best
    plain = path.parent == Path() and path.suffix != SUFFIX
    if not plain and path.is_dir():
        raise ModelError(
            f"{path} is a folder without a best{SUFFIX}; give a model file or the folder of a training run."
        )
    if not plain:
        raise ModelError(f"There is no model file {path}; check the path, or choose a model by its name.")
    for file in list_models(broken=True):
        if str(source) in (file.name, file.path.stem):
            return file.path
    names = ", ".join(file.name for file in list_models()) or "none is installed"
    raise ModelError(
        f"There is no model named {str(source)!r} (there are: {names}); choose one of these, give "
        f"the path of a model file, or put the file into {user_folder()}."
    )
