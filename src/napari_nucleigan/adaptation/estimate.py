"""Estimate: how long an adaptation will take, part by part, found by trying each on a piece of one image."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleigan.adaptation.job import SIZE, fine_tuning, generator_recipe, open_images, parts_of
from napari_nucleigan.adaptation.measure import ASKED
from napari_nucleigan.adaptation.pseudo_labels import settings_for, write_found
from napari_nucleigan.base.events import Progress, duration, quiet
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation import segment
from napari_nucleigan.training.estimate import ask_apart, estimate

if TYPE_CHECKING:
    from napari_nucleigan.adaptation.settings import AdaptationSettings
    from napari_nucleigan.base.events import Job

_SIDE = 512  # pixels of the piece that is tried
_PASSES = 1 / 3  # of a training step's time, to paint one image without the way back


@dataclass(frozen=True)
class AdaptationEstimate:
    """What an adaptation will take.

    Attributes
    ----------
    images, labelled : int
        Unlabelled images, and labelled ones to judge by.
    parts : dict of str to float
        Seconds of each part, in their order.
    memory : int
        Bytes of main memory.
    device : str
        Where it computes.
    """

    images: int
    labelled: int
    parts: dict[str, float]
    memory: int
    device: str

    @property
    def seconds(self) -> float:
        """Time in all, within some 30 % on a machine that does nothing else."""
        return sum(self.parts.values())

    def to_json(self) -> dict[str, Any]:
        """Represent the estimate as a JSON-ready dictionary."""
        return asdict(self)

    def __str__(self) -> str:
        """Write the estimate for people."""
        parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in self.parts.items())
        judged = f", {self.labelled} labelled to judge by" if self.labelled else ""
        images = f"{self.images} image{'s' * (self.images != 1)}{judged}"
        memory = f"{self.memory / 1e9:.1f} GB of memory"
        return f"{images}: about {duration(self.seconds)} on {self.device} ({parts}), {memory}."


def estimate_adaptation(
    images: str | Path, settings: AdaptationSettings, *, device: str = "auto"
) -> Job[AdaptationEstimate]:
    """Try each part of an adaptation on a piece of one image, and reckon the rest from it; nothing is kept.

    Parameters
    ----------
    images, settings, device
        As for `napari_nucleigan.adaptation.adapt`.

    Yields
    ------
    Event
        Progress.

    Returns
    -------
    AdaptationEstimate

    Raises
    ------
    DatasetError, RecipeError, ModelError, DeviceError
        As the adaptation would.
    """
    dataset, judged = open_images(images, settings.truth)
    now = Progress(0, 3, "trying to find nuclei")
    yield now
    model = load_model(settings.model, "segmenter")
    whole = dataset.image(dataset.names[0])
    piece = HEImage(whole.pixels[:_SIDE, :_SIDE], whole.mpp, whole.name)
    # The first image allocates.
    for _ in range(2):
        began = time.perf_counter()
        result = yield from quiet(segment(piece, settings_for(piece, model, device), model), now)
        per_pixel = (time.perf_counter() - began) / result.labels.size
    with tempfile.TemporaryDirectory(prefix="nucleigan-") as folder:
        write_found(piece, result, Path(folder), "piece")
        yield Progress(1, 3, "trying to fine-tune")
        tuned = yield from quiet(estimate(folder, fine_tuning(settings), device=device), now)
        memory, seconds = tuned.memory, {"self-training": tuned.seconds, "fine-tuning on pairs": tuned.seconds}
        if "synthetic" in settings.methods:
            yield Progress(2, 3, "trying to paint")
            # Which masks are painted changes no time, and a piece may hold too few nuclei to learn from.
            recipe = generator_recipe(settings, "all")
            painter = yield from quiet(estimate(folder, recipe, device=device), now)
            per_pair = painter.seconds_per_step * _PASSES / recipe.batch * (SIZE / recipe.patch) ** 2
            seconds["generator"] = painter.seconds
            seconds["synthetic pairs"] = settings.painted * (per_pair + per_pixel * SIZE**2)
            memory = max(memory, painter.memory)
    asked = _pixels(whole, min(ASKED, len(dataset)))
    scored = 0.0 if judged is None else _pixels(judged.image(judged.names[0]), len(judged))
    seconds["finding nuclei"] = per_pixel * _pixels(whole, len(dataset))
    seconds["comparing"] = (1 + len(settings.methods)) * per_pixel * (2 * asked + scored)
    parts = {name: round(seconds[name], 1) for name in parts_of(settings)}
    return AdaptationEstimate(len(dataset), len(judged or ()), parts, memory, tuned.device)


def estimate_apart(
    images: str | Path, settings: AdaptationSettings, *, device: str = "auto"
) -> Job[AdaptationEstimate]:
    """Let a process of its own `estimate_adaptation`; closing the job ends that process.

    Raises
    ------
    RunError
        If the estimate fails; with the reason.
    """
    order = {"kind": settings.kind, "data": str(images), "device": device, "recipe": settings.model_dump(mode="json")}
    return AdaptationEstimate(**(yield from ask_apart(order)))


def _pixels(first: HEImage, count: int) -> float:
    """Pixels of some images, taken to be as large as the first of them."""
    return float(first.pixels.shape[0] * first.pixels.shape[1] * count)
