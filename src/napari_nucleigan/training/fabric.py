"""Several processes that train together, by Lightning Fabric: data-parallel (DDP), started by ``torchrun``.

Its layers see, in each process, the statistics of the whole batch and not of a share. Importing this module takes
seconds, and patches torch; `napari_nucleigan.training.frame.joined` does it where it must.
"""

from __future__ import annotations

import inspect
import logging
import os
import warnings
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.errors import DeviceError, ExtraError, RunError
from napari_nucleigan.training.ranks import Dismissed, Ranks

try:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy
except ModuleNotFoundError as error:
    raise ExtraError(
        "Several processes train together by Lightning Fabric, which is not installed; leave torchrun out, or install "
        "it: pip install napari-nucleigan[distributed]."
    ) from error

if TYPE_CHECKING:
    from torch import Tensor

_Network = TypeVar("_Network", bound=torch.nn.Module)

PATIENCE = timedelta(days=365)
"""How long the others wait for the leader's word: it may be paused, or validate for hours. If it dies, they know."""

# The buffers are the same everywhere without being sent: all see the statistics of the whole batch. Torch 2.13 has
# renamed what says so.
_RENAMED = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
_OPTIONS: dict[str, Any] = {"forward_sync_buffers" if _RENAMED else "broadcast_buffers": False}

# Of weights with a side of 1 there are two ways to lay them out in memory, which are the same.
warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")

_END, _GO, _VALUE = range(3)

_TALK = ("gloo", "nccl", "connection", "peer", "socket", "timed out")


