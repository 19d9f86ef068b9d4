"""Which measure of synthetic pairs goes along with what a segmenter gains by them: rank correlations over generators.

``python benchmarks/bench_measures.py FOLDER --generator NAME=MODEL[,FIELD=VALUE ...] ...``

MODEL is a synthesizer, FIELDs are those of `SetSettings`; ``variety=3`` paints three times as many pairs and takes the
most varied. Of each generator the pairs are measured against training tiles that the segmenter does not learn from. A
small compact U-Net, which has learnt a few labelled tiles, goes on with these alone and with these and the pairs: the
same start, crops and seed. The gain is the difference of AJI on those other tiles, with a 95 % interval over tiles and
seeds. Test tiles are never looked at. The bundled generators have learnt from all training tiles, so the gains rank
them and are no figures of what synthetic pairs bring: for that there is ``nucleigan compare --labels``.

All is kept in FOLDER, in ``measures.jsonl`` a line for each generator that is finished; the same command goes on.
``run.py`` reads the folder that ``NUCLEIGAN_MEASURES`` names.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from _table import Row, Skip, machine, markdown, print_table, shared
from napari_nucleigan.adaptation.variety import most_varied
from napari_nucleigan.base.events import run
from napari_nucleigan.base.files import write_text
from napari_nucleigan.comparison.experiment import tested, unfinished
from napari_nucleigan.comparison.label_counts import labelled_images
from napari_nucleigan.comparison.label_results import interval_of
from napari_nucleigan.comparison.methods import METHODS, Plan, recipe_of, refuse_other, refuse_tested
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.evaluation.averages import Bootstrap
from napari_nucleigan.evaluation.synthetic import QualityReport, QualitySettings, evaluate_synthetic
from napari_nucleigan.models import read_card, resolve
from napari_nucleigan.synthesis import SetSettings, synthesize_set
from napari_nucleigan.training import RunFolder, train_segmenter
from napari_nucleigan.training.budget import budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# By name: whether more is better, and where it stands in the report.
MEASURES: dict[str, tuple[bool, Any]] = {
    "consistency": (True, lambda report: report.synthetic.consistency),
    "KID, what is shown": (False, lambda report: report.comparison.kid),
    "KID, how it is drawn": (False, lambda report: report.comparison.fine_kid),
    "KID, pretrained encoder": (False, lambda report: report.comparison.pretrained_kid),
    "diversity of colour": (True, lambda report: report.synthetic.diversity),
    "diversity of what is shown": (True, lambda report: report.synthetic.deep_diversity),
    "told apart": (False, lambda report: report.comparison.accuracy),
    "repetition of the background": (False, lambda report: report.synthetic.repetition),
}
RECORD = "measures.jsonl"
FEWEST = 4  # generators of which ranks are correlated at all
ENOUGH = 8  # from which an interval is worth reading
WIDTHS = (16, 32, 64, 96, 128)
FAST = {"ema": 0.99, "warmup_steps": 20, "validation": 0.0, "checkpoint_every": 1}


@dataclass(frozen=True)
class Budget:
    """What all generators are measured with; another needs another folder."""

    pairs: int
    size: int
    labelled: int
    seeds: int
    base_crops: int
    crops: int
    held: int
    widths: tuple[int, ...] = WIDTHS


class Experiment:
    """The tiles, the start and the arm without synthetic pairs, which all generators share."""

    def __init__(self, root: Path, asked: Budget, tiles: Dataset) -> None:
        self.root, self.asked = root, asked
        order = [labelled_images(tiles, seed) for seed in range(asked.seeds)]
        self.labelled = [tiles.only(names[: asked.labelled]) for names in order]
        used = {name for part in self.labelled for name in part.names}
        self.held = tiles.only([name for name in order[0] if name not in used][: asked.held])
        if len(self.held) < Bootstrap().least:
            raise Skip(f"{len(self.held)} tiles are left to measure gains on; {Bootstrap().least} are needed")

    def base(self) -> NDArray[np.float64]:
        """Score the arm that sees no synthetic pairs, (seeds, tiles)."""
        return self.scores("real", None)

    def scores(self, name: str, pairs: Dataset | None) -> NDArray[np.float64]:
        """AJI of the held tiles after the labelled ones and some pairs, (seeds, tiles)."""
        rows = []
        for seed, labelled in enumerate(self.labelled):
            plan = self._trained(f"{name}-seed{seed}", labelled, seed, pairs)
            trial = run(tested(plan, self.held, self.root, "train", "auto"))
            rows.append([trial.images[tile].aji for tile in self.held.names])
        return np.array(rows, np.float64)

    def _trained(self, name: str, labelled: Dataset, seed: int, pairs: Dataset | None) -> Plan:
        changes = {"seed": seed, **budget(self.asked.crops, (2, 2)), "lr": 5e-4}
        if self.asked.base_crops:
            start = self._plan(f"start-seed{seed}", "u-net", {"seed": seed, **budget(self.asked.base_crops, (2, 2))})
            changes["start_from"] = str(self._finished(start, labelled, None).run.best.absolute())
        return self._finished(self._plan(name, "u-net" if pairs is None else "u-net-both", changes), labelled, pairs)

    def _plan(self, name: str, method: str, changes: dict[str, Any]) -> Plan:
        network = {"generator": {"name": "compact-unet", "widths": list(self.asked.widths)}}
        recipe = recipe_of(method, changes["epochs_constant"], changes["epochs_decay"], {**FAST, **network, **changes})
        return Plan(METHODS[method], recipe, RunFolder(self.root / "runs" / name))

    def _finished(self, plan: Plan, labelled: Dataset, pairs: Dataset | None) -> Plan:
        refuse_other(plan)
        refuse_tested(plan, self.held)
        if unfinished(plan):
            card = {"name": plan.name, "training_data": labelled.folder.name}
            run(
                train_segmenter(labelled, plan.recipe, plan.run, resume=plan.run.exists, card=card, synthetic=pairs),
            )
        return plan


def measure_generator(experiment: Experiment, spec: str) -> dict[str, Any]:
    """Paint, measure, train and score one generator, and return its record."""
    name, model, fields = parsed(spec)
    variety = int(fields.pop("variety", 1))
    asked, root = experiment.asked, experiment.root
    base = experiment.base()
    began = time.perf_counter()
    settings = SetSettings.checked(model=model, count=asked.pairs * variety, size=asked.size, **fields)
    folder = root / "pairs" / name
    run(synthesize_set(folder, settings))
    pairs = run(most_varied(Dataset.open(folder), asked.pairs))
    painted = time.perf_counter()
    report: QualityReport = run(evaluate_synthetic(pairs, experiment.held, QualitySettings(views=1)))
    measured = time.perf_counter()
    gains = experiment.scores(f"with-{name}", pairs) - base
    interval = interval_of(gains)
    seconds = [painted - began, measured - painted, time.perf_counter() - measured]
    return {
        "generator": name,
        "spec": spec,
        "sha256": read_card(resolve(model)).sha256,
        "budget": json.loads(json.dumps(asdict(asked))),
        "tiles": list(experiment.held.names),
        "measures": {title: plain(figure(report)) for title, (_, figure) in MEASURES.items()},
        "reference": report.reference.to_json() if report.reference else None,
        "real": {"repetition": report.real.repetition, "diversity": report.real.diversity},
        "gain": float(gains.mean()),
        "interval": interval.to_json() if interval else None,
        "gains": gains.tolist(),
        "base": float(base.mean()),
        "seconds": dict(zip(("paint", "measure", "train and score"), map(round, seconds), strict=True)),
    }


def parsed(spec: str) -> tuple[str, str, dict[str, str]]:
    """Take NAME=MODEL,FIELD=VALUE apart."""
    first, *rest = spec.split(",")
    parts = [part.partition("=") for part in (first, *rest)]
    if not all(key and value for key, _, value in parts):
        sys.exit(f"{spec!r} is not NAME=MODEL or NAME=MODEL,FIELD=VALUE,... as it should be.")
    return parts[0][0], parts[0][2], {key: value for key, _, value in parts[1:]}


def plain(value: float) -> float | None:
    """Return a number, or None for what is not known."""
    return float(value) if np.isfinite(value) else None


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a folder, oldest first."""
    path = folder / RECORD
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def rank_correlation(
    values: Sequence[float], gains: Sequence[float], bootstrap: Bootstrap
) -> tuple[float, float, float]:
    """Correlate two lists by rank (Spearman), with a percentile interval over generators that are drawn again.

    Draws in which either is the same for all have no correlation and are left out.
    """
    both = np.array([values, gains], np.float64)
    rho = _spearman(both[:, None])[0]
    drawn = np.random.default_rng(bootstrap.seed).integers(0, both.shape[1], (bootstrap.resamples, both.shape[1]))
    several = _spearman(both[:, drawn])
    tails = [(1 - bootstrap.level) / 2, (1 + bootstrap.level) / 2]
    several = several[np.isfinite(several)]
    low, high = np.quantile(several, tails) if several.size else (np.nan, np.nan)
    return float(rho), float(low), float(high)


