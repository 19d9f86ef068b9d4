"""Recipes so small that a network trains in a second, for tests of what trains several."""

from __future__ import annotations

from typing import Any

SEGMENTER: dict[str, Any] = {
    "generator": {"name": "compact-unet", "widths": [8, 8, 16]},
    "discriminator_width": 4,
    "discriminator_layers": 1,
    "patch": 32,
    "batch": 2,
    "crops_per_epoch": 4,
    "warmup_steps": 0,
    "validate_every": 2,
    "checkpoint_every": 1,
    "precision": "float32",
}
"""Fields of a segmenter's recipe."""

FINE_TUNING: dict[str, Any] = {"patch": 64, "batch": 2, "warmup_steps": 0, "precision": "float32"}
"""Fields of the recipe of those who go on from a model, whose network stays as it is."""

GENERATOR: dict[str, Any] = {
    "generator": {"name": "painter", "widths": [8, 8, 8]},
    "segmenter": {"name": "compact-unet", "widths": [8, 8, 8]},
    "discriminator_width": 4,
    "discriminator_scales": 1,
    "discriminator_layers": 1,
    "patch": 32,
    "epochs_constant": 1,
    "epochs_decay": 0,
    "crops_per_epoch": 2,
    "precision": "float32",
}
"""Fields of a synthesizer's recipe."""

TRAINED: dict[str, Any] = {
    **SEGMENTER,
    "name": "compact-segmenter",
    "pool": 4,
    "crops_per_epoch": 20,
    "epochs_constant": 3,
    "epochs_decay": 1,
    "warmup_steps": 2,
}
"""A whole recipe, of some seconds, for what is watched as it trains."""
