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
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.description import Description


Key = tuple[str, str]
"""What tells an image from others, and its labels."""


@dataclass(frozen=True)
class Click:
    """A nucleus that the user has given a class."""

    image: Key
    row: int
    kind: str


@dataclass(frozen=True)
class _State:
    """What a change of the classes began with."""

    classes: list[NucleusClass]
    clicks: list[tuple[Click, ...]]
    opened: Classifier | None


@dataclass
class Session:
    """What the user has said so far.

    Attributes
    ----------
    images : dict of (str, str) to Description
        Described nuclei, by what tells their image and its labels from others.
    classes : list of NucleusClass
        In the order in which they are shown.
    clicks : list of tuple of Click
        What was said, the latest last; what was said at once is undone at once. Of a nucleus the latest counts.
    classifier : Classifier or None
        What follows from the clicks, or was opened.
    opened : Classifier or None
        What was opened; it holds until nuclei of two classes are clicked.
    """

    images: dict[Key, Description] = field(default_factory=dict)
    classes: list[NucleusClass] = field(default_factory=list)
    clicks: list[tuple[Click, ...]] = field(default_factory=list)
    classifier: Classifier | None = None
    opened: Classifier | None = None
    _before: list[_State | None] = field(default_factory=list)  # what each step began with; None for a click

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
        added = self._named(name, color)
        self._keep()
        self.classes.append(added)

    def rename(self, place: int, name: str) -> None:
        """Give a class another name; raises as `add_class`."""
        old = self.classes[place]
        if name.strip() != old.name:
            self._change(place, self._named(name, old.color))

    def paint(self, place: int, color: tuple[int, int, int]) -> None:
        """Give a class another colour."""
        self._change(place, NucleusClass(name=self.classes[place].name, color=color))

    def delete(self, place: int) -> None:
        """Take a class away, and the clicks that named it."""
        self._change(place, None)

    def _change(self, place: int, new: NucleusClass | None) -> None:
        """Put another class in the place of one, everywhere, or none."""
        self._keep()
        old = self.classes[place].name
        self.classes[place : place + 1] = [] if new is None else [new]
        self.clicks = _changed(self.clicks, lambda each: _renamed(each, old, new))
        self.opened = self.opened and self.opened.changed(old, new)
        self.classifier = self.classifier and self.classifier.changed(old, new)

    def _keep(self) -> None:
        self._before.append(_State(list(self.classes), list(self.clicks), self.opened))

    def _named(self, name: str, color: tuple[int, int, int]) -> NucleusClass:
        if name.strip() in {each.name for each in self.classes}:
            raise RecipeError(f"There is a class {name.strip()!r} already; choose another name.")
        try:
            return NucleusClass(name=name.strip(), color=color)
        except ValueError as error:
            raise RecipeError("A class needs a name of 1 to 100 characters that can be shown.") from error

    def click(self, image: Key, rows: Iterable[int], kinds: Iterable[str], more: bool = False) -> None:
        """Give nuclei of an image their classes; `more` in one step with the last ones."""
        step = tuple(Click(image, row, kind) for row, kind in zip(rows, kinds, strict=True))
        if step and more and self.clicks:
            self.clicks[-1] += step
        elif step:
            self.clicks.append(step)
            self._before.append(None)

    def take(self, image: Key, types: Sequence[str]) -> None:
        """Give nuclei of an image their classes, ``""`` for none, and add classes that are not there, in one step.

        Raises
        ------
        RecipeError
            If there would be too many classes.
        """
        state, steps = _State(list(self.classes), list(self.clicks), self.opened), len(self._before)
        try:
            for kind in dict.fromkeys(filter(None, types)):
                if kind not in {each.name for each in self.classes}:
                    self.add_class(kind)
        except RecipeError:
            self.classes = state.classes
            raise
        finally:
            del self._before[steps:]
        rows = [row for row, kind in enumerate(types) if kind]
        self.click(image, rows, [types[row] for row in rows])
        if rows or self.classes != state.classes:
            self._before[steps:] = [state]

    def along(self, image: Key, start: NDArray[np.floating], end: NDArray[np.floating]) -> list[int]:
        """List the nuclei, from 0, on the straight line between two places (row, column) in pixels."""
        labels = self.images[image].labels
        count = int(np.abs(end - start).max()) + 2
        places = np.rint(np.linspace(start, end, count)).astype(int)
        inside = ((places >= 0) & (places < labels.shape)).all(axis=1)
        met = labels[tuple(places[inside].T)]
        return [number - 1 for number in dict.fromkeys(met.tolist()) if number]

    def forget(self, image: Key) -> None:
        """Take away what was said of an image whose nuclei are others now."""
        self.clicks = _changed(self.clicks, lambda each: None if each.image == image else each)
        self._before = [None] * len(self.clicks)

    @property
    def undoable(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._before)

    def undo(self) -> None:
        """Take back what was done last."""
        if not self._before:
            return
        state = self._before.pop()
        if state is None:
            self.clicks.pop()
        else:
            self.classes, self.clicks, self.opened = state.classes, state.clicks, state.opened

    @property
    def said(self) -> dict[tuple[Key, int], str]:
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
                # Two segmentations of one image are one image: it is held back as a whole.
                parts.append(Examples.of(known.features, known.embeddings, types, key[0]))
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
        self.classes, self.clicks, self._before = list(classifier.card.classes), [], []
        self.classifier = self.opened = classifier

    def fits(self, image: Key) -> bool:
        """Whether there is a classifier, and the nuclei of an image were looked at with its model."""
        known, card = self.images.get(image), self.classifier and self.classifier.card
        return bool(known and card) and (not card.embedding or card.segmenter_sha256 == known.sha256)  # type: ignore[union-attr]

    def likely(self, image: Key) -> NDArray[np.float64] | None:
        """Tell how likely each nucleus of an image is of each class; None without a classifier that fits."""
        if not self.fits(image) or self.classifier is None:
            return None
        known = self.images[image]
        return self.classifier.probabilities(known.features, known.embeddings)

    def kinds(self, image: Key) -> tuple[list[str], NDArray[np.float64]]:
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

    def unsure(self, image: Key, seen: Sequence[int] = ()) -> int | None:
        """Return the nucleus whose two likeliest classes are nearest to one another, not one clicked or `seen`."""
        likely = self.likely(image)
        if likely is None or likely.shape[1] < 2:
            return None
        ordered = np.sort(likely, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
        margin[[row for of, row in self.said if of == image]] = np.inf
        margin[list(seen)] = np.inf
        return int(margin.argmin()) if np.isfinite(margin).any() else None


def _renamed(click: Click, old: str, new: NucleusClass | None) -> Click | None:
    if click.kind != old:
        return click
    return None if new is None else replace(click, kind=new.name)


def _changed(clicks: list[tuple[Click, ...]], change: Callable[[Click], Click | None]) -> list[tuple[Click, ...]]:
    """Change clicks, or take them away; steps of which nothing is left too."""
    steps = [tuple(new for each in step if (new := change(each)) is not None) for step in clicks]
    return [step for step in steps if step]