class FabricRanks(Ranks):
    """One of several processes.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    DeviceError
        If there are more processes than GPUs, or one GPU is named.
    RunError
        If the processes cannot reach one another.
    """

    def __init__(self, device: str) -> None:
        # Fabric announces itself at length.
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        size, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        if size % here:
            raise RunError("Start the same number of processes on every machine.")
        fabric = Fabric(
            accelerator=_accelerator(device, here),
            devices=here,
            num_nodes=size // here,
            strategy=DDPStrategy(**_OPTIONS),
            plugins=[TorchElasticEnvironment()],
        )
        try:
            fabric.launch()
            # Of its own, on the CPU: who waits for the leader keeps no GPU busy, and may wait for long.
            self._control = distributed.new_group(backend="gloo", timeout=PATIENCE)
        except RuntimeError as error:
            raise RunError(f"The {size} processes of the training cannot reach one another: {error}.") from error
        super().__init__(str(fabric.device))
        self._fabric = fabric
        self.rank, self.world_size = fabric.global_rank, fabric.world_size
        self.threads = max(1, usable_cores() // here)

    def setup(self, network: _Network, *methods: str) -> _Network:
        """Wrap a network so that its gradients, and the statistics of its layers, are those of the whole batch."""
        share_statistics(network, self)
        wrapped = self._fabric.setup_module(network)
        for name in methods:
            wrapped.mark_forward_method(name)
        return cast("_Network", wrapped)

    def all_gather(self, share: Tensor, parts: int = 1) -> Tensor:
        """Return the batch of which each process has a share; no gradient flows back."""
        ranks = torch.stack(gather(share))
        return ranks.view(self.world_size, parts, -1, *share.shape[1:]).transpose(0, 1).flatten(0, 2)

    def local_shard(self, whole: Tensor, parts: int = 1) -> Tensor:
        """Return this process's share of a batch: the inverse of `all_gather`."""
        return whole.reshape(parts, self.world_size, -1, *whole.shape[1:])[:, self.rank].flatten(0, 1)

    def widened(self, share: Tensor) -> Tensor:
        """Return a tensor of the whole batch's shape; it takes no memory."""
        return share[:1].expand(self.world_size * len(share), *share.shape[1:])

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Add up over all processes; gradients flow back to each."""
        return gathered(values).sum(dim=0)

    def all_reduce_mean(self, losses: dict[str, float]) -> dict[str, float]:
        """Return the means over all processes."""
        values = torch.tensor(list(losses.values()), dtype=torch.float64)
        distributed.all_reduce(values, group=self._control)
        return dict(zip(losses, (values / self.world_size).tolist(), strict=True))

    def broadcast(self, value: object) -> None:
        """Send the others a value."""
        self._signal(_VALUE)
        distributed.broadcast_object_list([value], src=0, group=self._control)

    def receive(self) -> Any:
        """Wait for what the leader tells."""
        self._signal(_VALUE)
        box: list[Any] = [None]
        distributed.broadcast_object_list(box, src=0, group=self._control)
        return box[0]

    def go(self) -> None:
        """Let the leader announce a step."""
        self._signal(_GO)

    def dismiss(self) -> None:
        """Let the others go, if this is the leader, and leave them."""
        # Perhaps they are gone already.
        with suppress(RuntimeError):
            if self.leads:
                self._signal(_END)
        # Threads of the exchange that outlive the interpreter abort the process now and then.
        with suppress(RuntimeError):
            distributed.destroy_process_group()

    def explain(self, error: RuntimeError) -> None:
        """Say in plain words that another process is gone, if that is it."""
        text = str(error)
        if any(word in text.lower() for word in _TALK):
            raise RunError(
                "Another process of this training has ended, or cannot be reached; its own message says why. Resuming "
                f"goes on from the last checkpoint. ({text.splitlines()[0]})"
            ) from error

    def _signal(self, word: int) -> None:
        told = torch.tensor([word])
        distributed.broadcast(told, src=0, group=self._control)
        if int(told) == _END and not self.leads:
            raise Dismissed


def _accelerator(device: str, processes: int) -> str:
    kind = device
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in ("cpu", "cuda"):
        raise DeviceError(f"Several processes cannot train on {device!r}; choose 'cpu', or 'cuda' for one GPU each.")
    if kind == "cuda" and processes > torch.cuda.device_count():
        raise DeviceError(
            f"{processes} processes were started, but there are {torch.cuda.device_count()} GPUs on this machine; "
            "start one for each GPU (--nproc-per-node), or choose --device cpu."
        )
    return kind


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the shares of all processes.

    It computes what `torch.nn.SyncBatchNorm` does, which wants a GPU. The shares must be of equal size.

    Parameters
    ----------
    layer : torch.nn.BatchNorm2d
        The layer to be replaced; its weights and statistics are taken over, not copied.
    ranks : Ranks
        The processes.
    """

    def __init__(self, layer: nn.BatchNorm2d, ranks: Ranks) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        self._parameters, self._buffers = layer._parameters, layer._buffers
        self._size = ranks.world_size

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each channel of (N, C, H, W) features."""
        if not self.training:
            return super().forward(features)
        given = features.float()
        variances, means = gathered(torch.stack(torch.var_mean(given, dim=(0, 2, 3), correction=0))).unbind(dim=1)
        mean = means.mean(dim=0)
        # Of equal shares: the mean variance within, and the variance between them.
        variance = (variances + (means - mean).square()).mean(dim=0)
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            count = self._size * features.numel() // features.shape[1]
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum)
                cast("Tensor", self.num_batches_tracked).add_(1)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        shift = self.bias - mean * scale
        normalised: Tensor = given * scale[:, None, None] + shift[:, None, None]
        return normalised.to(features.dtype)


class SharedDropout(nn.Dropout):
    """Dropout that drops in the shares what one process would drop in the whole batch."""

    def __init__(self, layer: nn.Dropout, ranks: Ranks) -> None:
        super().__init__(layer.p)
        self._ranks = ranks

    def forward(self, features: Tensor) -> Tensor:
        """Drop at random, in training."""
        if not self.training:
            return features
        # In the memory format of the features, for the order in which numbers are drawn is that in memory.
        last = features.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        ones = torch.ones_like(self._ranks.widened(features), memory_format=layout)
        return features * self._ranks.local_shard(functional.dropout(ones, self.p))


def share_statistics(network: nn.Module, ranks: Ranks) -> None:
    """Replace, in place, the layers of a network that look across the samples of a batch."""
    for name, layer in network.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            fitting: nn.Module = SharedBatchNorm(layer, ranks)
            if next(layer.parameters()).is_cuda:
                fitting = nn.SyncBatchNorm.convert_sync_batchnorm(layer)  # type: ignore[no-untyped-call]
            setattr(network, name, fitting)
        elif isinstance(layer, nn.Dropout):
            setattr(network, name, SharedDropout(layer, ranks))
        else:
            share_statistics(layer, ranks)


def gather(share: Tensor) -> list[Tensor]:
    """Return the tensors of all processes, which are of one shape; no gradient flows back."""
    share = share.detach().contiguous()
    found = [torch.empty_like(share) for _ in range(distributed.get_world_size())]
    distributed.all_gather(found, share)
    return found


def gathered(values: Tensor) -> Tensor:
    """Stack the values of all processes; gradients flow back to each from the losses of all."""
    stacked: Tensor = _Gathered.apply(values)  # type: ignore[no-untyped-call]
    return stacked


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return torch.stack(gather(values))

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[distributed.get_rank()]
