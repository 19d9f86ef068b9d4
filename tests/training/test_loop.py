from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from napari_nucleigan.base.errors import RunError, StopRequested
from napari_nucleigan.base.events import Checkpoint, Event, Finished, Losses, Progress, ValidationScores, run
from napari_nucleigan.training import loop
from napari_nucleigan.training.loop import Schedule, train
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.run_lock import PAUSED, POLL
from napari_nucleigan.training.runs.status import RunState, ask, state_of

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path


class Counter:
    """A trainer whose only weight counts its steps."""

    def __init__(self) -> None:
        self.count = torch.zeros(())
        self.scales: list[float] = []

    def step(self, batch: tuple[torch.Tensor, torch.Tensor], step: int, scale: float) -> dict[str, float]:
        assert int(batch[0]) == step
        self.count += 1
        self.scales.append(scale)
        return {"loss": float(step)}

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return {"count": self.count.clone()}, {}

    def restore(self, tensors: Mapping[str, torch.Tensor], rest: Mapping[str, Any]) -> None:
        self.count = tensors["count"].clone()


class Judge:
    """A validation whose scores are given."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = scores
        self.best = -1.0
        self.calls: list[int] = []

    def __call__(self, step: int) -> Generator[Event, None, bool]:
        score = self.scores[len(self.calls) % len(self.scores)]
        self.calls.append(step)
        better = score > self.best
        self.best = max(score, self.best)
        yield ValidationScores(step, {"aji": score}, better)
        return better

    def state(self) -> dict[str, Any]:
        return {"best": self.best}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.best = float(state["best"])


def _batches(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([step]), torch.tensor([step])


def _train(folder: RunFolder, schedule: Schedule, resume: bool = False, **parts: Any) -> Any:
    trainer, judge = parts.get("trainer", Counter()), parts.get("judge", Judge([0.5]))
    batches = parts.get("batches", _batches)
    return folder.recorded(train(trainer, batches, judge, schedule, folder, 4, 1e-3, resume))


def test_the_rate_is_constant_then_falls_to_zero() -> None:
    schedule = Schedule(steps_per_epoch=2, constant=200, decay=200)
    scales = [schedule.scale(step) for step in range(schedule.steps)]
    assert schedule.steps == 800
    assert scales[:400] == [1.0] * 400
    assert scales[400] == pytest.approx(1 - 1 / 201)
    assert scales[-1] == pytest.approx(1 / 201)
    falls = [a - b for a, b in zip(scales[400::2], scales[402::2], strict=False)]
    assert falls == pytest.approx([1 / 201] * len(falls))


def test_the_rate_rises_first_where_asked() -> None:
    schedule = Schedule(steps_per_epoch=10, constant=2, decay=0, warmup=4)
    assert [schedule.scale(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_events_come_in_order(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    judge = Judge([0.1, 0.3, 0.2])
    schedule = Schedule(steps_per_epoch=5, constant=2, decay=1, validate_every=2, checkpoint_every=2)
    assert run(_train(folder, schedule, judge=judge)) == 15
    assert judge.calls == [10, 15]
    told = [(type(event), getattr(event, "step", None)) for event in folder.events()]
    assert told == [
        (Losses, 10),
        (ValidationScores, 10),
        (Checkpoint, 10),
        (Losses, 15),
        (ValidationScores, 15),
        (Checkpoint, 15),
        (Finished, 15),
    ]
    losses = [event for event in folder.events() if isinstance(event, Losses)]
    assert losses[0].values == {"loss": 4.5}
    assert losses[1].values == {"loss": 12.0}


def test_patience_ends_the_training(tmp_path: Path) -> None:
    schedule = Schedule(steps_per_epoch=1, constant=50, decay=0, patience=3)
    assert run(_train(RunFolder(tmp_path), schedule, judge=Judge([0.9, 0.1, 0.1, 0.1, 0.1]))) == 4


def test_a_training_that_patience_has_ended_does_not_go_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    schedule = Schedule(steps_per_epoch=1, constant=50, decay=0, patience=3)
    scores = [0.9, 0.1, 0.1, 0.1, 0.1]
    run(_train(folder, schedule, judge=Judge(scores)))
    # Killed while the decoding was chosen, after the last checkpoint.
    assert run(_train(folder, schedule, resume=True, judge=Judge(scores))) == 4


class Timed(Counter):
    """A trainer whose steps take a second each, by a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.now = 0.0
        monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: self.now, sleep=time.sleep))

    def step(self, batch: tuple[torch.Tensor, torch.Tensor], step: int, scale: float) -> dict[str, float]:
        self.now += 1.0
        return super().step(batch, step, scale)


