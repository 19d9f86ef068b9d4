"""Estimate: how long a training will take and how much memory, found by a few steps of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import psutil

from napari_nucleigan.base.errors import RunError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.models.registry import child_environment
from napari_nucleigan.training.recipes import SegmenterRecipe, SynthesizerRecipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nucleigan.data.datasets.dataset import Dataset
    from napari_nucleigan.data.datasets.patches import PatchSampler
    from napari_nucleigan.training.images import TrainingImage

MEASURED = 12
"""Images whose size is looked at; the others count as the mean of these."""

LONGEST = 20.0
"""Seconds after which no further trial step is made."""

_Result = TypeVar("_Result")

_SIDE = 512  # pixels of the image that is segmented to time a validation
# Bytes of main memory that a pixel of an image takes: image, labels and crops' copy as long as it trains, and the
# field in float32 while it is prepared.
_BYTES_PER_PIXEL = 3 + 4 + 6 + 12


@dataclass(frozen=True)
class Estimate:
    """What a training will take.

    Attributes
    ----------
    images, validation, synthetic : int
        Images that train, that validate, and synthetic ones that are mixed in.
    patches : int
        Crops in all.
    steps : int
        Updates in all.
    seconds : float
        Time in all, within some 30 % on a machine that does nothing else.
    memory : int
        Bytes of main memory.
    device_memory : int
        Bytes of the GPU's memory; 0 on a CPU.
    device : str
        Where it computes.
    seconds_per_step : float
        Time of a step.
    """

    images: int
    validation: int
    synthetic: int
    patches: int
    steps: int
    seconds: float
    memory: int
    device_memory: int
    device: str
    seconds_per_step: float

    def to_json(self) -> dict[str, Any]:
        """Represent the estimate as a JSON-ready dictionary."""
        return asdict(self)

    def __str__(self) -> str:
        """Write the estimate for people."""
        minutes = self.seconds / 60
        length = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
        length = f"{self.seconds:.0f} seconds" if minutes < 2 else length
        images = "1 image" if self.images == 1 else f"{self.images} images"
        mixed = f" and {self.synthetic} synthetic" if self.synthetic else ""
        memory = f"{self.memory / 1e9:.1f} GB of memory"
        if self.device_memory:
            memory += f" and {self.device_memory / 1e9:.1f} GB of the GPU's"
        return (
            f"{images}{mixed} to train, {self.validation} to validate: {self.patches} crops in {self.steps} "
            f"steps, about {length} on {self.device} ({self.seconds_per_step:.2g} s a step), {memory}."
        )


def estimate(
    data: str | Path | Dataset,
    recipe: SegmenterRecipe | SynthesizerRecipe,
    *,
    device: str = "auto",
    synthetic: str | Path | None = None,
) -> Job[Estimate]:
    """Make a few steps of a training, on one of its images, and reckon the rest from them.

    Nothing is written. The memory is that of this process, so let a fresh one estimate: `estimate_apart`.

    Parameters
    ----------
    data : str, Path or Dataset
        The data set.
    recipe : SegmenterRecipe or SynthesizerRecipe
        What is to be trained, and how.
    device : str
        Where.
    synthetic : str or Path, optional
        Synthetic pairs that are to be mixed in.

    Yields
    ------
    Event
        Progress.

    Returns
    -------
    Estimate

    Raises
    ------
    DatasetError, ModelError, RecipeError, DeviceError
        As the training would.
    """
    import torch

    from napari_nucleigan.base.devices import choose_device, usable_cores
    from napari_nucleigan.data.datasets.dataset import Dataset
    from napari_nucleigan.models import read_card, resolve
    from napari_nucleigan.training.images import prepare, sampler, split

    if recipe.start_from:
        read_card(resolve(recipe.start_from))  # the training would need it
    labelled = isinstance(recipe, SegmenterRecipe)
    dataset = Dataset.of(data, labelled=labelled)
    training, validation = split(dataset, recipe)
    mixed = None if synthetic is None else Dataset.open(synthetic).subset("train")
    chosen = choose_device(device)
    torch.set_num_threads(usable_cores())
    yield Progress(0, 3, "measuring images")
    began = time.perf_counter()
    picked = training.names[:: -(-len(training) // MEASURED)]
    tiles = []
    for name in picked:
        tiles.append(prepare(training, name, recipe))
        yield Progress(0, 3, "measuring images")
    pixels = float(np.mean([tile.labels.size for tile in tiles]))
    crops_of = yield from sampler(tiles, recipe)
    preparing = (time.perf_counter() - began) / len(tiles)
    per_epoch = recipe.crops_per_epoch or round(crops_of.crops_per_epoch * len(training) / len(tiles))
    epochs = recipe.epochs_constant + recipe.epochs_decay
    steps = -(-per_epoch // recipe.batch) * epochs
    yield Progress(1, 3, "trying steps")
    if isinstance(recipe, SynthesizerRecipe):
        step_time, crop_time, validating = _synthesizer(recipe, chosen, training, tiles, crops_of)
    else:
        step_time, crop_time, validating = _segmenter(recipe, chosen, tiles, crops_of)
    # Crops are made beside the network where there is a second core, else in its time.
    per_step = max(step_time, crop_time) if usable_cores() > 1 or chosen != "cpu" else step_time + crop_time
    # With a limit of time there may be fewer steps, and fewer validations between them.
    share = min(1.0, 60 * recipe.minutes / (steps * per_step)) if recipe.minutes else 1.0
    steps, epochs = max(1, round(share * steps)), max(1, round(share * epochs))
    looks = -(-epochs // recipe.validate_every) + (labelled and bool(recipe.start_from))
    shown = max(1, len(validation)) if labelled else 1
    others = len(training) + len(validation) + len(mixed or ()) - len(tiles)
    yield Progress(3, 3, "trying steps")
    return Estimate(
        images=len(training),
        validation=len(validation),
        synthetic=len(mixed or ()),
        patches=steps * recipe.batch,
        steps=steps,
        seconds=(
            steps * per_step
            + looks * shown * validating(pixels)
            + (len(training) + len(validation) + len(mixed or ())) * preparing
        ),
        memory=_peak_memory() + round(max(0, others) * pixels * _BYTES_PER_PIXEL),
        device_memory=torch.cuda.max_memory_reserved() if chosen.startswith("cuda") else 0,
        device=chosen,
        seconds_per_step=per_step,
    )


def estimate_apart(
    data: str | Path,
    recipe: SegmenterRecipe | SynthesizerRecipe,
    *,
    device: str = "auto",
    synthetic: str | Path | None = None,
) -> Job[Estimate]:
    """Let a process of its own `estimate`, which neither slows this one down nor counts its memory.

    Closing the job ends that process.

    Raises
    ------
    RunError
        If the estimate fails; with the reason.
    """
    order = {
        "kind": recipe.kind,
        "data": str(data),
        "device": device,
        "synthetic": None if synthetic is None else str(synthetic),
        "recipe": recipe.model_dump(mode="json"),
    }
    return Estimate(**(yield from ask_apart(order)))


def ask_apart(order: dict[str, Any]) -> Job[dict[str, Any]]:
    """Let a process of its own estimate what an order, as ``order.json`` holds it, will take; return its answer.

    Closing the job ends that process.

    Raises
    ------
    RunError
        If the estimate fails; with the reason.
    """
    line = [sys.executable, "-P", "-m", "napari_nucleigan", "train", "ordered", "-"]
    pipe = subprocess.PIPE
    child = subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe, env=child_environment())
    said: bytes | None = json.dumps(order).encode()
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                out, told = child.communicate(said, timeout=0.1)
                break
            said = None  # it goes on with what it was given
            yield Progress(0, 1, "estimating")
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()
    if child.returncode:
        lines = told.decode("utf-8", "replace").strip().splitlines() or ["no reason was given"]
        raise RunError(lines[-1].removeprefix("Error: "))
    found: dict[str, Any] = json.loads(out)
    return found


def _segmenter(
    recipe: SegmenterRecipe, device: str, tiles: list[TrainingImage], crops_of: PatchSampler
) -> tuple[float, float, Callable[[float], float]]:
    from napari_nucleigan import metrics
    from napari_nucleigan.masks.encoding import decode, encode
    from napari_nucleigan.training.cgan import trainer_of
    from napari_nucleigan.training.images import in_bfloat16

    gan = trainer_of(recipe)(recipe, device, in_bfloat16(recipe, device))
    batch, crop_time = _timed(lambda: crops_of.batch(0, recipe.batch))
    step_time = _step_time(lambda step: gan.step(batch, step, 1.0), device)
    pixels, labels = tiles[0].pixels[:_SIDE, :_SIDE], tiles[0].labels[:_SIDE, :_SIDE]

    def look() -> None:
        gan.predict(pixels)
        # The true nuclei stand for those that a trained network finds.
        found = decode(encode(labels, recipe.encoding), recipe.encoding)
        metrics.evaluate(labels, found, hausdorff=False)

    _, seconds = _timed(look)
    return step_time, crop_time, lambda size: seconds * size / labels.size


def _synthesizer(
    recipe: SynthesizerRecipe, device: str, training: Dataset, tiles: list[TrainingImage], crops_of: PatchSampler
) -> tuple[float, float, Callable[[float], float]]:
    from napari_nucleigan.training.cyclegan import CycleBatch, CycleGAN
    from napari_nucleigan.training.images import in_bfloat16
    from napari_nucleigan.training.synthesizer import PAINTED

    gan = CycleGAN(recipe, device, in_bfloat16(recipe, device))
    (images, fields, others, *_), crop_time = _timed(lambda: crops_of.styled_batch(0, recipe.batch))
    paired = recipe.paired and training.labelled_names
    batch = CycleBatch(images, fields if paired else None, others, fields.nan_to_num(nan=-1.0))
    step_time = _step_time(lambda step: gan.step(batch, step, 1.0), device)
    # A validation paints masks and reads them back twice, without the way backwards: about a third of a step each.
    look = step_time * PAINTED / recipe.batch
    return step_time, crop_time, lambda size: look


def _step_time(step: Callable[[int], object], device: str) -> float:
    # The first step allocates; the second to fifth are typical, with penalties and adversaries that skip steps.
    times = []
    end = time.perf_counter() + LONGEST
    for number in range(5):
        _, seconds = _timed(lambda number=number: step(number), device)  # type: ignore[misc]
        times.append(seconds)
        if time.perf_counter() > end:
            break
    return float(np.mean(times[1:] or times))


def _timed(work: Callable[[], _Result], device: str = "cpu") -> tuple[_Result, float]:
    import torch

    began = time.perf_counter()
    result = work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return result, time.perf_counter() - began


def _peak_memory() -> int:
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):
        return int(memory.peak_wset)
    import resource

    # Linux counts in kilobytes, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(int(memory.rss), int(peak) * (1 if sys.platform == "darwin" else 1024))
