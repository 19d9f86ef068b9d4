from __future__ import annotations

from dataclasses import fields

from napari_nucleigan.metrics import Scores
from napari_nucleigan.metrics.definitions import DEFINITIONS


def test_every_figure_is_defined_in_the_order_of_the_scores():
    assert list(DEFINITIONS) == [field.name for field in fields(Scores)]
    assert len({definition.heading for definition in DEFINITIONS.values()}) == len(DEFINITIONS)
    assert all(definition.text.endswith(".") for definition in DEFINITIONS.values())


def test_distances_are_in_pixels_and_better_when_small():
    for name, definition in DEFINITIONS.items():
        assert (definition.unit == "px") == ("hausdorff" in name)
        assert not definition.unit or definition.better == "lower"
