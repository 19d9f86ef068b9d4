"""Training jobs: data written, runs started and asked, in threads; nothing here touches Qt."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_nucleigan.adaptation.settings import REPORT, AdaptationSettings
from napari_nucleigan.base.errors import LabelsError, RunError
from napari_nucleigan.base.events import Job, Note, Progress
from napari_nucleigan.base.reading import read_bytes, reading
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.training.corrections import write_corrections
from napari_nucleigan.widgets.base.layers import file_name

if TYPE_CHECKING:
    from napari_nucleigan.adaptation import AdaptationEstimate
    from napari_nucleigan.training.estimate import Estimate
    from napari_nucleigan.training.recipes import Recipe
    from napari_nucleigan.widgets.base.image_sources import Source
    from napari_nucleigan.widgets.base.mask_layers import Reader

Action = Literal["pause", "resume", "stop", "kill", "rename", "delete"]


@dataclass(frozen=True)
class TrainingPair:
    """An open image and its nuclei.

    Attributes
    ----------
    image : Source
        The image.
    labels : callable
        Makes the label image.
    regions : callable or None
        Makes an image that is 0 where the labels are not known to be right; None where they are so everywhere.
    """

    image: Source
    labels: Reader
    regions: Reader | None = None


@dataclass(frozen=True)
class TrainRequest:
    """A training, or an adaptation, to be started.

    Attributes
    ----------
    kind : {"segmenter", "synthesizer", "adaptation"}
        What is trained.
    recipe : Recipe or AdaptationSettings
        How.
    name : str
        Name of the run.
    runs : Path
        Folder of the runs.
    device : str
        Where to compute.
    data : Path or tuple of TrainingPair
        A data set, or what one is made of; of an adaptation, the unlabelled images.
    synthetic : Path or None
        Synthetic pairs to mix in.
    queue : bool
        Whether it waits for other runs on the device.
    """

    kind: Literal["segmenter", "synthesizer", "adaptation"]
    recipe: Recipe | AdaptationSettings
    name: str
    runs: Path
    device: str
    data: Path | tuple[TrainingPair, ...]
    synthetic: Path | None = None
    queue: bool = False


def begin(request: TrainRequest) -> Job[Path]:
    """Start a training in a process of its own; open layers are written as a data set first.

    Returns
    -------
    Path
        Folder of the run.
    """
    from napari_nucleigan.training.runs.processes import start
    from napari_nucleigan.training.runs.run_library import DATA, new_folder

    run = new_folder(request.name, request.runs)
    made: Path | None = None
    try:
        if isinstance(request.data, Path):
            data = request.data
        else:
            data = made = new_folder(run.name, request.runs / DATA)
            yield from write_pairs(request.data, data)
        yield Progress(0, 0, "starting the process")
        start(
            request.kind,
            data,
            request.recipe,
            run,
            device=request.device,
            synthetic=request.synthetic,
            queue=request.queue,
        )
    except BaseException:
        # Nobody will learn from it.
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        raise
    return run


def reckon(request: TrainRequest) -> Job[Estimate | AdaptationEstimate]:
    """Estimate what a run will take, by a few steps of it in a process of its own."""
    from napari_nucleigan.adaptation import estimate
    from napari_nucleigan.training.estimate import estimate_apart

    if isinstance(request.recipe, AdaptationSettings):
        assert isinstance(request.data, Path)
        return (yield from estimate.estimate_apart(request.data, request.recipe, device=request.device))
    with tempfile.TemporaryDirectory(prefix="nucleigan-") as folder:
        data = Path(folder)
        if isinstance(request.data, Path):
            data = request.data
        else:
            yield from write_pairs(request.data, data)
        job = estimate_apart(data, request.recipe, device=request.device, synthetic=request.synthetic)  # type: ignore[arg-type]
        return (yield from job)


def write_pairs(pairs: tuple[TrainingPair, ...], folder: Path) -> Job[Path]:
    """Write open layers as a data set.

    Raises
    ------
    LabelsError
        If a layer has no nuclei, or does not fit its image.
    OutputError
        If it cannot be written.
    """
    taken: set[str] = set()
    for number, pair in enumerate(pairs):
        source = pair.image
        yield Progress(number, len(pairs), f"writing {source.name}")
        image = source.image()
        for note in image.notes:
            yield Note(f"{source.name}: {note}")
        labels = np.asarray(pair.labels())
        if labels.shape != image.pixels.shape[:2]:
            raise LabelsError(
                f"The nuclei of “{source.name}” are {labels.shape[1]} x {labels.shape[0]} pixels large, the image is "
                f"{image.pixels.shape[1]} x {image.pixels.shape[0]}; choose labels that were made for it."
            )
        if not labels.any():
            raise LabelsError(f"The labels of “{source.name}” hold no nuclei; paint some, or untick the pair.")
        name = base = file_name(source.name)
        while name.lower() in taken:
            name = f"{base} {len(taken) + 1}"
        taken.add(name.lower())
        if pair.regions is not None:
            yield from write_corrections(image, labels, pair.regions(), folder, name)
            continue
        write_image(folder / "images" / f"{name}.tif", image.pixels, image.mpp)
        write_labels(folder / "labels" / f"{name}.tif", labels, image.mpp)
    return folder


@dataclass(frozen=True)
class Contents:
    """What a folder holds: how many images of each split, how many have labels, and a line for people."""

    path: Path
    counts: dict[str, int]
    labelled: int

    def __str__(self) -> str:
        """Write the counts for people."""
        parts, count = [f"{count} {name}" for name, count in self.counts.items()], sum(self.counts.values())
        if self.labelled < count:
            parts.append(f"{self.labelled or 'none'} with labels")
        return f"{images(count)}: {', '.join(parts)}."


def look_into(path: Path, labelled: bool) -> Job[Contents]:
    """Open a data set, to say what is in it.

    Raises
    ------
    DatasetError
        If it is none.
    """
    yield from ()
    dataset = Dataset.open(path, labelled=labelled)
    splits = [dataset.splits[name] for name in dataset.names]
    counts = {name: splits.count(name) for name in dict.fromkeys(splits)}
    return Contents(path, counts, len(dataset.labelled_names))


def images(count: int) -> str:
    """Write a number of images for people."""
    return "1 image" if count == 1 else f"{count} images"


def read_report(path: Path) -> Job[tuple[Path, str]]:
    """Read the report of an adaptation that has finished; return its folder with it, in Markdown without the title.

    Raises
    ------
    RunError
        If it cannot be read.
    """
    yield from ()
    file = path / REPORT[0]
    with reading(file, RunError, "report of an adaptation"):
        return path, read_bytes(file).decode("utf-8", "replace").partition("\n\n")[2]


def act(path: Path, action: Action, name: str = "") -> Job[Path]:
    """Do to a run what the user asks.

    Returns
    -------
    Path
        Where it is now.
    """
    from napari_nucleigan.training.runs import run_library
    from napari_nucleigan.training.runs.processes import RunProcess

    yield from ()
    if action == "rename":
        return run_library.rename(path, name)
    if action == "delete":
        return run_library.delete(path)
    getattr(RunProcess(path), action)()
    return path


def stop_all(paths: list[Path]) -> None:
    """Ask runs to save their state and end; those that have ended meanwhile are passed over."""
    from napari_nucleigan.training.runs.processes import RunProcess

    for path in paths:
        with suppress(RunError):
            RunProcess(path).stop()
