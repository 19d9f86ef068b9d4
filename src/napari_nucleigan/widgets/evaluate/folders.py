"""Folders page of the Evaluate widget: two folders compared, and the report on them: overall, by organ and image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QListWidget,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_nucleigan.base.files import write_text
from napari_nucleigan.evaluation import AVERAGED, evaluate_folders
from napari_nucleigan.evaluation.report import figure_text
from napari_nucleigan.metrics.scores import DEFINITIONS
from napari_nucleigan.widgets.base.dock import Page, add_tabs
from napari_nucleigan.widgets.base.fields import NO_MARGINS, column, menu_button, push_button, set_text
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import add_once
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.base.scrolling import pinned
from napari_nucleigan.widgets.base.tables import RowHeight
from napari_nucleigan.widgets.evaluate.form import FolderForm
from napari_nucleigan.widgets.evaluate.jobs import read_pair
from napari_nucleigan.widgets.evaluate.table import RIGHT, cell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.viewer import Viewer

    from napari_nucleigan.contributions.layers import LayerData
    from napari_nucleigan.evaluation import Group, Interval, Report
    from napari_nucleigan.widgets.evaluate.jobs import FolderPair

IMAGE_COLUMNS = (
    *("aji", "aji_plus", "pq", "f1", "precision", "recall", "dice"),
    *("average_hausdorff_penalised", "average_hausdorff", "n_truth", "n_pred"),
)
_NAME = 120  # pixels of the first column of the tree
_VALUE, _IMAGE = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1
_MEAN = "Mean over images: each image weighs the same."
_INTERVAL = "so far chance may take it with other images of this kind (bootstrap over images)."
_POOLED = "All nuclei as if they lay in one image: each nucleus weighs the same."


class ReportView(QWidget):
    """Pages of a report."""

    opened = Signal(str)
    """Name of an image that the user wants to see."""

    def __init__(self) -> None:
        super().__init__()
        self.overall = _overall_table()
        self._rows = RowHeight(self.overall)
        self.images = _image_tree()
        self.left_out = QListWidget()
        self.left_out.setWordWrap(True)
        self.left_out.setToolTip("What was not compared, and so counts in no figure.")
        self.tabs = QTabWidget()
        add_tabs(
            self.tabs,
            (self.overall, "Overall", "Averages over all images."),
            (self.images, "Images", "Organs and their images; a click on a heading sorts, a double click opens."),
            (self.left_out, "Left out", "What was not compared, and why."),
        )
        column(self.tabs, inside=self, margins=NO_MARGINS, tall=self.tabs)
        self.images.itemDoubleClicked.connect(lambda item, _: self._open(item))
        self.show_report(None)

    @property
    def image(self) -> str | None:
        """Name of the image that is chosen in the list."""
        item = self.images.currentItem()
        return item.data(0, _IMAGE) if item is not None and item.isSelected() else None

    def choose(self, name: str) -> None:
        """Choose an image in the list."""
        for item in self.images.findItems(name, Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchRecursive):
            if item.data(0, _IMAGE) == name:
                self.images.setCurrentItem(item)

    def show_report(self, report: Report | None) -> None:
        """Show a report, or dashes."""
        self._show_overall(report)
        self._show_images(report)
        self.left_out.clear()
        if report is not None:
            self.left_out.addItems([f"{name}: no prediction" for name in report.missing])
            self.left_out.addItems([f"{name}: no true labels" for name in report.extra])
            self.left_out.addItems([f"{bad.name}: {bad.reason}" for bad in report.failed])
        count = self.left_out.count()
        self.tabs.setTabText(2, f"Left out ({count})" if count else "Left out")

    def _show_overall(self, report: Report | None) -> None:
        table, group = self.overall, report.overall if report is not None else None
        columns: tuple[tuple[Mapping[str, Any], Mapping[str, Interval | None]], ...] = (({}, {}),) * 2
        if group is not None:
            columns = (group.mean, group.mean_intervals), (group.pooled.to_json(), group.pooled_intervals)
        intervals = any(interval for _, found in columns for interval in found.values())
        self._rows.set_lines(2 if intervals else 1)
        for row, name in enumerate(AVERAGED):
            for at, (values, found) in enumerate(columns, start=1):
                text, interval, tip = figure_text(name, values.get(name)), found.get(name), DEFINITIONS[name].text
                if interval is not None and group is not None:
                    text += f"\n{figure_text(name, interval)}"
                    level = f"{group.bootstrap.level:.0%}".replace("%", " %")
                    tip += f"\nBelow it the {level} interval: {_INTERVAL}"
                table.setItem(row, at, cell(text, tip, RIGHT))

    def _show_images(self, report: Report | None) -> None:
        tree = self.images
        tree.setSortingEnabled(False)
        tree.clear()
        if report is None:
            return
        parents: dict[str, QTreeWidgetItem] = {}
        for group in report.groups:
            parents[group.name] = _group_item(group)
            tree.addTopLevelItem(parents[group.name])
            parents[group.name].setExpanded(True)
        for group in report.groups or (report.overall,):
            for image in group.images:
                item = _Row()
                item.fill(image.name, image.scores.to_json())
                item.setToolTip(0, image.name)
                item.setData(0, _IMAGE, image.name)
                if group.name in parents:
                    parents[group.name].addChild(item)
                else:
                    tree.addTopLevelItem(item)
        tree.setRootIsDecorated(bool(parents))
        tree.setSortingEnabled(True)

    def _open(self, item: QTreeWidgetItem) -> None:
        name = item.data(0, _IMAGE)
        if name:
            self.opened.emit(name)


class _Row(QTreeWidgetItem):
    """A row that sorts by its numbers; where there is none it comes first."""

    def fill(self, name: str, values: Mapping[str, float | int | None]) -> None:
        self.setText(0, name)
        for at, key in enumerate(IMAGE_COLUMNS, start=1):
            value = values.get(key)
            self.setText(at, figure_text(key, value))
            self.setData(at, _VALUE, value)
            self.setTextAlignment(at, RIGHT)

    def __lt__(self, other: QTreeWidgetItem) -> bool:
        tree = self.treeWidget()
        column = tree.sortColumn() if tree is not None else 0
        if column == 0:
            return self.text(0) < other.text(0)
        mine, its = self.data(column, _VALUE), other.data(column, _VALUE)
        return (mine is not None, mine or 0.0) < (its is not None, its or 0.0)


def _group_item(group: Group) -> QTreeWidgetItem:
    item = _Row()
    item.fill(f"{group.name} ({len(group.images)})", {**group.mean, "n_truth": group.n_truth, "n_pred": group.n_pred})
    font = item.font(0)
    font.setBold(True)
    for at, name in enumerate(("", *IMAGE_COLUMNS)):
        item.setFont(at, font)
        interval = group.mean_intervals.get(name)
        if interval is not None:
            item.setToolTip(at, f"{_MEAN} {group.bootstrap.level:.0%} interval: {figure_text(name, interval)}")
    item.setToolTip(0, f"{len(group.images)} images. {_MEAN}")
    return item


def _overall_table() -> QTableWidget:
    table = QTableWidget(len(AVERAGED), 3)
    for row, name in enumerate(AVERAGED):
        definition = DEFINITIONS[name]
        unit = f" ({definition.unit})" if definition.unit else ""
        table.setItem(row, 0, cell(f"{definition.heading}{unit}", definition.text))
    for at, (title, tip) in enumerate((("", ""), ("Mean over images", _MEAN), ("All nuclei pooled", _POOLED))):
        header = QTableWidgetItem(title)
        header.setToolTip(tip)
        table.setHorizontalHeaderItem(at, header)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    resize = QHeaderView.ResizeMode
    for at in range(3):
        table.horizontalHeader().setSectionResizeMode(at, resize.Stretch if at else resize.ResizeToContents)
    table.horizontalHeader().setHighlightSections(False)
    table.setMinimumHeight(140)
    return table


def _image_tree() -> QTreeWidget:
    tree = QTreeWidget()
    tree.setHeaderLabels(["Name", *(DEFINITIONS[name].heading for name in IMAGE_COLUMNS)])
    for at, name in enumerate(IMAGE_COLUMNS, start=1):
        header = tree.headerItem()
        assert header is not None
        header.setToolTip(at, DEFINITIONS[name].text)
        header.setTextAlignment(at, RIGHT)
    tree.setUniformRowHeights(True)
    tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    tree.setIndentation(12)
    tree.setStyleSheet("QTreeWidget::item { padding: 2px; }")
    tree.header().setStretchLastSection(False)
    tree.header().setMinimumSectionSize(30)
    tree.header().resizeSection(0, _NAME)
    for at in range(1, len(IMAGE_COLUMNS) + 1):
        tree.header().setSectionResizeMode(at, QHeaderView.ResizeMode.ResizeToContents)
    tree.setMinimumHeight(140)
    tree.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    return tree


class EvaluateFolders(Page):
    """Compare the predictions of a whole folder with the truth.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where images are opened.
    """

    reported = Signal(object)
    """A new `Report` is shown."""
    opened = Signal(object, object)
    """The layers of a prediction and of its truth, that were opened."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._report: Report | None = None
        self._compared: FolderPair | None = None
        self.form = FolderForm()
        self.bar = RunBar("Compare the files of equal names, in processes of their own.")
        self.view = ReportView()
        self.copy_button = push_button("Copy", "Copy the table, as rows that a spreadsheet takes.")
        self.open_button = push_button(
            "Open", "Open the image that is chosen in the list: its labels and, from a data set, itself."
        )
        self.export_button = menu_button(
            "Export",
            "Save the report.",
            {
                "Everything (CSV)…": lambda: self._ask("evaluation.csv", lambda report: report.to_csv()),
                "Everything (JSON)…": lambda: self._ask("evaluation.json", _json),
                "Table (Markdown)…": lambda: self._ask(
                    "evaluation.md", lambda report: report.to_markdown(_kind(report))
                ),
            },
        )
        self._runner = Runner(self, activity=True)
        self._opener = Runner(self)
        self._build()
        self._connect()
        self._update()

    @property
    def report(self) -> Report | None:
        """What is shown; None where nothing has been compared."""
        return self._report

    def run(self) -> None:
        """Compare the two folders of the form."""
        found = self.form.found
        if self.running or found is None or self.form.problem():
            return
        self._show(None)
        self._compared = found
        self.form.remember()
        self.bar.begin()
        job = evaluate_folders(found.pred, found.truth, split=found.split, iou=self.form.iou.value())
        self._runner.start(job, f"comparing {found.pred.name} with {found.truth.name}")
        self._update()

    def open_image(self, name: str) -> None:
        """Open an image of the report: its labels as layers, and the image itself where there is one."""
        pairs = {pair.name: pair for pair in self._compared.pairing.pairs} if self._compared is not None else {}
        if name in pairs:
            self._opener.start(read_pair(pairs[name]), f"opening {name}")

    def copy(self) -> None:
        """Put the table onto the clipboard, as rows that a spreadsheet takes."""
        if self._report is not None:
            header, rows = self._report.table(_kind(self._report))
            QGuiApplication.clipboard().setText("\n".join("\t".join(row) for row in (header, *rows)))

    def shut_down(self) -> None:
        """Stop all work."""
        super().shut_down()
        self.form.cancel()

    def _build(self) -> None:
        self.bar.run_button.setText("Compare")
        self.bar.cancel_button.setToolTip("Stop at once.")
        buttons = QHBoxLayout()
        for button in (self.copy_button, self.export_button, self.open_button):
            buttons.addWidget(button)
        pinned(column(self.form, self.view, buttons, tall=self.view), self.bar, inside=self)

    def _connect(self) -> None:
        self.form.changed.connect(self._update)
        self.bar.run_clicked.connect(self.run)
        self.bar.cancel_clicked.connect(self.cancel)
        self.copy_button.clicked.connect(self.copy)
        self.open_button.clicked.connect(lambda: self.open_image(self.view.image or ""))
        self.view.opened.connect(self.open_image)
        self.view.images.itemSelectionChanged.connect(self._update)
        self._wire(self._runner, self._finished)
        self._wire(self._opener, self._add_layers, failed=self._complain, quiet=True)

    def _finished(self, report: Report) -> None:
        self._show(report)
        left_out = len(report.missing) + len(report.extra) + len(report.failed)
        if left_out:
            self.bar.note(f"{left_out} left out of all figures; see the last page.")
        self.reported.emit(report)

    def _show(self, report: Report | None) -> None:
        self._report = report
        self.view.show_report(report)
        text = ""
        if report is not None:
            count = len(report.images)
            text = (
                f"{count} image{'' if count == 1 else 's'} · AJI {report.mean['aji']:.3f} · F1 {report.mean['f1']:.3f}"
            )
        set_text(self.bar.figures, text)
        self._update()

    def _update(self) -> None:
        self.form.setEnabled(not self.running)
        self.bar.set_state(self.running, "" if self.running else self.form.problem())
        for button in (self.copy_button, self.export_button):
            button.setEnabled(self._report is not None)
        self.open_button.setEnabled(self.view.image is not None)

    def _add_layers(self, made: list[LayerData]) -> None:
        """Add layers that are not open yet, and show where they are."""
        *_, truth, pred = add_once(self._viewer, made)
        self._viewer.reset_view()
        self.opened.emit(pred, truth)

    def _ask(self, name: str, write: Callable[[Report], str]) -> None:
        if (report := self._report) is not None:
            self._save("evaluations", name, lambda path: write_text(path, write(report)))


def _json(report: Report) -> str:
    return json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n"


def _markdown(report: Report) -> str:
    return report.to_markdown(_kind(report))


def _kind(report: Report) -> str:
    """Rows of the table: organs, or images where none is known."""
    return "organ" if report.groups else "image"
