"""Trainings of the command line: in their turn on the device, and stopped with their state saved."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.cli.console import SAVED, Stopped, run_interruptible

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.base.events import Event, Job
    from napari_nucleigan.training import RunFolder
    from napari_nucleigan.training.runs.queue import Place

_Result = TypeVar("_Result")


def run_in_line(
    job: Job[_Result], folder: RunFolder, device: str, queue: bool, view: Callable[[Event], object], saved: str = SAVED
) -> _Result:
    """Run what fills a run's folder.

    Parameters
    ----------
    job : generator of events
        What to run.
    folder : RunFolder
        The folder, which obeys requests.
    device : str
        Where it computes.
    queue : bool
        Whether to wait for the trainings that started earlier on the device.
    view : callable
        Called with each event.
    saved : str
        What is said where it was stopped.

    Raises
    ------
    Stopped
        If the user has stopped it, here or from outside.
    """
    from napari_nucleigan.base.devices import choose_device
    from napari_nucleigan.training.runs.queue import Place
    from napari_nucleigan.training.runs.status import ask

    def stop() -> None:
        # The loop looks for requests after every step, and yields events more rarely.
        with suppress(NucleiganError):
            ask(folder, "stop")

    def in_turn(line: Place) -> Job[_Result]:
        if queue and line.ahead():
            yield from folder.waiting(line.wait(lambda: folder.asked() == "pause"))
        return (yield from job)

    try:
        # Those who do not wait stand in the line all the same: others may wait for them.
        with Place(device if device == "cpu" else choose_device(device)) as line:
            return run_interruptible(in_turn(line), view, stop)
    except Stopped as stopped:
        raise Stopped(saved if folder.exists else str(stopped), stopped.number) from stopped


def quietly(view: Callable[[Event], object]) -> Callable[[Event], object]:
    """Pass events on to a view; a log that cannot be written, on a full disk say, is no reason to end the training."""

    def show(event: Event) -> None:
        with suppress(OSError):
            view(event)

    return show