def test_the_time_is_up_before_the_epochs_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, judge = RunFolder(tmp_path), Judge([0.5])
    schedule = Schedule(1000, 10, 0, validate_every=10, checkpoint_every=10, minutes=0.4)
    told: list[Event] = []
    assert run(_train(folder, schedule, trainer=Timed(monkeypatch), judge=judge), told.append) == 24
    # It ends as any other training does: validated, saved, finished.
    assert judge.calls == [24]
    assert [type(event) for event in told[-2:]] == [Checkpoint, Finished]
    assert [event.step for event in told if isinstance(event, Losses)] == [10, 20, 24]
    progress = [event for event in told if isinstance(event, Progress)]
    assert [(event.done, event.total, event.seconds_left) for event in progress] == [
        (0, 0, 24),  # nobody knows yet how many steps fit into the time
        (10, 24, 14),
        (20, 24, 4),
        (24, 24, 0),
        (24, 24, 0),
    ]


def test_what_was_spent_is_kept_when_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    schedule = Schedule(1000, 10, 0, minutes=0.5)
    job = _train(folder, schedule, trainer=Timed(monkeypatch))
    assert next(event.step for event in job if isinstance(event, Losses)) == 10
    job.close()
    judge, trainer = Judge([0.5]), Timed(monkeypatch)
    assert run(_train(folder, schedule, resume=True, trainer=trainer, judge=judge)) == 30
    assert (judge.calls, trainer.now) == ([30], 20)
    # Nor does it go on when it was saved at its end, but nobody heard that it has finished.
    assert run(_train(folder, schedule, resume=True, trainer=Timed(monkeypatch))) == 30


def test_losses_that_are_no_numbers_end_the_training(tmp_path: Path) -> None:
    class Astray(Counter):
        def step(self, *_: Any) -> dict[str, float]:
            return {"loss": float("nan")}

    with pytest.raises(RunError, match="no longer numbers at step 10"):
        run(_train(RunFolder(tmp_path), Schedule(5, 4, 0), trainer=Astray()))


