"""Comparison of methods: train them with one budget, test them on the same images, and set them side by side.

::

    FOLDER/synthetic/           pairs of the bundled synthesizer, where a method trains on such
    FOLDER/runs/NAME/           the training run of a method; NAME-seedN for other seeds than 0
    FOLDER/predictions/NAME/    its nuclei in the test images, and which model found them
    FOLDER/results.json, report.md, report.png

Each part is kept: what is there is not done again, and what was broken off goes on.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import safe_open

from napari_nucleigan.base.devices import choose_device, usable_cores
from napari_nucleigan.base.errors import (
    DatasetError,
    ModelError,
    NucleiganError,
    OutputError,
    RecipeError,
    StopRequested,
)
from napari_nucleigan.base.events import Finished, Job, Losses, Note, Progress, quiet, with_prefix
from napari_nucleigan.base.files import is_whole, make_folder, refuse_foreign, refuse_foreign_report, write_text
from napari_nucleigan.base.reading import read_json
from napari_nucleigan.base.version import __version__
from napari_nucleigan.comparison.methods import METHODS, Plan, differences, make_plans, refuse_other, refuse_tested
from napari_nucleigan.comparison.report import REPORT
from napari_nucleigan.comparison.results import Budget, MethodComparison, Outcome, Trial
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.evaluation import evaluate_folders
from napari_nucleigan.models import load_model, read_card
from napari_nucleigan.networks import build
from napari_nucleigan.segmentation import SegmentSettings, segment
from napari_nucleigan.synthesis import SetSettings, synthesize_set
from napari_nucleigan.training import RunFolder, SegmenterRecipe, read_recipe, train_segmenter
from napari_nucleigan.training.runs.status import RunState, state_of

PAIRS = SetSettings(count=48, size=512)
"""The synthetic pairs: as many pixels as the 12 tiles of the Kumar split that train."""

_MODEL = "model.json"
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch normalisation: no parameters


def compare(
    data: str | Path | Dataset,
    folder: str | Path,
    methods: Sequence[str] | None = None,
    *,
    epochs: tuple[int, int] | None = None,
    seeds: Sequence[int] = (0,),
    synthetic: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
    split: str = "test",
    device: str = "auto",
    train: bool = True,
) -> Job[MethodComparison]:
    """Train methods with one budget, and test them on the same images.

    No test image trains or validates, and none is segmented before the trainings that are made here have ended.

    Parameters
    ----------
    data : str, Path or Dataset
        The data set; its ``split.csv`` must call some images `split`.
    folder : str or Path
        Where runs, predictions and results are kept. What is there already is used.
    methods : sequence of str, optional
        Keys of `METHODS`; by default all.
    epochs : (int, int), optional
        Epochs at the full learning rate and epochs in which it falls, the same for all. By default those of the runs
        that are there, else `EPOCHS`.
    seeds : sequence of int
        Each method is trained once for each.
    synthetic : str or Path, optional
        Data set of synthetic pairs; by default one is made of `PAIRS` where a method needs it.
    changes : mapping, optional
        Fields of the recipe to change for all methods.
    split : str
        Split to test on.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    train : bool
        Whether to train what is missing. Without, only what is finished is compared.

    Yields
    ------
    Event
        Of the trainings and of all else. Closing the generator stops the work; what is finished is kept.

    Returns
    -------
    MethodComparison

    Raises
    ------
    RecipeError
        If there is no such method, or a value is not valid.
    DatasetError
        If there is nothing to test on, or a run has seen test images.
    RunError
        If a run in the folder was trained otherwise than is asked for here, or is being trained.
    OutputError
        If a file cannot be written.
    """
    dataset = Dataset.of(data)
    test = dataset.part(split, "to test on")
    root = Path(folder)
    refuse_foreign_report(root, *REPORT)
    plans = make_plans(root, methods, seeds, epochs, dict(changes or {}))
    for plan in plans:
        refuse_tested(plan, test)
    failed: dict[str, str] = {}
    if train:
        # What is wrong for every method is said once, and before the first has taken its hours.
        choose_device(device)
        if set(test.names) & {*dataset.subset("train").names, *dataset.subset("val").names}:
            raise DatasetError(
                f"Nothing can be tested on the images of the split {split!r}, by which models are trained and chosen; "
                "name another split."
            )
        if synthetic is not None:
            Dataset.open(synthetic)
        for plan in plans:
            refuse_other(plan, None if synthetic is None else Path(synthetic))
        failed = yield from _train(plans, dataset, root, synthetic, device)
    outcomes = []
    for method in dict.fromkeys(plan.method.name for plan in plans):
        own = [plan for plan in plans if plan.method.name == method]
        reasons = {plan.name: failed.get(plan.name) or unfinished(plan) for plan in own}
        trials = []
        for plan in own:
            if not reasons[plan.name]:
                try:
                    trials.append((yield from tested(plan, test, root, split, device)))
                except ModelError as error:  # such as one whose network needs what is installed elsewhere
                    reasons[plan.name] = str(error)
        reason = "; ".join(dict.fromkeys(filter(None, reasons.values())))
        outcomes.append(Outcome(METHODS[method], tuple(trials), reason, failed=bool(failed.keys() & reasons.keys())))
    notes = _notes(outcomes, plans)
    provenance = {
        "version": __version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "data": dataset.folder.resolve().name,
        "seeds": list(seeds),
        "tested_on": f"{device}, {usable_cores()} cores" if device != "auto" else f"{usable_cores()} cores",
        "training": {plan.name: plan.run.data()["train"] for plan in plans if plan.run.exists},
        "validation": {plan.name: plan.run.data()["val"] for plan in plans if plan.run.exists},
    }
    organs = {name: test.organs[name] for name in test.names}
    return MethodComparison(tuple(outcomes), organs, split, provenance, tuple(notes))


def _train(
    plans: Sequence[Plan], dataset: Dataset, root: Path, synthetic: str | Path | None, device: str
) -> Job[dict[str, str]]:
    """Train what is not finished; return why some could not be."""
    failed: dict[str, str] = {}
    missing = [plan for plan in plans if unfinished(plan)]
    for number, plan in enumerate(missing):
        prefix = f"{plan.name} ({number + 1} of {len(missing)}): "
        if reason := obstacle(plan):
            yield Note(f"{prefix}not run: {reason}", "warning")
            continue
        try:
            pairs = None
            if plan.recipe.synthetic_share:
                pairs = synthetic or _recorded_pairs(plan.run) or (yield from with_prefix(_pairs(root, device), prefix))
            resume = plan.run.exists
            card = {"name": plan.method.name, "training_data": dataset.folder.name, "notes": plan.method.differences}
            job = train_segmenter(
                dataset, plan.recipe, plan.run, resume=resume, device=device, card=card, synthetic=pairs
            )
            yield from with_prefix(job, prefix)
        except StopRequested:
            raise
        except OutputError:  # a full disk fails whatever comes next as well
            raise
        except NucleiganError as error:
            failed[plan.name] = str(error)
            yield Note(f"{prefix}{error}", "warning")
    return failed


def _recorded_pairs(run: RunFolder) -> Path | None:
    """Return the folder of the synthetic pairs that a run was begun with; None where there is none, any more."""
    record = run.data().get("synthetic") if run.exists else None
    folder = None if record is None else Path(record["folder"])
    return folder if folder is not None and folder.is_dir() else None


def _pairs(root: Path, device: str) -> Job[Path]:
    """Make the synthetic pairs; those that are there are kept."""
    out = root / "synthetic"
    yield from synthesize_set(out, PAIRS.model_copy(update={"device": device}))
    return out


def tested(plan: Plan, test: Dataset, root: Path, split: str, device: str) -> Job[Trial]:
    """Segment the test images with the best model of a run, and score what it finds."""
    found = root / "predictions" / plan.name
    yield from with_prefix(_predicted(plan, test, found, device), f"{plan.name}: ")
    report = yield from with_prefix(evaluate_folders(found, test.folder, split=split, workers=1), f"{plan.name}: ")
    images = {image.name: image.scores for image in report.images}
    left = [name for name in test.names if name not in images]
    if left:
        reason = next((bad.reason for bad in report.failed if bad.name == left[0]), "it has no prediction")
        raise DatasetError(f"The test image {left[0]!r} cannot be scored for {plan.name}: {reason}")
    card = read_card(plan.run.best)
    return Trial(
        seed=plan.recipe.seed,
        images=images,
        pooled=report.pooled,
        budget=budget_of(plan),
        parameters=_parameters(plan.run.best),
        sha256=card.sha256,
        decoding=card.decode,
        validation=card.scores,
        differences=differences(plan),
    )


def _predicted(plan: Plan, test: Dataset, out: Path, device: str) -> Job[None]:
    """Write the nuclei that a run's best model finds in the test images; those of this very model are kept."""
    record = {"sha256": read_card(plan.run.best).sha256, "version": __version__}
    make_folder(out)
    marker = out / _MODEL
    if _known(marker) != record:
        others = sorted(out.glob("*.tif"))
        for path in others:
            refuse_foreign(path)
        for path in others:
            path.unlink()
        write_text(marker, json.dumps(record, indent=2))
    missing = [name for name in test.names if not is_whole(out / f"{name}.tif")]
    model = load_model(plan.run.path, "segmenter") if missing else None
    for number, name in enumerate(missing):
        now = Progress(number, len(missing), f"segmenting {name}")
        yield now
        image = test.image(name)
        # Images that do not say their scale are taken to be at the model's, as in training.
        settings = SegmentSettings(model=str(plan.run.path), device=device, mpp=image.mpp or plan.recipe.mpp)
        result = yield from quiet(segment(image, settings, model), now)
        write_labels(out / f"{name}.tif", result.labels, result.mpp)


