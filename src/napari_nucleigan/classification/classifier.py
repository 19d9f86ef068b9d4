"""A classifier of nuclei: what it is, its file, and how it is applied. No scikit-learn here, and no torch.

It is a multinomial logistic regression of standardised measurements and embeddings. Its file is one ``.safetensors``:
four arrays of numbers, and in the metadata a card in JSON. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.files import refuse_foreign, write_bytes
from napari_nucleigan.base.reading import FileFault, read_bytes, reading
from napari_nucleigan.base.text import printable, same_name
from napari_nucleigan.models.registry import KEY, MPP, digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SUFFIX = ".safetensors"

CARD_FORMAT = 1
"""The format of cards that this version writes, and the newest that it reads."""

FEWEST, MOST = 2, 32
"""Classes that a classifier may have."""

FAR = 6.0
"""Standard deviations beyond which a measurement counts as so far from the mean: what nobody has clicked is no reason
to be certain."""

_LARGEST = 64_000_000  # bytes of a file; those of the largest classifiers have a hundredth of that
_ARRAYS = ("mean", "scale", "weights", "bias")


class NucleusClass(BaseModel):
    """A class of nuclei: its name, and its colour in red, green and blue."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1, max_length=100)
    color: tuple[int, int, int]

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if name != same_name(name).strip() or not name:
            raise ValueError("a name is of characters that can be shown, without spaces around it")
        return name

    @field_validator("color")
    @classmethod
    def _shown(cls, color: tuple[int, int, int]) -> tuple[int, int, int]:
        if not all(0 <= part <= 255 for part in color):
            raise ValueError("a colour is three numbers from 0 to 255")
        return color


