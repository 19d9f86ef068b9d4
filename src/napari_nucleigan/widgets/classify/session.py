"""Session: described nuclei, classes, clicks, and the classifier that follows from them; no Qt here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.classification import Classifier, Examples, NucleusClass, train
from napari_nucleigan.classification.classifier import MOST
from napari_nucleigan.classification.training import USUAL
from napari_nucleigan.labels.classes import colours

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.description import Description


@dataclass(frozen=True)
class Click:
    """A nucleus that the user has given a class."""

    image: str
    row: int
    kind: str


@dataclass
class Session:
    """What the user has said so far.

    Attributes
    ----------
    images : dict of str to Description
        Described nuclei, by what tells their layers apart.
    classes : list of NucleusClass
        In the order in which they are shown.
    clicks : list of tuple of Click
        What was said, the latest last; what was said at once is undone at once. Of a nucleus the latest counts.
    classifier : Classifier or None
        What follows from the clicks, or was opened.
    """

    images: dict[str, Description] = field(default_factory=dict)
    classes: list[NucleusClass] = field(default_factory=list)
    clicks: list[tuple[Click, ...]] = field(default_factory=list)
    classifier: Classifier | None = None

    def add_class(self, name: str) -> None:
        """Add a class by its name, which nobody else may have.

        Raises
        ------
        RecipeError
            If the name cannot be one.
        """
        if len(self.classes) == MOST:
            raise RecipeError(f"There may be {MOST} classes at most; delete one first.")
        taken = {each.color for each in self.classes}
        fresh = [each for each in colours([str(place) for place in range(MOST)]).values() if each not in taken]
        every = colours([str(place) for place in range(MOST)])
        color = fresh[0] if fresh else list(every.values())[len(self.classes)]
        self.classes.append(self._named(name, color))

    def rename(self, place: int, name: str) -> None:
        """Give a class another name; raises as `add_class`."""
        old = self.classes[place]
        if name.strip() != old.name:
            self.classes[place] = self._named(name, old.color)
            self.clicks = [
                tuple(replace(each, kind=self.classes[place].name) if each.kind == old.name else each for each in step)
                for step in self.clicks
            ]

    def paint(self, place: int, color: tuple[int, int, int]) -> None:
        """Give a class another colour."""
        self.classes[place] = NucleusClass(name=self.classes[place].name, color=color)

    def delete(self, place: int) -> None:
        """Take a class away, and the clicks that named it."""
        gone = self.classes.pop(place).name
        steps = [tuple(each for each in step if each.kind != gone) for step in self.clicks]
        self.clicks = [step for step in steps if step]

    def _named(self, name: str, color: tuple[int, int, int]) -> NucleusClass:
        if name.strip() in {each.name for each in self.classes}:
            raise RecipeError(f"There is a class {name.strip()!r} already; choose another name.")
        try:
            return NucleusClass(name=name.strip(), color=color)
        except ValueError as error:
            raise RecipeError("A class needs a name of 1 to 100 characters that can be shown.") from error

    def click(self, image: str, rows: Iterable[int], kinds: Iterable[str]) -> None:
        """Give nuclei of an image their classes."""
        step = tuple(Click(image, row, kind) for row, kind in zip(rows, kinds, strict=True))
        if step:
            self.clicks.append(step)

    def undo(self) -> None:
        """Take back what was said last."""
        if self.clicks:
            self.clicks.pop()

    @property
    def said(self) -> dict[tuple[str, int], str]:
        """Class of each nucleus that was clicked."""
        return {(each.image, each.row): each.kind for step in self.clicks for each in step}

    @property
    def trainable(self) -> bool:
        """Whether nuclei of two classes were clicked."""
        return len({kind for (image, _), kind in self.said.items() if image in self.images}) > 1

    def examples(self) -> tuple[Examples, float, str, str]:
        """Return the nuclei that were clicked, microns per pixel, and name and checksum of the model.

        Raises
        ------
        RecipeError
            If the images were looked at with different models.
        """
        parts, models = [], set()
        mpp = 0.0
        said = self.said
        for key, known in self.images.items():
            types = [""] * len(known.numbers)
            for (image, row), kind in said.items():
                if image == key:
                    types[row] = kind
            if any(types):
                parts.append(Examples.of(known.features, known.embeddings, types, key))
                models.add((known.model, known.sha256))
                mpp = known.mpp
        if len(models) > 1:
            raise RecipeError("The images were measured with different models; measure them all with one.")
        return Examples.joined(parts), mpp, *models.pop()

    def fit(self, scored: bool) -> Classifier:
        """Train a classifier of what was said; `scored` by nuclei that are held back, which takes longer."""
        examples, mpp, model, sha256 = self.examples()
        strength = None if scored else self.classifier.card.regularisation if self.classifier else USUAL
        return train(examples, self.classes, mpp=mpp, segmenter=model, sha256=sha256, strength=strength)

    def use(self, classifier: Classifier) -> None:
        """Take a classifier from a file in the place of what was said.

        Raises
        ------
        ModelError
            If it belongs to another model than the nuclei were looked at with.
        """
        for known in self.images.values():
            classifier.check_segmenter(known.model, known.sha256)
            classifier.probabilities(known.features, known.embeddings)
        self.classes, self.clicks, self.classifier = list(classifier.card.classes), [], classifier

    def likely(self, image: str) -> NDArray[np.float64] | None:
        """Tell how likely each nucleus of an image is of each class of the classifier; None without one."""
        known = self.images.get(image)
        if known is None or self.classifier is None:
            return None
        return self.classifier.probabilities(known.features, known.embeddings)

    def kinds(self, image: str) -> tuple[list[str], NDArray[np.float64]]:
        """Return the class of each nucleus of an image, ``""`` for none, and how likely it is."""
        likely = self.likely(image)
        count = len(self.images[image].numbers)
        names, sure = [""] * count, np.full(count, np.nan)
        if likely is not None and self.classifier is not None:
            best = likely.argmax(axis=1)
            names = [self.classifier.names[place] for place in best.tolist()]
            sure = likely.max(axis=1)
        for (of, row), kind in self.said.items():
            if of == image:
                names[row], sure[row] = kind, 1.0
        return names, sure

    def unsure(self, image: str, seen: Sequence[int] = ()) -> int | None:
        """Return the nucleus whose two likeliest classes are nearest to one another, not one clicked or `seen`."""
        likely = self.likely(image)
        if likely is None or likely.shape[1] < 2:
            return None
        ordered = np.sort(likely, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
        margin[[row for of, row in self.said if of == image]] = np.inf
        margin[list(seen)] = np.inf
        return int(margin.argmin()) if np.isfinite(margin).any() else None
