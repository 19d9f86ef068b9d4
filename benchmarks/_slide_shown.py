"""How long napari takes, in a process that has loaded nothing, until a slide and the labels of its nuclei are drawn.

``python benchmarks/_slide_shown.py SLIDE LABELS`` prints it as JSON; without a display, below ``scripts/xvfb.sh``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    begun = time.perf_counter()
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(show=True)
    QApplication.processEvents()
    viewer.screenshot(flash=False)
    told = {"napari": time.perf_counter() - begun}
    for what, path in zip(("slide", "labels"), sys.argv[1:], strict=True):
        at = time.perf_counter()
        (layer,) = viewer.open(Path(path), plugin="napari-nucleigan")[:1]
        viewer.screenshot(flash=False)
        told[what] = time.perf_counter() - at
        told[f"{what} levels"] = len(layer.data)
    height, width = viewer.layers[0].data.shapes[0][:2]
    at = time.perf_counter()
    # A window of 1000 pixels of the full resolution, in the tissue's middle.
    scale = viewer.layers[0].scale
    viewer.scene.camera.center = (0.3 * height * scale[-2], 0.3 * width * scale[-1])
    viewer.scene.camera.zoom = 1 / scale[-1]
    QApplication.processEvents()
    viewer.screenshot(flash=False)
    told["near"] = time.perf_counter() - at
    viewer.close()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
