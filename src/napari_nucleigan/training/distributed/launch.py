"""Launch: how a process meets the others that train with it."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from napari_nucleigan.base.devices import choose_device
from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.training.distributed.ranks import Dismissed, Ranks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_nucleigan.data.datasets.dataset import Dataset


def started(environment: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Return which process of how many this is, as ``torchrun`` has started it; (0, 1) without it."""
    given = os.environ if environment is None else environment
    # Other launchers set RANK as well, but a single process in such a shell must not wait for others.
    if "TORCHELASTIC_RUN_ID" not in given:
        return 0, 1
    return int(given["RANK"]), int(given["WORLD_SIZE"])


def the_same(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Make sure that another process than the leader has found the leader's images.

    Raises
    ------
    DatasetError
        If some are not there.
    """
    missing = [name for name in names if name not in dataset.names]
    if missing:
        raise DatasetError(
            f"{dataset.folder} has no image {missing[0]!r} in process {started()[0]}; all processes need the same data "
            "set under the same path."
        )
    return dataset


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Meet the other processes of the training, if ``torchrun`` has started several.

    Parameters
    ----------
    device : str
        As `napari_nucleigan.base.devices.choose_device` takes it. Of several processes on a machine each takes a GPU of
        its own.

    Yields
    ------
    Ranks
        When the leader leaves the block, however it does, it dismisses the others; they leave it quietly.

    Raises
    ------
    DeviceError
        If that device is not to be had, or there are more processes than GPUs.
    ExtraError
        If Lightning Fabric is not installed.
    RunError
        If the processes cannot reach one another.
    """
    if started()[1] == 1:
        yield Ranks(choose_device(device))
        return
    # Its import takes seconds, and it comes with an extra.
    from napari_nucleigan.training.distributed.fabric import FabricRanks

    ranks = FabricRanks(device)
    try:
        with suppress(Dismissed):
            yield ranks
    finally:
        ranks.dismiss()
