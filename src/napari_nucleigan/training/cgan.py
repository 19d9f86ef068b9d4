"""The conditional GAN: a generator that segments and a discriminator that judges its masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from napari_nucleigan.masks.encoding import PRESENCE_CHANNELS
from napari_nucleigan.networks import build
from napari_nucleigan.networks import objectives as losses
from napari_nucleigan.networks.discriminators import PatchGAN
from napari_nucleigan.networks.generators import initialise
from napari_nucleigan.training.checkpoints import (
    flatten_optimizer,
    restore_optimizer,
    strip_prefix,
)
from napari_nucleigan.training.distributed.ranks import ALONE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_nucleigan.training.distributed.ranks import Ranks
    from napari_nucleigan.training.recipes import SegmenterRecipe


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


class ConditionalGAN:
    """Networks, optimizers and the alternating update of the segmenter.

    Parameters
    ----------
    recipe : SegmenterRecipe
        How to train.
    device : str
        Where to compute.
    bfloat16 : bool
        Whether the convolutions compute in bfloat16; losses and weights stay in float32.
    """

    def __init__(self, recipe: SegmenterRecipe, device: str = "cpu", bfloat16: bool = False) -> None:
        self.recipe = recipe
        self.device = torch.device(device)
        self._bfloat16 = bfloat16
        self.generator = build(recipe.generator)
        initialise(self.generator, recipe.initial_weights, recipe.seed)
        self.average = build(recipe.generator) if recipe.ema else self.generator
        self.average.load_state_dict(self.generator.state_dict())
        self.generator_optimizer = torch.optim.AdamW(
            self.generator.parameters(), recipe.lr, recipe.betas, weight_decay=recipe.weight_decay
        )
        self.discriminator: PatchGAN | None = None
        self.discriminator_optimizer: torch.optim.Optimizer | None = None
        if recipe.discriminator_width:
            self.discriminator = PatchGAN(6, recipe.discriminator_width, recipe.discriminator_layers, recipe.spectral)
            initialise(self.discriminator, "normal", recipe.seed + 1)
            # The power iteration of the spectral normalisation draws its first vectors at random.
            torch.manual_seed(recipe.seed)
            self.discriminator.normalise()
            self.discriminator_optimizer = torch.optim.Adam(
                self.discriminator.parameters(), recipe.discriminator_lr, recipe.discriminator_betas
            )
        for network in self._networks().values():
            network.to(self.device)
            convert_conv2d_weight_memory_format(network, torch.channels_last)
        self.pool = ImagePool(recipe.pool)
        self.join(ALONE)

    def join(self, ranks: Ranks) -> None:
        """Train with other processes, each of which makes its share of every batch."""
        self._ranks = ranks
        # The same networks, as they are called for the losses of an update.
        self._draws = ranks.setup(self.generator, "logits")
        self._judges = None if self.discriminator is None else ranks.setup(self.discriminator)

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with the weights of a trained generator."""
        self.generator.load_state_dict(weights)
        self.average.load_state_dict(weights)

    def step(self, batch: tuple[Tensor, Tensor], step: int, scale: float) -> dict[str, float]:
        """Make one update of each network.

        Parameters
        ----------
        batch : two (N, 3, H, W) float32 tensors
            Crops and their true fields in [-1, 1]; pixels of the field that are NaN count for nothing. Of several
            processes, the share of this one.
        step : int
            Number of the step; it seeds the pool and the penalty.
        scale : float
            Factor of the learning rates.

        Returns
        -------
        dict of str to float
            The losses.
        """
        recipe = self.recipe
        images, fields = (part.to(self.device, memory_format=torch.channels_last) for part in batch)
        self.generator.train()
        set_lr(self.generator_optimizer, recipe.lr * scale)
        with self._autocast():
            logits = self._draws.logits(images)
        # Where nobody knows the truth (it is not a number there) all agree that there is nothing.
        unknown = fields.isnan()
        logits, fields = logits.float().masked_fill(unknown, ABSENT), fields.masked_fill(unknown, -1.0)
        fake = torch.tanh(logits)
        values: dict[str, float] = {}
        parts = {"l1": (recipe.l1_weight, (fake - fields).abs().mean())}
        if recipe.presence_weight:
            told = PRESENCE_CHANNELS[recipe.encoding]
            presence = losses.presence_loss(logits[:, :told], fields[:, :told], self._ranks.all_reduce_sum)
            parts["presence"] = (recipe.presence_weight, presence)
        if self.discriminator is not None and step % recipe.adversarial_interval == 0:
            values |= self._judge(images, fields, fake.detach(), step, scale)
            self.discriminator.requires_grad_(False)
            with self._autocast():
                verdict = self.discriminator(torch.cat([images, fake], dim=1))
            adversarial = losses.generator_loss(verdict.float(), recipe.adversarial)
            parts["adversarial"] = (recipe.adversarial_weight, adversarial)
        total = torch.stack([weight * loss for weight, loss in parts.values()]).sum()
        self.generator_optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.generator_optimizer.step()
        if self.discriminator is not None:
            self.discriminator.requires_grad_(True)
        if self.average is not self.generator:
            update_ema(self.average, self.generator, recipe.ema, step)
        return {name: float(loss.detach()) for name, (_, loss) in parts.items()} | values

    @torch.inference_mode()
    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict the field of a whole image with the averaged weights.

        Parameters
        ----------
        pixels : (H, W, 3) uint8 array
            H&E image.

        Returns
        -------
        (3, H, W) float32 array
            Field in [-1, 1].
        """
        network = self.average
        training = network.training
        network.eval()
        height, width = pixels.shape[:2]
        spare = [-length % network.stride for length in (height, width)]
        padded = np.pad(pixels, ((0, spare[0]), (0, spare[1]), (0, 0)), mode="symmetric")
        image = torch.from_numpy(padded).to(self.device).permute(2, 0, 1)[None].float()
        image = (image / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with self._autocast():
            field = network(image)
        network.train(training)
        result: NDArray[np.float32] = field[0, :, :height, :width].float().cpu().numpy()
        return result

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything that a resumed run needs, as tensors and JSON."""
        tensors: dict[str, Tensor] = {}
        rest: dict[str, Any] = {}
        for name, network in self._networks().items():
            tensors |= {f"{name}/{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in self._optimizers().items():
            entries, rest[name] = flatten_optimizer(name, optimizer)
            tensors |= entries
        tensors |= {f"pool/{index:04d}": pair for index, pair in enumerate(self.pool.pairs)}
        tensors["random"] = torch.get_rng_state()
        return tensors, rest

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Go back to what `state` returned."""
        for name, network in self._networks().items():
            network.load_state_dict(strip_prefix(name, tensors))
        for name, optimizer in self._optimizers().items():
            restore_optimizer(name, optimizer, tensors, rest[name])
        pairs = strip_prefix("pool", tensors)
        self.pool.pairs = [pairs[key].to(self.device) for key in sorted(pairs)]
        torch.set_rng_state(tensors["random"].cpu())

    def _judge(self, images: Tensor, fields: Tensor, fake: Tensor, step: int, scale: float) -> dict[str, float]:
        recipe, ranks = self.recipe, self._ranks
        judge, discriminator, optimizer = self._judges, self.discriminator, self.discriminator_optimizer
        assert judge is not None and discriminator is not None and optimizer is not None
        random = np.random.default_rng([recipe.seed, step, 1 << 20])
        set_lr(optimizer, recipe.discriminator_lr * scale)
        real_pairs = torch.cat([images, fields], dim=1)
        # Every process keeps the same pool, of the fakes of all.
        fake_pairs = ranks.local_shard(self.pool.exchange(ranks.all_gather(torch.cat([images, fake], dim=1)), random))
        with self._autocast():
            real, false = judge(real_pairs), judge(fake_pairs)
        loss = losses.discriminator_loss(real.float(), false.float(), recipe.adversarial)
        values = {"discriminator": float(loss.detach())}
        update = step // recipe.adversarial_interval
        if recipe.penalty != "none" and update % recipe.penalty_interval == 0:
            mixing = torch.Generator().manual_seed(int(random.integers(2**31)))
            mix = ranks.local_shard(torch.rand(len(ranks.widened(real_pairs)), 1, 1, 1, generator=mixing))
            # Second derivatives are taken in float32: bfloat16 has too few digits for them.
            penalty = losses.gradient_penalty(discriminator, real_pairs, fake_pairs, recipe.penalty, mix)
            loss = loss + recipe.penalty_weight * recipe.penalty_interval * penalty
            values["penalty"] = float(penalty.detach())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return values

    def _networks(self) -> dict[str, torch.nn.Module]:
        networks: dict[str, torch.nn.Module] = {"generator": self.generator}
        if self.average is not self.generator:
            networks["average"] = self.average
        if self.discriminator is not None:
            networks["discriminator"] = self.discriminator
        return networks

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        optimizers: dict[str, torch.optim.Optimizer] = {"generator_optimizer": self.generator_optimizer}
        if self.discriminator_optimizer is not None:
            optimizers["discriminator_optimizer"] = self.discriminator_optimizer
        return optimizers

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16)


def update_ema(average: torch.nn.Module, network: torch.nn.Module, memory: float, step: int) -> None:
    """Move the averaged weights of a network, in place, towards its present ones.

    Parameters
    ----------
    average, network : torch.nn.Module
        Two networks of one architecture.
    memory : float
        Share of the average that stays, in [0, 1).
    step : int
        Number of the step.
    """
    # A short memory at first, or the random first weights would linger.
    stays = min(memory, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - stays)
            else:
                mean.copy_(value)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = lr
