from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.text import LONGEST, cell, printable


@given(st.text())
def test_what_is_shown_has_no_control_characters_and_is_not_endless(text: str) -> None:
    shown = printable(text)

    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in shown)
    assert len(shown) <= LONGEST


def test_plain_text_is_shown_as_it_is() -> None:
    assert printable("Gewebe [bold] 3 µm, 肝") == "Gewebe [bold] 3 µm, 肝"


def test_an_escape_is_told_not_obeyed() -> None:
    assert printable("liver\x1b[31m\nkidney\u202e") == r"liver\x1b[31m kidney\u202e"


def test_of_a_long_text_both_ends_are_shown() -> None:
    assert printable("a" * 500 + "z" * 500, most=9) == "aaa...zzz"


@pytest.mark.parametrize("text", ["=1+2", "+cmd", "-x", "@sum(a)", "\tx"])
def test_a_formula_becomes_text(text: str) -> None:
    assert cell(text) == "'" + text


@pytest.mark.parametrize("value", [-1.5, "-1.5", "+3e4", None, "liver", "", "a=b"])
def test_numbers_and_other_texts_stay(value: object) -> None:
    assert cell(value) == value
