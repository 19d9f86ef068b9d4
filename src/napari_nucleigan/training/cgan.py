"""Conditional GAN: a generator that segments, and a discriminator that tells its masks from true ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.masks.encoding import PRESENCE_CHANNELS, decode
from napari_nucleigan.networks import build
from napari_nucleigan.networks.discriminators import (
    PatchGAN,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    presence_loss,
)
from napari_nucleigan.networks.encoders import load_encoder
from napari_nucleigan.networks.generators import Generator, initialise
from napari_nucleigan.training.adversarial import ABSENT, AdversarialTrainer, ImagePool, descend
from napari_nucleigan.training.optimizers import Adam, AdamW
from napari_nucleigan.training.recipes import SegmenterRecipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_nucleigan.training.ranks import Ranks


INSTANCE_NETWORKS = ("mask-rcnn",)
"""Networks that learn from nuclei one by one."""

PROMINENCE = 0.25
"""Dip that parts two nuclei of a crop: turned and resized, the dips of a true field are flatter than they were."""

_LARGEST = 5.0  # norm of the gradient; a first step of such heads may be wild


class ConditionalGAN(AdversarialTrainer[Generator, SegmenterRecipe]):
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
        super().__init__(recipe, device, bfloat16)
        self.generator = build(recipe.generator)
        initialise(self.generator, recipe.initial_weights, recipe.seed)
        if recipe.encoder_weights and not recipe.start_from:
            load_encoder(self.generator, recipe.encoder_weights)
        self.generator_optimizer = AdamW(
            self.generator.parameters(), recipe.lr, recipe.betas, weight_decay=recipe.weight_decay
        )
        networks: dict[str, torch.nn.Module] = {"generator": self.generator}
        optimizers: dict[str, torch.optim.Optimizer] = {"generator_optimizer": self.generator_optimizer}
        self.discriminator: PatchGAN | None = None
        self.discriminator_optimizer: torch.optim.Optimizer | None = None
        if recipe.discriminator_width:
            self.discriminator = PatchGAN(6, recipe.discriminator_width, recipe.discriminator_layers, recipe.spectral)
            initialise(self.discriminator, "normal", recipe.seed + 1)
            # The power iteration of the spectral normalisation draws its first vectors at random.
            torch.manual_seed(recipe.seed)
            self.discriminator.normalise()
            self.discriminator_optimizer = Adam(
                self.discriminator.parameters(), recipe.discriminator_lr, recipe.discriminator_betas
            )
            networks["discriminator"] = self.discriminator
            optimizers["discriminator_optimizer"] = self.discriminator_optimizer
        self.pool = ImagePool(recipe.pool)
        self._place(networks, optimizers, {"pool": self.pool})

    def join(self, ranks: Ranks) -> None:
        """Train with other processes, each of which makes its share of every batch."""
        self._ranks = ranks
        # The same networks, as they are called for the losses of an update.
        self._generate = ranks.setup(self.generator, "logits")
        self._discriminate = None if self.discriminator is None else ranks.setup(self.discriminator)

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
        with self._autocast():
            logits = self._generate.logits(images)
        seen = torch.tanh(logits.float()) if recipe.consistency_weight else None
        # Where nobody knows the truth (it is not a number there) all agree that there is nothing.
        unknown = fields.isnan()
        logits, fields = logits.float().masked_fill(unknown, ABSENT), fields.masked_fill(unknown, -1.0)
        fake = torch.tanh(logits)
        values: dict[str, float] = {}
        parts = {"l1": (recipe.l1_weight, (fake - fields).abs().mean())}
        if recipe.presence_weight:
            told = PRESENCE_CHANNELS[recipe.encoding]
            presence = presence_loss(logits[:, :told], fields[:, :told], self._ranks.all_reduce_sum)
            parts["presence"] = (recipe.presence_weight, presence)
        if seen is not None:
            # Where nobody knows the truth, too: there it is all that can be learnt.
            parts["consistency"] = (recipe.consistency_weight, (seen - self._turned(images, step)).abs().mean())
        if self.discriminator is not None and step % recipe.adversarial_interval == 0:
            values |= self._update_discriminator(images, fields, fake.detach(), step, scale)
            self.discriminator.requires_grad_(False)
            with self._autocast():
                verdict = self.discriminator(torch.cat([images, fake], dim=1))
            adversarial = generator_loss(verdict.float(), recipe.adversarial)
            parts["adversarial"] = (recipe.adversarial_weight, adversarial)
        values = self._update_generator(parts, step, scale) | values
        if self.discriminator is not None:
            self.discriminator.requires_grad_(True)
        return values

    @torch.no_grad()
    def _turned(self, images: Tensor, step: int) -> Tensor:
        """Return the fields that the averaged weights see in the images mirrored or turned, turned back.

        Notes
        -----
        The mean teacher of Tarvainen and Valpola, NeurIPS 2017, with the symmetries of the square for its noise.
        """
        random = np.random.default_rng([self.recipe.seed, step, 1 << 21])
        # By quarters, and mirrored or not; but for the first, which leaves the image as the network has seen it.
        quarters, mirrored = divmod(int(random.integers(1, 8)), 2)
        turned = torch.rot90(images, quarters, (2, 3))
        turned = turned.flip(3) if mirrored else turned
        network = self.average.eval()
        with self._autocast():
            fields = network(turned.contiguous(memory_format=torch.channels_last)).float()
        network.train()
        fields = fields.flip(3) if mirrored else fields
        return torch.rot90(fields, -quarters, (2, 3))

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
        tensors, rest = super().state()
        return {**tensors, "random": torch.get_rng_state()}, rest

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Go back to what `state` returned."""
        super().restore(tensors, rest)
        torch.set_rng_state(tensors["random"].cpu())

    def _update_discriminator(
        self, images: Tensor, fields: Tensor, fake: Tensor, step: int, scale: float
    ) -> dict[str, float]:
        recipe, ranks = self.recipe, self._ranks
        discriminate, discriminator, optimizer = self._discriminate, self.discriminator, self.discriminator_optimizer
        assert discriminate is not None and discriminator is not None and optimizer is not None
        random = np.random.default_rng([recipe.seed, step, 1 << 20])
        real_pairs = torch.cat([images, fields], dim=1)
        fake_pairs = self._exchange(self.pool, torch.cat([images, fake], dim=1), random)
        with self._autocast():
            real, false = discriminate(real_pairs), discriminate(fake_pairs)
        loss = discriminator_loss(real.float(), false.float(), recipe.adversarial)
        values = {"discriminator": float(loss.detach())}
        update = step // recipe.adversarial_interval
        if recipe.penalty != "none" and update % recipe.penalty_interval == 0:
            mixing = torch.Generator().manual_seed(int(random.integers(2**31)))
            mix = ranks.local_shard(torch.rand(len(ranks.widened(real_pairs)), 1, 1, 1, generator=mixing))
            # Second derivatives are taken in float32: bfloat16 has too few digits for them.
            penalty = gradient_penalty(discriminator, real_pairs, fake_pairs, recipe.penalty, mix)
            loss = loss + recipe.penalty_weight * recipe.penalty_interval * penalty
            values["penalty"] = float(penalty.detach())
        descend(optimizer, loss, recipe.discriminator_lr * scale)
        return values


