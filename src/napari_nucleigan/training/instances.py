"""Training of a network that finds nuclei one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.masks.encoding import decode
from napari_nucleigan.networks import build
from napari_nucleigan.training.cgan import ConditionalGAN, set_lr, update_ema

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_nucleigan.training.distributed.ranks import Ranks
    from napari_nucleigan.training.recipes import SegmenterRecipe

INSTANCES = ("mask-rcnn",)
"""Networks that learn from nuclei one by one."""

PROMINENCE = 0.25
"""Dip that parts two nuclei of a crop: turned and resized, the dips of a true field are flatter than they were."""

_LARGEST = 5.0  # norm of the gradient; a first step of such heads may be wild


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
        recipe = self.recipe
        images = batch[0].to(self.device, memory_format=torch.channels_last)
        labels = [_nuclei(field) for field in batch[1]]
        network: Any = self.generator.train()
        set_lr(self.generator_optimizer, recipe.lr * scale)
        # Proposals and nuclei to learn from are drawn at random: a resumed run draws the same.
        torch.manual_seed((recipe.seed << 32) + step)
        with self._autocast():
            parts: dict[str, Tensor] = network.losses(images, labels)
        total = torch.stack([loss.float() for loss in parts.values()]).sum()
        self.generator_optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), _LARGEST)
        self.generator_optimizer.step()
        if self.average is not self.generator:
            update_ema(self.average, self.generator, recipe.ema, step)
        return {name.removeprefix("loss_"): float(loss.detach()) for name, loss in parts.items()}


def trainer_of(recipe: SegmenterRecipe) -> type[ConditionalGAN]:
    """Return what trains the network that a recipe names."""
    return InstanceTrainer if recipe.generator.get("name") in INSTANCES else ConditionalGAN


def _nuclei(field: Tensor) -> NDArray[np.int32]:
    """Return the nuclei of a crop's field; where nobody knows (it is not a number there) there are none."""
    return decode(field.nan_to_num(nan=-1.0).numpy(), prominence=PROMINENCE, min_area=4)
