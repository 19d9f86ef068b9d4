"""Loop that every training shares: schedule, losses, validation, checkpoints, stopping."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeVar

import torch

from napari_nucleigan.base.errors import RunError
from napari_nucleigan.base.events import Checkpoint, Event, Finished, Job, Losses, Progress
from napari_nucleigan.training.checkpoints import load_checkpoint, save_checkpoint
from napari_nucleigan.training.images import prefetched
from napari_nucleigan.training.ranks import ALONE
from napari_nucleigan.training.runs.run_lock import PAUSED, POLL, STOPPING, TRAINING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from torch import Tensor

    from napari_nucleigan.training.ranks import Ranks
    from napari_nucleigan.training.recipes import Recipe
    from napari_nucleigan.training.runs.run_folder import RunFolder

LOG_EVERY = 10
"""Steps whose losses are averaged into one event."""


Batch = TypeVar("Batch")
_Batch = TypeVar("_Batch", contravariant=True)


class Trainer(Protocol[_Batch]):
    """What the loop asks of a kind of training."""

    def step(self, batch: _Batch, step: int, scale: float) -> dict[str, float]:
        """Make one update and return the losses."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that a resumed run needs."""

    def restore(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Go back to what `state` returned."""


class Validator(ABC):
    """What the loop asks of a validation; it keeps the best model itself."""

    @abstractmethod
    def __call__(self, step: int) -> Generator[Event, None, bool]:
        """Validate; tell whether this is the best so far."""

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs, ready for JSON; most remember nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Go back to what `state` returned."""


@dataclass(frozen=True)
class Schedule:
    """How long to train, and how fast to learn.

    Attributes
    ----------
    steps_per_epoch : int
        Updates in an epoch.
    constant, decay : int
        Epochs at the full learning rate, and epochs in which it falls linearly to 0.
    warmup : int
        Steps in which it first rises.
    validate_every, checkpoint_every : int
        Epochs between validations and between checkpoints.
    patience : int
        Validations without a better score before training ends; 0 for never.
    minutes : float
        Minutes of training, without pauses and validations, after which it ends; 0 for no limit.
    """

    steps_per_epoch: int
    constant: int
    decay: int
    warmup: int = 0
    validate_every: int = 1
    checkpoint_every: int = 1
    patience: int = 0
    minutes: float = 0.0

    @classmethod
    def of(cls, recipe: Recipe, crops_per_epoch: int) -> Self:
        """Return the schedule of a recipe whose crops fit side by side so often in an epoch."""
        return cls(
            steps_per_epoch=-(-(recipe.crops_per_epoch or crops_per_epoch) // recipe.batch),
            constant=recipe.epochs_constant,
            decay=recipe.epochs_decay,
            # Those of a synthesizer have neither.
            warmup=getattr(recipe, "warmup_steps", 0),
            validate_every=recipe.validate_every,
            checkpoint_every=recipe.checkpoint_every,
            patience=getattr(recipe, "patience", 0),
            minutes=recipe.minutes,
        )

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.steps_per_epoch * (self.constant + self.decay)

    def scale(self, step: int) -> float:
        """Return the factor of the learning rate at a step, in 0 to 1.

        The rate falls once an epoch, as in the paper.
        """
        epoch = step // self.steps_per_epoch
        falling = max(0, epoch + 1 - self.constant) / (self.decay + 1)
        rising = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return rising * (1.0 - falling)


def train(
    trainer: Trainer[Batch],
    batches: Callable[[int], Batch],
    validate: Validator,
    schedule: Schedule,
    run: RunFolder,
    batch_size: int,
    lr: float,
    resume: bool = False,
    ranks: Ranks = ALONE,
    baseline: bool = False,
) -> Job[int]:
    """Train until the schedule ends, as the leader of those processes that `follow`.

    Closing the generator stops the training after the present step and saves a checkpoint first.

    Parameters
    ----------
    trainer : Trainer
        The networks and their update.
    batches : callable
        Maps a step to what the trainer takes.
    validate : Validator
        Called every few epochs and at the end.
    schedule : Schedule
        How long, how fast.
    run : RunFolder
        Where checkpoints and events go.
    batch_size : int
        Crops in a step, for the speed.
    lr : float
        Full learning rate, for the plots.
    resume : bool
        Whether to go on from the newest checkpoint.
    ranks : Ranks
        The processes that train together.
    baseline : bool
        Whether to validate before the first step, too: who goes on from a model is to beat it.

    Returns
    -------
    int
        The last step.

    Raises
    ------
    RunError
        If the losses are no longer numbers, or another process is gone.
    OutputError
        If a file cannot be written.
    """
    step = saved = stale = ended = 0
    spent = 0.0
    sums: dict[str, list[float]] = defaultdict(list)
    # What a checkpoint in the middle of a validation holds: it is repeated as if it had never begun.
    unvalidated: dict[str, Any] | None = None
    due = False
    found = load_checkpoint(run.checkpoints) if resume else None
    if found is not None:
        step, tensors, state = found
        trainer.restore(tensors, state["trainer"])
        validate.restore(state["validation"])
        stale = int(state["stale"])
        due = bool(state.get("due", False))
        spent = float(state.get("spent", 0.0))
        sums.update(state["sums"])
        run.rewind(int(state["events"]))
        saved = ended = step
    elif resume:
        run.rewind(0)
    ranks.broadcast(_Start(step, None if found is None else (tensors, state["trainer"]), torch.get_rng_state()))

    def checkpoint(flush: bool = True) -> Checkpoint:
        tensors, rest = trainer.state()
        state = {
            "trainer": rest,
            "validation": validate.state(),
            "stale": stale,
            "sums": sums,
            "spent": speed.spent,
            "events": run.events_size,
            # Broken off between the last step of an epoch and what belongs to its end, that comes first.
            "due": step != ended and at_end(),
            **(unvalidated or {}),
        }
        path = save_checkpoint(run.checkpoints, step, tensors, state, flush=flush)
        return Checkpoint(step, str(path))

    def hopeful() -> bool:
        return not (schedule.patience and stale >= schedule.patience) and not speed.over

    def last() -> bool:
        return step == schedule.steps or speed.over

    def at_end() -> bool:
        return step % schedule.steps_per_epoch == 0 or last()

    def progress() -> Progress:
        # Where time is limited, nobody knows how many steps there will be until some were made.
        total = step + speed.steps_left if speed.per_second or not schedule.minutes else 0
        return Progress(step, total, TRAINING, speed.seconds_left)

    def end_epoch() -> Generator[Event, None, bool]:
        """Validate and save where that is due; tell whether to go on."""
        nonlocal stale, saved, ended, unvalidated
        epoch = step // schedule.steps_per_epoch
        if epoch % schedule.validate_every == 0 or last():
            unvalidated = {
                "validation": validate.state(),
                "stale": stale,
                "events": run.events_size,
                "due": True,
            }
            with speed.paused():
                better = yield from validate(step)
            unvalidated = None
            stale = 0 if better else stale + 1
            yield progress()
        ended = step
        if epoch % schedule.checkpoint_every == 0 or last():
            event = checkpoint()
            saved = step
            yield event
        return hopeful()

    speed = _Speed(schedule.steps - step, spent, 60 * schedule.minutes)
    try:
        if baseline and found is None:
            with speed.paused():
                yield from validate(step)
        more = (yield from end_epoch()) if due else hopeful()
        yield progress()
        with prefetched(batches, step, schedule.steps if more else step) as ready:
            for batch in ready:
                if (asked := run.asked()) is not None:
                    if asked == "pause" and step > saved:
                        # Whatever happens during a long pause, nothing is lost. But somebody is waiting, so the disk
                        # may take its time.
                        event = checkpoint(flush=False)
                        saved = step
                        yield event
                    with speed.paused():
                        yield from _obey(run, step, step + speed.steps_left)
                scale = schedule.scale(step)
                ranks.go()
                values = ranks.all_reduce_mean(trainer.step(batch, step, scale))
                step += 1
                speed.tick()
                for name, value in values.items():
                    sums[name].append(value)
                if step % LOG_EVERY == 0 or last():
                    means = {name: sum(v) / len(v) for name, v in sums.items()}
                    sums.clear()
                    if not all(math.isfinite(value) for value in means.values()):
                        raise RunError(
                            f"The losses are no longer numbers at step {step}: training went astray. "
                            "Lower the learning rate and start again, or resume from the last "
                            f"checkpoint (step {saved})."
                        )
                    rate = batch_size * speed.per_second
                    yield Losses(step, means, lr * scale, round(rate, 2))
                    yield progress()
                if at_end() and not (yield from end_epoch()):
                    break
    except GeneratorExit:
        if step > saved:
            run.record(checkpoint(flush=False))
        raise
    except RuntimeError as error:
        ranks.explain(error)
        raise
    yield Finished(step, str(run.best))
    return step


def follow(trainer: Trainer[Batch], batches: Callable[[int], Batch], schedule: Schedule, ranks: Ranks) -> None:
    """Make this process's share of the steps that the leader announces, until it dismisses all.

    Parameters
    ----------
    trainer : Trainer
        The networks and their update.
    batches : callable
        Maps a step to this process's share of its batch.
    schedule : Schedule
        As the leader's.
    ranks : Ranks
        The processes that train together.

    Raises
    ------
    Dismissed
        At the end.
    """
    start: _Start = ranks.receive()
    if start.state is not None:
        trainer.restore(*start.state)
    torch.set_rng_state(start.random)
    with prefetched(batches, start.step, schedule.steps) as ready:
        for step, batch in enumerate(ready, start.step):
            ranks.go()
            ranks.all_reduce_mean(trainer.step(batch, step, schedule.scale(step)))
    ranks.go()


class _Start(NamedTuple):
    """Where a training begins, for all processes."""

    step: int
    state: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None
    random: Tensor


def _obey(run: RunFolder, step: int, steps: int) -> Job[None]:
    """Wait while a pause is asked for; a stop closes the job at the progress that is told here."""
    while (asked := run.asked()) is not None:
        yield Progress(step, steps, PAUSED if asked == "pause" else STOPPING)
        if asked == "stop":
            return
        time.sleep(POLL / 2)


class _Speed:
    """Steps per second of late, the time spent, and that to the end; pauses and validations do not count."""

    def __init__(self, steps_left: int, spent: float = 0.0, limit: float = 0.0) -> None:
        self.spent = spent
        self._limit = limit
        self._left = steps_left
        self._times = [time.perf_counter()]

    def tick(self) -> None:
        now = time.perf_counter()
        self.spent += now - self._times[-1]
        self._left -= 1
        self._times = [*self._times[-50:], now]

    @property
    def over(self) -> bool:
        return 0 < self._limit <= self.spent

    @property
    def per_second(self) -> float:
        elapsed = self._times[-1] - self._times[0]
        return (len(self._times) - 1) / elapsed if elapsed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        if not self.per_second:
            return max(0.0, self._limit - self.spent) if self._limit else None
        left = self._left / self.per_second
        return min(left, max(0.0, self._limit - self.spent)) if self._limit else left

    @property
    def steps_left(self) -> int:
        """Steps still to be made, as far as can be told: fewer than all where the time is limited."""
        left = self.seconds_left
        if left is None or not self._limit or not self.per_second:
            return self._left
        return min(self._left, math.ceil(left * self.per_second))

    @contextmanager
    def paused(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            gap = time.perf_counter() - start
            self._times[:] = [moment + gap for moment in self._times]