class InstanceTrainer(ConditionalGAN):
    """Network and optimizer of a segmenter that learns from nuclei, not from fields; it has no adversary.

    The nuclei of a crop are those that its true field decodes to, which are the annotated ones.

    Parameters
    ----------
    recipe : SegmenterRecipe
        How to train; the weights of losses on fields play no part.
    device : str
        Where to compute.
    bfloat16 : bool
        Whether the convolutions compute in bfloat16.

    Raises
    ------
    RecipeError
        If the recipe asks for an adversary or another encoding.
    ExtraError
        If torchvision is not to be had.
    """

    def __init__(self, recipe: SegmenterRecipe, device: str = "cpu", bfloat16: bool = False) -> None:
        name = recipe.generator["name"]
        if recipe.discriminator_width or recipe.encoding != "distance":
            raise RecipeError(
                f"The network {name!r} learns from nuclei, not from fields: set discriminator_width to 0 and encoding "
                "to 'distance'."
            )
        torch.manual_seed(recipe.seed)
        first = build(recipe.generator).state_dict()
        super().__init__(recipe, device, bfloat16)
        # Its heads have first values of their own: they must begin by proposing little.
        self.start_from(first)

    def join(self, ranks: Ranks) -> None:
        """Train in one process."""
        if ranks.world_size > 1:
            raise RecipeError(f"The network {self.recipe.generator['name']!r} trains in one process only; start one.")
        super().join(ranks)

    def step(self, batch: tuple[Tensor, Tensor], step: int, scale: float) -> dict[str, float]:
        """Make one update; see `ConditionalGAN.step`."""
        images = batch[0].to(self.device, memory_format=torch.channels_last)
        labels = [_nuclei(field) for field in batch[1]]
        network: Any = self.generator.train()
        # Proposals and nuclei to learn from are drawn at random: a resumed run draws the same.
        torch.manual_seed((self.recipe.seed << 32) + step)
        with self._autocast():
            found: dict[str, Tensor] = network.losses(images, labels)
        parts = {name.removeprefix("loss_"): (1.0, loss.float()) for name, loss in found.items()}
        return self._update_generator(parts, step, scale, _LARGEST)


def trainer_of(recipe: SegmenterRecipe) -> type[ConditionalGAN]:
    """Return what trains the network that a recipe names."""
    return InstanceTrainer if recipe.generator.get("name") in INSTANCE_NETWORKS else ConditionalGAN


def _nuclei(field: Tensor) -> NDArray[np.int32]:
    """Return the nuclei of a crop's field; where nobody knows (it is not a number there) there are none."""
    return decode(field.nan_to_num(nan=-1.0).numpy(), prominence=PROMINENCE, min_area=4)
