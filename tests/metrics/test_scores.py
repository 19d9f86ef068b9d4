from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.metrics import Scores, aji, evaluate, hausdorff, overlaps
from napari_nucleigan.metrics.scores import DEFINITIONS


def test_scores_are_those_of_the_single_metrics(label_pairs):
    truth, pred = label_pairs[0]
    found, distances = evaluate(truth, pred), hausdorff(truth, pred)
    assert found.aji == aji(overlaps(truth, pred))
    assert found.f1 == found.dq
    assert found.average_hausdorff == distances.average
    assert found.average_hausdorff_penalised == distances.penalised
    assert (found.matched, found.missed) == (distances.matched, distances.missed)


def test_distances_can_be_left_out(label_pairs):
    truth, pred = label_pairs[0]
    found = evaluate(truth, pred, hausdorff=False)
    assert found.hausdorff is found.average_hausdorff is found.matched is None
    assert found.aji == evaluate(truth, pred).aji


def test_json_holds_numbers_or_null():
    some, empty = np.ones((3, 3), int), np.zeros((3, 3), int)
    record = json.loads(json.dumps(evaluate(some, empty).to_json(), allow_nan=False))
    assert record["aji"] == 0
    assert record["hausdorff"] is None
    assert record["fn"] == record["missed"] == 1


def test_other_shapes_are_refused():
    with pytest.raises(LabelsError):
        evaluate(np.zeros((2, 2), int), np.zeros((2, 3), int))


def test_every_figure_is_defined_in_the_order_of_the_scores():
    assert list(DEFINITIONS) == [field.name for field in fields(Scores)]
    assert len({definition.heading for definition in DEFINITIONS.values()}) == len(DEFINITIONS)
    assert all(definition.text.endswith(".") for definition in DEFINITIONS.values())


def test_distances_are_in_pixels_and_better_when_small():
    for name, definition in DEFINITIONS.items():
        assert (definition.unit == "px") == ("hausdorff" in name)
        assert not definition.unit or definition.better == "lower"
