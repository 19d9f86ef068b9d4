"""Fixtures of this room."""

from __future__ import annotations

from label_images import label_pairs, make_pair

__all__ = ["label_pairs", "make_pair"]
