"""The Evaluate widget: predicted nuclei against true ones, of two layers or of two folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from napari_nucleigan.widgets.base.fields import scrolled
from napari_nucleigan.widgets.evaluate.folders import EvaluateFolders
from napari_nucleigan.widgets.evaluate.layers import EvaluateLayers

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer


class EvaluateWidget(QWidget):
    """Measure how well nuclei were segmented, and see it on the image.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer whose layers are compared.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.layers = EvaluateLayers(napari_viewer)
        self.folders = EvaluateFolders(napari_viewer)
        self.tabs = QTabWidget()
        self._build()
        self.folders.opened.connect(self._opened)
        self._viewer.events.theme.connect(self._theme)
        # A docked widget never sees a close event; `event` below and this are what there is.
        app = QApplication.instance()
        assert app is not None
        app.aboutToQuit.connect(self._shut_down)
        self._theme()
        self.layers.attach()

    def reset_choices(self, event: object = None) -> None:
        """List the layers anew; napari calls this when layers come, go or are renamed."""
        self.layers.reset_choices()

    def event(self, event: QEvent) -> bool:
        """Stop all work when the widget leaves its window."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self._shut_down()
            else:
                self.layers.attach()
        return bool(super().event(event))

    def _build(self) -> None:
        for page, title, tip in (
            (self.layers, "Layers", "Compare two Labels layers, on the image."),
            (self.folders, "Folders", "Compare all predictions of a folder with their truth."),
        ):
            self.tabs.addTab(scrolled(page), title)
            self.tabs.setTabToolTip(self.tabs.count() - 1, tip)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.tabs)
        self.setMinimumWidth(340)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _shut_down(self) -> None:
        self.layers.shut_down()
        self.folders.shut_down()

    def _opened(self, pred: Labels, truth: Labels) -> None:
        """Show an image of the folders on the page of layers."""
        self.tabs.setCurrentIndex(0)
        self.layers.compare(pred, truth)

    def _theme(self, event: object = None) -> None:
        for page in (self.layers, self.folders):
            page.set_theme(self._viewer.theme)
