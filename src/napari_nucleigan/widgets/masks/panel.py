"""The view of the Masks widget: its forms in tabs, what is below them, and nothing that acts."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QProgressBar, QPushButton, QScrollArea, QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from napari_nucleigan.widgets.base.fields import add_row, combo, form_layout, row, small_label, spin, warning_style
from napari_nucleigan.widgets.masks.forms import CanvasForm, EditForm
from napari_nucleigan.widgets.masks.histogram import SizeHistogram
from napari_nucleigan.widgets.masks.sampler_form import FillForm

CANVAS, FILL, EDIT = range(3)
"""Positions of the tabs."""


class MaskPanel(QWidget):
    """All fields of the Masks widget."""

    def __init__(self) -> None:
        super().__init__()
        self.choice = combo({}, "The mask to work on: a Labels layer with a number for each nucleus.")
        self.mpp = spin(20.0, 0.01, 4, "not known", " µm", "Side of a pixel of the mask in microns.")
        self.mpp_source = small_label()
        self.tabs = QTabWidget()
        self.canvas_form, self.fill_form, self.edit_form = CanvasForm(), FillForm(), EditForm()
        self.undo_button, self.redo_button = QPushButton("Undo"), QPushButton("Redo")
        self.progress = QProgressBar()
        self.cancel_button = QPushButton("Cancel")
        self.histogram = SizeHistogram()
        self.remark, self.notes = small_label(), small_label()
        self._build()
        self.show_running(False)

    def set_theme(self, name: str) -> None:
        """Use the colours of a napari theme."""
        from napari.utils.theme import get_theme

        theme = get_theme(name)
        self.histogram.set_theme(theme.text.as_hex())
        style = warning_style(name)
        labels = (self.mpp_source, self.canvas_form.problem_label, self.fill_form.problem_label, self.remark)
        for label in labels:
            label.setStyleSheet(style)

    def show_running(self, running: bool) -> None:
        """Show the progress bar and Cancel, or not."""
        self.progress.setVisible(running)
        self.cancel_button.setVisible(running)

    def _build(self) -> None:
        top = QWidget()
        form = form_layout(top)
        add_row(form, "Mask", self.choice)
        add_row(form, "Pixel size", self.mpp)
        form.addRow(self.mpp_source)
        for name, part in (("Canvas", self.canvas_form), ("Fill", self.fill_form), ("Draw and edit", self.edit_form)):
            scroll = QScrollArea()
            scroll.setWidgetResizable(True)
            scroll.setFrameShape(QFrame.Shape.NoFrame)
            scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            scroll.setWidget(part)
            self.tabs.addTab(scroll, name)
        self.undo_button.setToolTip(
            "Take back the last stroke, fill, edit or polygon of the mask (Ctrl-Z in its layers)."
        )
        self.redo_button.setToolTip("Do again what was taken back; Ctrl-Shift-Z in its layers.")
        self.cancel_button.setToolTip("Stop at once. The mask stays as it is.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(5)
        layout.addWidget(top)
        layout.addWidget(self.tabs, 1)
        buttons = row(self.undo_button, self.redo_button)
        buttons.setStretch(1, 1)
        layout.addLayout(buttons)
        layout.addLayout(row(self.progress, self.cancel_button))
        for part in (self.notes, self.remark, self.histogram):
            layout.addWidget(part)
        self.setMinimumWidth(360)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
