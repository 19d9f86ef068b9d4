"""Texts from files (names, organs, cards), which are never markup, control sequences or formulas."""

from __future__ import annotations

import re
import unicodedata

_MARKS = re.compile(r"[\\`*\[\]~]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")

LONGEST = 300
"""Characters of a text from elsewhere that a message shows."""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_NO_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')
_LONGEST_NAME = 60  # characters, which may have four bytes each
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format (also of direction), lone surrogates, breaks
_JOINERS = "\u200c\u200d"  # some scripts need them


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
    shown = "".join(" " if character in "\n\t" else _shown(character) for character in str(text))
    if len(shown) <= most:
        return shown
    half = (most - 3) // 2
    return f"{shown[:half]}...{shown[-half:]}"


def as_markdown(text: object) -> str:
    """Write a text as Markdown that shows it as it is: on one line, and nothing of it is a mark, a link or HTML."""
    return _MARKS.sub(r"\\\g<0>", printable(text)).replace("&", "&amp;").replace("<", "&lt;")


def same_name(text: str) -> str:
    r"""Bring a name into the form in which names are compared, shown and written.

    Its characters are composed: a Mac's disk takes them apart, and two names that look alike should be one. What cannot
    be shown, or is no text (bytes of a name that are not in UTF-8), appears as its escape, ``\x1b``.
    """
    return unicodedata.normalize("NFC", "".join(map(_shown, text)))


def uncell(text: str) -> str:
    """Take off the apostrophe that `cell` has put before a text."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULAS) else text


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
    # What has apostrophes of its own before it gets one more, so that `uncell` gives it back.
    if not isinstance(value, str) or not value.lstrip("'").startswith(_FORMULAS):
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


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN or character in _JOINERS:
        return character
    return character.encode("unicode_escape").decode("ascii")
