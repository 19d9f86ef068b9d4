from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nucleigan.segmentation.artefacts import ArtefactMap
from napari_nucleigan.widgets.base.layers import image_layers
from napari_nucleigan.widgets.segment.artefacts import show_artefacts

if TYPE_CHECKING:
    from collections.abc import Callable


def test_they_lie_over_their_image_and_under_its_nuclei(make_napari_viewer_proxy: Callable[..., Any]) -> None:
    viewer = make_napari_viewer_proxy()
    image = viewer.add_image(np.full((256, 320, 3), 200, np.uint8), name="a", rgb=True, scale=(0.5, 0.5))
    nuclei = viewer.add_labels(np.ones((256, 320), np.int32), name="nuclei", scale=(0.5, 0.5))
    kinds = np.zeros((4, 5), np.uint8)
    kinds[1, 2], kinds[3, 4] = 1, 3
    found = ArtefactMap(kinds, kinds == 0, (64.0, 64.0))
    layer = show_artefacts(viewer, image, found)
    assert layer is not None
    assert [each.name for each in viewer.layers] == ["a", "a artefacts: blur, pen", "nuclei"]
    assert viewer.layers.selection.active == nuclei
    assert image_layers(viewer) == [image]
    # The middle of the first square lies where that of its 64 x 64 pixels of the image does.
    np.testing.assert_allclose(layer.extent.world, [[15.75, 15.75], [111.75, 143.75]])
    assert layer.get_status((1.5 * 32, 2.5 * 32), world=True)["coordinates"].endswith("artefact: blur")
    assert layer.get_color(0) is None
    assert layer.get_color(1) is not None

    moved = show_artefacts(viewer, image, found, (64, 0))
    assert moved is not None
    assert len(viewer.layers) == 3
    assert moved.extent.world[0] == pytest.approx([15.75 + 32, 15.75])
    assert show_artefacts(viewer, image, ArtefactMap(kinds * 0, kinds == 0, (64.0, 64.0))) is None
    assert [each.name for each in viewer.layers] == ["a", "nuclei"]
