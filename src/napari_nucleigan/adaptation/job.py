"""Adaptation: from unlabelled images of a tissue to a segmenter that has learnt their look, and whether that helped.

::

    OUT/recipe.json     what is asked for; with the other files of a run's folder, which this is
    OUT/found/          the images, what the model finds in them, and where it is sure: a data set
    OUT/masks.json      what the masks of these nuclei are like
    OUT/runs/NAME       the training runs: generator, synthetic, self-training
    OUT/pairs/          synthetic pairs of the images' look
    OUT/measured/       what was measured of each model
    OUT/adaptation.json, adaptation.md, best.safetensors

Each part is kept: what is there is not done again, and what was broken off goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_nucleigan.adaptation.measure import Measurements, measure, refuse_shared
from napari_nucleigan.adaptation.pseudo_labels import find_nuclei, fit_masks
from napari_nucleigan.adaptation.report import START, Adaptation, write_adaptation_report
from napari_nucleigan.adaptation.settings import REPORT, AdaptationSettings
from napari_nucleigan.adaptation.variety import most_varied
from napari_nucleigan.base.errors import LabelsError, RunError
from napari_nucleigan.base.events import Event, Finished, Note, Progress, ValidationScores, relay
from napari_nucleigan.base.files import refuse_foreign_report, write_bytes, write_text
from napari_nucleigan.base.version import __version__
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.masks.polygons import save
from napari_nucleigan.models import Model, load_model, resolve
from napari_nucleigan.synthesis import SetSettings, synthesize_set
from napari_nucleigan.training import RunFolder, SynthesizerRecipe, read_recipe, train_segmenter, train_synthesizer
from napari_nucleigan.training.budget import GENERATOR_EPOCHS, budget
from napari_nucleigan.training.recipes import FINE_TUNING
from napari_nucleigan.training.runs.run_folder import BEST, PartFolder
from napari_nucleigan.training.runs.run_lock import PAUSED, STOPPING
from napari_nucleigan.training.runs.status import RunState, state_of
from napari_nucleigan.training.starts import as_model

if TYPE_CHECKING:
    from napari_nucleigan.base.events import Job
    from napari_nucleigan.training import SegmenterRecipe

SHARE = 0.5
"""Share of the crops that are cut from synthetic pairs, or from pseudo labels beside real ones; by default."""

SIZE = 256
"""Side of the synthetic pairs in pixels."""

_EPOCHS = (20, 20)  # at the full learning rate, and in which it falls
# Fields that may be asked for otherwise where something is there: they add to it, or only name it. Which model it is
# its checksum tells, be it called by its name or its file.
_FREE = {"name", "methods", "truth", "model"}
_Result = TypeVar("_Result")


def fine_tuning(settings: AdaptationSettings, mixed: bool = False) -> SegmenterRecipe:
    """Return the recipe of the fine-tunings: of one by two data sets where `mixed`, else by one.

    Raises
    ------
    ModelError
        If there is no such model to start from.
    RecipeError
        If a value is not valid.
    """
    # Nothing validates, so the last weights are the model, and only a look now and then is worth its time.
    fixed = {**as_model(settings.model), "validation": 0.0, "validate_every": 20, "minutes": 0.0, "seed": settings.seed}
    recipe = read_recipe(FINE_TUNING, {**fixed, **budget(settings.crops, _EPOCHS), **settings.changes})
    return recipe.model_copy(update={"synthetic_share": (recipe.synthetic_share or SHARE) if mixed else 0.0})


def generator_recipe(settings: AdaptationSettings, masks: str) -> SynthesizerRecipe:
    """Return the recipe of the generator, which paints masks drawn like `masks` (see `SynthesizerRecipe`)."""
    fixed: dict[str, Any] = {"validation": 0.0, "validate_every": 5, "checkpoint_every": 1, "seed": settings.seed}
    fixed |= {"paired": settings.paired or bool(settings.real), "masks": masks}
    if settings.generator_from:
        # A tenth of the steps of two crops each.
        fixed |= as_model(settings.generator_from) | {"head_start": settings.generator_crops // 20}
    changes = {**fixed, **budget(settings.generator_crops, GENERATOR_EPOCHS), **settings.generator_changes}
    return read_recipe("compact-synthesizer", changes, SynthesizerRecipe)


def parts_of(settings: AdaptationSettings) -> list[str]:
    """Name what is done, in its order."""
    parts = ["finding nuclei"]
    if "self-training" in settings.methods:
        parts.append("self-training")
    if "synthetic" in settings.methods:
        parts += ["generator", "synthetic pairs", "fine-tuning on pairs"]
    return [*parts, "comparing"]


def open_images(images: str | Path, truth: str = "") -> tuple[Dataset, Dataset | None]:
    """Open the images to adapt to, and those to measure with.

    Of a data set with a ``split.csv``, the first are those that it calls ``train``, the second those that it calls
    ``test``, where it does.

    Raises
    ------
    DatasetError
        If there are none.
    """
    dataset = Dataset.open(images, labelled=False).part("train", "to adapt to")
    if not truth:
        return dataset, None
    judged = Dataset.open(truth)
    return dataset, judged.subset("test") if len(judged.subset("test")) else judged


def adapt(
    images: str | Path,
    out: str | Path | RunFolder,
    settings: AdaptationSettings | None = None,
    *,
    device: str = "auto",
) -> Job[Adaptation]:
    """Adapt a segmenter to the look of unlabelled images.

    The present model finds nuclei in the images. Masks like these are painted by a generator that has learnt the look
    of the images, the pairs that cover most are chosen, and the segmenter is fine-tuned on real and on these synthetic
    pairs. Beside it, plain self-training fine-tunes it on what it has found itself.

    Parameters
    ----------
    images : str or Path
        Folder of H&E images, or a data set; its labels, if it has any, are not read.
    out : str, Path or RunFolder
        Where everything is kept: a run's folder, which can be watched and stopped as any other. What is there already
        is used.
    settings : AdaptationSettings, optional
        From which model, by which ways, judged by what, and how long.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Yields
    ------
    Progress, Note, ValidationScores or Finished
        Closing the generator stops the work; what is finished is kept.

    Returns
    -------
    Adaptation
        Its report is written.

    Raises
    ------
    RecipeError
        If a value is not valid.
    DatasetError
        If there are no images, or one to measure with is among those to learn from.
    LabelsError
        If the model finds too little in them to learn from, or no synthetic pair is consistent.
    ModelError, RunError, DeviceError, OutputError, StopRequested
    """
    settings = _absolute(settings or AdaptationSettings())
    folder = out if isinstance(out, RunFolder) else RunFolder(out)
    dataset, judged = open_images(images, settings.truth)
    real = Dataset.open(settings.real).part("train", "to learn from") if settings.real else None
    start = load_model(settings.model, "segmenter")
    fine_tuning(settings)
    if "synthetic" in settings.methods:
        generator_recipe(settings, "all")  # so that what is not valid is said now
    refuse_foreign_report(folder.path, *REPORT)
    record = {
        "folder": str(dataset.folder.resolve()),
        "train": list(dataset.names),
        "val": [],
        "card": {"start": start.card.sha256},
    }
    with folder.locked():
        if folder.exists:
            _refuse_other(folder, settings, record)
            write_text(folder.path / "recipe.json", settings.model_dump_json(indent=2))
        else:
            folder.start(settings, record)
        work = _Work(folder, settings, dataset, judged, real, start, device)
        return (yield from folder.recorded(work.run()))


def _absolute(settings: AdaptationSettings) -> AdaptationSettings:
    """Name files and folders by their whole paths: whoever resumes it may stand elsewhere."""
    given = {name: getattr(settings, name) for name in ("model", "generator_from", "truth", "real")}
    paths = {name: Path(value).expanduser() for name, value in given.items() if value}
    # A folder may by chance be called as a model is.
    files = {name for name, path in paths.items() if path.is_file() or (path / BEST).is_file()}
    return settings.model_copy(
        update={name: str(path.absolute()) for name, path in paths.items() if name in files | {"truth", "real"}}
    )


def _refuse_other(folder: RunFolder, settings: AdaptationSettings, record: dict[str, Any]) -> None:
    """Refuse to go on with what was begun otherwise."""
    here, asked = AdaptationSettings.checked(**folder.recipe()).model_dump(), settings.model_dump()
    other = next((name for name in asked if name not in _FREE and here[name] != asked[name]), None)
    if other is not None:
        raise RunError(
            f"{folder.path} was adapted otherwise than is asked for: {other} is {here[other]!r}, not {asked[other]!r}. "
            "Ask for the same, or choose another folder."
        )
    parts = folder.data()
    if parts["train"] != record["train"] or parts["card"] != record["card"]:
        raise RunError(f"{folder.path} was adapted from another model, or to other images; choose another folder.")


@dataclass
class _Work:
    """One adaptation; see `adapt`."""

    folder: RunFolder
    settings: AdaptationSettings
    dataset: Dataset
    judged: Dataset | None
    real: Dataset | None
    start: Model
    device: str

    @property
    def root(self) -> Path:
        return self.folder.path

    def run(self) -> Job[Adaptation]:
        settings = self.settings
        for others, learns in ((self.dataset, "to adapt to"), (self.real, "to learn from")):
            if self.judged is not None and others is not None:
                yield from refuse_shared(others, self.judged, learns)
        found = yield from self._part("finding nuclei", find_nuclei(self.dataset, self.start, self._found, self.device))
        runs = {method: self._run_of(method) for method in settings.methods}
        if "self-training" in runs:
            # Beside real data as the synthetic pairs are, so that the two differ in nothing else.
            data = (found, None) if self.real is None else (self.real, found)
            yield from self._part("self-training", self._fine_tuned("self-training", *data))
        if "synthetic" in runs and not _finished(runs["synthetic"]):
            yield from self._part("generator", self._generator(found))
            pairs = yield from self._part("synthetic pairs", self._pairs())
            job = self._fine_tuned("synthetic", found if self.real is None else self.real, pairs)
            yield from self._part("fine-tuning on pairs", job)
        models = {START: self.start} | {name: load_model(run.path, "segmenter") for name, run in runs.items()}
        measured: dict[str, Measurements] = {}
        for name, model in models.items():
            file = self.root / "measured" / f"{name}.json"
            measuring = measure(model, name, found, self.judged, file, self.device)
            measured[name] = yield from self._part("comparing", measuring)
        adaptation = Adaptation({name: str(run.path) for name, run in runs.items()}, measured, self._provenance())
        yield from self._told(adaptation)
        return adaptation

    @property
    def _found(self) -> Path:
        return self.root / "found"

    def _run_of(self, name: str) -> PartFolder:
        return PartFolder(self.root / "runs" / name, self.folder)

    def _part(self, name: str, job: Job[_Result]) -> Job[_Result]:
        """Pass on how far a part has come, and what users should know; its own run records the rest."""
        parts = parts_of(self.settings)
        prefix = f"{parts.index(name) + 1} of {len(parts)}, {name}: "

        def told(event: Event) -> Event | None:
            match event:
                case Progress() if event.what in (PAUSED, STOPPING):
                    return event
                case Progress():
                    return replace(event, what=prefix + event.what)
                case Note():
                    return replace(event, text=prefix + event.text)
            return None

        return relay(job, told)

    def _fine_tuned(self, method: str, data: Dataset, mixed: Dataset | None) -> Job[None]:
        run = self._run_of(method)
        if _finished(run):
            return
        recipe = fine_tuning(self.settings, mixed is not None)
        card = {"name": f"{self.root.name} ({method})", "training_data": self.dataset.folder.resolve().name}
        yield from train_segmenter(data, recipe, run, resume=run.exists, device=self.device, card=card, synthetic=mixed)

    def _generator(self, found: Dataset) -> Job[None]:
        """Train a generator that paints masks like those of the nuclei found in the look of the images."""
        run, statistics, settings = self._run_of("generator"), self.root / "masks.json", self.settings
        if _finished(run):
            return
        if not statistics.is_file():
            mpp = fine_tuning(settings).mpp
            save((yield from fit_masks(self._found, found.names, mpp)), statistics)
        recipe = generator_recipe(settings, str(statistics))
        learnt, data, further = self.dataset.folder.resolve().name, found, None
        if self.real is not None and not settings.paired:
            # True pairs tell where nuclei belong; the images, what they look like.
            data, further = self.real, found
            learnt = f"{self.real.folder.resolve().name}; {learnt}, without labels"
        card = {"name": f"{self.root.name} (generator)", "training_data": learnt}
        yield from train_synthesizer(
            data, recipe, run, unlabelled=further, resume=run.exists, device=self.device, card=card
        )

    def _pairs(self) -> Job[Dataset]:
        """Paint pairs, drop those that are not consistent, and choose those that cover most."""
        settings, folder = self.settings, self.root / "pairs"
        asked = SetSettings(
            model=str(self._run_of("generator").path),
            like=str(self.root / "masks.json"),
            style=str(self._found),
            segmenter=str(resolve(settings.model).absolute()),
            device=self.device,
            seed=settings.seed,
            count=settings.painted,
            size=SIZE,
            min_consistency=settings.min_consistency or None,
        )
        report = yield from synthesize_set(folder, asked)
        if len(report.dropped) == settings.painted:
            raise LabelsError(
                f"In none of {settings.painted} synthetic pictures does the model find the nuclei of the mask (AJI "
                f"{settings.min_consistency:g} or more): the generator has not learnt the look yet. Give it more "
                "crops, in another folder, or ask for less consistency."
            )
        if report.dropped:
            yield Note(f"{len(report.dropped)} of {settings.painted} pairs were given up for lack of consistency.")
        return (yield from most_varied(Dataset.open(folder), settings.pairs))

    def _told(self, adaptation: Adaptation) -> Job[None]:
        """Write the report and the new model, and say so."""
        write_adaptation_report(adaptation, self.root)
        chosen = adaptation.chosen
        source = resolve(self.settings.model if chosen == START else adaptation.runs[chosen])
        write_bytes(self.folder.best, source.read_bytes())
        values: dict[str, float] = {}
        if adaptation.judged:
            # As of a training that goes on from a model: what is no better is not offered.
            values = {name: float(adaptation.values(name).mean()) for name in (START, chosen)}
            yield ValidationScores(0, {"aji": values[START]}, True)
            if chosen != START:
                yield ValidationScores(1, {"aji": values[chosen]}, True)
        yield Finished(1, str(self.folder.best), values)

    @property
    def _taught(self) -> str:
        if self.settings.paired:
            return "paired with what the model finds"
        return "unpaired" if self.real is None else "of pairs of the old data, and unpaired"

    def _provenance(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "version": __version__,
            "images": self.dataset.folder.resolve().name,
            "count": len(self.dataset),
            "start": self.start.card.name,
            "real": None if self.real is None else self.real.folder.resolve().name,
            "truth": None if self.judged is None else self.judged.folder.resolve().name,
            "generator": self._taught,
            "pairs": settings.pairs,
            "candidates": settings.painted,
            **settings.model_dump(mode="json", include={"crops", "generator_crops", "generator_from", "seed"}),
        }


def _finished(run: RunFolder) -> bool:
    return run.exists and state_of(run).state is RunState.FINISHED