class ClassifierCard(BaseModel):
    """What a classifier is, and where it comes from."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    format: int = Field(CARD_FORMAT, ge=1, description="Version of the card's own layout.")
    kind: Literal["classifier"] = "classifier"
    name: str = Field("classifier", min_length=1)
    classes: tuple[NucleusClass, ...] = Field(min_length=FEWEST, max_length=MOST)
    columns: tuple[str, ...] = Field(max_length=1000, description="Measurements that it looks at.")
    embedding: int = Field(0, ge=0, le=100_000, description="Numbers of the embedding, which come behind them.")
    segmenter: str = Field("", description="Name of the segmenter that found the nuclei it has learnt from.")
    segmenter_sha256: str = Field("", description="SHA-256 over the tensors of that segmenter.")
    mpp: float = Field(ge=MPP[0] / 10, le=MPP[1], description="Microns per pixel of the images it has learnt from.")
    counts: dict[str, int] = Field(default_factory=dict, description="Nuclei of each class that it has learnt from.")
    images: int = Field(1, ge=1, description="Images that these lie in.")
    regularisation: float = Field(1.0, gt=0, description="C of the logistic regression.")
    scores: dict[str, Any] = Field(default_factory=dict, description="Scores of the cross-validation.")
    version: str = ""
    date: str = ""
    sha256: str = Field("", description="SHA-256 over the arrays.")

    @field_validator("classes")
    @classmethod
    def _different(cls, classes: tuple[NucleusClass, ...]) -> tuple[NucleusClass, ...]:
        if len({each.name for each in classes}) < len(classes):
            raise ValueError("two classes have the same name")
        return classes


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier, ready to be applied.

    Attributes
    ----------
    card : ClassifierCard
        What it is.
    mean, scale : ndarray of float64, shape (d,)
        Of each number that it looks at: mean and standard deviation over the nuclei that it has learnt from.
    weights : ndarray of float64, shape (k, d)
        Of each class.
    bias : ndarray of float64, shape (k,)
        Of each class.
    """

    card: ClassifierCard
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    @property
    def names(self) -> list[str]:
        """Names of the classes."""
        return [each.name for each in self.card.classes]

    @property
    def colours(self) -> dict[str, list[int]]:
        """Red, green and blue of each class."""
        return {each.name: list(each.color) for each in self.card.classes}

    def check_segmenter(self, name: str, sha256: str) -> None:
        """Make sure that the embeddings are those of the segmenter that the classifier knows.

        Parameters
        ----------
        name, sha256 : str
            Of the model that segments; empty where it has no embeddings.

        Raises
        ------
        ModelError
            If it looks at embeddings, and they come from another model.
        """
        if self.card.embedding and self.card.segmenter_sha256 != sha256:
            other = (
                f"{printable(name)!r} ({sha256[:8]}) is another one" if name else "the chosen model has no embeddings"
            )
            raise ModelError(
                f"The classifier {printable(self.card.name)!r} looks at nuclei through the model "
                f"{printable(self.card.segmenter)!r} ({printable(self.card.segmenter_sha256[:8])}), and {other}; "
                "choose that model, or train the classifier again."
            )

    def changed(self, old: str, new: NucleusClass | None) -> Classifier | None:
        """Give a class another name or colour, or leave it out.

        Parameters
        ----------
        old : str
            Name of the class.
        new : NucleusClass or None
            What takes its place; None for nothing: the others become as much likelier as they were before.

        Returns
        -------
        Classifier or None
            None where fewer than two classes are left.
        """
        if old not in self.names:
            return self
        card = self.card
        if new is not None:
            classes = tuple(new if each.name == old else each for each in card.classes)
            counts = {new.name if name == old else name: count for name, count in card.counts.items()}
            scores = dict(card.scores)
            if "f1" in scores:
                scores["f1"] = {new.name if name == old else name: value for name, value in scores["f1"].items()}
            return replace(self, card=card.model_copy(update={"classes": classes, "counts": counts, "scores": scores}))
        left = [place for place, name in enumerate(self.names) if name != old]
        if len(left) < FEWEST:
            return None
        # The scores were those of all classes.
        update = {
            "classes": tuple(card.classes[place] for place in left),
            "counts": {name: count for name, count in card.counts.items() if name != old},
            "scores": {},
        }
        return replace(self, card=card.model_copy(update=update), weights=self.weights[left], bias=self.bias[left])

    def probabilities(
        self, features: Mapping[str, NDArray[Any]], embeddings: NDArray[np.floating[Any]] | None
    ) -> NDArray[np.float64]:
        """Tell how likely each nucleus is of each class.

        Parameters
        ----------
        features : mapping of str to ndarray, shape (n,)
            All measurements, as `napari_nucleigan.labels.features.measure` gives them. What is not finite counts as
            the mean.
        embeddings : ndarray of float, shape (n, D), or None
            As of a segmentation.

        Returns
        -------
        ndarray of float64, shape (n, k)

        Raises
        ------
        ModelError
            If something that it looks at is missing.
        """
        return self.of_rows(design(self.card.columns, features, embeddings, self.card.embedding))

    def of_rows(self, rows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Tell the same of rows as `design` makes them, shape (n, d)."""
        logits = standardised(rows, self.mean, self.scale) @ self.weights.T + self.bias
        logits -= logits.max(axis=1, keepdims=True, initial=-np.inf)
        odds = np.exp(logits)
        likely: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
        return likely

    def columns(
        self, features: Mapping[str, NDArray[Any]], embeddings: NDArray[np.floating[Any]] | None
    ) -> dict[str, NDArray[Any]]:
        """Give each nucleus its likeliest class, as the columns ``class`` and ``class_probability`` of a table."""
        likely = self.probabilities(features, embeddings)
        best = likely.argmax(axis=1)
        names = np.array(self.names)
        return {"class": names[best], "class_probability": likely[np.arange(len(best)), best]}


def design(
    columns: Sequence[str],
    features: Mapping[str, NDArray[Any]],
    embeddings: NDArray[np.floating[Any]] | None,
    width: int,
) -> NDArray[np.float32]:
    """Put what a classifier looks at side by side.

    Parameters
    ----------
    columns : sequence of str
        Measurements.
    features : mapping of str to ndarray, shape (n,)
        All there are.
    embeddings : ndarray of float, shape (n, D), or None
        Embeddings.
    width : int
        How many numbers of them are wanted: D or 0.

    Returns
    -------
    ndarray of float32, shape (n, d)

    Raises
    ------
    ModelError
        If a measurement is missing, or the embedding.
    """
    missing = [name for name in columns if name not in features]
    if missing:
        raise ModelError(
            f"The classifier looks at {printable(missing[0])!r}, which is not among the measurements; measure with "
            "--measurements full."
        )
    if width and (embeddings is None or embeddings.shape[1] != width):
        have = "there are none" if embeddings is None else f"these have {embeddings.shape[1]}"
        raise ModelError(
            f"The classifier looks at embeddings of {width} numbers, and {have}; segment with the model that it was "
            "trained with."
        )
    count = len(next(iter(features.values()), ()))
    rows = np.empty((count, len(columns) + width), np.float32)
    for place, name in enumerate(columns):
        rows[:, place] = features[name]
    if width and embeddings is not None:
        rows[:, len(columns) :] = embeddings
    return rows


def standardised(
    rows: NDArray[np.floating[Any]], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Count rows, (n, d), in standard deviations from the mean, to `FAR` at most; what is not finite is the mean."""
    counted: NDArray[np.float64] = (rows - mean) / scale
    np.clip(counted, -FAR, FAR, out=counted)
    return np.nan_to_num(counted, copy=False, nan=0.0)


def save_classifier(path: str | Path, classifier: Classifier) -> Classifier:
    """Write a classifier to a file, whole or not at all, over nothing but another of this program's files.

    Parameters
    ----------
    path : str or Path
        The file; its name should end in ``.safetensors``.
    classifier : Classifier
        What to write.

    Returns
    -------
    Classifier
        With the checksum on its card.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    from safetensors.numpy import save

    refuse_foreign(path)
    arrays = {name: np.ascontiguousarray(getattr(classifier, name), np.float64) for name in _ARRAYS}
    card = classifier.card.model_copy(update={"sha256": digest(save(arrays))})
    write_bytes(path, save(arrays, metadata={KEY: card.model_dump_json()}))
    return Classifier(card, **arrays)


def load_classifier(path: str | Path) -> Classifier:
    """Read a classifier.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Classifier

    Raises
    ------
    ModelError
        If the file is no classifier, damaged, or from a newer version.
    """
    from safetensors.numpy import load

    path = Path(path).expanduser()
    with reading(path, ModelError, "classifier of napari-nucleigan"):
        content = read_bytes(path, _LARGEST)
        card = _card(content)
        arrays = load(content)
        if digest(content) != card.sha256:
            raise FileFault("it is damaged: its numbers do not match the checksum on its card; copy or train it again")
        many, wide = len(card.classes), len(card.columns) + card.embedding
        shapes = {"mean": (wide,), "scale": (wide,), "weights": (many, wide), "bias": (many,)}
        for name, shape in shapes.items():
            values = arrays.get(name)
            if values is None or values.shape != shape or values.dtype != np.float64:
                raise FileFault(f"its {name} are not the {' x '.join(map(str, shape))} numbers that its card asks for")
            if not np.isfinite(values).all() or (name == "scale" and (values <= 0).any()):
                raise FileFault(f"its {name} hold values that are no such numbers; train it again")
        return Classifier(card, **{name: arrays[name] for name in _ARRAYS})


def _card(content: bytes) -> ClassifierCard:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or 8 + length > len(content) or content[8:9] != b"{":
        raise FileFault("it is no classifier: it is not in the safetensors format, or cut short")
    text = (json.loads(content[8 : 8 + length]).get("__metadata__") or {}).get(KEY)
    values = json.loads(text, parse_constant=_refuse_number) if text is not None else None
    if not isinstance(values, dict) or values.get("kind") != "classifier":
        raise FileFault("it is a safetensors file, but no classifier; train one with nucleigan classify train")
    newer = values.get("format", 1)
    if isinstance(newer, int) and newer > CARD_FORMAT:
        raise FileFault("it was made by a newer version of napari-nucleigan; update it to use this classifier")
    try:
        return ClassifierCard.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        said = str(first["msg"]).removeprefix("Value error, ")
        raise FileFault(f"its card is not valid ({'.'.join(map(str, first['loc']))}: {said})") from error


def _refuse_number(name: str) -> float:
    raise FileFault(f"its card says {name} where a number should be")
