"""Classes of tissue: found without labels, the same for the same images, and kept as JSON."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from napari_nucleigan.base.errors import ImageError, RecipeError
from napari_nucleigan.tissue.classes import fit_classes, tissue_map
from napari_nucleigan.tissue.record import CELL, TissueClasses
from tissue_pictures import tissue_picture


@pytest.fixture(scope="module")
def classes() -> TissueClasses:
    return fit_classes([tissue_picture(seed=seed)[0] for seed in range(2)], count=3)


def test_the_parts_of_an_image_that_was_not_clustered_are_told_apart(classes: TissueClasses) -> None:
    pixels, _, truth = tissue_picture(seed=7)
    found = tissue_map(pixels, classes)
    assert found.shape == (CELL, CELL)
    assert found.dtype == np.uint8
    seen = truth[CELL // 2 :: CELL, CELL // 2 :: CELL]
    assert (found[seen == 0] == classes.number("lumen")).mean() > 0.8
    assert (found[seen == 2] == classes.number("fibrous")).mean() > 0.8
    assert (found[seen == 1] == classes.number("crowded")).mean() > 0.7


def test_classes_say_what_they_look_like(classes: TissueClasses) -> None:
    assert classes.names == ("lumen", "fibrous", "crowded")
    assert sum(each.share for each in classes.classes) == pytest.approx(1, abs=1e-3)
    lightness = [sum(each.colour) for each in classes.classes]
    assert lightness == sorted(lightness, reverse=True)
    assert classes.number("fat") == 0


def test_the_same_images_and_seed_give_the_same_classes(classes: TissueClasses) -> None:
    assert fit_classes([tissue_picture(seed=seed)[0] for seed in range(2)], count=3) == classes


def test_classes_come_back_from_json(classes: TissueClasses) -> None:
    again = TissueClasses.model_validate_json(classes.model_dump_json())
    assert again == classes
    pixels = tissue_picture(seed=3)[0]
    assert (tissue_map(pixels, again) == tissue_map(pixels, classes)).all()


@pytest.mark.parametrize("count", [2, 5, 8])
def test_any_number_of_classes_has_names(count: int) -> None:
    found = fit_classes([tissue_picture()[0]], count=count)
    assert len(set(found.names)) == count
    assert set(np.unique(tissue_map(tissue_picture()[0], found))) <= set(range(1, count + 1))


def test_what_cannot_be_clustered_is_refused() -> None:
    with pytest.raises(ImageError, match="no images"):
        fit_classes([])
    with pytest.raises(ImageError, match="fewer"):
        fit_classes([np.full((64, 64, 3), 255, np.uint8)])
    with pytest.raises(RecipeError, match="not 1"):
        fit_classes([tissue_picture()[0]], count=1)


def test_records_that_are_none_are_refused(classes: TissueClasses) -> None:
    record = classes.model_dump()
    for change in ({"deviation": (1.0, 1.0, 0.0, 1.0)}, {"mean": (0.0,)}, {"classes": record["classes"][:1] * 2}):
        with pytest.raises(ValidationError):
            TissueClasses.model_validate({**record, **change})
