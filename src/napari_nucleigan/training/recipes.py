"""Recipes: everything that decides how a network is trained, in one validated model.

The same model feeds the command line, the forms and the file ``recipe.json`` of each run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_nucleigan.errors import RecipeError


class SegmenterRecipe(BaseModel):
    """How a conditional GAN learns to segment nuclei.

    The fields are explained by their descriptions, which the command line and the forms show.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("compact-segmenter", description="Name of the recipe.")
    seed: int = Field(0, ge=0, description="Seed of weights, crops and hold-out.")

    generator: dict[str, Any] = Field(
        default_factory=lambda: {"name": "compact-unet"},
        description="Network that segments: its name and arguments.",
    )
    initial_weights: Literal["normal", "he"] = Field(
        "he", description="'normal': N(0, 0.02) as in the paper; 'he': scaled to each layer."
    )
    start_from: str = Field("", description="Model name or file whose weights training starts from; empty for none.")
    encoding: Literal["distance", "binary", "contour"] = Field(
        "distance", description="What the network paints for each nucleus."
    )
    mpp: float = Field(0.25, gt=0, le=10, description="Microns per pixel at which the network works.")
    normalize: Literal["none", "vahadane", "macenko", "reinhard"] = Field(
        "none", description="Stain normalisation before training and before every use."
    )

    discriminator_width: int = Field(
        24, ge=0, le=256, description="Channels of the PatchGAN's first layer; 0 for no adversary."
    )
    discriminator_layers: int = Field(
        3, ge=1, le=6, description="Strided layers of the PatchGAN; 3 sees patches of 70x70."
    )
    spectral: bool = Field(True, description="Spectral normalisation of every convolution of the discriminator.")
    adversarial: Literal["bce", "least-squares", "hinge"] = Field("hinge", description="Adversarial loss.")
    penalty: Literal["none", "r1", "wgan-gp"] = Field("none", description="Gradient penalty.")
    penalty_weight: float = Field(10.0, ge=0, description="Weight of the gradient penalty.")
    penalty_interval: int = Field(
        1, ge=1, description="Updates of the discriminator from one gradient penalty to the next."
    )
    pool: int = Field(64, ge=0, description="Earlier pairs kept for the discriminator.")
    adversarial_weight: float = Field(1.0, ge=0, description="Weight of the adversarial loss.")
    adversarial_interval: int = Field(2, ge=1, description="Steps from one adversarial update to the next.")
    l1_weight: float = Field(35.0, ge=0, description="Weight of the distance to the true field.")
    presence_weight: float = Field(35.0, ge=0, description="Weight of cross-entropy and Dice of interior and contour.")

    patch: int = Field(256, ge=32, le=2048, multiple_of=32, description="Side of the crops.")
    batch: int = Field(8, ge=1, le=512, description="Crops in a step.")
    zoom: tuple[float, float] = Field((0.75, 1.4), description="Smallest and largest magnification of the crops.")
    turns: bool = Field(True, description="Quarter turns and mirror images.")
    rotation: float = Field(0.0, ge=0, le=180, description="Further rotation in degrees.")
    stain: float = Field(0.25, ge=0, le=2, description="Jitter of the strength of each stain.")
    hue: float = Field(0.06, ge=0, le=1, description="Jitter of the colour of each stain.")
    light: float = Field(0.04, ge=0, le=1, description="Jitter of the brightness.")
    blur: float = Field(1.2, ge=0, le=10, description="Largest blur of a crop in pixels.")
    noise: float = Field(0.03, ge=0, le=1, description="Largest noise as a share of white.")

    epochs_constant: int = Field(200, ge=0, description="Epochs at the full learning rate.")
    epochs_decay: int = Field(200, ge=0, description="Epochs in which it falls linearly to 0.")
    crops_per_epoch: int | None = Field(
        None, ge=1, description="Crops in an epoch; by default as many as fit side by side."
    )
    lr: float = Field(1e-3, gt=0, le=1, description="Learning rate of the generator.")
    discriminator_lr: float = Field(2e-4, gt=0, le=1, description="Learning rate of the discriminator.")
    warmup_steps: int = Field(100, ge=0, description="Steps in which the learning rate rises from 0.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's betas of the generator.")
    discriminator_betas: tuple[float, float] = Field((0.5, 0.999), description="Adam's betas of the discriminator.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay.")
    ema: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Averaging of the generator's weights over steps; 0 for none.",
    )

    validation: float = Field(0.25, ge=0, lt=1, description="Share of the images held out, of every organ alike.")
    validate_every: int = Field(10, ge=1, description="Epochs from one validation to the next.")
    checkpoint_every: int = Field(5, ge=1, description="Epochs from one checkpoint to the next.")
    patience: int = Field(0, ge=0, description="Validations without a better score before training ends; 0: never.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic; 'auto' takes bfloat16 where the device computes in it."
    )

    @model_validator(mode="after")
    def _consistent(self) -> SegmenterRecipe:
        low, high = self.zoom
        if not 0 < low <= high:
            raise ValueError("zoom needs 0 < smallest <= largest")
        if self.epochs_constant + self.epochs_decay < 1:
            raise ValueError("there must be at least one epoch")
        return self


RECIPES: dict[str, SegmenterRecipe] = {
    "compact-segmenter": SegmenterRecipe(),
    "paper-segmenter": SegmenterRecipe(
        name="paper-segmenter",
        generator={"name": "unet-256", "width": 64},
        initial_weights="normal",
        normalize="vahadane",
        discriminator_width=64,
        adversarial="bce",
        adversarial_interval=1,
        penalty="r1",
        penalty_interval=16,
        l1_weight=70.0,
        presence_weight=0.0,
        batch=1,
        zoom=(286 / 256, 286 / 256),
        stain=0.0,
        hue=0.0,
        light=0.0,
        blur=0.0,
        noise=0.0,
        lr=2e-4,
        warmup_steps=0,
        betas=(0.5, 0.999),
        weight_decay=0.0,
    ),
}
"""Recipes by name."""


def read_recipe(name_or_file: str | Path, changes: dict[str, Any] | None = None) -> SegmenterRecipe:
    """Read a recipe.

    Parameters
    ----------
    name_or_file : str or Path
        A key of `RECIPES` or a JSON file; the file may name only what differs from the recipe it calls
        ``name``.
    changes : dict, optional
        Fields to change.

    Returns
    -------
    SegmenterRecipe

    Raises
    ------
    RecipeError
        If there is no such recipe, or a value is not valid.
    """
    named = RECIPES.get(str(name_or_file))
    if named is not None:
        values = named.model_dump()
    else:
        values = _read_json(Path(name_or_file))
        base = RECIPES.get(str(values.get("name")), RECIPES["compact-segmenter"])
        values = {**base.model_dump(), **values}
    try:
        return SegmenterRecipe.model_validate({**values, **(changes or {})})
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'recipe'}: {fault['msg']}" for fault in error.errors()
        )
        raise RecipeError(f"The recipe {name_or_file} is not valid: {faults}.") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RecipeError(
            f"There is no recipe {str(path)!r}: it is neither a file nor one of {', '.join(RECIPES)}."
        ) from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"The recipe {path} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise RecipeError(f"The recipe {path} must be a JSON object of fields and values.")
    return values
