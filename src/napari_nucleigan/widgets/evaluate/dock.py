"""The Evaluate widget: predicted nuclei against true ones, of two layers or of two folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QTabWidget

from napari_nucleigan.widgets.base.dock import Dock, add_tabs
from napari_nucleigan.widgets.base.fields import scrolled
from napari_nucleigan.widgets.evaluate.folders import EvaluateFolders
from napari_nucleigan.widgets.evaluate.layers import EvaluateLayers

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer


class EvaluateWidget(Dock):
    """Measure how well nuclei were segmented, and see it on the image.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer whose layers are compared.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.layers = EvaluateLayers(napari_viewer)
        self.folders = EvaluateFolders(napari_viewer)
        self.tabs = QTabWidget()
        add_tabs(
            self.tabs,
            (scrolled(self.layers), "Layers", "Compare two Labels layers, on the image."),
            (scrolled(self.folders), "Folders", "Compare all predictions of a folder with their truth."),
        )
        self._fill(self.tabs)
        for page in (self.layers, self.folders):
            self._add_page(page)
        self.folders.opened.connect(self._opened)
        self._theme()
        self._docked()

    def reset_choices(self, event: object = None) -> None:
        """List the layers again; napari calls this when layers come, go or are renamed."""
        self.layers.reset_choices()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        for page in (self.layers, self.folders):
            page.set_theme(theme)

    def _docked(self) -> None:
        self.layers.attach()

    def _opened(self, pred: Labels, truth: Labels) -> None:
        """Show an image of the folders on the page of layers."""
        self.tabs.setCurrentIndex(0)
        self.layers.compare(pred, truth)
