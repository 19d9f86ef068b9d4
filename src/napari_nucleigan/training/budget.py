"""Budget: how long a network is trained where crops are counted, not images."""

from __future__ import annotations

from typing import Any

GENERATOR_EPOCHS = (12, 8)
"""Epochs of a generator at the full learning rate, and epochs in which it falls."""


def budget(crops: int, epochs: tuple[int, int]) -> dict[str, Any]:
    """Return the fields of a recipe that sees a number of crops, however many images there are.

    Parameters
    ----------
    crops : int
        Crops in all; a few more where they do not fill the epochs.
    epochs : (int, int)
        Epochs at the full learning rate, and epochs in which it falls.
    """
    constant, decay = epochs
    per_epoch = max(1, -(-crops // max(1, constant + decay)))
    return {"epochs_constant": constant, "epochs_decay": decay, "crops_per_epoch": per_epoch}
