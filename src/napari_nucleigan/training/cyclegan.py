"""CycleGAN: G paints H&E from masks, S draws masks from H&E, and each goes back where the other came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from napari_nucleigan.masks.encoding import PRESENCE_CHANNELS
from napari_nucleigan.networks import build, build_synthesizer
from napari_nucleigan.networks.discriminators import (
    MultiScale,
    Projected,
    discriminator_loss,
    generator_loss,
    presence_loss,
)
from napari_nucleigan.networks.encoders import perceptual_distance, pretrained_encoder
from napari_nucleigan.networks.generators import initialise
from napari_nucleigan.networks.synthesizers import Synthesizer
from napari_nucleigan.training.adversarial import ABSENT, AdversarialTrainer, ImagePool, descend
from napari_nucleigan.training.optimizers import Adam
from napari_nucleigan.training.recipes import SynthesizerRecipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from napari_nucleigan.training.ranks import Ranks


class CycleBatch(NamedTuple):
    """What a step takes: (N, 3, H, W) float32 tensors in [-1, 1].

    Attributes
    ----------
    images : tensor
        Real H&E.
    fields : tensor or None
        Their true fields, NaN where nobody knows them; None for images without labels.
    others : tensor
        Other crops of the same images: they show the style without the content.
    masks : tensor
        Fields to paint, which belong to no image.
    tissues, mask_tissues : (N, 1, H, W) tensor or None
        Number of the tissue of each pixel of the images and of the masks, 0 where it is unknown; None for unknown.
    """

    images: Tensor
    fields: Tensor | None
    others: Tensor
    masks: Tensor
    tissues: Tensor | None = None
    mask_tissues: Tensor | None = None


class CycleGAN(AdversarialTrainer[Synthesizer, SynthesizerRecipe]):
    """Networks, optimizers and the alternating update of the synthesizer.

    Parameters
    ----------
    recipe : SynthesizerRecipe
        How to train.
    device : str
        Where to compute.
    bfloat16 : bool
        Whether the convolutions compute in bfloat16; losses and weights stay in float32.

    Notes
    -----
    Mahmood et al., IEEE TMI 2020; Zhu et al., ICCV 2017. In a step of images with labels, the cycle of an image begins
    at its true mask instead of the one that S draws, D_N's features are compared too (Wang et al., CVPR 2018), and S
    learns from the true mask.
    """

    def __init__(self, recipe: SynthesizerRecipe, device: str = "cpu", bfloat16: bool = False) -> None:
        super().__init__(recipe, device, bfloat16)
        # Layers that `initialise` leaves alone, and the power iteration of the spectral normalisation, begin at random.
        torch.manual_seed(recipe.seed)
        self.generator = build_synthesizer(recipe.generator)
        self.segmenter = build(recipe.segmenter)
        width, depth = recipe.discriminator_width, recipe.discriminator_layers
        # It learns nothing, so checkpoints do without it.
        looks = recipe.perceptual or recipe.projected
        self._encoder = pretrained_encoder(recipe.perceptual_weights).to(device) if looks else None
        projected = None
        if recipe.projected and self._encoder is not None:
            projected = Projected(self._encoder, spectral=recipe.spectral, seed=recipe.seed)
        self.discriminator_n = MultiScale(
            recipe.discriminator_scales, 3, width, depth, recipe.spectral, recipe.instance_norm, projected
        )
        # Drawn masks are told from true ones by their soft edges all too soon: D_M needs no help.
        self.discriminator_m = MultiScale(1, 3, max(1, width // 2), depth, recipe.spectral)
        initialise(self.generator, recipe.initial_weights, recipe.seed)
        initialise(self.segmenter, recipe.initial_weights, recipe.seed + 1)
        for number, discriminator in enumerate((self.discriminator_n, self.discriminator_m)):
            initialise(discriminator, "normal", recipe.seed + 2 + number)
            discriminator.normalise()
        self.generator_optimizer = Adam(
            [*self.generator.parameters(), *self.segmenter.parameters()], recipe.lr, recipe.betas
        )
        self.discriminator_optimizer = Adam(
            [*self.discriminator_n.parameters(), *self.discriminator_m.parameters()],
            recipe.discriminator_lr,
            recipe.discriminator_betas,
        )
        self.image_pool = ImagePool(recipe.pool)
        self.mask_pool = ImagePool(recipe.pool)
        # The names in checkpoints are those of 0.1.0, so that its runs go on.
        self._place(
            {
                "painter": self.generator,
                "segmenter": self.segmenter,
                "image_judge": self.discriminator_n,
                "mask_judge": self.discriminator_m,
            },
            {"makers": self.generator_optimizer, "judges": self.discriminator_optimizer},
            {"image_pool": self.image_pool, "mask_pool": self.mask_pool},
        )

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Begin with the weights of a trained generator, be it one that knows no tissue yet."""
        unknown = {
            name: torch.zeros_like(value) if name.startswith("modulate.") else value
            for name, value in self.generator.state_dict().items()
            if name.startswith(("read.", "modulate."))
        }
        super().start_from(unknown | dict(weights))

    def join(self, ranks: Ranks) -> None:
        """Train with other processes, each of which makes its share of every batch."""
        self._ranks = ranks
        # The same networks, as they are called for the losses of an update.
        self._paint_image = ranks.setup(self.generator, "encode_style")
        self._draw_mask = ranks.setup(self.segmenter, "logits")
        self._discriminate_images = ranks.setup(self.discriminator_n)
        self._discriminate_masks = ranks.setup(self.discriminator_m)

    def step(self, batch: CycleBatch, step: int, scale: float) -> dict[str, float]:
        """Make one update of each network.

        Parameters
        ----------
        batch : CycleBatch
            Images and masks: of several processes, the share of this one.
        step : int
            Number of the step; it seeds the noise, the pools and torch.
        scale : float
            Factor of the learning rates.

        Returns
        -------
        dict of str to float
            The losses.
        """
        recipe = self.recipe
        # Torch's own generator, so that the dropout of a U-Net depends on the step alone, too.
        random = torch.manual_seed(int(np.random.default_rng([recipe.seed, step, 1 << 21]).integers(2**31)))
        images, others, masks = (self._here(part) for part in (batch.images, batch.others, batch.masks))
        fields = self._here(batch.fields) if batch.fields is not None and recipe.paired else None
        tissues = [self._tissue_of(part, masks) for part in (batch.mask_tissues, batch.tissues)]
        self.generator.train()
        self.segmenter.train()
        with self._autocast():
            style = self._paint_image.encode_style(others)
            logits = self._draw_mask.logits(images).float()
            drawn = torch.tanh(logits)
            # Where nobody knows the nuclei, those that S draws stand in, so that the way back has a whole mask.
            whole = drawn if fields is None else torch.where(fields.isnan(), drawn, fields)
            starts = torch.cat([masks, whole])
            noise = self._noise(starts, random, 2)
            painted = self._paint_image(
                _with_tissue(starts, torch.cat(tissues)), noise, torch.cat([style, style])
            ).float()
            fake, back = painted.chunk(2)
            returned = self._draw_mask(self._disturb(fake, random)).float()
        # Where the way back begins at a true mask, what comes back is a fake like any other.
        fakes = fake if fields is None else painted
        real_features, values = self._update_discriminators(images, masks, fakes.detach(), drawn.detach(), step, scale)
        parts = {
            "cycle_images": (recipe.cycle_images, self._distance(back, images)),
            "cycle_masks": (recipe.cycle_masks, (returned - masks).abs().mean()),
        }
        for discriminator in (self.discriminator_n, self.discriminator_m):
            discriminator.requires_grad_(False)
        with self._autocast():
            seen = self.discriminator_n(fakes)
            seen_masks = self.discriminator_m(drawn)
        parts["adversarial_images"] = (recipe.adversarial_weight, self._fool(seen))
        parts["adversarial_masks"] = (recipe.adversarial_weight, self._fool(seen_masks))
        if fields is not None:
            parts["features"] = (recipe.features_weight, _features_apart(seen, real_features, len(images)))
            told = PRESENCE_CHANNELS[recipe.encoding]
            unknown = fields.isnan()
            logits, fields = logits.masked_fill(unknown, ABSENT), fields.masked_fill(unknown, -1.0)
            presence = presence_loss(logits[:, :told], fields[:, :told], self._ranks.all_reduce_sum)
            parts["supervised"] = (recipe.supervised, (drawn - whole).abs().mean() + presence)
        if recipe.colours:
            parts["colours"] = (recipe.colours, _colours_apart(fake, others))
        if self._encoder is not None and recipe.perceptual:
            with self._autocast():
                parts["perceptual"] = (recipe.perceptual, perceptual_distance(self._encoder, back, images))
        if recipe.identity:
            parts["identity"] = (recipe.identity, self._identity(images, masks, style, random))
        # Its gradients are computed all the same: other processes wait for them.
        still = self.generator.parameters() if step < recipe.head_start else ()
        values = self._update_generator(parts, step, scale, still=still) | values
        for discriminator in (self.discriminator_n, self.discriminator_m):
            discriminator.requires_grad_(True)
        return values

    @torch.inference_mode()
    def paint(self, fields: Tensor, style: Tensor, seed: int = 0) -> Tensor:
        """Paint a batch with the averaged weights.

        Parameters
        ----------
        fields : (N, 3, H, W) float32 tensor
            Fields; sides are multiples of the painter's stride. With the tissue as a fourth channel, where it is known.
        style : (N, style_size) float32 tensor
            Style codes.
        seed : int
            Seed of the noise.

        Returns
        -------
        (N, 3, H, W) float32 tensor
            H&E in [-1, 1].
        """
        network = self.average.eval()
        fields = fields.to(self.device, memory_format=torch.channels_last)
        noise = network.draw_noise(fields, torch.Generator().manual_seed(seed))
        if fields.shape[1] == 3:
            fields = _with_tissue(fields, self._tissue_of(None, fields))
        with self._autocast():
            image: Tensor = network(fields, noise, style.to(self.device))
        return image.float()

    @torch.inference_mode()
    def draw(self, images: Tensor) -> Tensor:
        """Draw the fields of a batch of images, (N, 3, H, W) float32 in [-1, 1], with S."""
        network = self.segmenter.eval()
        with self._autocast():
            field: Tensor = network(images.to(self.device, memory_format=torch.channels_last))
        return field.float()

    @torch.inference_mode()
    def style_of(self, images: Tensor) -> Tensor:
        """Read the style codes, (N, style_size) float32, off a batch of images with the averaged weights."""
        code: Tensor = self.average.eval().encode_style(images.to(self.device))
        return code.float()

    def _update_discriminators(
        self, images: Tensor, masks: Tensor, fakes: Tensor, drawn: Tensor, step: int, scale: float
    ) -> tuple[list[list[Tensor]], dict[str, float]]:
        recipe = self.recipe
        random = np.random.default_rng([recipe.seed, step, 1 << 20])
        total = torch.zeros((), device=self.device)
        values: dict[str, float] = {}
        features: list[list[Tensor]] = []
        false_images = self._exchange(self.image_pool, fakes, random, len(fakes) // len(images))
        false_masks = self._exchange(self.mask_pool, drawn, random)
        for name, discriminate, real, false in (
            ("discriminator_images", self._discriminate_images, images, false_images),
            ("discriminator_masks", self._discriminate_masks, masks, false_masks),
        ):
            with self._autocast():
                seen = discriminate(torch.cat([real, false]))
            verdicts = [levels[-1].float() for levels in seen]
            loss = torch.stack(
                [
                    discriminator_loss(verdict[: len(real)], verdict[len(real) :], recipe.adversarial)
                    for verdict in verdicts
                ]
            ).mean()
            values[name] = float(loss.detach())
            total = total + loss
            features = features or [[level[: len(real)].detach() for level in levels] for levels in seen]
        descend(self.discriminator_optimizer, total, recipe.discriminator_lr * scale)
        return features, values

    def _here(self, part: Tensor) -> Tensor:
        return part.to(self.device, memory_format=torch.channels_last)

    def _fool(self, seen: Iterable[list[Tensor]]) -> Tensor:
        kind = self.recipe.adversarial
        return torch.stack([generator_loss(levels[-1].float(), kind) for levels in seen]).mean()

    def _distance(self, image: Tensor, target: Tensor) -> Tensor:
        side = self.recipe.cycle_blur
        if side == 1:
            return (image - target).abs().mean()
        return (functional.avg_pool2d(image, side) - functional.avg_pool2d(target, side)).abs().mean()

    def _disturb(self, fake: Tensor, random: torch.Generator) -> Tensor:
        # CycleGANs hide the mask in the image as a faint signal (Chu et al., 2017); noise drowns it.
        if not self.recipe.hiding_noise:
            return fake
        noise = self._ranks.local_shard(torch.randn(self._ranks.widened(fake).shape, generator=random))
        return fake + 2 * self.recipe.hiding_noise * noise.to(fake)

    def _tissue_of(self, tissue: Tensor | None, fields: Tensor) -> Tensor:
        """Return the channel of tissue of some fields: zeros where it is unknown, none where G takes none."""
        channels = 1 if self.generator.tissue_classes else 0
        if tissue is None or not channels:
            return fields.new_zeros(len(fields), channels, *fields.shape[2:])
        return tissue.to(fields)

    def _noise(self, fields: Tensor, random: torch.Generator, parts: int = 1) -> list[Tensor]:
        drawn = self.generator.draw_noise(self._ranks.widened(fields), random)
        return [self._ranks.local_shard(noise, parts) for noise in drawn]

    def _identity(self, images: Tensor, masks: Tensor, style: Tensor, random: torch.Generator) -> Tensor:
        with self._autocast():
            unknown = self._tissue_of(None, images)
            same = self._paint_image(_with_tissue(images, unknown), self._noise(images, random), style).float()
            same_masks = self._draw_mask(masks).float()
        apart: Tensor = (same_masks - masks).abs().mean()
        return self._distance(same, images) + apart


def _with_tissue(fields: Tensor, tissue: Tensor) -> Tensor:
    return torch.cat([fields, tissue], dim=1).contiguous(memory_format=torch.channels_last)


def _colours_apart(images: Tensor, others: Tensor) -> Tensor:
    """Mean distance between mean and standard deviation of each colour of some images and of others."""
    moments = [torch.cat(torch.std_mean(part, dim=(2, 3)), dim=1) for part in (images, others)]
    apart: Tensor = (moments[0] - moments[1]).abs().mean()
    return apart


def _features_apart(fakes: list[list[Tensor]], real: list[list[Tensor]], count: int) -> Tensor:
    """Mean distance between what the discriminator makes of the last `count` fakes and of their originals."""
    distances = [
        (level[-count:].float() - target.float()).abs().mean()
        for levels, targets in zip(fakes, real, strict=True)
        for level, target in zip(levels[:-1], targets[:-1], strict=True)
    ]
    apart: Tensor = torch.stack(distances).mean()
    return apart
