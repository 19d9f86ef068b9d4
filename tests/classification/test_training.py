from __future__ import annotations

import time

import numpy as np
import pytest

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.classification import Examples, NucleusClass, train
from napari_nucleigan.classification.training import COLUMNS, describe_scores

A, B, C = (NucleusClass(name=name, color=(9, 9, 9)) for name in "abc")
WIDE = len(COLUMNS)


def examples(counts: dict[str, int], images: int = 4, apart: float = 2.0, embedding: int = 0) -> Examples:
    random = np.random.default_rng(0)
    types = tuple(name for name, count in counts.items() for _ in range(count))
    rows = random.normal(size=(len(types), WIDE + embedding)).astype(np.float32)
    for number, name in enumerate(counts):
        rows[[each == name for each in types], number] += apart
    return Examples(rows, embedding, types, tuple(f"{place % images}.png" for place in range(len(types))))


def test_classes_that_differ_are_told_apart_and_the_scores_say_so() -> None:
    classifier = train(examples({"a": 60, "b": 50, "c": 40}, apart=4), [A, B, C], mpp=0.5, name="mine")
    card = classifier.card
    assert card.counts == {"a": 60, "b": 50, "c": 40}
    assert card.images == 4
    assert card.scores["held_back"] == "images"
    assert card.scores["weighted_f1"] > 0.9
    rows = np.zeros((3, WIDE), np.float32)
    rows[[0, 1, 2], [0, 1, 2]] = 5
    assert classifier.of_rows(rows).argmax(axis=1).tolist() == [0, 1, 2]
    assert "held back (4 groups of 4 images)" in describe_scores(card)


def test_of_noise_the_scores_promise_nothing() -> None:
    card = train(examples({"a": 60, "b": 60}, apart=0), [A, B], mpp=0.5).card
    assert 0.3 < card.scores["weighted_f1"] < 0.65


def test_probabilities_are_calibrated() -> None:
    known, other = examples({"a": 400, "b": 400}, apart=1), examples({"a": 400, "b": 400}, images=1, apart=1)
    random = np.random.default_rng(1)
    fresh = random.normal(size=other.rows.shape).astype(np.float32)
    fresh[:400, 0] += 1
    fresh[400:, 1] += 1
    likely = train(known, [A, B], mpp=0.5).of_rows(fresh)
    right = np.repeat([0, 1], 400) == likely.argmax(axis=1)
    assert abs(likely.max(axis=1).mean() - right.mean()) < 0.06


def test_rare_classes_count_as_much() -> None:
    classifier = train(examples({"a": 400, "b": 20}, apart=1.5), [A, B], mpp=0.5)
    rows = np.zeros((1, WIDE), np.float32)
    assert abs(classifier.of_rows(rows)[0, 0] - 0.5) < 0.25


def test_one_image_is_scored_by_nuclei_and_said_so() -> None:
    card = train(examples({"a": 20, "b": 20}, images=1), [A, B], mpp=0.5).card
    assert card.scores["held_back"] == "nuclei"
    assert "on other images it may do worse" in describe_scores(card)


def test_a_class_that_one_image_has_alone_is_no_fault() -> None:
    some = examples({"a": 30, "b": 30, "c": 30})
    images = tuple("only.png" if kind == "c" else image for kind, image in zip(some.types, some.images, strict=True))
    card = train(Examples(some.rows, 0, some.types, images), [A, B, C], mpp=0.5).card
    assert card.scores["f1"]["c"] == 0


def test_two_nuclei_are_enough_for_a_first_picture() -> None:
    classifier = train(examples({"a": 1, "b": 1}, images=1), [A, B, C], mpp=0.5)
    assert classifier.names == ["a", "b"]
    assert classifier.card.scores == {}
    assert "could be held back" in describe_scores(classifier.card)


@pytest.mark.parametrize(("counts", "said"), [({"a": 9}, "all 9 nuclei are 'a'"), ({}, "there are none")])
def test_one_class_is_none(counts: dict[str, int], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        train(examples(counts), [A, B], mpp=0.5)


def test_what_is_no_number_counts_as_the_mean() -> None:
    some = examples({"a": 20, "b": 20}, apart=4)
    some.rows[3, 2], some.rows[5, 4], some.rows[:, 7] = np.nan, np.inf, np.nan
    classifier = train(some, [A, B], mpp=0.5)
    assert np.isfinite(classifier.weights).all()
    assert (classifier.scale > 0).all()


def test_four_hundred_clicks_are_learnt_and_two_thousand_nuclei_told_in_time() -> None:
    some = examples({"a": 200, "b": 200}, embedding=224, apart=1)
    train(some, [A, B], mpp=0.5, strength=0.003)  # scikit-learn is imported
    begun = time.process_time()
    train(some, [A, B], mpp=0.5, strength=0.003).of_rows(np.zeros((2000, WIDE + 224), np.float32))
    assert time.process_time() - begun < 0.6


def test_examples_are_nuclei_with_a_class() -> None:
    features = {name: np.arange(3.0) for name in COLUMNS}
    found = Examples.of(features, np.ones((3, 2)), ["a", "", "b"], "one.png")
    assert found.types == ("a", "b")
    assert found.rows[:, 0].tolist() == [0, 2]
    joined = Examples.joined([found, found])
    assert joined.rows.shape == (4, WIDE + 2)
    assert joined.embedding == 2
