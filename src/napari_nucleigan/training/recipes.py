"""Recipes: everything that decides how a network is trained, in one validated model.

The same model feeds the command line, the forms and the file ``recipe.json`` of each run.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Patch = Annotated[
    int, Field(ge=32, le=2048, multiple_of=32, json_schema_extra={"unit": "pixels"}, description="Side of the crops.")
]

FINE_TUNING = "fine-tune-segmenter"
"""Name of the recipe that goes on from a trained segmenter."""


class Recipe(BaseModel):
    """What the recipes of both kinds have in common.

    The fields are explained by their descriptions, which the command line and the forms show.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["segmenter", "synthesizer"] = Field(description="What is trained.")
    name: str = Field(description="Name of the recipe.")
    seed: int = Field(0, ge=0, description="Seed of weights, crops and hold-out.")

    generator: dict[str, Any] = Field(description="The network to be trained: its name and arguments.")
    initial_weights: Literal["normal", "he"] = Field(
        "he", description="'normal': N(0, 0.02) as in the paper; 'he': scaled to each layer."
    )
    start_from: str = Field("", description="Model name or file whose weights training starts from; empty for none.")
    encoding: Literal["distance", "binary", "contour", "three-class", "pixel-distance"] = Field(
        "distance", description="How masks are written as images for the networks."
    )
    mpp: float = Field(
        0.25,
        ge=0.1,
        le=10,
        json_schema_extra={"unit": "µm"},
        description="Microns per pixel at which the network works.",
    )
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
    pool: int = Field(64, ge=0, description="Earlier fakes kept for the discriminator.")

    patch: Patch = 256
    batch: int = Field(8, ge=1, le=512, description="Crops in a step.")
    zoom: tuple[float, float] = Field((0.75, 1.4), description="Smallest and largest magnification of the crops.")
    turns: bool = Field(True, description="Quarter turns and mirror images.")
    rotation: float = Field(
        0.0, ge=0, le=180, json_schema_extra={"unit": "°"}, description="Further rotation in degrees."
    )
    stain: float = Field(0.25, ge=0, le=2, description="Jitter of the strength of each stain.")
    hue: float = Field(0.06, ge=0, le=1, description="Jitter of the colour of each stain.")
    light: float = Field(0.04, ge=0, le=1, description="Jitter of the brightness.")

    epochs_constant: int = Field(200, ge=0, description="Epochs at the full learning rate.")
    epochs_decay: int = Field(200, ge=0, description="Epochs in which it falls linearly to 0.")
    crops_per_epoch: int | None = Field(
        None, ge=1, description="Crops in an epoch; by default as many as fit side by side."
    )
    lr: float = Field(1e-3, gt=0, le=1, description="Learning rate of the generator.")
    discriminator_lr: float = Field(2e-4, gt=0, le=1, description="Learning rate of the discriminator.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's betas of the generator.")
    discriminator_betas: tuple[float, float] = Field((0.5, 0.999), description="Adam's betas of the discriminator.")
    ema: float = Field(0.999, ge=0, lt=1, description="Averaging of the generator's weights over steps; 0 for none.")

    validation: float = Field(0.25, ge=0, lt=1, description="Share of the images held out, of every organ alike.")
    validate_every: int = Field(10, ge=1, description="Epochs from one validation to the next.")
    checkpoint_every: int = Field(5, ge=1, description="Epochs from one checkpoint to the next.")
    minutes: float = Field(
        0.0,
        ge=0,
        json_schema_extra={"unit": "min"},
        description="Minutes of training after which it ends, whatever is left of the epochs; 0: no limit.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic; 'auto' takes bfloat16 where the device computes in it."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        low, high = self.zoom
        if not 0 < low <= high:
            raise ValueError("zoom needs 0 < smallest <= largest")
        if not all(0 <= beta < 1 for beta in (*self.betas, *self.discriminator_betas)):
            raise ValueError("betas are at least 0 and below 1")
        if self.epochs_constant + self.epochs_decay < 1:
            raise ValueError("there must be at least one epoch")
        return self


class SegmenterRecipe(Recipe):
    """How a conditional GAN learns to segment nuclei."""

    kind: Literal["segmenter"] = Field("segmenter", description="What is trained.")
    name: str = Field("compact-segmenter", description="Name of the recipe.")
    generator: dict[str, Any] = Field(
        default_factory=lambda: {"name": "compact-unet"},
        description="Network that segments: its name and arguments.",
    )
    encoder_weights: str = Field(
        "",
        description="What the encoder of an encoder-unet has learnt from photographs: 'imagenet' (of the extra "
        "'pretrained') or a file of weights; empty for none.",
    )
    penalty: Literal["none", "r1", "wgan-gp"] = Field("none", description="Gradient penalty.")
    penalty_weight: float = Field(10.0, ge=0, description="Weight of the gradient penalty.")
    penalty_interval: int = Field(
        1, ge=1, description="Updates of the discriminator from one gradient penalty to the next."
    )
    adversarial_weight: float = Field(1.0, ge=0, description="Weight of the adversarial loss.")
    adversarial_interval: int = Field(2, ge=1, description="Steps from one adversarial update to the next.")
    l1_weight: float = Field(35.0, ge=0, description="Weight of the distance to the true field.")
    presence_weight: float = Field(
        35.0, ge=0, description="Weight of cross-entropy and Dice of what the encoding calls present, as the interior."
    )
    consistency_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the distance to the field that the averaged weights see in the crop turned; so one view "
        "learns what the mean of several would tell.",
    )
    synthetic_share: float = Field(
        0.0, ge=0, le=1, description="Share of the crops that are cut from synthetic pairs; the others are real."
    )
    blur: float = Field(1.2, ge=0, le=10, description="Largest blur of a crop in pixels.")
    noise: float = Field(0.03, ge=0, le=1, description="Largest noise as a share of white.")
    warmup_steps: int = Field(100, ge=0, description="Steps in which the learning rate rises from 0.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay.")
    patience: int = Field(0, ge=0, description="Validations without a better score before training ends; 0: never.")