def _parameters(model: Path) -> int:
    """Count the parameters of a model, without building it: what its network needs may be installed elsewhere only."""
    with safe_open(model, "numpy") as file:
        learnt = [name for name in file.keys() if not name.endswith(_STATISTICS)]
        return sum(math.prod(file.get_slice(name).get_shape()) for name in learnt)


def _known(marker: Path) -> Any:
    """Return what a run has noted of the predictions that are there; nothing where that cannot be read."""
    with suppress(OSError, ValueError, RecursionError):
        return read_json(marker)
    return None


def _notes(outcomes: Sequence[Outcome], plans: Sequence[Plan]) -> list[str]:
    """Say where the methods were not treated alike."""
    notes = []
    for outcome in outcomes:
        for trial in outcome.trials:
            for name, (here, asked) in trial.differences.items():
                notes.append(f"{outcome.method.title}, seed {trial.seed}: {name} is {here}, not {asked}.")
    budgets = {(t.budget.steps, t.budget.crops) for outcome in outcomes for t in outcome.trials}
    if len(budgets) > 1:
        notes.append("The methods were not trained for the same number of steps and crops; see the table of costs.")
    parts = {
        (tuple(data["train"]), tuple(data["val"])) for plan in plans if plan.run.exists for data in [plan.run.data()]
    }
    if len(parts) > 1:
        notes.append("The methods were not trained and validated on the same images.")
    return notes


