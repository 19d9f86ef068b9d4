"""Report view: the report on two folders, overall, by organ and image, and what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QListWidget,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_nucleigan.evaluation import AVERAGED
from napari_nucleigan.evaluation.report import figure_text
from napari_nucleigan.metrics.scores import DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_nucleigan.evaluation import Group, Interval, Report

IMAGE_COLUMNS = (
    *("aji", "aji_plus", "pq", "f1", "precision", "recall", "dice"),
    *("average_hausdorff_penalised", "average_hausdorff", "n_truth", "n_pred"),
)
_NAME = 120  # pixels of the first column of the tree
_VALUE, _IMAGE = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
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
        self.images = _image_tree()
        self.left_out = QListWidget()
        self.left_out.setWordWrap(True)
        self.left_out.setToolTip("What was not compared, and so counts in no figure.")
        self.tabs = QTabWidget()
        for part, title, tip in (
            (self.overall, "Overall", "Averages over all images."),
            (self.images, "Images", "Organs and their images; a click on a heading sorts, a double click opens."),
            (self.left_out, "Left out", "What was not compared, and why."),
        ):
            self.tabs.addTab(part, title)
            self.tabs.setTabToolTip(self.tabs.count() - 1, tip)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)
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
        line = table.fontMetrics().height()
        table.verticalHeader().setDefaultSectionSize((2 * line if intervals else line) + 6)
        for row, name in enumerate(AVERAGED):
            for column, (values, found) in enumerate(columns, start=1):
                item = table.item(row, column)
                assert item is not None
                text, interval = figure_text(name, values.get(name)), found.get(name)
                item.setText(f"{text}\n{figure_text(name, interval)}" if interval else text)
                item.setToolTip(DEFINITIONS[name].text)
                if interval is not None and group is not None:
                    tip = f"Below it the {group.bootstrap.level:.0%} interval: {_INTERVAL}".replace("%", " %")
                    item.setToolTip(f"{DEFINITIONS[name].text}\n{tip}")

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
        for column, key in enumerate(IMAGE_COLUMNS, start=1):
            value = values.get(key)
            self.setText(column, figure_text(key, value))
            self.setData(column, _VALUE, value)
            self.setTextAlignment(column, _RIGHT)

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
    for column, name in enumerate(("", *IMAGE_COLUMNS)):
        item.setFont(column, font)
        interval = group.mean_intervals.get(name)
        if interval is not None:
            item.setToolTip(column, f"{_MEAN} {group.bootstrap.level:.0%} interval: {figure_text(name, interval)}")
    item.setToolTip(0, f"{len(group.images)} images. {_MEAN}")
    return item


def _overall_table() -> QTableWidget:
    table = QTableWidget(len(AVERAGED), 3)
    for row, name in enumerate(AVERAGED):
        definition = DEFINITIONS[name]
        for column in range(3):
            unit = f" ({definition.unit})" if definition.unit else ""
            item = QTableWidgetItem("" if column else f"{definition.heading}{unit}")
            item.setToolTip(definition.text)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            if column:
                item.setTextAlignment(_RIGHT)
            table.setItem(row, column, item)
    for column, (title, tip) in enumerate((("", ""), ("Mean over images", _MEAN), ("All nuclei pooled", _POOLED))):
        header = QTableWidgetItem(title)
        header.setToolTip(tip)
        table.setHorizontalHeaderItem(column, header)
    table.verticalHeader().hide()
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    resize = QHeaderView.ResizeMode
    for column in range(3):
        table.horizontalHeader().setSectionResizeMode(column, resize.Stretch if column else resize.ResizeToContents)
    table.horizontalHeader().setHighlightSections(False)
    table.setMinimumHeight(140)
    return table


def _image_tree() -> QTreeWidget:
    tree = QTreeWidget()
    tree.setHeaderLabels(["Name", *(DEFINITIONS[name].heading for name in IMAGE_COLUMNS)])
    for column, name in enumerate(IMAGE_COLUMNS, start=1):
        header = tree.headerItem()
        assert header is not None
        header.setToolTip(column, DEFINITIONS[name].text)
        header.setTextAlignment(column, _RIGHT)
    tree.setUniformRowHeights(True)
    tree.setIndentation(12)
    tree.setStyleSheet("QTreeWidget::item { padding: 2px; }")
    tree.header().setStretchLastSection(False)
    tree.header().setMinimumSectionSize(30)
    tree.header().resizeSection(0, _NAME)
    for column in range(1, len(IMAGE_COLUMNS) + 1):
        tree.header().setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
    tree.setMinimumHeight(140)
    tree.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    return tree