class SynthesizerRecipe(Recipe):
    """How a cycleGAN learns to paint H&E from masks.

    G paints an image from a mask, S draws a mask from an image; D_N and D_M tell real from generated ones. Where the
    images have labels, `paired` lets the way from image to mask to image begin at the true mask, and S learn from it.
    """

    kind: Literal["synthesizer"] = Field("synthesizer", description="What is trained.")
    name: str = Field("compact-synthesizer", description="Name of the recipe.")
    encoding: Literal["distance", "binary", "contour"] = Field(
        "distance", description="How masks are written as images for the networks."
    )
    generator: dict[str, Any] = Field(
        default_factory=lambda: {"name": "painter"}, description="Network G that paints: its name and arguments."
    )
    segmenter: dict[str, Any] = Field(
        default_factory=lambda: {"name": "compact-unet", "widths": [16, 32, 64, 96, 128]},
        description="Network S that draws the mask of an image: its name and arguments.",
    )
    masks: str = Field(
        "fit",
        description="Masks to paint: 'fit' (random polygons like the data's labels), a preset of the polygon sampler, "
        "statistics that 'nucleigan masks' saved, a folder of label images, or 'labels' (the data's own).",
    )
    tissue_dropout: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the images and masks whose tissue a network that knows tissue is not told, so that it "
        "can do without.",
    )
    paired: bool = Field(True, description="Use the labels of the images as pairs, of all or some that have them.")

    discriminator_width: int = Field(32, ge=1, le=256, description="Channels of D_N's first layer; D_M has half.")
    discriminator_scales: int = Field(
        2, ge=1, le=4, description="Scales at which D_N looks: 1, 1/2, ... of the resolution."
    )
    instance_norm: bool = Field(
        True, description="Instance normalisation in D_N; without it D_N learns some twenty times slower."
    )
    pool: int = Field(50, ge=0, description="Earlier fakes kept for each discriminator.")
    adversarial_weight: float = Field(1.0, ge=0, description="Weight of both adversarial losses.")
    cycle_images: float = Field(10.0, ge=0, description="lambda_n: weight of the image that comes back.")
    cycle_masks: float = Field(2.0, ge=0, description="lambda_m: weight of the mask that comes back.")
    cycle_blur: int = Field(
        4,
        ge=1,
        le=32,
        description="Squares of pixels over which images are averaged before they are compared; larger ones leave "
        "texture to the discriminator, 1 compares pixels.",
    )
    identity: float = Field(
        0.0, ge=0, description="Weight of G and S changing nothing in what is already of the kind they make."
    )
    features_weight: float = Field(
        5.0, ge=0, description="Weight of D_N's features of a painted pair against the real."
    )
    colours: float = Field(
        0.0,
        ge=0,
        description="Weight of the colours of a painted image, their mean and spread, against those of the crop whose "
        "style it is to have.",
    )
    perceptual: float = Field(
        0.0,
        ge=0,
        description="Weight of what a pretrained encoder sees in the image that comes back against the image.",
    )
    perceptual_weights: str = Field(
        "imagenet",
        description="Weights of that encoder: 'imagenet' (the extra 'pretrained' brings them), or a file.",
    )
    projected: bool = Field(
        False, description="D_N also judges what that encoder sees in an image, at four more scales."
    )
    supervised: float = Field(10.0, ge=0, description="Weight of S's mask of a labelled image against the true one.")
    hiding_noise: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Noise on a fake before the way back, as a share of black to white, against signals hidden in it.",
    )

    patch: Patch = 192
    batch: int = Field(2, ge=1, le=512, description="Images in a step, and as many masks.")
    zoom: tuple[float, float] = Field((0.9, 1.1), description="Smallest and largest magnification of the crops.")
    stain: float = Field(0.1, ge=0, le=2, description="Jitter of the strength of each stain.")
    hue: float = Field(0.0, ge=0, le=1, description="Jitter of the colour of each stain.")
    light: float = Field(0.0, ge=0, le=1, description="Jitter of the brightness.")
    epochs_constant: int = Field(60, ge=0, description="Epochs at the full learning rate.")
    epochs_decay: int = Field(40, ge=0, description="Epochs in which it falls linearly to 0.")
    head_start: int = Field(
        0,
        ge=0,
        description="Steps in which all but G learn: discriminators that know nothing yet would lead a trained G "
        "astray.",
    )
    lr: float = Field(4e-4, gt=0, le=1, description="Learning rate of G and S.")
    discriminator_lr: float = Field(2e-4, gt=0, le=1, description="Learning rate of D_N and D_M.")
    betas: tuple[float, float] = Field((0.5, 0.99), description="Adam's betas of G and S.")
    discriminator_betas: tuple[float, float] = Field((0.5, 0.99), description="Adam's betas of D_N and D_M.")

    @model_validator(mode="after")
    def _judged(self) -> Self:
        # Below three values a side, the last two convolutions of 4x4 have nothing left to see.
        if self.patch >> (self.discriminator_scales - 1 + self.discriminator_layers) < 3:
            raise ValueError(
                f"crops of {self.patch} pixels are too small for discriminator_scales = {self.discriminator_scales} "
                f"and discriminator_layers = {self.discriminator_layers}"
            )
        return self


