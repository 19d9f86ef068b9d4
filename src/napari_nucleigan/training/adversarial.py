"""Adversarial trainer: what the trainings of both kinds do alike with their networks."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from napari_nucleigan.training.checkpoints import flatten_optimizer, restore_optimizer, strip_prefix
from napari_nucleigan.training.ranks import ALONE
from napari_nucleigan.training.recipes import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from torch import Tensor

    from napari_nucleigan.training.ranks import Ranks

_Network = TypeVar("_Network", bound=torch.nn.Module)
_Recipe = TypeVar("_Recipe", bound=Recipe)

ABSENT = -12.0
"""Logit that stands for -1: its hyperbolic tangent is that to the last digit, and it has no gradient."""


class ImagePool:
    """Keeps earlier generated pairs, so that the discriminator does not forget them.

    Half of the pairs that go in come out again; the others change places with an earlier one
    (Shrivastava et al., CVPR 2017).

    Parameters
    ----------
    size : int
        Pairs kept; 0 hands everything straight through.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pairs: list[Tensor] = []

    def exchange(self, pairs: Tensor, random: np.random.Generator) -> Tensor:
        """Put a batch in and take a batch of the same shape out."""
        if self.size == 0:
            return pairs
        out = []
        for pair in pairs:
            # Half precision halves the memory, and a checkpoint, at no visible cost.
            if len(self.pairs) < self.size:
                self.pairs.append(pair.half())
                out.append(pair)
            elif random.random() < 0.5:
                index = int(random.integers(self.size))
                out.append(self.pairs[index].to(pair.dtype))
                self.pairs[index] = pair.half()
            else:
                out.append(pair)
        return torch.stack(out)


class AdversarialTrainer(ABC, Generic[_Network, _Recipe]):
    """Networks, optimizers and pools that learn together; a kind of training adds its update.

    Parameters
    ----------
    recipe : Recipe
        How to train.
    device : str
        Where to compute.
    bfloat16 : bool
        Whether the convolutions compute in bfloat16; losses and weights stay in float32.

    Attributes
    ----------
    generator, average : torch.nn.Module
        The network that becomes the model, and its averaged weights; the same where the recipe asks for no average.
    generator_optimizer : torch.optim.Optimizer
        Of the generator, and of what learns with it.
    """

    generator: _Network
    average: _Network
    generator_optimizer: torch.optim.Optimizer

    def __init__(self, recipe: _Recipe, device: str, bfloat16: bool) -> None:
        self.recipe = recipe
        self.device = torch.device(device)
        self._bfloat16 = bfloat16
        self._ranks = ALONE

    @abstractmethod
    def join(self, ranks: Ranks) -> None:
        """Train with other processes, each of which makes its share of every batch."""

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with the weights of a trained generator."""
        self.generator.load_state_dict(weights)
        self.average.load_state_dict(weights)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything that a resumed run needs, as tensors and JSON."""
        tensors: dict[str, Tensor] = {}
        rest: dict[str, Any] = {}
        for name, network in self._networks.items():
            tensors |= {f"{name}/{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in self._optimizers.items():
            entries, rest[name] = flatten_optimizer(name, optimizer)
            tensors |= entries
        for name, pool in self._pools.items():
            tensors |= {f"{name}/{index:04d}": kept for index, kept in enumerate(pool.pairs)}
        return tensors, rest

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Go back to what `state` returned."""
        for name, network in self._networks.items():
            network.load_state_dict(strip_prefix(name, tensors))
        for name, optimizer in self._optimizers.items():
            restore_optimizer(name, optimizer, tensors, rest[name])
        for name, pool in self._pools.items():
            kept = strip_prefix(name, tensors)
            pool.pairs = [kept[key].to(self.device) for key in sorted(kept)]

    def _place(
        self,
        networks: dict[str, torch.nn.Module],
        optimizers: dict[str, torch.optim.Optimizer],
        pools: dict[str, ImagePool],
    ) -> None:
        """Bring the networks to the device, where nobody else trains them yet; the names are those in checkpoints."""
        self.average = copy.deepcopy(self.generator) if self.recipe.ema else self.generator
        if self.average is not self.generator:
            networks["average"] = self.average
        self._networks, self._optimizers, self._pools = networks, optimizers, pools
        for network in networks.values():
            network.to(self.device)
            convert_conv2d_weight_memory_format(network, torch.channels_last)
        self.join(ALONE)

    def _update_generator(
        self,
        parts: Mapping[str, tuple[float, Tensor]],
        step: int,
        scale: float,
        largest: float | None = None,
        still: Iterable[Tensor] = (),
    ) -> dict[str, float]:
        """Make a step down the sum of losses, each with its weight, let the average follow, and return the losses."""
        total = torch.stack([weight * loss for weight, loss in parts.values()]).sum()
        descend(self.generator_optimizer, total, self.recipe.lr * scale, largest, still)
        if self.average is not self.generator:
            update_ema(self.average, self.generator, self.recipe.ema, step)
        return {name: float(loss.detach()) for name, (_, loss) in parts.items()}

    def _exchange(self, pool: ImagePool, fakes: Tensor, random: np.random.Generator, parts: int = 1) -> Tensor:
        # Every process keeps the same pool, of the fakes of all.
        return self._ranks.local_shard(pool.exchange(self._ranks.all_gather(fakes, parts), random), parts)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16)


def descend(
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    lr: float,
    largest: float | None = None,
    still: Iterable[Tensor] = (),
) -> None:
    """Make a step of an optimizer down the gradient of a loss, whose norm is cut off at `largest`.

    The parameters `still` stay as they are.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    for parameter in still:
        parameter.grad = None
    if largest is not None:
        torch.nn.utils.clip_grad_norm_([each for group in optimizer.param_groups for each in group["params"]], largest)
    optimizer.step()


def update_ema(ema: torch.nn.Module, network: torch.nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights of a network, in place, towards its present ones.

    Parameters
    ----------
    ema, network : torch.nn.Module
        Two networks of one architecture.
    decay : float
        Share of the average that stays, in [0, 1).
    step : int
        Number of the step.
    """
    # A fast decay at first, or the random first weights would linger.
    stays = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(ema.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - stays)
            else:
                mean.copy_(value)
