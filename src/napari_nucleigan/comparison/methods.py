"""Methods that are compared: what each changes in one recipe, how it differs from the published one, its trainings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_nucleigan.base.errors import DatasetError, RecipeError, RunError
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.training import RunFolder, SegmenterRecipe, read_recipe
from napari_nucleigan.training.runs.status import state_of

if TYPE_CHECKING:
    from collections.abc import Sequence

Source = Literal["real", "synthetic", "both"]
"""What a method is trained on."""

SHARES: dict[Source, float] = {"real": 0.0, "synthetic": 1.0, "both": 0.5}
"""Share of the crops that are synthetic."""


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes
    ----------
    name : str
        Key of `METHODS`, and name of the run's folder.
    title : str
        What the report calls it.
    published : str or None
        The method of the paper's table that it stands for.
    data : {"real", "synthetic", "both"}
        What it is trained on.
    changes : dict
        Fields of the recipe ``compact-segmenter`` that are different.
    differences : str
        How it departs from the published method.
    baseline : str
        The method that it is held against, which differs from it least; empty for none.
    change : str
        What it does otherwise than its baseline; empty where it is another method altogether.
    """

    name: str
    title: str
    published: str | None = None
    data: Source = "real"
    changes: dict[str, Any] = field(default_factory=dict)
    differences: str = ""
    baseline: str = ""
    change: str = ""


EPOCHS = (20, 24)
"""Epochs at the full learning rate and epochs in which it falls, where neither the caller nor a run tells."""

# Fields that decide where and how often something is written, but not what is learnt.
_FREE = {"name", "checkpoint_every", "precision"}

_PLAIN = {"discriminator_width": 0, "l1_weight": 0.0}
_ENCODER = "The encoder is the compact residual one that all rows share, not VGG-16 trained on ImageNet"
_CGAN = (
    "A compact residual U-Net (4.4 M parameters instead of 54.4 M) that predicts interior, contour and normalised "
    "distance instead of an outline image; cross-entropy and Dice beside L1; hinge loss; colour jitter instead of "
    "stain normalisation"
)

METHODS = {
    method.name: method
    for method in (
        Method(
            "fcn",
            "FCN",
            "FCN",
            changes={**_PLAIN, "generator": {"name": "fcn"}, "encoding": "binary"},
            differences=f"{_ENCODER}; scores at 1/8, 1/16 and 1/32 are summed as in FCN-8s; cross-entropy and Dice; "
            "nuclei are the connected parts of the foreground.",
            baseline="u-net",
        ),
        Method(
            "u-net",
            "U-Net",
            "U-Net",
            changes={"discriminator_width": 0},
            differences="The generator of the conditional GAN with its losses and decoding, without the adversary; the "
            "published network has no residual blocks and no normalisation, predicts foreground only and weights the "
            "gaps between nuclei.",
        ),
        Method(
            "mask-rcnn",
            "Mask R-CNN",
            "Mask R-CNN",
            changes={**_PLAIN, "generator": {"name": "mask-rcnn", "channels": 128}},
            differences="torchvision's parts with a ResNet-18 instead of a ResNet-50 or 101, a pyramid and heads "
            "of fewer channels, smaller anchors, 64 boxes a crop; trained from the start, without weights of ImageNet "
            "or COCO; images are not enlarged.",
            baseline="u-net",
        ),
        Method(
            "dist",
            "DIST",
            changes={**_PLAIN, "encoding": "pixel-distance"},
            differences="The compact U-Net regresses the distance in pixels, up to 24, by cross-entropy and Dice of "
            "the distance by 24 instead of squared error; the watershed drops peaks by their dynamics, as published.",
            baseline="u-net",
        ),
        Method(
            "cnn3",
            "CNN3",
            changes={**_PLAIN, "encoding": "three-class"},
            differences="The three classes inside, boundary and background are predicted for all pixels at once by the "
            "compact U-Net, each by its own sigmoid, not pixel by pixel from patches of 51x51; regions grow from the "
            "insides over the boundary class.",
            baseline="u-net",
        ),
        Method(
            "cgan",
            "conditional GAN",
            "proposed cGAN",
            differences=f"{_CGAN}; real pairs only.",
            baseline="u-net",
            change="the adversary",
        ),
        Method(
            "cgan-synthetic",
            "conditional GAN, synthetic pairs",
            data="synthetic",
            differences=f"{_CGAN}; synthetic pairs of the bundled generator only, real ones for validation.",
            baseline="cgan",
            change="synthetic pairs instead of real ones",
        ),
        Method(
            "cgan-both",
            "conditional GAN, real + synthetic",
            "proposed cGAN",
            data="both",
            differences=f"{_CGAN}; half of the crops are synthetic.",
            baseline="cgan",
            change="synthetic pairs beside real ones",
        ),
        Method(
            "u-net-both",
            "U-Net, real + synthetic",
            data="both",
            changes={"discriminator_width": 0},
            differences="As U-Net; half of the crops are synthetic.",
            baseline="u-net",
            change="synthetic pairs beside real ones, without the adversary",
        ),
        Method(
            "cgan-vahadane",
            "conditional GAN, stain normalisation",
            changes={"normalize": "vahadane"},
            differences="As the conditional GAN; every image is brought to one reference by Vahadane's method first.",
            baseline="cgan",
            change="stain normalisation",
        ),
        Method(
            "cgan-no-spectral",
            "conditional GAN, no spectral normalisation",
            changes={"spectral": False},
            differences="As the conditional GAN, its discriminator without spectral normalisation.",
            baseline="cgan",
            change="no spectral normalisation",
        ),
        Method(
            "cgan-r1",
            "conditional GAN, gradient penalty",
            changes={"penalty": "r1", "penalty_interval": 8},
            differences="As the conditional GAN, its discriminator with the penalty R1 at every eighth update.",
            baseline="cgan",
            change="a gradient penalty",
        ),
    )
}
"""Methods by name, in the order of the report."""


