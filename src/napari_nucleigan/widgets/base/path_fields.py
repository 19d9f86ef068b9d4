"""Path fields: folders to choose, questions for images, and a look into what a form names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QMessageBox, QPushButton, QWidget

from napari_nucleigan.data.images.files import IMAGE_SUFFIXES
from napari_nucleigan.data.slides import SUFFIXES
from napari_nucleigan.widgets.base.fields import menu_button, push_button, row, set_text, small_label
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.preferences import recall, remember

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.base.events import Job

_REST_MS = 300
_PATTERNS = {
    ".csv": "Tables (*.csv)",
    ".json": "JSON (*.json)",
    ".md": "Markdown (*.md)",
    ".parquet": "Parquet (*.parquet)",
    ".png": "Pictures (*.png)",
    ".svg": "Drawings (*.svg)",
}


class FolderField(QWidget):
    """A line for a folder, and a button that looks for one.

    Parameters
    ----------
    tip : str
        What the folder is for.
    what : str
        Whose folder it is.
    """

    changed = Signal()

    def __init__(self, tip: str, what: str = "the data set") -> None:
        super().__init__()
        self._what = what
        self.line = QLineEdit()
        self.line.setPlaceholderText("Choose a folder")
        self.browse = push_button("Browse", "Look for the folder.")
        for part in (self, self.line):
            part.setToolTip(tip)
        self.setLayout(row(self.line, self.browse))
        self.line.textChanged.connect(lambda _: self.changed.emit())
        self.browse.clicked.connect(self._browse)

    @property
    def path(self) -> Path | None:
        """The folder; None where none is given."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    def problem(self) -> str:
        """Why it cannot be written to; empty where it can, as far as can be told."""
        path = self.path
        if path is None:
            return f"Choose the folder of {self._what}: it may be a new one."
        if not path.is_absolute():
            return "Give the whole path of the folder, or look for it with Browse."
        return f"{path} is a file: choose a folder." if path.is_file() else ""

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, f"Folder of {self._what}", self.line.text())
        if folder:
            self.line.setText(folder)


class ClassifierField(FolderField):
    """A line for the file of a classifier, which may be left empty, and a button that looks for one."""

    def __init__(self, tip: str) -> None:
        super().__init__(tip, "the classifier")
        self.line.setPlaceholderText("none")
        self.line.setClearButtonEnabled(True)
        self.browse.setToolTip("Look for the file.")

    def problem(self) -> str:
        """Why it cannot be read; empty where it can, as far as can be told, or where there is none."""
        path = self.path
        if path is None or (path.is_absolute() and path.is_file()):
            return ""
        return f"There is no classifier {path}: look for its file with Browse, or leave Classifier empty."

    def _browse(self) -> None:
        if path := ask_classifier(self):
            self.line.setText(path)


class DebouncedCheck(QObject):
    """Looks into what a form names, a moment after its last change, and says what is there.

    Parameters
    ----------
    form : QWidget
        The form; its signal ``changed`` tells that something is known, or no more.
    make : callable
        Makes the job; None where there is nothing to look into yet.
    what : str
        What it does, for people.
    describe : callable
        Writes what the job returned, for people.

    Attributes
    ----------
    remark : QLabel
        Where that is said.
    found : object
        What the job returned; None while it is not known.
    fault : str
        Why it failed; empty where it did not.
    """

    seen = Signal(object)
    """What the job returned."""

    def __init__(
        self, form: QWidget, make: Callable[[], Job[Any] | None], what: str, describe: Callable[[Any], str]
    ) -> None:
        super().__init__(form)
        self.remark = small_label()
        self.found: Any = None
        self.fault = ""
        self._form: Any = form
        self._make, self._what, self._describe = make, what, describe
        self._rest = QTimer(self, singleShot=True, interval=_REST_MS)
        self._runner = Runner(self)
        self._rest.timeout.connect(self._look)
        self._runner.finished.connect(self._seen)
        self._runner.failed.connect(self._failed)

    def look(self) -> None:
        """Forget what was found, and look again."""
        self.cancel()
        self.found, self.fault = None, ""
        set_text(self.remark, "")
        self._rest.start()
        self._form.changed.emit()

    def cancel(self) -> None:
        """Stop looking."""
        self._rest.stop()
        self._runner.cancel()

    def _look(self) -> None:
        if (job := self._make()) is not None:
            self._runner.start(job, self._what)

    def _seen(self, found: object) -> None:
        self.found = found
        set_text(self.remark, self._describe(found))
        self.seen.emit(found)
        self._form.changed.emit()

    def _failed(self, error: NucleiganError) -> None:
        self.fault = str(error)
        self._form.changed.emit()


def ask_file(parent: QWidget, memory: str, name: str, title: str = "Save") -> Path | None:
    """Ask where a file is to be saved; None where it is not.

    Parameters
    ----------
    parent : QWidget
        The widget that asks.
    memory : str
        Under which word the folder is remembered for the next time.
    name : str
        Name of the file that is proposed.
    title : str
        Title of the question.
    """
    start = Path(recall(memory, "")) / name
    chosen, _ = QFileDialog.getSaveFileName(parent, title, str(start), _PATTERNS[start.suffix])
    if not chosen:
        return None
    remember(memory, str(Path(chosen).parent))
    return Path(chosen)


def ask_classifier(parent: QWidget) -> str:
    """Ask for the file of a classifier; empty where none is chosen."""
    return ask_to_open(parent, "classify", "Open a classifier", "Classifiers (*.safetensors)")


def ask_to_open(parent: QWidget, memory: str, title: str, pattern: str) -> str:
    """Ask for a file to read, and remember its folder under a word; empty where none is chosen."""
    path, _ = QFileDialog.getOpenFileName(parent, title, recall(memory, ""), pattern)
    if path:
        remember(memory, str(Path(path).parent))
    return str(path)


def confirm(parent: QWidget, title: str, question: str, answer: str) -> bool:
    """Ask before something is lost; `answer` is what the button that does it says."""
    box = QMessageBox(QMessageBox.Icon.Warning, title, question, QMessageBox.StandardButton.Cancel, parent)
    button = box.addButton(answer, QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    return box.clickedButton() is button


def images_button(
    text: str, tip: str, parent: QWidget, chosen: Callable[[list[str]], object], folder_first: bool = False
) -> QPushButton:
    """Make a button that asks for H&E images, or for a folder of them, and hands over what was chosen."""

    def ask_files() -> None:
        patterns = " ".join(f"*{suffix}" for suffix in (*IMAGE_SUFFIXES, *SUFFIXES))
        title, names = "Open H&E images", f"Images ({patterns});;All files (*)"
        if files := QFileDialog.getOpenFileNames(parent, title, recall("folder", ""), names)[0]:
            chosen(list(files))

    def ask_folder() -> None:
        title = "Open a folder of H&E images"
        if folder := QFileDialog.getExistingDirectory(parent, title, recall("folder", "")):
            chosen([str(folder)])

    asks = {"Files…": ask_files, "Folder…": ask_folder}
    return menu_button(text, tip, dict(sorted(asks.items(), reverse=folder_first)))