def _spearman(both: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of the ranks of both[0] and both[1] along the last axis; nan where one has no spread."""
    ranks = rankdata(both, axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    length = np.sqrt((ranks**2).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = (ranks[0] * ranks[1]).sum(-1) / (length[0] * length[1])
    return np.where(length.min(0) > 0, found, np.nan)


def rows_of(records: list[dict[str, Any]]) -> list[Row]:
    """Lay the gains of the generators and the correlations with them out."""
    rows = []
    for record in records:
        ends = "" if record["interval"] is None else "; 95 % {:+.3f} to {:+.3f}".format(*record["interval"])
        figures = "; ".join(f"{title} {value:.3g}" for title, value in record["measures"].items() if value is not None)
        rows.append(Row(f"gain by {record['generator']}", record["gain"], note=f"{figures}{ends}"))
    if len(records) < FEWEST:
        return rows
    predicting = []
    for title, (more, _) in MEASURES.items():
        known = [record for record in records if record["measures"].get(title) is not None]
        if len(known) < FEWEST:
            rows.append(Row(f"rank correlation with the gain: {title}", None, note=f"known of {len(known)} generators"))
            continue
        values = [record["measures"][title] for record in known]
        rho, low, high = rank_correlation(values, [record["gain"] for record in known], Bootstrap())
        wanted = "more" if more else "less"
        note = f"95 % {low:+.2f} to {high:+.2f}; {len(known)} generators; {wanted} is meant to be better"
        rows.append(Row(f"rank correlation with the gain: {title}", plain(rho), note=note))
        if len(known) >= ENOUGH and (low > 0 if more else high < 0):
            predicting.append(title)
    few = f"; fewer than {ENOUGH} generators tell nothing" if len(records) < ENOUGH else ""
    which = ", ".join(predicting) or "none"
    note = f"the interval is clear of 0 on the side that is meant: {which}{few}"
    rows.append(Row("measures that predict the gain", len(predicting), note=note))
    return rows


def measure() -> list[Row]:
    """Return the rows of a finished folder."""
    folder = os.environ.get("NUCLEIGAN_MEASURES")
    if not folder or not read_records(Path(folder)):
        raise Skip("NUCLEIGAN_MEASURES names no folder that bench_measures.py has filled")
    return rows_of(read_records(Path(folder)))


def main() -> None:
    """Measure what is not there yet, and print all that is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="where everything is kept")
    parser.add_argument("--generator", action="append", default=[], metavar="NAME=MODEL[,FIELD=VALUE...]")
    parser.add_argument("--pairs", type=int, default=96, help="synthetic pairs of each generator")
    parser.add_argument("--size", type=int, default=256, help="their side in pixels")
    parser.add_argument("--labelled", type=int, default=2, help="labelled training tiles")
    parser.add_argument("--seeds", type=int, default=1, help="how often, with other labelled tiles and crops")
    parser.add_argument("--base-crops", type=int, default=6000, help="crops of the start; 0: random weights")
    parser.add_argument("--crops", type=int, default=3000, help="crops of each arm")
    parser.add_argument("--held", type=int, default=14, help="other training tiles to score on, at most")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    given = vars(parser.parse_args())
    folder, specs, wanted = given.pop("folder"), given.pop("generator"), given.pop("write")
    asked = Budget(**given)
    records = read_records(folder)
    for record in records:
        if record["budget"] != json.loads(json.dumps(asdict(asked))):
            sys.exit(f"{folder} was measured with {record['budget']}; ask for the same, or choose another folder.")
    experiment = Experiment(folder, asked, Dataset.open(shared("data/kumar")).subset("train"))
    for spec in specs:
        name, model, _ = parsed(spec)
        own = next((record for record in records if record["generator"] == name), None)
        if own and (own["spec"], own["sha256"]) != (spec, read_card(resolve(model)).sha256):
            sys.exit(f"{folder} holds another generator {name!r} ({own['spec']}); give this one another name.")
        if not own:
            print(f"{name} ...", file=sys.stderr, flush=True)
            records.append(measure_generator(experiment, spec))
            write_text(folder / RECORD, "".join(f"{json.dumps(record)}\n" for record in records))
    print(machine())
    print_table(rows_of(records))
    if wanted:
        from run import write

        write("measures", markdown(rows_of(records)))


if __name__ == "__main__":
    try:
        main()
    except Skip as reason:
        sys.exit(f"skipped: {reason}")
