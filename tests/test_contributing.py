"""The page for contributors and the one on the architecture: what they say of the rooms is what the contracts hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src" / "napari_nucleigan"
REMEDY = "run `make architecture`"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")


def test_every_room_has_its_floor() -> None:
    from draw_rooms import floors

    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert sorted(room for floor in floors() for room in floor) == sorted(rooms)


def test_tables_are_those_of_the_contracts() -> None:
    from draw_rooms import BEGIN, PAGES, filled

    for page in PAGES:
        text = page.read_text("utf-8")
        assert BEGIN in text
        assert text == filled(text), REMEDY


def test_the_picture_is_that_of_the_code() -> None:
    from draw_rooms import PICTURE, picture

    assert PICTURE.read_text("utf-8") == picture(), REMEDY


def test_every_import_in_the_picture_points_down() -> None:
    from draw_rooms import floors, imports

    floor_of = {room: number for number, floor in enumerate(floors()) for room in floor}
    found = imports()
    assert found["base"] == set()
    for room, others in found.items():
        assert all(floor_of[other] > floor_of[room] for other in others)


def test_nothing_public_has_the_name_of_its_module() -> None:
    # Once anybody has imported the module, a room gives it away under that name in the place of what is meant.
    stubs = [(stub, line) for stub in SOURCE.rglob("__init__.pyi") for line in stub.read_text("utf-8").splitlines()]
    assert [(str(stub), line) for stub, line in stubs if re.match(r"from \.(?:\w+\.)*(\w+) import \1\b", line)] == []


def test_every_target_is_explained() -> None:
    targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    text = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    assert [name for name in targets if name not in ("help", "libs") and f"make {name}" not in text] == []


def test_folders_that_the_page_on_the_architecture_names_are_there() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    rooms = "|".join(path.parent.name for path in SOURCE.glob("*/__init__.py"))
    names = set(re.findall(rf"`((?:{rooms})(?:/[a-z_]+)+)`", text))
    assert names
    assert [name for name in sorted(names) if not (SOURCE / name).is_dir()] == []
