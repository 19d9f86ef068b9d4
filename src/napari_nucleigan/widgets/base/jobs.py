"""Job runner: runs a job (a generator of events) in a thread, and tells a widget about it.

The thread and the widget share nothing but a queue, which the widget empties by a timer: no Qt
object is touched from the thread, a widget that is closed in the middle leaves nothing dangling,
and Cancel frees the widget at once even where the job is in the middle of a step. A job's error
never leaves the thread as an exception, because napari's workers swallow a RuntimeError in silence
and show any other with a traceback.
"""

from __future__ import annotations

import io
import math
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QObject, QThreadPool, QTimer, Signal

from napari_nucleigan.base.errors import explain
from napari_nucleigan.base.events import Job, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.utils import cancelable_progress

POLL_MS = 50


class Task:
    """A job on its way through a thread.

    Plain Python without reference to any widget, so that it may outlive one.

    Parameters
    ----------
    job : generator of events
        What to run.
    what : str
        What it does, for people, as in "segmenting tile_1".
    """

    def __init__(self, job: Generator[Any, None, Any], what: str) -> None:
        self.what = what
        self.messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.worker: Any = None
        self._job: Generator[Any, None, Any] | None = job
        self._cancelled = threading.Event()

    def __str__(self) -> str:
        """Name of the task in napari's list of tasks."""
        return self.what

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop: by us, or by napari's list of tasks."""
        return self._cancelled.is_set() or (self.worker is not None and self.worker.abort_requested)

    def cancel(self) -> None:
        """Ask the job to stop after its present step."""
        self._cancelled.set()

    def __call__(self) -> None:
        """Run the job to its end; called in the thread."""
        # napari keeps a reference to every worker for ever: let go of the job and what it holds.
        job, self._job = self._job, None
        if job is None:
            return
        try:
            while not self.cancelled:
                self.messages.put(("noted", next(job)))
            self.messages.put(("stopped", None))
        except StopIteration as stop:
            self.messages.put(("stopped", None) if self.cancelled else ("finished", stop.value))
        except BaseException as error:  # it must not end in silence
            self.messages.put(("failed", explain(error, self.what)))
        finally:
            job.close()


class Runner(QObject):
    """Runs one job at a time and reports by Qt signals in the widget's own thread.

    Parameters
    ----------
    parent : QObject
        The widget that owns it.
    activity : bool
        Whether jobs show in napari's activity dock and in its question on closing.
    apart : bool
        Whether a job begins at once, in a thread of its own, however many others are on their way. Qt's pool has as
        many threads as the machine has cores; on a small one, what must not wait would wait for a model to be loaded.
    poll_ms : int
        Milliseconds between two looks at what the thread has to say.
    budget : float
        Seconds of each look after which the rest waits for the next one, so that the viewer stays free.
    """

    progressed = Signal(object)
    """`events.Progress` with `seconds_left` filled in where it can be estimated."""
    noted = Signal(object)
    """`events.Note`, or any other event of a job."""
    finished = Signal(object)
    """The job's result."""
    failed = Signal(object)
    """A `NucleiganError`."""
    stopped = Signal()
    """The job was cancelled."""

    def __init__(
        self,
        parent: QObject | None = None,
        *,
        activity: bool = False,
        apart: bool = False,
        poll_ms: int = POLL_MS,
        budget: float = math.inf,
    ) -> None:
        super().__init__(parent)
        self._activity = activity
        self._apart = apart
        self._budget = budget
        self._tasks: set[Task] = set()
        self._task: Task | None = None
        self._bar: cancelable_progress | None = None
        self._started = 0.0
        self._last: tuple[Progress, float] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(poll_ms)
        self._timer.timeout.connect(self._poll)
        self.destroyed.connect(_Guard(self._tasks))

    @property
    def running(self) -> bool:
        """Whether a job is on its way."""
        return self._task is not None

    def start(self, job: Generator[Any, None, Any], what: str) -> None:
        """Start a job; one that is still running is cancelled first.

        Parameters
        ----------
        job : generator of events
            What to run.
        what : str
            What it does, for people.
        """
        if self.running:
            self.cancel()
        task = self._task = Task(job, what)
        self._tasks.add(task)
        self._started, self._last = time.monotonic(), None
        if self._activity:
            from napari.qt.threading import create_worker

            self._bar = activity_bar(what)
            task.worker = create_worker(task, _start_thread=False)
            task.worker.start()
        elif self._apart:
            threading.Thread(target=task, name=what, daemon=True).start()
        else:
            _start(task)
        self._timer.start()

    def cancel(self) -> None:
        """Stop the running job: the widget is free at once, the thread after its present step."""
        if self._task is not None:
            self._task.cancel()
            self._end()
            self._tell("stopped")

    def _end(self) -> None:
        self._timer.stop()
        if self._task is not None:
            self._tasks.discard(self._task)
        self._task = None
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _poll(self) -> None:
        task = self._task
        if task is None:
            return
        if task.cancelled or (self._bar is not None and self._bar.is_canceled):
            self.cancel()
            return
        latest: Progress | None = None
        begin = time.monotonic()
        while self._task is task:
            try:
                kind, value = task.messages.get_nowait()
            except queue.Empty:
                break
            if isinstance(value, Progress):
                latest = value
            elif kind == "noted":
                self._tell(kind, value)
            else:
                self._end()
                self._tell(kind, value)
                return
            if time.monotonic() - begin > self._budget:
                break
        if latest is not None:
            self._last = (latest, time.monotonic())
            if self._bar is not None:
                self._bar.set_description(f"{task}: {latest.what}")
                self._bar.total = latest.total
                self._bar.update(latest.done - self._bar.n)
        if self._last is not None:
            self._report(*self._last)

    def _tell(self, kind: str, value: Any = None) -> None:
        """Send the signal of that name."""
        if kind == "stopped":
            self.stopped.emit()
        else:
            getattr(self, kind).emit(value)

    def _report(self, event: Progress, at: float) -> None:
        left = event.seconds_left
        if left is None and event.done > 0:
            left = (at - self._started) * (event.total - event.done) / event.done
        if left is not None:
            left = max(0.0, left - (time.monotonic() - at))
        self._tell("progressed", Progress(event.done, event.total, event.what, left))


def activity_bar(what: str) -> cancelable_progress:
    """Make a bar in napari's activity dock."""
    from napari.utils import cancelable_progress

    # tqdm prints; the terminal has no use for a second bar.
    return cancelable_progress(total=0, desc=what, file=io.StringIO())


def once(function: Callable[[], Any]) -> Job[Any]:
    """Make a job without events of a function."""
    yield from ()
    return function()


def _start(task: Task) -> None:
    # Not napari's worker: that one changes the process-wide warning filters while it runs, which
    # two at a time would leave changed, and every small chore would show among napari's tasks.
    QThreadPool.globalInstance().start(task)


class _Guard:
    """Cancels tasks when a runner is destroyed.

    A bound method of the runner would be cut off before that. And what only the connection holds
    may be torn down by the garbage collector just before it is called, which crashes: so each
    guard is also held here.
    """

    _alive: ClassVar[set[_Guard]] = set()

    def __init__(self, tasks: set[Task]) -> None:
        self._tasks = tasks
        self._alive.add(self)

    def __call__(self, _: object = None) -> None:
        """Cancel, and let go."""
        self._alive.discard(self)
        for task in self._tasks:
            task.cancel()
