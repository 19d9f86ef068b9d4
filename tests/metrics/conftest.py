"""Fixtures of this room."""

from __future__ import annotations

from label_images import label_pairs

__all__ = ["label_pairs"]