def test_a_fault_in_the_data_reaches_the_caller(tmp_path: Path) -> None:
    def broken(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        if step == 3:
            raise ValueError("no such crop")
        return _batches(step)

    with pytest.raises(ValueError, match="no such crop"):
        run(_train(RunFolder(tmp_path), Schedule(5, 4, 0), batches=broken))


@pytest.mark.parametrize("stop_at", [10, 20, 30, 40])  # the last one before the end of its epoch, of the training
def test_closing_saves_and_resuming_goes_on(stop_at: int, tmp_path: Path) -> None:
    schedule = Schedule(steps_per_epoch=8, constant=3, decay=2)
    whole = RunFolder(tmp_path / "whole")
    whole.path.mkdir()
    run(_train(whole, schedule))

    folder = RunFolder(tmp_path / "stopped")
    folder.path.mkdir()
    trainer = Counter()
    job = _train(folder, schedule, trainer=trainer)
    for event in job:
        if isinstance(event, Losses) and event.step == stop_at:
            break
    job.close()
    assert int(trainer.count) == stop_at
    again = Counter()
    assert run(_train(folder, schedule, resume=True, trainer=again)) == schedule.steps
    assert int(again.count) == schedule.steps
    assert len(again.scales) == schedule.steps - stop_at

    def curve(run_folder: RunFolder) -> list[tuple[int, dict[str, float]]]:
        return [(event.step, event.values) for event in run_folder.events() if isinstance(event, Losses)]

    assert curve(folder) == curve(whole)
    assert _story(folder) == _story(whole)


def _story(folder: RunFolder) -> list[tuple[str, int]]:
    return [(type(event).__name__, event.step) for event in folder.events() if not isinstance(event, Checkpoint)]


def test_a_validation_that_was_cut_short_is_repeated(tmp_path: Path) -> None:
    schedule = Schedule(steps_per_epoch=5, constant=4, decay=0, checkpoint_every=9, patience=2)
    scores = [0.5, 0.6, 0.1, 0.7]
    whole, folder = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "stopped")
    for run_folder in (whole, folder):
        run_folder.path.mkdir()
    run(_train(whole, schedule, judge=Judge(scores)))

    judge = Judge(scores)
    job = _train(folder, schedule, judge=judge)
    for event in job:
        # The second validation has found a better model, and said so, when the stop comes.
        if isinstance(event, ValidationScores) and event.step == 10:
            break
    job.close()
    again = Judge(scores)
    again.calls = [5]
    run(_train(folder, schedule, resume=True, judge=again))
    assert again.calls == [5, 10, 15, 20]
    assert _story(folder) == _story(whole)
    assert [event for event in folder.events() if isinstance(event, ValidationScores)] == [
        event for event in whole.events() if isinstance(event, ValidationScores)
    ]


def test_a_stop_is_obeyed_after_the_present_step(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    trainer = Counter()
    with pytest.raises(StopRequested), folder.locked():
        for event in _train(folder, Schedule(1000, 1000, 0, validate_every=1000), trainer=trainer):
            if isinstance(event, Losses) and event.step == 10:
                ask(folder, "stop")
    steps = int(trainer.count)
    assert state_of(folder).state is RunState.STOPPED
    assert state_of(folder).checkpoint == steps
    assert isinstance(folder.events()[-1], Checkpoint)


def test_a_paused_training_saves_waits_and_goes_on(tmp_path: Path) -> None:
    folder, whole = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "whole")
    whole.path.mkdir()
    schedule = Schedule(steps_per_epoch=40, constant=1, decay=0)
    run(_train(whole, schedule))
    waited = 0
    with folder.locked():
        for event in _train(folder, schedule):
            if isinstance(event, Losses) and event.step == 10:
                ask(folder, "pause")
                time.sleep(POLL)  # or the training might be over before it looks
            if isinstance(event, Progress) and event.what == PAUSED:
                waited += 1
                if waited > 2:
                    ask(folder, None)
                    continue
                assert state_of(folder).state is RunState.PAUSED
                assert state_of(folder).checkpoint == event.done
    assert waited > 2
    assert _story(folder) == _story(whole)
    assert state_of(folder).state is RunState.FINISHED


def test_a_pause_may_end_in_a_stop(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(StopRequested), folder.locked():
        for event in _train(folder, Schedule(100_000, 1, 0)):
            if isinstance(event, Losses) and event.step == 10:
                ask(folder, "pause")
            if isinstance(event, Progress) and event.what == PAUSED:
                ask(folder, "stop")
    assert state_of(folder).state is RunState.STOPPED


def test_requests_to_another_process_are_not_obeyed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "control.json").write_text('{"ask": "stop", "token": "of yesterday"}')
    with folder.locked():
        assert not (tmp_path / "control.json").exists()
        (tmp_path / "control.json").write_text('{"ask": "stop", "token": "of yesterday"}')
        job = _train(folder, Schedule(40, 1, 0))
        next(job)
        time.sleep(POLL)
        assert run(job) == 40
