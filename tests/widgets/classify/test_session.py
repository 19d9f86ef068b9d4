"""What a user says of nuclei, and takes back; no viewer here."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.classification.training import COLUMNS
from napari_nucleigan.segmentation.description import Description
from napari_nucleigan.widgets.classify.session import Session

ONE, SAME, OTHER = ("one", "nuclei"), ("one", "others"), ("two", "nuclei")


def described(sha256: str = "0") -> Description:
    """Twelve nuclei in a row, of which the first six are large."""
    random = np.random.default_rng(0)
    labels = np.zeros((6, 72), np.int32)
    for number in range(12):
        labels[1:5, 6 * number + 1 : 6 * number + 5] = number + 1
    table = {name: np.zeros(12) for name in COLUMNS}
    table["area_um2"] = np.repeat([90.0, 10.0], 6) + random.normal(size=12)
    return Description("a", labels, np.arange(1, 13), table, np.zeros((12, 2), np.float32), 0.25, "model", sha256)


@pytest.fixture
def session() -> Session:
    session = Session({ONE: described()})
    session.add_class("large")
    session.add_class("small")
    return session


def learnt(session: Session) -> None:
    session.click(ONE, [0, 1, 6, 7], ["large", "large", "small", "small"])
    session.classifier = session.fit(scored=False)


def test_a_deleted_class_comes_back_with_its_clicks(session: Session) -> None:
    learnt(session)
    said, classes = session.said, list(session.classes)
    session.rename(0, "huge")
    session.delete(0)
    assert set(session.said.values()) == {"small"}
    assert session.classifier is None
    session.undo()
    assert set(session.said.values()) == {"huge", "small"}
    session.undo()
    assert (session.said, session.classes) == (said, classes)
    for _ in range(3):
        assert session.undoable
        session.undo()
    assert (session.said, session.classes, session.undoable) == ({}, [], False)


def test_points_are_one_step_with_their_classes(session: Session) -> None:
    session.take(ONE, ["large", "", "odd"] + 9 * [""])
    assert [each.name for each in session.classes] == ["large", "small", "odd"]
    assert session.said == {(ONE, 0): "large", (ONE, 2): "odd"}
    session.undo()
    assert ([each.name for each in session.classes], session.said) == (["large", "small"], {})


def test_points_of_too_many_classes_change_nothing(session: Session) -> None:
    for number in range(29):
        session.add_class(f"class {number}")
    before = list(session.classes)
    with pytest.raises(RecipeError, match="32 classes at most"):
        session.take(ONE, ["x", "y"] + 10 * [""])
    assert (session.classes, session.said) == (before, {})
    session.undo()
    assert session.classes == before[:-1]


def test_nuclei_along_a_line(session: Session) -> None:
    assert session.along(ONE, np.array([3.0, 3.0]), np.array([3.0, 20.0])) == [0, 1, 2, 3]
    assert session.along(ONE, np.array([3.0, 3.0]), np.array([3.0, 3.0])) == [0]
    assert session.along(ONE, np.array([-9.0, -9.0]), np.array([-5.0, 99.0])) == []


def test_an_opened_classifier_holds_until_two_classes_are_clicked(session: Session) -> None:
    learnt(session)
    opened = session.classifier
    assert opened is not None
    fresh = Session({ONE: described()})
    fresh.use(opened)
    expected = 6 * ["large"] + 6 * ["small"]
    assert fresh.kinds(ONE)[0] == expected
    fresh.click(ONE, [3], ["small"])
    assert not fresh.trainable
    assert fresh.kinds(ONE)[0] == [*expected[:3], "small", *expected[4:]]
    fresh.undo()
    assert fresh.kinds(ONE)[0] == expected


def test_classes_of_an_opened_classifier_are_renamed_coloured_and_deleted(session: Session) -> None:
    session.add_class("third")
    session.click(ONE, [0, 1, 6, 7, 11], ["large", "large", "small", "small", "third"])
    fresh = Session({ONE: described()})
    fresh.use(session.fit(scored=False))
    fresh.rename(0, "huge")
    fresh.paint(0, (1, 2, 3))
    assert fresh.classifier is not None
    assert fresh.classifier.card.classes[0] == fresh.classes[0]
    assert fresh.kinds(ONE)[0][0] == "huge"
    fresh.delete(2)
    assert fresh.classifier.names == ["huge", "small"]
    assert fresh.kinds(ONE)[0] == 6 * ["huge"] + 6 * ["small"]
    np.testing.assert_allclose(fresh.classifier.probabilities(*_seen(fresh)).sum(axis=1), 1)


def _seen(session: Session) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    known = session.images[ONE]
    return known.features, known.embeddings


def test_two_segmentations_of_an_image_are_held_back_together(session: Session) -> None:
    session.images |= {SAME: described(), OTHER: described()}
    for image in (ONE, SAME, OTHER):
        session.click(image, [0, 6], ["large", "small"])
    examples, *_ = session.examples()
    assert examples.images == ("one", "one", "one", "one", "two", "two")
    assert session.fit(scored=True).card.scores["groups"] == 2


def test_nuclei_seen_by_another_model_get_no_class(session: Session) -> None:
    learnt(session)
    session.images[OTHER] = described("1")
    assert not session.fits(OTHER)
    assert set(session.kinds(OTHER)[0]) == {""}
    assert session.unsure(OTHER) is None
    session.click(OTHER, [0, 6], ["large", "small"])
    with pytest.raises(RecipeError, match="different models"):
        session.fit(scored=False)


def test_other_nuclei_of_an_image_are_about_nothing_that_was_said(session: Session) -> None:
    learnt(session)
    session.click(OTHER, [1], ["large"])
    session.forget(ONE)
    assert session.said == {(OTHER, 1): "large"}
    session.undo()
    assert (session.said, session.undoable) == ({}, False)
