from __future__ import annotations

import numpy as np

from napari_nucleigan import SegmentSettings, load_model, segment
from napari_nucleigan.adaptation.pseudo_labels import SURE, sure_parts
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.data.images.samples import synthetic_he
from napari_nucleigan.models.registry import DEFAULT_SEGMENTER


def test_only_sure_nuclei_are_learnt_and_doubt_is_left_open() -> None:
    image, _ = synthetic_he()
    part = HEImage(image.pixels[:256, :256], image.mpp, image.name)
    result = run(segment(part, SegmentSettings(mpp=part.mpp), load_model(DEFAULT_SEGMENTER)))
    labels, known, nuclei = sure_parts(result)
    confidence = result.features["confidence"]
    assert set(np.unique(labels)[1:].tolist()) == set((np.flatnonzero(confidence >= SURE[1]) + 1).tolist())
    doubtful = np.flatnonzero((confidence > SURE[0]) & (confidence < SURE[1])) + 1
    assert not known[np.isin(result.labels, doubtful)].any()
    assert known[labels > 0].all()
    assert known.mean() > 0.5
    # Masks are drawn like all that are likely: without the unsure ones they would be emptier than the tissue.
    assert set(np.unique(nuclei)[1:].tolist()) == set((np.flatnonzero(confidence > SURE[0]) + 1).tolist())
    assert doubtful.size
