"""The processes that train one network together: each makes its share of every batch.

Together they compute what one process would with the whole batch. One process is the leader: it alone holds the run
folder, validates and saves; the others do the steps that it announces until it dismisses them.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from napari_nucleigan.base.devices import choose_device, usable_cores
from napari_nucleigan.base.errors import DatasetError, RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch
    from torch import Tensor

    from napari_nucleigan.data.datasets.dataset import Dataset

_Network = TypeVar("_Network", bound="torch.nn.Module")


class Dismissed(Exception):
    """The leader has ended the training, for whatever reason; it says itself why."""


class Ranks:
    """A process that trains alone: there is nobody to share with.

    Parameters
    ----------
    device : str
        Where this process computes, as torch names it.

    Attributes
    ----------
    number : int
        Which of the processes this is; the leader is 0.
    size : int
        How many there are.
    threads : int
        Threads that this process may compute with.
    """

    number = 0
    size = 1

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.threads = usable_cores()

    @property
    def leads(self) -> bool:
        """Whether this process is the leader."""
        return self.number == 0

    def __str__(self) -> str:
        """Tell people where the training computes."""
        return self.device if self.size == 1 else f"{self.device.split(':')[0]} in {self.size} processes"

    def take_cores(self) -> None:
        """Let torch compute with as many threads as this process may."""
        import torch

        torch.set_num_threads(self.threads)
        # Asked once here, or this thread would take over the single core that the thread of the crops is given.
        torch.get_num_threads()

    def share(self, count: int) -> range:
        """Return which of the `count` crops of a batch this process makes.

        Raises
        ------
        RecipeError
            If they cannot be dealt out evenly: the means over the shares would not be the mean over the batch.
        """
        if count % self.size:
            raise RecipeError(
                f"A batch of {count} cannot be dealt out evenly to {self.size} processes; choose a multiple of "
                f"{self.size} (--set batch={-(-count // self.size) * self.size}), or start fewer processes."
            )
        part = count // self.size
        return range(self.number * part, (self.number + 1) * part)

    # What follows is called by all processes at the same place, `tell` by the leader and `hear` by the others.

    def setup(self, network: _Network, *methods: str) -> _Network:
        """Prepare a network for training; what comes back is to be called for the losses.

        The network itself goes on holding the weights. `methods` names what is called beside ``forward``.
        """
        return network

    def whole(self, share: Tensor, parts: int = 1) -> Tensor:
        """Return the batch of which each process has a share; no gradient flows back.

        `parts` batches may be stacked in one tensor, as masks and true fields.
        """
        return share

    def own(self, whole: Tensor, parts: int = 1) -> Tensor:
        """Return this process's share of a batch: the inverse of `whole`."""
        return whole

    def widened(self, share: Tensor) -> Tensor:
        """Return a tensor of the whole batch's shape, to draw random numbers for all processes alike."""
        return share

    def total(self, values: Tensor) -> Tensor:
        """Add up over all processes; gradients flow back to each."""
        return values

    def average(self, losses: dict[str, float]) -> dict[str, float]:
        """Return the means over all processes."""
        return losses

    def tell(self, value: object) -> None:
        """Send the others, who `hear` it, a value; they are of this package, so it may be pickled on the way."""

    def hear(self) -> Any:
        """Wait for what the leader tells.

        Raises
        ------
        Dismissed
            If the leader has ended.
        """
        raise Dismissed

    def go(self) -> None:
        """Let the leader announce a step.

        Raises
        ------
        Dismissed
            If the leader has ended.
        """

    def explain(self, error: RuntimeError) -> None:
        """Say in plain words what a failed exchange between the processes means.

        Raises
        ------
        RunError
            If the error is one.
        """


ALONE = Ranks()
"""For networks that no training owns."""


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
    RunError
        If the processes cannot reach one another.
    """
    if started()[1] == 1:
        yield Ranks(choose_device(device))
        return
    # Its import takes seconds.
    from napari_nucleigan.training.distributed.fabric import FabricRanks

    ranks = FabricRanks(device)
    try:
        with suppress(Dismissed):
            yield ranks
    finally:
        ranks.dismiss()
