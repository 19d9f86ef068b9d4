"""Dock: what every widget of this plugin shares: its place in a window, its jobs, and how it tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from napari.settings import get_settings
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QEvent, QSize, QTimer, Signal
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QMainWindow,
    QSizePolicy,
    QWidget,
)

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import Note
from napari_nucleigan.widgets.base.canvas import guard_canvas
from napari_nucleigan.widgets.base.fields import NO_MARGINS, column, warning_style
from napari_nucleigan.widgets.base.path_fields import ask_file
from napari_nucleigan.widgets.base.preferences import preferences

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.viewer import Viewer
    from qtpy.QtWidgets import QTabWidget

    from napari_nucleigan.base.events import Progress
    from napari_nucleigan.widgets.base.run_bar import RunBar


_FORGOTTEN = "QLineEdit, QToolButton, QAbstractItemView, QHeaderView::section"  # by the font of napari's style
_USUAL_WIDTH = 340


class Jobs(Protocol):
    """A runner, or what has one."""

    @property
    def running(self) -> bool:
        """Whether a job is on its way."""

    def cancel(self) -> None:
        """Stop what is running."""


class Page(QWidget):
    """A part of a dock that runs jobs, and tells of them in its `bar`."""

    failed = Signal(object)
    """Something went wrong: a `NucleiganError`, already shown to the user."""
    saved = Signal(object)
    """Path of a file that was written."""

    bar: RunBar
    pops_up: ClassVar[bool] = False
    """Whether warnings of jobs show as notifications, too."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: list[Jobs] = []
        self._quiet: list[Jobs] = []
        self._timers: list[QTimer] = []
        self._pages: list[Page] = []

    @property
    def running(self) -> bool:
        """Whether a job is on its way of which the bar tells."""
        return any(job.running for job in self._jobs)

    def cancel(self) -> None:
        """Stop what is running; what is done stays."""
        for job in self._jobs:
            job.cancel()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        self.bar.problem.setStyleSheet(warning_style(theme))
        for page in self._pages:
            page.set_theme(theme)

    def shut_down(self) -> None:
        """Stop all work and let go of the viewer; the layers that were made stay."""
        for timer in self._timers:
            timer.stop()
        for job in (*self._jobs, *self._quiet):
            job.cancel()
        for page in self._pages:
            page.shut_down()

    def _add_page(self, page: Page) -> None:
        """Take a page as a part: it follows the theme, ends with this one, and its failures are told as this one's."""
        self._pages.append(page)
        page.failed.connect(self.failed.emit)

    def _wire(
        self,
        source: Any,
        finished: Callable[..., object] | None = None,
        *,
        failed: Callable[..., object] | None = None,
        stopped: Callable[..., object] | None = None,
        quiet: bool = False,
    ) -> None:
        """Tell of the jobs of a runner, and cancel them when the dock leaves its window.

        Parameters
        ----------
        source : Jobs
            A `Runner`, or what passes its signals on.
        finished, failed, stopped : callable, optional
            What is done then; by default a failure and a stop are told.
        quiet : bool
            Whether only failures are told, and `cancel` leaves it alone.
        """
        (self._quiet if quiet else self._jobs).append(source)
        calls = {"finished": finished, "failed": failed or self._failed, "stopped": stopped}
        if not quiet:
            calls |= {"progressed": self._progressed, "noted": self._noted, "stopped": stopped or self._stopped}
        for name, call in calls.items():
            if call is not None and hasattr(source, name):
                getattr(source, name).connect(call)

    def _after(self, rest_ms: int, call: Callable[[], object]) -> QTimer:
        """Make a timer that calls once, some milliseconds after it was last started; it ends with the dock."""
        timer = QTimer(self, singleShot=True, interval=rest_ms)
        timer.timeout.connect(call)
        self._timers.append(timer)
        return timer

    def _update(self) -> None:
        """Enable what can be used now."""

    def _progressed(self, event: Progress) -> None:
        self.bar.show_progress(event)

    def _say(self, text: str) -> None:
        self.bar.note(text)

    def _noted(self, event: object) -> None:
        if isinstance(event, Note):
            self._say(event.text)
            if self.pops_up and event.level == "warning":
                show_warning(event.text)

    def _stopped(self) -> None:
        self._say("Cancelled.")
        self._update()

    def _failed(self, error: NucleiganError) -> None:
        self._say(str(error))
        self._complain(error)

    def _complain(self, error: NucleiganError) -> None:
        """Tell of an error that is not one of the run."""
        self._update()
        show_error(str(error))
        self.failed.emit(error)

    def _save(self, memory: str, name: str, save: Callable[[Path], object]) -> None:
        """Ask for a file, write it, and say so.

        Parameters
        ----------
        memory : str
            Under which word the folder is remembered for the next time.
        name : str
            Name of the file that is proposed.
        save : callable
            Writes the file; its `NucleiganError` is shown.
        """
        path = ask_file(self, memory, name)
        if path is None:
            return
        try:
            save(path)
        except NucleiganError as error:
            self._complain(error)
            return
        show_info(f"Saved {path}.")
        self.saved.emit(path)