# What both networks of the paper were trained with.
_PAPER: dict[str, Any] = {
    "initial_weights": "normal",
    "normalize": "vahadane",
    "discriminator_width": 64,
    "adversarial": "bce",
    "batch": 1,
    "zoom": (286 / 256, 286 / 256),
    "stain": 0.0,
    "lr": 2e-4,
    "betas": (0.5, 0.999),
}

RECIPES: dict[str, SegmenterRecipe | SynthesizerRecipe] = {
    "compact-segmenter": SegmenterRecipe(),
    # An encoder that can see needs fewer steps. The adversary takes a third of a step's time, so it looks more rarely.
    "pretrained-segmenter": SegmenterRecipe(
        name="pretrained-segmenter",
        generator={"name": "encoder-unet", "encoder": "efficientnet-lite0"},
        encoder_weights="imagenet",
        adversarial_interval=4,
        hue=0.08,
        blur=1.6,
    ),
    # A model that knows nuclei learns a new look within some hundred small steps. There is no adversary, which would
    # have to learn from nothing first, and little jitter of scale and stain: the look is what is to be learnt.
    FINE_TUNING: SegmenterRecipe(
        name=FINE_TUNING,
        start_from="nucleigan-he",
        discriminator_width=0,
        zoom=(0.9, 1.1),
        rotation=15.0,
        stain=0.1,
        hue=0.02,
        light=0.02,
        lr=3e-4,
        warmup_steps=20,
        ema=0.99,
        crops_per_epoch=80,
        epochs_constant=20,
        epochs_decay=20,
        validation=0.0,
        validate_every=3,
        minutes=5.0,
    ),
    "paper-segmenter": SegmenterRecipe(
        name="paper-segmenter",
        **_PAPER,
        generator={"name": "unet-256", "width": 64},
        adversarial_interval=1,
        penalty="r1",
        penalty_interval=16,
        l1_weight=70.0,
        presence_weight=0.0,
        hue=0.0,
        light=0.0,
        blur=0.0,
        noise=0.0,
        warmup_steps=0,
        weight_decay=0.0,
    ),
    "compact-synthesizer": SynthesizerRecipe(),
    "pretrained-synthesizer": SynthesizerRecipe(name="pretrained-synthesizer", projected=True),
    "tissue-synthesizer": SynthesizerRecipe(name="tissue-synthesizer", generator={"name": "tissue-unet", "classes": 6}),
    "paper-synthesizer": SynthesizerRecipe(
        name="paper-synthesizer",
        **_PAPER,
        generator={"name": "noisy-resnet", "width": 64, "blocks": 9},
        segmenter={"name": "resnet", "width": 64, "blocks": 9},
        paired=False,
        discriminator_scales=1,
        instance_norm=False,
        cycle_images=70.0,
        cycle_masks=10.0,
        cycle_blur=1,
        patch=256,
        epochs_constant=150,
        epochs_decay=150,
        discriminator_lr=2e-4,
        discriminator_betas=(0.5, 0.999),
    ),
}
"""Recipes by name."""
