"""Measurements of nuclei: which of them a table holds. No numpy here, so that the command line starts at once."""

from __future__ import annotations

from typing import Literal

Measurements = Literal["standard", "full"]
"""Which measurements: size, shape, place and mean stains; or beside them how nuclei look and how near others are."""
