from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.text import LONGEST, as_markdown, cell, printable, same_name, uncell


@given(st.text())
def test_what_is_shown_has_no_control_characters_and_is_not_endless(text: str) -> None:
    shown = printable(text)

    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not any(unicodedata.category(character) in hidden for character in shown if character not in "\u200c\u200d")
    assert len(shown) <= LONGEST


def test_plain_text_is_shown_as_it_is() -> None:
    assert printable("Gewebe [bold] 3 µm, 肝") == "Gewebe [bold] 3 µm, 肝"


def test_an_escape_is_told_not_obeyed() -> None:
    assert printable("liver\x1b[31m\nkidney\u202e") == r"liver\x1b[31m kidney\u202e"


@given(st.text(st.characters()))
def test_names_are_text_in_one_form(name: str) -> None:
    once = same_name(name)
    assert same_name(once) == once == same_name(unicodedata.normalize("NFD", name))
    once.encode()


def test_names_that_cannot_be_shown_are_escaped() -> None:
    assert same_name("a\x1b[31m\udcfc\n") == r"a\x1b[31m\udcfc\n"
    assert same_name("Mu\u0308ller") == "M\u00fcller"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("TCGA-01_x.1 (2)", "TCGA-01_x.1 (2)"),
        ("_a_ *b* `c` ~d~", r"\_a\_ \*b\* \`c\` \~d\~"),
        ("[x](javascript:1) <script>&amp;", r"\[x\](javascript:1) &lt;script>&amp;amp;"),
        ("two\nlines\x07", r"two lines\\x07"),
    ],
)
def test_names_in_markdown_are_no_marks(text: str, shown: str) -> None:
    assert as_markdown(text) == shown


def test_of_a_long_text_both_ends_are_shown() -> None:
    assert printable("a" * 500 + "z" * 500, most=9) == "aaa...zzz"


@pytest.mark.parametrize("text", ["=1+2", "+cmd", "-x", "@sum(a)", "\tx"])
def test_a_formula_becomes_text(text: str) -> None:
    assert cell(text) == "'" + text


@given(st.text(st.sampled_from("'=+-@a1\t\r"), max_size=6))
def test_what_is_put_before_a_formula_comes_off_again(text: str) -> None:
    shown = str(cell(text))
    assert uncell(shown) == text
    assert shown in (text, f"'{text}")


@pytest.mark.parametrize("value", [-1.5, "-1.5", "+3e4", None, "liver", "", "a=b"])
def test_numbers_and_other_texts_stay(value: object) -> None:
    assert cell(value) == value
