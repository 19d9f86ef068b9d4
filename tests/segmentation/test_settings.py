from __future__ import annotations

import pytest
from pydantic import ValidationError

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.settings import without_idle


def test_every_field_explains_itself() -> None:
    for name, field in SegmentSettings.model_fields.items():
        assert field.title, name
        assert field.description.endswith("."), name


def test_settings_come_back_from_their_record() -> None:
    settings = SegmentSettings(threshold=0.4, max_area=200, mpp=0.5, normalize="macenko")
    assert SegmentSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_records_keep_the_name_that_test_time_augmentation_had() -> None:
    settings = SegmentSettings(tta=2)
    assert SegmentSettings.model_validate({"views": 2}) == settings
    record = settings.model_dump(mode="json", by_alias=True)
    assert record["views"] == 2
    assert "tta" not in record
    assert SegmentSettings.model_validate(record) == settings


@pytest.mark.parametrize(
    "values",
    [
        {"threshold": 1.5},
        {"min_area": -1},
        {"min_area": 20, "max_area": 10},
        {"mpp": 0},
        {"normalize": "pink"},
        {"tile": 3},
        {"views": 3},
        {"tta": 3},
        {"colour": "pink"},
        {"model": ""},
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SegmentSettings(**values)
    with pytest.raises(RecipeError, match="These settings are not valid") as caught:
        SegmentSettings.checked(**values)
    assert "\n" not in str(caught.value)


def test_what_was_added_later_and_does_nothing_is_in_no_record() -> None:
    # Results of earlier versions would be computed again, and unfinished slides begun anew.
    assert "min_confidence" not in without_idle(SegmentSettings().model_dump())
    assert "min_confidence" not in without_idle(SegmentSettings(min_confidence=0.0).model_dump())
    assert without_idle(SegmentSettings(min_confidence=0.3).model_dump())["min_confidence"] == 0.3
    later = {"min_confidence", "measurements", "classifier"}
    assert without_idle(SegmentSettings().model_dump()).keys() | later == SegmentSettings.model_fields.keys()
    assert without_idle(SegmentSettings(measurements="full").model_dump())["measurements"] == "full"
