"""Training of classifiers: images and points with classes to a classifier of nuclei."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import ImageError, LabelsError, RecipeError, listing
from napari_nucleigan.base.events import Job, Note, Progress, relay
from napari_nucleigan.base.text import printable, same_name
from napari_nucleigan.classification.classifier import NucleusClass
from napari_nucleigan.classification.points import Points, assign, read_points
from napari_nucleigan.classification.training import Examples, train
from napari_nucleigan.labels.classes import colours
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation.image import segment
from napari_nucleigan.segmentation.pixel_sizes import ask_for_pixel_size
from napari_nucleigan.segmentation.settings import SegmentSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.base.events import Event
    from napari_nucleigan.classification.classifier import Classifier
    from napari_nucleigan.models import Model

_STEPS = 100  # of progress within an image

FEWEST = 3
"""Nuclei that a class needs at least: one to learn from, when others are held back."""


@dataclass(frozen=True)
class _Named:
    """An image, and the points that name it."""

    path: Path
    points: Points


def train_classifier(
    images: Sequence[str | Path],
    points: Sequence[str | Path],
    settings: SegmentSettings | None = None,
    model: Model | None = None,
    *,
    name: str = "classifier",
    embedding: bool = True,
) -> Job[Classifier]:
    """Segment images that have points with classes, and train a classifier of the nuclei that these lie in.

    Parameters
    ----------
    images : sequence of str or Path
        Image files, and folders of them; only images that `points` name are used.
    points : sequence of str or Path
        Files as `napari_nucleigan.classification.read_points` takes them.
    settings : SegmentSettings, optional
        How to segment.
    model : Model, optional
        A loaded model; by default the one that the settings name.
    name : str
        Name of the classifier.
    embedding : bool
        Whether it may look at the embeddings, which bind it to this model.

    Yields
    ------
    Progress or Note

    Returns
    -------
    Classifier

    Raises
    ------
    LabelsError
        If points cannot be read, or name none of the images.
    RecipeError
        If there are nuclei of fewer than two classes, or too few of one.
    ImageError, ModelError, DeviceError
        As `napari_nucleigan.segmentation.segment`.
    """
    from napari_nucleigan.data.images.files import read_image, read_mpp

    settings = (settings or SegmentSettings()).model_copy(update={"measurements": "full", "classifier": ""})
    named, unknown = _named(images, points)
    if unknown:
        yield Note(f"The points name {len(unknown)} images that were not given: {listing(map(printable, unknown))}.")
    if not settings.mpp:
        missing = sum(not read_mpp(each.path) for each in named)
        if text := ask_for_pixel_size(missing, len(named), "give its microns, as by --mpp 0.25"):
            raise ImageError(text)
    if model is None:
        yield Progress(0, _STEPS * len(named), "loading the model")
        model = load_model(settings.model, "segmenter")
    parts: list[Examples] = []
    sizes: list[float] = []
    for number, each in enumerate(named):

        def placed(event: Event, number: int = number, path: Path = each.path) -> Event:
            if isinstance(event, Progress):
                share = number + event.done / max(1, event.total)
                return Progress(int(_STEPS * share), _STEPS * len(named), f"{path.name}: {event.what}")
            return event

        yield placed(Progress(0, 1, "reading"))
        image = read_image(each.path)
        with closing(segment(image, settings, model)) as job:
            found = yield from relay(job, placed)
        known = assign(each.points, found.labels, found.mpp)
        if text := known.note(image.name):
            yield Note(text, "warning")
        embeddings = found.embeddings if embedding else None
        parts.append(Examples.of(found.features, embeddings, known.types, each.path.name))
        sizes.append(found.mpp)
    yield Progress(_STEPS * len(named), _STEPS * len(named), "training the classifier")
    examples = Examples.joined(parts)
    counts = {
        kind: examples.types.count(kind) for kind in sorted({kind for each in named for kind in each.points.types})
    }
    if few := [f"{printable(kind)!r} has {count}" for kind, count in counts.items() if count < FEWEST]:
        raise RecipeError(
            f"Each class needs {FEWEST} nuclei at least, and {listing(few)}; give more points, or "
            "leave these types out."
        )
    if max(sizes) > 1.25 * min(sizes):
        yield Note(
            f"The images have {min(sizes):.3g} to {max(sizes):.3g} microns per pixel, and texture depends on that; "
            "images of one scale make a better classifier.",
            "warning",
        )
    classes = [NucleusClass(name=kind, color=colour) for kind, colour in colours(list(counts)).items()]
    width = examples.embedding
    return train(
        examples,
        classes,
        mpp=sorted(sizes)[len(sizes) // 2],
        segmenter=model.card.name if width else "",
        sha256=model.card.sha256 if width else "",
        name=name,
    )


def _named(images: Sequence[str | Path], files: Sequence[str | Path]) -> tuple[list[_Named], list[str]]:
    """Find the images that points name; return them, and the names that no image has."""
    from napari_nucleigan.data.images.files import list_images

    paths: dict[Path, None] = {}
    for item in map(Path, images):
        found = list_images(item) if item.is_dir() else [item]
        if not found:
            raise ImageError(f"There are no images in {item}; choose another folder.")
        paths |= dict.fromkeys(found)
    by_name: dict[str, list[Path]] = {}
    for path in paths:
        for key in {same_name(path.name), same_name(path.stem)}:
            by_name.setdefault(key, []).append(path)
    merged: dict[Path, list[Points]] = {}
    unknown: list[str] = []
    for file in map(Path, files):
        for name, points in read_points(file).items():
            owners = by_name.get(name, [])
            if len(owners) > 1:
                raise LabelsError(
                    f"The points of {printable(name)!r} may belong to {listing(map(str, owners))}; give only one of "
                    "them, or name them with their suffix."
                )
            if owners:
                merged.setdefault(owners[0], []).append(points)
            else:
                unknown.append(name)
    if not merged:
        raise LabelsError(
            f"The points name {listing(map(printable, unknown), 5)}, and none of the {len(paths)} images is called so; "
            "the column 'name' holds the file name of the image, with or without its suffix."
        )
    return [_Named(path, Points.joined(parts)) for path, parts in sorted(merged.items())], unknown