class Dock(Page):
    """A widget that napari docks into its window.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer whose window it is.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._preferences = preferences()
        # A tab that was just added is not laid out yet.
        self._raise = self._after(0, lambda: self.parent().raise_())
        napari_viewer.events.theme.connect(self._theme)
        self._appearance = get_settings().appearance
        self._appearance.events.font_size.connect(self._scale_font)
        self._scale_font()
        # A docked widget never sees a close event; `event` below and this are what there is.
        app = QApplication.instance()
        assert app is not None
        app.aboutToQuit.connect(self.shut_down)

    def event(self, event: QEvent) -> bool:
        """Stop all work when the widget leaves its window, and begin again in another."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self.shut_down()
            else:
                self._docked()
                if isinstance(frame := self.parent(), QDockWidget):
                    # It is in no window yet. Once it is, the user may put it anywhere.
                    frame.dockLocationChanged.connect(self._join)
        elif event.type() == QEvent.Type.Show:
            # Only now is it in the window, and only a window that shows is painted.
            guard_canvas(self._viewer, self)
        return bool(super().event(event))

    def _docked(self) -> None:
        """Begin: the widget was put into a window."""

    def _join(self) -> None:
        """Lie as a tab before the docks of this plugin: below one another, each would have a part of the height."""
        frame = self.parent()
        frame.dockLocationChanged.disconnect(self._join)
        window = frame.parent()
        if not isinstance(window, QMainWindow):
            return
        area = window.dockWidgetArea(frame)
        for other in reversed(window.findChildren(QDockWidget)):
            ours = other is not frame and isinstance(other.widget(), Dock)
            if ours and not other.isFloating() and window.dockWidgetArea(other) == area:
                window.tabifyDockWidget(other, frame)
                self._raise.start()
                return

    def _theme(self, event: object = None) -> None:
        self.set_theme(self._viewer.theme)

    def _scale_font(self, event: object = None) -> None:
        """Let what napari's style forgets follow its font, too."""
        self.setStyleSheet(f"{_FORGOTTEN} {{ font-size: {self._appearance.font_size}pt; }}")

    def sizeHint(self) -> QSize:
        """Ask for what the contents need, and not for less than looks well."""
        return super().sizeHint().expandedTo(QSize(_USUAL_WIDTH, 0))

    def _fill(self, content: QWidget) -> None:
        """Show a widget on all of the dock."""
        column(content, inside=self, margins=NO_MARGINS, tall=content)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)


class ModelDock(Dock):
    """A dock whose `form` chooses a model, and whose `bar` runs it.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer whose window it is.
    """

    ready = Signal()
    """Models and devices are listed."""

    form: Any

    def add_model_file(self, path: str | Path) -> None:
        """Add a model file to the list, and choose it."""
        self.form.picker.add(path)

    def run(self) -> None:
        """Do what the form says."""
        raise NotImplementedError

    def _docked(self) -> None:
        self.form.picker.look()

    def _connect_model(self, failed: Callable[..., object] | None = None) -> None:
        """Let the buttons of the bar run and cancel, and tell of the models; `failed` as in `_wire`."""
        self.form.picker.ready.connect(self.ready)
        self.bar.run_clicked.connect(self.run)
        self.bar.cancel_clicked.connect(self.cancel)
        self._wire(self.form.picker, failed=failed, quiet=True)


def add_tabs(tabs: QTabWidget, *pages: tuple[QWidget, str, str]) -> None:
    """Add pages, each with its title and its tooltip."""
    for page, title, tip in pages:
        tabs.setTabToolTip(tabs.addTab(page, title), tip)