def unfinished(plan: Plan) -> str:
    """Tell why a training has no result; nothing where it has one."""
    if not plan.run.exists:
        return obstacle(plan) or "its training has not been started"
    status = state_of(plan.run)
    if status.state is not RunState.FINISHED:
        far = "" if status.step is None else f" after {status.step} steps"
        return f"its training is {status.state}{far}"
    if not plan.run.best.is_file():
        return "its model is missing"
    return ""


def obstacle(plan: Plan) -> str:
    """Tell why a method cannot be had here; nothing where it can."""
    try:
        build(plan.recipe.generator)
    except RecipeError as error:
        return str(error)
    return ""


def budget_of(plan: Plan) -> Budget:
    """Tell what a finished training has cost, from the events of its run."""
    recipe = read_recipe(plan.run.path / "recipe.json", None, SegmenterRecipe)
    parts = plan.run.data()
    steps, seconds, before, where = 0, 0.0, 0, ""
    for event in plan.run.events():
        match event:
            case Losses():
                seconds += (event.step - before) * recipe.batch / max(event.images_per_second, 1e-9)
                before = event.step
            case Finished():
                steps = event.step
            case Note() if " validate, on " in event.text and not where:
                where = event.text.split(" validate, on ")[1].rstrip(".")
    return Budget(
        epochs=recipe.epochs_constant + recipe.epochs_decay,
        steps=steps,
        crops=steps * recipe.batch,
        seconds=round(seconds, 1),
        training=len(parts["train"]),
        validation=len(parts["val"]),
        synthetic=len(parts.get("synthetic", {}).get("names", ())),
        where=where,
    )
