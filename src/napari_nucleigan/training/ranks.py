"""Ranks: the processes that train one network together, each of which makes its share of every batch.

Together they compute what one process would with the whole batch. One process is the leader: it alone holds the run
folder, validates and saves; the others do the steps that it announces until it dismisses them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

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
    rank : int
        Which of the processes this is; the leader is 0.
    world_size : int
        How many there are.
    threads : int
        Threads that this process may compute with.
    """

    rank = 0
    world_size = 1

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.threads = usable_cores()

    @property
    def leads(self) -> bool:
        """Whether this process is the leader."""
        return self.rank == 0

    def __str__(self) -> str:
        """Tell people where the training computes."""
        return self.device if self.world_size == 1 else f"{self.device.split(':')[0]} in {self.world_size} processes"

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
        size = self.world_size
        if count % size:
            raise RecipeError(
                f"A batch of {count} cannot be dealt out evenly to {size} processes; choose a multiple of "
                f"{size} (--set batch={-(-count // size) * size}), or start fewer processes."
            )
        part = count // size
        return range(self.rank * part, (self.rank + 1) * part)

    # What follows is called by all processes at the same place, `broadcast` by the leader and `receive` by the others.

    def setup(self, network: _Network, *methods: str) -> _Network:
        """Prepare a network for training; what comes back is to be called for the losses.

        The network itself goes on holding the weights. `methods` names what is called beside ``forward``.
        """
        return network

    def all_gather(self, share: Tensor, parts: int = 1) -> Tensor:
        """Return the batch of which each process has a share; no gradient flows back.

        `parts` batches may be stacked in one tensor, as masks and true fields.
        """
        return share

    def local_shard(self, whole: Tensor, parts: int = 1) -> Tensor:
        """Return this process's share of a batch: the inverse of `all_gather`."""
        return whole

    def widened(self, share: Tensor) -> Tensor:
        """Return a tensor of the whole batch's shape, to draw random numbers for all processes alike."""
        return share

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Add up over all processes; gradients flow back to each."""
        return values

    def all_reduce_mean(self, losses: dict[str, float]) -> dict[str, float]:
        """Return the means over all processes."""
        return losses

    def broadcast(self, value: object) -> None:
        """Send the others, who `receive` it, a value; they are of this package, so it may be pickled on the way."""

    def receive(self) -> Any:
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
