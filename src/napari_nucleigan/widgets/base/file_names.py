"""Names of files: made of the names of layers."""

from __future__ import annotations


def file_name(name: str) -> str:
    """Make a name of a layer fit for a file."""
    return "".join(letter if letter.isalnum() or letter in " -_" else "_" for letter in name).strip() or "image"
