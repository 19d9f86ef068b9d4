"""Take the pictures of the documentation from the real viewer: ``make screenshots``.

Each scene is set up as a user would, by the widgets' own fields and buttons. A picture is a palette
PNG, which keeps the repository small.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
WINDOW = (1400, 900)
LONGEST_S = 300

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from napari.viewer import Viewer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the pictures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        own_settings(Path(folder))
        for theme in ("dark", "light"):
            segment(out, theme)
            slides(out, theme, Path(folder) / theme)
            batch(out, theme, Path(folder) / "evaluate")
            classify(out, theme)
            synthesize(out, theme)
            masks(out, theme)
            train(out, theme)
            evaluate(out, theme)
            measure(out, theme)
            evaluate_folders(out, theme, Path(folder) / "evaluate")
        menus(out)


def own_settings(folder: Path) -> None:
    """Let pictures not depend on what the user has chosen before, nor change it."""
    os.environ["NUCLEIGAN_CONFIG"] = str(folder)
    os.environ["NUCLEIGAN_RUNS"] = str(folder / "runs")
    os.environ["NAPARI_CONFIG"] = str(folder / "napari.yaml")


def segment(out: Path, theme: str) -> None:
    """Show the Segment widget asking for microns, done, and from near."""
    import napari

    from napari_nucleigan.data.images.samples import synthetic_he
    from napari_nucleigan.widgets.segment import demo

    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    _, widget = viewer.window.add_plugin_dock_widget(demo.PLUGIN, demo.WIDGET)
    viewer.add_image(synthetic_he()[0].pixels, name="tile")
    wait_for(lambda: widget.form.model.count() > 0)
    viewer.reset_view()
    if theme == "light":
        save(out / "pixel-size.png", viewer)
    viewer.layers.clear()
    image = demo.open_sample(viewer)
    widget.select_image(image)
    viewer.reset_view()
    finished: list[Any] = []
    widget.done.connect(finished.append)
    widget.failed.connect(fail)
    widget.run()
    wait_for(lambda: bool(finished))
    demo.show_figures(viewer, widget.bar.figures.text())
    save(out / f"segment-{theme}.png", viewer)
    if theme == "dark":
        viewer.canvas.overlays.text.visible = False
        viewer.scene.camera.zoom *= 3
        widget.form.threshold.setValue(widget.form.threshold.value() + 0.1)
        widget.form.min_area.setValue(20)
        settle(3.0)
        save(out / "filters.png", viewer)
    viewer.close()


def batch(out: Path, theme: str, folder: Path) -> None:
    """Show a folder that was segmented, with a file that failed, and one of its images as layers."""
    import shutil

    import napari

    from napari_nucleigan.widgets.base.preferences import PLUGIN

    images = folder / "tissue"
    if not images.is_dir():
        shutil.copytree(sample_tiles(folder)[1] / "images", images)
        (images / "tile_4_4.png").write_bytes((images / "tile_0_0.png").read_bytes()[:9000])
    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment a folder")
    wait_for(lambda: widget.form.model.count() > 0)
    widget.failed.connect(fail)
    widget.form.images.set_paths([images])
    widget.form.out.line.setText(str(folder / f"nuclei {theme}"))
    widget.form.formats[".csv"].setChecked(True)
    wait_for(lambda: not widget.problem())
    finished: list[Any] = []
    widget.done.connect(finished.append)
    widget.bar.run_button.click()
    wait_for(lambda: bool(finished))
    opened: list[Any] = []
    widget.opened.connect(opened.append)
    widget.table.choose("tile_1_2.png")
    widget.open_button.click()
    wait_for(lambda: bool(opened))
    widget.table.choose("tile_4_4.png")
    save(out / f"batch-{theme}.png", viewer)
    viewer.close()


def classify(out: Path, theme: str) -> None:
    """Show nuclei that have the colours of their classes after a few clicks."""
    import napari
    import numpy as np

    from napari_nucleigan.data.images.samples import synthetic_he
    from napari_nucleigan.widgets.base.preferences import PLUGIN

    picture, labels = synthetic_he()
    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Classify nuclei")
    image = viewer.add_image(picture.pixels, name="sample", scale=(picture.mpp,) * 2, units=("um", "um"))
    viewer.add_labels(labels, name="sample nuclei", scale=image.scale, units=image.units)
    viewer.reset_view()
    widget.failed.connect(fail)
    wait_for(lambda: not widget.form.problem())
    measured: list[Any] = []
    widget.measured.connect(lambda: measured.append(True))
    widget.bar.run_button.click()
    wait_for(lambda: bool(measured))
    for name in ("large", "small"):
        widget.classes.add(name)
    order = np.argsort(widget.session.images[widget._key].features["area_um2"])
    for place in range(6):
        for kind, row in enumerate((order[-1 - 3 * place], order[3 * place])):
            widget.classes.choose(kind)
            at = np.argwhere(widget.session.images[widget._key].labels == row + 1)
            widget.click(widget.layer.data_to_world(at[len(at) // 2]))
    wait_for(lambda: bool(widget.score.text()))
    save(out / f"classify-{theme}.png", viewer)
    viewer.close()


def slides(out: Path, theme: str, folder: Path) -> None:
    """Show a slide while it is segmented, and its nuclei from near."""
    import napari

    from napari_nucleigan.widgets.segment import demo

    folder.mkdir()
    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    _, widget = viewer.window.add_plugin_dock_widget(demo.PLUGIN, demo.WIDGET)
    viewer.open(sample_slide(folder / "slide.tif"), plugin=demo.PLUGIN)
    wait_for(lambda: widget.form.model.count() > 0)
    widget.failed.connect(fail)
    widget.slide.folder.line.setText(str(folder))
    viewer.reset_view()
    finished: list[Any] = []
    widget.done.connect(finished.append)
    done: list[int] = []
    widget.slides.progressed.connect(lambda event: done.append(event.done if event.total > 10 else 0))
    widget.run()
    wait_for(lambda: bool(done) and done[-1] >= 10)
    settle(1.5)
    widget.slide.folder.line.setText("/data/results")  # the run has its folder; the picture needs no temporary one
    save(out / f"slide-live-{theme}.png", viewer)
    wait_for(lambda: bool(finished))
    if theme == "dark":
        widget.bar.notes.setText(widget.bar.notes.text().replace(str(folder), "/data/results"))
        viewer.scene.camera.zoom *= 12
        save(out / "slide-done.png", viewer)
    viewer.close()


def sample_slide(path: Path) -> Path:
    """Write a slide of 9 x 9 samples, of which a round piece of tissue is left on the glass."""
    import numpy as np
    import tifffile

    from napari_nucleigan.data.images.samples import synthetic_he

    image = synthetic_he()[0]
    side = image.pixels.shape[0]
    pixels = np.tile(image.pixels, (9, 9, 1))
    rows, columns = np.ogrid[: 9 * side, : 9 * side]
    middle = 4.5 * side
    pixels[((rows - middle) / 0.8) ** 2 + (columns - middle) ** 2 > (2.8 * side) ** 2] = 244
    with tifffile.TiffWriter(path) as tif:
        for level in range(4):
            step = 2**level
            tif.write(
                pixels[::step, ::step],
                photometric="rgb",
                tile=(512, 512),
                compression="jpeg",
                subifds=0 if level else 3,
                subfiletype=int(level > 0),
                resolution=(1e4 / image.mpp / step,) * 2,
                resolutionunit="CENTIMETER",
            )
    return path


def synthesize(out: Path, theme: str) -> None:
    """Show the Synthesize widget in live mode, after a nucleus was painted, and its page of data sets."""
    import napari

    from napari_nucleigan.masks.polygons import preset, sample
    from napari_nucleigan.widgets.base.preferences import PLUGIN

    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    labels = sample(preset("breast"), (512, 512), 0.25, seed=4)
    mask = viewer.add_labels(labels, name="breast mask", scale=(0.25, 0.25), units=("um", "um"))
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Synthesize H&E")
    wait_for(lambda: widget.form.model.count() > 0)
    widget.failed.connect(fail)
    widget.form.style_box.choose("breast")
    begun: list[Any] = []
    widget.live.begun.connect(begun.append)
    widget.form.live.click()
    wait_for(lambda: bool(begun))
    viewer.reset_view()
    viewer.scene.camera.zoom *= 1.4
    mask.mode, mask.brush_size, mask.selected_label = "paint", 20, int(labels.max()) + 1
    followed: list[float] = []
    widget.followed.connect(followed.append)
    for step in range(12):
        mask.paint((240 + step, 240 + 2 * step), mask.selected_label)
        settle(0.05)
    wait_for(lambda: bool(followed) and not widget.live.behind)
    save(out / f"synthesize-{theme}.png", viewer)
    widget.tabs.setCurrentWidget(widget.sets)
    widget.sets.folder.line.setText("/data/tiles/breast")
    settle(0.5)
    tabs = widget.tabs
    shown = widget.rect()
    shown.setBottom(tabs.mapTo(widget, tabs.rect().bottomLeft()).y() + 6)
    write(out / f"synthesize-set-{theme}.png", widget.grab(shown).toImage())
    viewer.close()


def masks(out: Path, theme: str) -> None:
    """Show the Masks widget after a fill, and with polygons that are being edited."""
    import napari

    from napari_nucleigan.widgets.masks.panel import EDIT
    from napari_nucleigan.widgets.segment import demo

    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    _, widget = viewer.window.add_plugin_dock_widget(demo.PLUGIN, "Draw masks")
    done: list[Any] = []
    widget.done.connect(done.append)
    widget.failed.connect(fail)
    widget.create()
    widget.fill_form.organ.setCurrentIndex(widget.fill_form.organ.findData("breast"))
    widget.fill()
    wait_for(lambda: bool(done))
    viewer.reset_view()
    save(out / f"masks-{theme}.png", viewer)
    widget.tabs.setCurrentIndex(EDIT)
    widget.draw_polygons()
    shapes = widget.sync.shapes
    shapes.mode = "select"
    middle = [abs(corners.mean(axis=0) - 256).sum() for corners in shapes.data]
    shapes.selected_data = {middle.index(min(middle))}
    viewer.scene.camera.zoom *= 3
    save(out / f"masks-edit-{theme}.png", viewer)
    viewer.close()


def train(out: Path, theme: str) -> None:
    """Train on the sample twice, then show the form, the run, and both runs side by side."""
    import napari

    from napari_nucleigan.widgets.segment import demo

    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    image = demo.open_sample(viewer)
    viewer.reset_view()
    _, widget = viewer.window.add_plugin_dock_widget(demo.PLUGIN, "Train a model")
    widget.failed.connect(fail)
    wait_for(lambda: widget.form.start.count() > 1 and bool(widget.form.data.pairs))
    ended: list[Any] = []
    widget.ended.connect(ended.append)
    form = widget.form
    changes = {"epochs_constant": 5, "epochs_decay": 1, "batch": 2, "crops_per_epoch": 40, "validate_every": 1}
    for name, start in (("from scratch", 0), ("fine-tuned", 1)) if theme == "dark" else ():
        widget.tabs.setCurrentIndex(0)
        form.start.setCurrentIndex(start)
        form.current.set_values(changes)
        form.name.setText(f"{image.name} {name}")
        settle(0.5)
        if start:
            widget.new.estimate_now()
            wait_for(lambda: "memory" in widget.new.estimate.text())
            write(out / "train-form.png", widget.grab().toImage())
        count = len(ended)
        widget.new.bar.run_button.click()
        wait_for(lambda count=count: len(ended) > count)
    if theme == "dark":
        adapt(out, widget, image)
    wait_for(lambda: len(widget.list.paths) == 2)
    newest = widget.list.paths[0]
    widget.open_run(newest)
    wait_for(lambda: f"{newest.name} preview" in viewer.layers)
    viewer.reset_view()
    settle(1.0)
    save(out / f"train-run-{theme}.png", viewer)
    if theme == "dark":
        widget.compare(widget.list.paths)
        settle(1.5)
        write(out / "train-compare.png", widget.grab().toImage())
        widget.tabs.setCurrentWidget(widget.list)
        widget.list.select([newest])
        settle(0.5)
        write(out / "train-runs.png", widget.grab().toImage())
    viewer.close()


def adapt(out: Path, widget: Any, image: Any) -> None:
    """Show the form of an adaptation to three pieces of an image, of which two more are labelled."""
    import numpy as np

    from napari_nucleigan.data.images.files import write_image, write_labels

    with tempfile.TemporaryDirectory() as folder:
        images, tiles = Path(folder) / "my tissue", Path(folder) / "labelled"
        pixels = np.asarray(image.data)
        for number in range(5):
            piece = pixels[:64, 64 * number : 64 * number + 64]
            write_image((images if number < 3 else tiles) / "images" / f"{number}.png", piece, 0.25)
            if number >= 3:
                write_labels(tiles / "labels" / f"{number}.tif", np.ones((64, 64), np.int32))
        page = widget.adapt
        widget.tabs.setCurrentWidget(page)
        for field, path in ((page.form.images, images), (page.form.truth, tiles)):
            field.field.line.setText(str(path))
        wait_for(lambda: not page.problem())
        settle(0.5)
        write(out / "train-adapt.png", widget.grab().toImage())


def evaluate(out: Path, theme: str) -> None:
    """Show what the bundled model finds in the sample beside the truth: all of it, one nucleus, the plots."""
    import napari

    from napari_nucleigan.base.events import run
    from napari_nucleigan.data.images.samples import synthetic_he
    from napari_nucleigan.segmentation import SegmentSettings
    from napari_nucleigan.segmentation import segment as segment_image
    from napari_nucleigan.widgets.evaluate.form import IOU
    from napari_nucleigan.widgets.segment import demo

    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    image = demo.open_sample(viewer)
    place = {"scale": image.scale, "units": image.units}
    # At another threshold than the model's own, so that there are errors to see.
    labels = run(segment_image(synthetic_he()[0], SegmentSettings(threshold=0.8, prominence=0.5))).labels
    viewer.add_labels(labels, name="Nuclei found", visible=False, **place)
    _, widget = viewer.window.add_plugin_dock_widget(demo.PLUGIN, "Evaluate")
    page = widget.layers
    page.failed.connect(fail)
    page.bar.run_button.click()
    wait_for(lambda: page.comparison is not None and not page.live.behind)
    viewer.reset_view()
    save(out / f"evaluate-{theme}.png", viewer)
    page.tabs.setCurrentWidget(page.nuclei)
    page.form.look.setCurrentIndex(page.form.look.findData(IOU))
    merged = page.nuclei.kept.findData("merged")
    page.nuclei.kept.setCurrentIndex(merged if page.comparison.inspection.counts["merged"] else 0)
    settle(0.3)
    page.nuclei.table.selectRow(0)
    wait_for(lambda: not page.flight.flying)
    save(out / f"evaluate-nucleus-{theme}.png", viewer)
    page.tabs.setCurrentWidget(page.plots)
    settle(0.5)
    write(out / f"evaluate-plots-{theme}.png", page.plots.grab().toImage())
    viewer.close()


def measure(out: Path, theme: str) -> None:
    """Show the nuclei of the sample in a scatter plot, and those that were selected in it."""
    import napari

    from napari_nucleigan.base.events import run
    from napari_nucleigan.data.images.samples import synthetic_he
    from napari_nucleigan.segmentation import segment as segment_image
    from napari_nucleigan.widgets.base.layers import CONTOUR, nuclei_colormap
    from napari_nucleigan.widgets.segment import demo

    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    image = synthetic_he()[0]
    place = {"scale": (image.mpp,) * 2, "units": ("um", "um")}
    viewer.add_image(image.pixels, name=image.name, **place)
    found = run(segment_image(image))
    table = {"index": found.features["label"], **{key: found.features[key] for key in found.features if key != "label"}}
    name = f"{image.name} nuclei"
    layer = viewer.add_labels(found.labels, name=name, features=table, colormap=nuclei_colormap(), **place)
    layer.contour = CONTOUR
    _, widget = viewer.window.add_plugin_dock_widget(demo.PLUGIN, "Measure nuclei")
    widget.failed.connect(fail)
    wait_for(lambda: widget.session.found is not None)
    form, plot = widget.form, widget.plot
    form.y_axis.setCurrentIndex(form.y_axis.findData("haematoxylin_mean_od"))
    wait_for(lambda: len(widget.session.found.drawn) > 0)
    settle(0.5)
    nuclei = widget.session.nuclei
    (left, right), (low, high) = ((values.min(), values.max()) for values in map(nuclei.values, plot.axes))
    # The small dark ones.
    plot.brush((left, left + 0.4 * (right - left)), (low + 0.5 * (high - low), high))
    viewer.reset_view()
    save(out / f"measure-{theme}.png", viewer)
    viewer.close()


def evaluate_folders(out: Path, theme: str, folder: Path) -> None:
    """Show the report on a folder, and one of its images as layers."""
    import napari

    from napari_nucleigan.widgets.segment import demo

    pred, truth = sample_tiles(folder)
    viewer = napari.Viewer(show=True)
    viewer.theme = theme
    viewer.window.resize(*WINDOW)
    _, widget = viewer.window.add_plugin_dock_widget(demo.PLUGIN, "Evaluate")
    page = widget.folders
    widget.tabs.setCurrentIndex(1)
    page.failed.connect(fail)
    page.form.pred.line.setText(str(pred))
    page.form.truth.line.setText(str(truth))
    wait_for(lambda: page.form.found is not None)
    reported: list[Any] = []
    page.reported.connect(reported.append)
    page.run()
    wait_for(lambda: bool(reported))
    opened: list[Any] = []
    page.opened.connect(lambda *layers: opened.append(layers))
    page.view.tabs.setCurrentIndex(1)
    page.view.choose("tile_2_1")
    page.open_button.click()
    wait_for(lambda: bool(opened))
    # The page of layers compares them at once.
    wait_for(lambda: widget.layers.comparison is not None and not widget.layers.live.behind)
    widget.tabs.setCurrentIndex(1)
    page.view.tabs.setCurrentIndex(0)
    for layer in opened[0]:
        layer.visible = False
    save(out / f"evaluate-folders-{theme}.png", viewer)
    viewer.close()


def sample_tiles(folder: Path) -> tuple[Path, Path]:
    """Cut the sample into a data set of 16 tiles, and what the bundled model finds in it into predictions."""
    from napari_nucleigan.base.events import run
    from napari_nucleigan.data.images.files import write_image, write_labels
    from napari_nucleigan.data.images.samples import synthetic_he
    from napari_nucleigan.segmentation import segment

    pred, truth = folder / "results", folder / "tiles"
    if (truth / "split.csv").is_file():
        return pred, truth
    image, labels = synthetic_he()
    found = run(segment(image)).labels
    rows = ["name,organ,split"]
    for row in range(4):
        for column in range(4):
            name, box = (
                f"tile_{row}_{column}",
                (slice(250 * row, 250 * row + 250), slice(250 * column, 250 * column + 250)),
            )
            write_image(truth / "images" / f"{name}.png", image.pixels[box], image.mpp)
            write_labels(truth / "labels" / f"{name}.tif", labels[box], image.mpp)
            write_labels(pred / f"{name}.tif", found[box], image.mpp)
            rows.append(f"{name},{('upper', 'lower')[row // 2]} part,test")
    (truth / "split.csv").write_text("\n".join(rows) + "\n")
    return pred, truth


def menus(out: Path) -> None:
    """Show the samples in the File menu, and the Preferences page."""
    import napari
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication, QDialog, QListWidget, QMenu

    viewer = napari.Viewer(show=True)
    viewer.window.resize(900, 600)
    settle(1.0)
    for menu in QApplication.allWidgets():
        # The plugin's menus all have its name; the one of the samples holds this sample.
        if isinstance(menu, QMenu) and any("true nuclei" in action.text() for action in menu.actions()):
            menu.popup(menu.pos())
            settle(0.5)
            write(out / "samples.png", menu.grab().toImage())
            menu.hide()
            break
    action = next(
        action
        for widget in QApplication.allWidgets()
        if isinstance(widget, QMenu)
        for action in widget.actions()
        if action.text().replace("&", "").startswith("Preferences")
    )
    action.trigger()
    settle(1.0)
    for dialog in QApplication.topLevelWidgets():
        if isinstance(dialog, QDialog) and dialog.isVisible():
            pages = dialog.findChild(QListWidget)
            pages.setCurrentItem(pages.findItems("NucleiGAN", Qt.MatchFlag.MatchExactly)[0])
            settle(0.5)
            write(out / "preferences.png", dialog.grab().toImage())
            dialog.close()
    viewer.close()


def save(path: Path, viewer: Viewer) -> None:
    """Save the napari window."""
    settle(1.0)
    write_pixels(path, viewer.screenshot(canvas_only=False, flash=False)[..., :3])


def write(path: Path, image: Any) -> None:
    """Save a Qt image."""
    import numpy as np

    image = image.convertToFormat(image.Format.Format_RGB888)
    bits = image.constBits()
    bits.setsize(image.sizeInBytes())
    rows = np.frombuffer(bits, np.uint8).reshape(image.height(), image.bytesPerLine())
    write_pixels(path, rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3))


def write_pixels(path: Path, pixels: np.ndarray) -> None:
    """Write a palette PNG."""
    from PIL import Image

    from napari_nucleigan.base.files import write_bytes
    from napari_nucleigan.widgets.base.legend import DARK, LIGHT
    from napari_nucleigan.widgets.evaluate.overlay import COLOURS, ramp, rgba
    from napari_nucleigan.widgets.measure.marks import SELECTION

    buffer = io.BytesIO()
    picture = Image.fromarray(pixels.copy())
    # Colours that mean something stay as they are, however few pixels have them.
    meant = SELECTION, *COLOURS.values(), *(ramp(share / 4) for share in range(5)), *DARK, *LIGHT
    kept = [rgba(colour)[:3] for colour in meant]
    common = picture.quantize(256 - len(kept), dither=Image.Dither.NONE).getpalette()[: 3 * (256 - len(kept))]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*common, *(round(255 * value) for colour in kept for value in colour)])
    picture = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    picture.save(buffer, "PNG", optimize=True)
    write_bytes(path, buffer.getvalue())
    print(f"{path} ({len(buffer.getvalue()) // 1000} kB)")


def wait_for(condition: Callable[[], bool], longest: float = LONGEST_S) -> None:
    """Let Qt work until a condition holds."""
    import time

    begin = time.monotonic()
    while not condition():
        settle(0.05)
        if time.monotonic() - begin > longest:
            raise SystemExit(f"a scene did not come up within {longest:.0f} s")


def settle(seconds: float) -> None:
    """Let Qt work for a while."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def fail(error: Exception) -> None:
    raise SystemExit(str(error))


if __name__ == "__main__":
    main()
