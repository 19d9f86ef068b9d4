"""Every model that comes with the package: small, honest on its card, and listed with its licence."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import napari_nucleigan
from napari_nucleigan.models import ModelCard, read_card
from napari_nucleigan.models.exchange import spdx
from napari_nucleigan.models.registry import read_checked
from napari_nucleigan.segmentation.confidence import regression
from napari_nucleigan.segmentation.scale import check_scale

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = Path(napari_nucleigan.__file__).parent / "weights"
FILES = sorted(WEIGHTS.glob("*.safetensors"))
LARGEST = 9_000_000  # bytes
NONCOMMERCIAL = "CC BY-NC-SA 4.0"

every_model = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def segmenters() -> list[ModelCard]:
    return [card for card in map(read_card, FILES) if card.kind == "segmenter"]


@every_model
def test_it_is_whole_and_small(path: Path) -> None:
    card, content = read_checked(path)

    assert card.name == path.stem
    assert len(content) <= LARGEST


@every_model
def test_its_card_says_where_it_comes_from(path: Path) -> None:
    card = read_card(path)

    assert card.training_data
    assert card.licence
    assert card.scores
    assert "For research, not for diagnosis." in card.notes
    # What learnt from data for non-commercial use is for non-commercial use, and says so.
    if NONCOMMERCIAL in card.data_licence or "Kumar" in card.training_data:
        assert card.licence_name == NONCOMMERCIAL


@every_model
def test_the_docks_tell_its_licence(path: Path) -> None:
    pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
    from napari_nucleigan.widgets.base.model_picker import model_summary

    card = read_card(path)

    assert model_summary(card).endswith(f" · {card.licence_name}")


@every_model
def test_it_is_listed_with_its_licence(path: Path) -> None:
    card = read_card(path)
    (row,) = re.findall(rf"^\| `{card.name}` \|.*$", (REPOSITORY / "docs/guide/models.md").read_text("utf-8"), re.M)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]

    assert card.licence_name in row
    assert spdx(card) in project["license"].split(" AND ")
    assert spdx(card) in (WEIGHTS / "LICENSE").read_text("utf-8")


@pytest.mark.parametrize("card", segmenters(), ids=lambda card: card.name)
def test_a_segmenter_tells_how_sure_it_is_and_of_the_scale(card: ModelCard) -> None:
    assert regression(card) is not None
    check_scale(card)
    assert "Kumar's 14 test tiles, mean" in card.scores
