"""Layers that see, in each of several processes, the statistics of the whole batch and not of a share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import distributed, nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from napari_nucleigan.training.distributed.ranks import Ranks


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
        self._size = ranks.size

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
        return features * self._ranks.own(functional.dropout(ones, self.p))


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
