"""Texts from files (names, organs, cards), which are never markup, control sequences or formulas."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 300
"""Characters of a text from elsewhere that a message shows."""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_NO_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')
_LONGEST_NAME = 60  # characters, which may have four bytes each
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format (also of direction), lone surrogates, breaks


def printable(text: object, most: int = LONGEST) -> str:
    r"""Make a text safe to show: on one line, without control characters, and not endless.

    Parameters
    ----------
    text : object
        Its `str` is shown.
    most : int
        Characters; of a longer one the middle is left out.

    Returns
    -------
    str
        What cannot be shown appears as its escape, ``\x1b``.
    """
    shown = "".join(
        character if unicodedata.category(character) not in _HIDDEN else _escaped(character) for character in str(text)
    )
    if len(shown) <= most:
        return shown
    half = (most - 3) // 2
    return f"{shown[:half]}...{shown[-half:]}"


def cell(value: object) -> object:
    """Make a value safe for a table that a spreadsheet opens.

    A text that begins as a formula does gets an apostrophe before it; numbers, and texts of numbers, stay as they are.

    Parameters
    ----------
    value : object
        What is to be written.

    Returns
    -------
    object
    """
    if not isinstance(value, str) or not value.startswith(_FORMULAS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def file_name(text: str) -> str:
    """Make a text from a file the name of a file of its own, whatever it says: no path, no device, not endless.

    Parameters
    ----------
    text : str
        As a card or a table has it.

    Returns
    -------
    str
        The text itself where it may be a name on every system.
    """
    name = _NO_NAME.sub("_", text).strip(" ").strip(".")[:_LONGEST_NAME].rstrip(" .")
    if not name or name.split(".")[0].upper() in _DEVICES:
        return f"_{name}"
    return name


def _escaped(character: str) -> str:
    if character in "\n\t":
        return " "
    return character.encode("unicode_escape").decode("ascii")
