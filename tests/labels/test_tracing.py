from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.labels import tracing
from napari_nucleigan.labels.tracing import Traced, trace
from oracle import scatter


def rings(found: Traced) -> dict[int, list[list[list[list[int]]]]]:
    points, ends = found.points.tolist(), [0, *found.ends.tolist()]
    return {
        label: [[points[ends[ring] : ends[ring + 1]] for ring in polygon] for polygon in polygons]
        for label, polygons in found.polygons().items()
    }


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 12), st.integers(1, 5))
def test_plain_labels_are_traced_as_all_others_are(seed: int, height: int, width: int, most: int) -> None:
    labels = np.random.default_rng(seed).integers(0, most + 1, (height, width)) * 3
    assert rings(trace(labels)) == rings(tracing._walk(labels))


def test_nuclei_are_traced_alike() -> None:
    labels = scatter((300, 300))
    found = trace(labels)
    assert rings(found) == rings(tracing._walk(labels))
    areas = np.bincount(found.labels, found.areas)
    assert areas.tolist() == [0, *np.bincount(labels.ravel())[1:].tolist()]


def test_nothing_has_no_rings() -> None:
    for shape in ((0, 0), (1, 1), (3, 4)):
        assert rings(trace(np.zeros(shape, np.int32))) == {}