@dataclass(frozen=True)
class Plan:
    """One training that is wanted.

    Attributes
    ----------
    method : Method
        What is trained.
    recipe : SegmenterRecipe
        How.
    run : RunFolder
        Where; it need not be there yet.
    """

    method: Method
    recipe: SegmenterRecipe
    run: RunFolder

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.run.path.name


def recipe_of(
    method: str, epochs_constant: int, epochs_decay: int, changes: dict[str, Any] | None = None
) -> SegmenterRecipe:
    """Return the recipe of a method.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    epochs_constant, epochs_decay : int
        The budget, the same for all that are compared.
    changes : dict, optional
        Fields to change for all of them, as the seed.

    Returns
    -------
    SegmenterRecipe

    Raises
    ------
    RecipeError
        If a value is not valid.
    """
    chosen = METHODS[method]
    common = {
        "epochs_constant": epochs_constant,
        "epochs_decay": epochs_decay,
        "synthetic_share": SHARES[chosen.data],
    }
    return read_recipe("compact-segmenter", {**common, **(changes or {}), **chosen.changes})


def runs_here(folder: str | Path) -> list[RunFolder]:
    """Return the runs of a comparison's folder."""
    return [RunFolder(path) for path in sorted((Path(folder) / "runs").glob("*")) if path.is_dir()]


def make_plans(
    root: Path,
    methods: Sequence[str] | None,
    seeds: Sequence[int],
    epochs: tuple[int, int] | None,
    changes: dict[str, Any],
) -> list[Plan]:
    """Plan a training for each method and seed; the arguments are those of `compare`.

    Raises
    ------
    RecipeError
        If there is no such method, nothing to plan, or a value is not valid.
    """
    names = list(METHODS) if methods is None else list(dict.fromkeys(methods))
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise RecipeError(f"There is no method {unknown[0]!r}; choose of {', '.join(METHODS)}.")
    if not names or not seeds:
        raise RecipeError("There is nothing to compare; name a method and a seed.")
    folders = {
        (name, seed): RunFolder(root / "runs" / (name if seed == 0 else f"{name}-seed{seed}"))
        for name in names
        for seed in dict.fromkeys(seeds)
    }
    if epochs is None:
        there = next((run.recipe() for run in folders.values() if run.exists), {})
        epochs = (there["epochs_constant"], there["epochs_decay"]) if there else EPOCHS
    return [
        Plan(METHODS[name], recipe_of(name, *epochs, {**changes, "seed": seed}), run)
        for (name, seed), run in folders.items()
    ]


def refuse_tested(plan: Plan, test: Dataset) -> None:
    """Refuse a run that has seen test images."""
    if not plan.run.exists:
        return
    parts = plan.run.data()
    seen = sorted({*parts["train"], *parts["val"]} & set(test.names))
    if seen:
        raise DatasetError(
            f"{plan.run.path} has trained or validated on {len(seen)} of the test images, {seen[0]!r} first; remove "
            "the run, or test on another split."
        )


def refuse_other(plan: Plan, synthetic: Path | None = None) -> None:
    """Refuse a run that is not what is asked for, or that another process trains; None stands for any pairs."""
    if not plan.run.exists:
        return
    if state_of(plan.run).state.alive:
        raise RunError(f"{plan.run.path} is being trained already; wait for it, or only report what is finished.")
    other = differences(plan)
    if other:
        name, (here, asked) = next(iter(other.items()))
        raise RunError(
            f"{plan.run.path} was trained otherwise than is asked for: {name} is {here}, not {asked}. Ask for the "
            "same, choose another folder, or only report what is finished."
        )
    pairs = None if synthetic is None else plan.run.data().get("synthetic")
    if pairs is not None and synthetic is not None and not _the_same_pairs(pairs, synthetic):
        raise RunError(
            f"{plan.run.path} was trained with the synthetic pairs of {pairs['folder']}, not with those of "
            f"{synthetic}. Ask for the same, choose another folder, or only report what is finished."
        )


def _the_same_pairs(recorded: dict[str, Any], asked: Path) -> bool:
    """Tell whether a folder holds the pairs that a run has recorded; where these are gone, they may have moved."""
    folder = Path(recorded["folder"])
    if folder.exists():
        return folder.samefile(asked)
    return set(recorded["names"]) <= set(Dataset.open(asked).names)


def differences(plan: Plan) -> dict[str, tuple[Any, Any]]:
    """Fields of the run's recipe that are not what is asked for."""
    here = read_recipe(plan.run.path / "recipe.json", None, SegmenterRecipe).model_dump(mode="json")
    asked = plan.recipe.model_dump(mode="json")
    return {name: (here[name], asked[name]) for name in asked if name not in _FREE and here[name] != asked[name]}
