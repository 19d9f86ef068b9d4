from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.events import (
    Checkpoint,
    Event,
    Finished,
    Job,
    Losses,
    Note,
    Preview,
    Progress,
    ValidationScores,
    duration,
    from_json,
    relay,
    run,
    to_json,
)

counts = st.integers(0, 2**40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.dictionaries(st.text(max_size=8), numbers, max_size=4)
events = st.one_of(
    st.builds(Progress, counts, counts, st.text(), st.none() | numbers),
    st.builds(Note, st.text(), st.sampled_from(["info", "warning"])),
    st.builds(Losses, counts, values, numbers, numbers),
    st.builds(ValidationScores, counts, values, st.booleans()),
    st.builds(Preview, counts, st.text()),
    st.builds(Checkpoint, counts, st.text()),
    st.builds(Finished, counts, st.text(), values),
)


@given(events)
def test_events_survive_a_line_of_json(event: Event) -> None:
    line = json.dumps(to_json(event))
    assert "\n" not in line
    assert from_json(json.loads(line)) == event


def test_a_record_names_its_kind() -> None:
    assert to_json(Preview(3, "previews/3.png")) == {
        "event": "preview",
        "step": 3,
        "path": "previews/3.png",
    }


def test_a_record_may_carry_its_time() -> None:
    record = {"event": "note", "text": "resumed", "level": "info", "time": 12.5}
    assert from_json(record) == Note("resumed")


@pytest.mark.parametrize("record", [{}, {"event": "unknown"}, {"step": 1}])
def test_records_of_no_known_kind_are_refused(record: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not an event of this package"):
        from_json(record)


def counting(to: int, closed: list[bool]) -> Job[str]:
    try:
        for step in range(to):
            yield Progress(step, to, "counting")
        return f"counted to {to}"
    finally:
        closed.append(True)


def test_run_returns_the_result_and_passes_every_event() -> None:
    seen: list[Event] = []
    closed: list[bool] = []
    assert run(counting(3, closed), seen.append) == "counted to 3"
    assert seen == [Progress(step, 3, "counting") for step in range(3)]
    assert closed == [True]


def test_run_needs_no_listener() -> None:
    assert run(counting(2, [])) == "counted to 2"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_listener_that_raises_closes_the_job(error: type[BaseException]) -> None:
    closed: list[bool] = []

    def stop(event: Event) -> None:
        raise error

    with pytest.raises(error):
        run(counting(3, closed), stop)
    assert closed == [True]


def test_an_error_of_the_job_reaches_the_caller() -> None:
    def failing() -> Job[None]:
        yield Note("about to fail")
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        run(failing())


def test_relay_changes_each_event_and_returns_the_result() -> None:
    seen: list[Event] = []
    closed: list[bool] = []
    job = relay(counting(2, closed), lambda event: Note(f"{event.done}") if isinstance(event, Progress) else event)
    assert run(job, seen.append) == "counted to 2"
    assert seen == [Note("0"), Note("1")]
    assert closed == [True]


def test_to_close_a_relay_closes_the_job() -> None:
    closed: list[bool] = []
    job = relay(counting(3, closed), lambda event: event)
    next(job)
    job.close()
    assert closed == [True]


def test_events_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Note("x").text = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")],
)
def test_a_time_is_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
