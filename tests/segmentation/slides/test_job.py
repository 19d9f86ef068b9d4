from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import torch

from napari_nucleigan.base.errors import DeviceError, ImageError, LabelsError, ModelError, NucleiganError, OutputError
from napari_nucleigan.base.events import Note, Painted, Progress, run
from napari_nucleigan.data.images.files import HEImage, read_image, read_labels
from napari_nucleigan.data.images.samples import synthetic_he
from napari_nucleigan.data.slides import Slide
from napari_nucleigan.data.slides.slide import as_level
from napari_nucleigan.segmentation import SegmentSettings, segment
from napari_nucleigan.segmentation.confidence import EVIDENCE
from napari_nucleigan.segmentation.slides import SlideResult, segment_slide
from oracle import Contextual, Oracle, alike, model, picture, scatter
from slide_pictures import slide_of, write_slide

if TYPE_CHECKING:
    from collections.abc import Callable

EXACT = {"device": "cpu", "precision": "float32"}


def labels_of(
    slide: Slide | Path, out: Path, network: Oracle | None = None, events: list[Any] | None = None, **options: Any
) -> tuple[np.ndarray, SlideResult]:
    settings = SegmentSettings(**{"tile": 256, **EXACT, **options.pop("settings", {})})
    heard = events.append if events is not None else None
    result = run(segment_slide(slide, out / "found.tif", settings, model=model(network), **options), heard)
    return read_labels(out / "found.tif"), result


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("network", [Oracle, Contextual])
def test_tiles_give_the_nuclei_and_numbers_of_one_piece(tmp_path: Path, network: type[Oracle]) -> None:
    known = scatter((500, 700))
    one = run(segment(picture(known), SegmentSettings(tile=2048, **EXACT), model(network()))).labels
    found = [labels_of(slide_of(known), tmp_path, network(), settings={"tile": side})[0] for side in (160, 256, 2048)]
    assert alike(one, found[-1])
    if network is Oracle:
        assert np.array_equal(found[0], found[1])
        assert np.array_equal(found[0], found[2])
    else:
        assert alike(found[0], found[2], pixels=20)
        assert alike(found[1], found[2], pixels=20)
    assert left_behind(tmp_path) == []


def test_only_tiles_with_tissue_are_computed(tmp_path: Path) -> None:
    pixels = np.full((1024, 1024, 3), 245, np.uint8)
    pixels[300:700, 100:420] = picture(scatter((400, 320))).pixels
    seen: list[int] = []

    class Counting(Oracle):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            return super().forward(images)

    slide = Slide("partly", Path("partly.svs"), (da.from_array(pixels, chunks=(256, 256, 3)),), 0.25)
    _, result = labels_of(slide, tmp_path, Counting())
    # The mask of the tissue is generous, to a tile of 256 pixels around.
    assert result.tiles == len(seen) == 8
    assert result.nuclei > 100
    assert 0.1 < result.provenance["tissue"] < 0.3


def test_a_drawn_region_takes_the_nuclei_whose_centre_it_holds(tmp_path: Path) -> None:
    known = scatter((800, 800), 40, touching=False)
    everywhere, _ = labels_of(slide_of(known), tmp_path)
    triangle = ((100.0, 100.0), (100.0, 500.0), (500.0, 100.0))
    far = ((700.0, 700.0), (700.0, 790.0), (790.0, 790.0), (790.0, 700.0))
    found, result = labels_of(slide_of(known), tmp_path, region=(triangle, far))
    assert result.tiles == 10
    expected = 0
    for label in range(1, everywhere.max() + 1):
        row, column = np.argwhere(everywhere == label).mean(axis=0) + 0.5
        inside = (row > 100 and column > 100 and row + column < 600) or (700 < row < 790 and 700 < column < 790)
        expected += inside
        assert (found[everywhere == label] > 0).all() == inside
    assert result.nuclei == expected > 20


@pytest.mark.parametrize("shift", [(900.0, 0.0), (0.0, 900.0), (-600.0, 0.0), (0.0, -600.0)])
def test_a_region_wholly_outside_the_slide_is_an_error(tmp_path: Path, shift: tuple[float, float]) -> None:
    triangle = tuple((row + shift[0], column + shift[1]) for row, column in ((100, 100), (100, 500), (500, 100)))
    with pytest.raises(LabelsError, match="wholly outside picture, which is 900 x 800 pixels"):
        labels_of(slide_of(scatter((800, 900), 4)), tmp_path, region=(triangle,))
    assert list(tmp_path.iterdir()) == []


def test_microns_that_are_not_known_are_said(tmp_path: Path) -> None:
    _, result = labels_of(slide_of(scatter((200, 200)), None), tmp_path)
    assert any("does not say its microns per pixel" in note for note in result.notes)
    _, result = labels_of(slide_of(scatter((200, 200)), None), tmp_path, settings={"mpp": 0.25})
    assert not any("microns per pixel" in note for note in result.notes)


def test_stains_are_read_off_the_whole_slide(tmp_path: Path) -> None:
    image, _ = synthetic_he()
    pixels = np.tile(image.pixels, (2, 2, 1))
    slide = Slide("stained", Path("stained.svs"), (da.from_array(pixels, chunks=(256, 256, 3)),), 0.25)
    seen: list[torch.Tensor] = []

    class Looking(Oracle):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images)
            return torch.full_like(images, -1)

    labels_of(slide, tmp_path, Looking(), settings={"normalize": "macenko", "tile": 2048})
    whole, _ = (
        run(segment_slide(slide, tmp_path / "x.csv", SegmentSettings(tile=2048, **EXACT), model=model(Looking()))),
        None,
    )
    assert whole.nuclei == 0
    # Normalised once and not at all: another picture, of the same shape.
    assert seen[0].shape == seen[1].shape
    assert not torch.equal(seen[0], seen[1])


def test_results_show_while_the_work_goes_on(tmp_path: Path) -> None:
    import zarr

    known = scatter((600, 600))
    events: list[Any] = []
    pictures: list[np.ndarray] = []

    def hear(event: Any) -> None:
        events.append(event)
        if isinstance(event, Painted):
            group = zarr.open_group(event.path, mode="r")
            pictures.append(group["0"][:])
            assert pictures[-1].max() == event.nuclei

    job = segment_slide(
        slide_of(known), tmp_path / "a.tif", SegmentSettings(tile=256, **EXACT), model=model(), live=True
    )
    result = run(job, hear)
    assert len(pictures) == result.tiles == 9
    final = read_labels(tmp_path / "a.tif")
    assert alike(pictures[-1].astype(np.int32), final)
    assert all((later >= earlier).all() for earlier, later in pairwise(pictures))
    progress = [event for event in events if isinstance(event, Progress) and event.what == "segmenting tiles"]
    assert progress[-1].done == progress[-1].total == 9
    assert any(event.seconds_left is not None for event in progress)


class Faulty(Oracle):
    """Fails on windows that show a marked pixel, a number of times each."""

    def __init__(self, times: int, error: Callable[[], Exception]) -> None:
        super().__init__()
        self.times, self.error, self.failed = times, error, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if (images == 1).all(dim=1).any() and self.failed < self.times:
            self.failed += 1
            raise self.error()
        return super().forward(images)


def marked(shape: tuple[int, int], place: tuple[int, int]) -> Slide:
    pixels = np.minimum(picture(scatter(shape)).pixels, 254)
    pixels[place] = 255
    return Slide("marked", Path("marked.svs"), (da.from_array(pixels, chunks=(256, 256, 3)),), 0.25)


def test_a_tile_that_fails_once_is_tried_again(tmp_path: Path) -> None:
    slide = marked((1024, 1024), (500, 500))
    expected, _ = labels_of(slide, tmp_path)
    found, result = labels_of(slide, tmp_path, Faulty(2, lambda: RuntimeError("a hiccup")))
    assert np.array_equal(found, expected)
    assert not result.lost


def test_a_tile_that_fails_for_good_is_reported_and_the_rest_delivered(tmp_path: Path) -> None:
    slide = marked((1536, 1536), (900, 900))
    expected, _ = labels_of(slide, tmp_path)
    events: list[Any] = []
    found, result = labels_of(slide, tmp_path, Faulty(10**6, lambda: RuntimeError("broken")), events)
    # Its own tile, and those whose halo shows it.
    boxes = {(lost.top, lost.bottom, lost.left, lost.right) for lost in result.lost}
    assert (768, 1024, 768, 1024) in boxes
    assert len(boxes) == len(result.lost) < 10
    kept = np.ones(found.shape, bool)
    for top, bottom, left, right in boxes:
        kept[max(0, top - 30) : bottom + 30, max(0, left - 30) : right + 30] = False
    assert np.array_equal(found[kept] > 0, expected[kept] > 0)
    assert found[900:1000, 900:1000].max() == 0
    assert "broken" in result.lost[0].error
    warnings = [event.text for event in events if isinstance(event, Note) and event.level == "warning"]
    assert any("x 768 to 1024, y 768 to 1024" in text for text in warnings)
    assert result.provenance["lost"]
    # What failed is done when the fault is mended, and only that.
    mended, again = labels_of(slide, tmp_path, Oracle())
    assert again.resumed == again.tiles - len(boxes)
    assert np.array_equal(mended, expected)
    assert left_behind(tmp_path) == []


def test_where_every_tile_fails_the_reason_is_the_error(tmp_path: Path) -> None:
    class Broken(Oracle):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no kernel image")

    with pytest.raises(DeviceError, match="no kernel image"):
        labels_of(slide_of(scatter((1024, 1024))), tmp_path, Broken())
    with pytest.raises(DeviceError, match="no kernel image"):
        labels_of(slide_of(scatter((100, 100))), tmp_path, Broken())


def test_cancelled_work_goes_on_where_it_was(tmp_path: Path) -> None:
    known = slide_of(scatter((1024, 1024)))
    expected, _ = labels_of(known, tmp_path)
    (tmp_path / "found.tif").unlink()
    job = segment_slide(known, tmp_path / "found.tif", SegmentSettings(tile=256, **EXACT), model=model())
    for event in job:
        if isinstance(event, Progress) and event.what == "segmenting tiles" and event.done >= 5:
            break
    started = time.perf_counter()
    job.close()
    assert time.perf_counter() - started < 1
    assert not (tmp_path / "found.tif").exists()
    assert len(left_behind(tmp_path)) == 1
    # Results of what is done can be had at once, and cost nothing later.
    part, some = labels_of(known, tmp_path, compute=False)
    assert 0 < some.nuclei < expected.max()
    assert ((part > 0) <= (expected > 0)).all()
    found, result = labels_of(known, tmp_path)
    assert result.resumed >= 5
    assert np.array_equal(found, expected)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    "damage", [lambda whole: b"", lambda whole: whole[: len(whole) // 2], lambda whole: bytes(len(whole))]
)
def test_records_that_a_power_cut_has_damaged_are_computed_again(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    known = slide_of(scatter((700, 700)))
    expected, _ = labels_of(known, tmp_path)
    (tmp_path / "found.tif").unlink()
    job = segment_slide(known, tmp_path / "found.tif", SegmentSettings(tile=256, **EXACT), model=model())
    for event in job:
        if isinstance(event, Progress) and event.what == "segmenting tiles" and event.done >= 6:
            break
    job.close()
    records = sorted(tmp_path.glob(".*.nucleigan/tiles/*.npz"))
    for record in records[1::2]:
        record.write_bytes(damage(record.read_bytes()))
    found, result = labels_of(known, tmp_path)
    assert result.resumed == len(records[::2])
    assert np.array_equal(found, expected)


def test_a_record_that_is_damaged_while_the_work_goes_on_is_an_error_and_no_loss(tmp_path: Path) -> None:
    known = slide_of(scatter((700, 700)))
    # More tiles than are kept in memory.
    job = segment_slide(known, tmp_path / "found.tif", SegmentSettings(tile=128, **EXACT), model=model())
    with pytest.raises(OutputError, match="run the same again"):
        for event in job:
            if isinstance(event, Progress) and event.what == "writing found.tif":
                for record in tmp_path.glob(".*.nucleigan/tiles/*.npz"):
                    record.write_bytes(b"")
    assert not (tmp_path / "found.tif").exists()


def test_a_slide_is_segmented_by_one_process_at_a_time(tmp_path: Path) -> None:
    known = slide_of(scatter((700, 700)))
    first = segment_slide(known, tmp_path / "found.tif", SegmentSettings(tile=256, **EXACT), model=model())
    for event in first:
        if isinstance(event, Progress) and event.what == "segmenting tiles" and event.done >= 2:
            break
    with pytest.raises(
        OutputError, match=rf"Another process is segmenting .* \(process {os.getpid()} on .*wait for it"
    ):
        labels_of(known, tmp_path)
    result = run(first)
    assert result.nuclei == read_labels(tmp_path / "found.tif").max() > 100
    assert left_behind(tmp_path) == []


def test_other_settings_do_not_mix(tmp_path: Path) -> None:
    known = slide_of(scatter((600, 600)))
    job = segment_slide(known, tmp_path / "found.tif", SegmentSettings(tile=256, **EXACT), model=model())
    for event in job:
        if isinstance(event, Progress) and event.what == "segmenting tiles" and event.done:
            break
    job.close()
    _, result = labels_of(known, tmp_path, settings={"threshold": 0.4})
    assert result.resumed == 0


KILLED = """
import sys
from napari_nucleigan.base.events import run
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.slides import segment_slide
slide, out = sys.argv[1:]
def tell(event):
    print(type(event).__name__, getattr(event, "done", ""), getattr(event, "what", ""), flush=True)
run(segment_slide(slide, out, SegmentSettings(tile=128, device="cpu", precision="float32", tta=1), ["csv"]), tell)
"""


def test_killed_work_goes_on_where_it_was(tmp_path: Path) -> None:
    image, _ = synthetic_he()
    slide = write_slide(tmp_path / "he.tif", image.pixels[:500, :500])
    command = [sys.executable, "-c", KILLED, str(slide), str(tmp_path / "out" / "he.tif")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Progress") and "segmenting" in line and int(line.split()[1]) >= 4:
                process.send_signal(signal.SIGKILL)
                break
    assert process.wait(20) == -signal.SIGKILL
    out = tmp_path / "out" / "he.tif"
    assert not out.exists()
    settings = SegmentSettings(tile=128, tta=1, **EXACT)
    result = run(segment_slide(slide, out, settings, ["csv"]))
    assert 4 <= result.resumed < result.tiles
    whole = run(segment_slide(slide, tmp_path / "whole.tif", settings))
    assert whole.resumed == 0
    assert np.array_equal(read_labels(out), read_labels(tmp_path / "whole.tif"))
    assert whole.nuclei == result.nuclei > 50
    assert left_behind(tmp_path / "out") == []


def test_a_slide_gives_what_its_image_gives(tmp_path: Path) -> None:
    image, _ = synthetic_he()
    slide = write_slide(tmp_path / "he.tif", image.pixels)
    settings = SegmentSettings(**EXACT)
    one = run(segment(read_image(slide), settings))
    result = run(segment_slide(slide, tmp_path / "found.tif", settings, ["csv"]))
    assert alike(read_labels(tmp_path / "found.tif"), one.labels)
    assert result.provenance["sha256"] == one.provenance["sha256"]
    rows = (tmp_path / "found.csv").read_text().splitlines()
    assert rows[0].split(",") == list(one.features)
    assert len(rows) == len(one.features["label"]) + 1


def test_a_damaged_part_is_reported_with_its_place(tmp_path: Path) -> None:
    import tifffile

    slide = write_slide(tmp_path / "s.tif", np.tile(picture(scatter((512, 512))).pixels, (3, 3, 1)))
    with tifffile.TiffFile(slide) as tif:
        page = tif.series[0].levels[0].keyframe
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    content = bytearray(slide.read_bytes())
    content[offset + 10 : offset + count] = os.urandom(count - 10)
    slide.write_bytes(content)
    found, result = labels_of(slide, tmp_path)
    assert result.lost
    assert (0, 0) in {(tile.top, tile.left) for tile in result.lost}
    assert "cannot be read" in result.lost[0].error
    assert found[600:, 600:].max() > 0


def test_what_cannot_be_opened_or_written_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slide = write_slide(tmp_path / "s.tif", picture(scatter((600, 600))).pixels)
    with pytest.raises(ImageError, match="no such file"):
        run(segment_slide(tmp_path / "missing.svs", tmp_path))
    with pytest.raises(ModelError, match="nothing"):
        run(segment_slide(slide, tmp_path, SegmentSettings(model="nothing")))
    with pytest.raises(ImageError, match="microns per pixel"):
        run(segment_slide(slide, tmp_path, SegmentSettings(mpp=9)))
    with pytest.raises(OutputError, match="is the slide itself"):
        run(segment_slide(slide, slide))
    whole = slide.read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ImageError, match=r"cut short|damaged"):
        run(segment_slide(tmp_path / "cut.tif", tmp_path / "out"))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"not a folder|in the way"):
        run(segment_slide(slide, tmp_path / "file" / "out.csv", model=model()))


FULL = """
import resource, sys
from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import run
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.slides import segment_slide
slide, out, limit = sys.argv[1:]
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
job = segment_slide(slide, out, SegmentSettings(tile=128, device="cpu", precision="float32", tta=1))
def hear(event):
    # Files may be no larger from here on, as on a disk that is all but full.
    if getattr(event, "done", 0) >= 3 and event.what == "segmenting tiles":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    run(job, hear)
except OutputError as error:
    print(error)
"""


def test_a_full_disk_is_one_error_and_loses_nothing(tmp_path: Path) -> None:
    image, _ = synthetic_he()
    slide = write_slide(tmp_path / "he.tif", image.pixels[:400, :400])
    out = tmp_path / "out" / "he.csv"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(slide), str(out), "100"], capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Cannot write ")
    assert not out.exists()
    result = run(segment_slide(slide, out, SegmentSettings(tile=128, tta=1, **EXACT)))
    assert result.resumed >= 3
    assert out.exists()
    assert left_behind(out.parent) == []


def test_no_thread_is_left(tmp_path: Path) -> None:
    labels_of(slide_of(scatter((300, 300))), tmp_path)
    deadline = time.monotonic() + 20
    while any("nucleigan-tiles" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_provenance_is_ready_for_json(tmp_path: Path) -> None:
    _, result = labels_of(slide_of(scatter((200, 200))), tmp_path)
    assert json.loads(json.dumps(result.provenance))["settings"]["tile"] == 256
    assert result.seconds > 0


def test_errors_of_workers_are_never_runtime_errors(tmp_path: Path) -> None:
    class Full(Oracle):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise MemoryError

    with pytest.raises(NucleiganError, match="not enough memory"):
        labels_of(slide_of(scatter((100, 100))), tmp_path, Full())


FIT = {"weights": [20.0, *[0.0] * (EVIDENCE - 1)], "bias": -16.0}
"""Of a card: half of what is between dark and light counts as sure."""


def half_faint(known: np.ndarray) -> np.ndarray:
    """Show nuclei of which those of the right half are pale."""
    pixels = picture(known).pixels.copy()
    right = pixels[:, known.shape[1] // 2 :, 0]
    right[right > 127] = 165
    return pixels


def table_of(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0] if name != "artefact"}


class TestConfidence:
    def test_it_goes_with_its_nucleus_into_tables_and_polygons(self, tmp_path: Path) -> None:
        pixels = half_faint(scatter((400, 600), touching=False))
        calibrated = model(confidence=FIT)
        chosen = SegmentSettings(tile=160, **EXACT)
        whole = run(segment(HEImage(pixels, 0.25), chosen, calibrated))
        slide = Slide("s", Path("s.svs"), (as_level(pixels, "s"),), 0.25)
        run(segment_slide(slide, tmp_path, chosen, ["csv", "geojson.gz"], model=calibrated))
        table = table_of(tmp_path / "s.csv")

        def by_place(features: dict[str, np.ndarray]) -> dict[tuple[int, int], float]:
            places = zip(*(np.rint(features[f"centroid_{axis}_px"]).astype(int).tolist() for axis in "yx"), strict=True)
            return dict(zip(places, features["confidence"].tolist(), strict=True))

        assert len(table["label"]) > 200
        assert by_place(table) == pytest.approx(by_place(whole.features), abs=1e-3)
        assert (table["confidence"][table["centroid_x_px"] > 312] < 0.5).all()
        assert (table["confidence"][table["centroid_x_px"] < 288] > 0.5).all()
        with gzip.open(tmp_path / "s.geojson.gz", "rt") as handle:
            polygons = json.load(handle)["features"]
        told = {int(one["properties"]["name"]): one["properties"]["measurements"]["confidence"] for one in polygons}
        assert told == pytest.approx(dict(zip(table["label"].astype(int), table["confidence"], strict=True)), abs=1e-6)

        run(
            segment_slide(slide, tmp_path / "sure", chosen.model_copy(update={"min_confidence": 0.5}), model=calibrated)
        )
        sure = table_of(tmp_path / "sure" / "s.csv")
        assert np.array_equal(np.sort(sure["area_px"]), np.sort(table["area_px"][table["confidence"] >= 0.5]))

    def test_tiles_of_a_run_that_did_not_tell_are_gone_on_with(self, tmp_path: Path) -> None:
        known = scatter((400, 600))
        slide = slide_of(known)
        chosen = SegmentSettings(tile=160, **EXACT)
        job = segment_slide(slide, tmp_path, chosen, model=model())
        for event in job:
            if isinstance(event, Progress) and event.what == "segmenting tiles" and event.done > 2:
                break
        job.close()
        result = run(segment_slide(slide, tmp_path, chosen, model=model(confidence=FIT)))
        table = table_of(next(tmp_path.glob("*.csv")))
        assert 0 < result.resumed < result.tiles
        assert len(table["label"]) == result.nuclei
        told = np.isfinite(table["confidence"])
        assert told.any()
        assert not told.all()
        assert np.isfinite(table["area_um2"]).all()

    def test_a_slide_without_nuclei_has_the_column(self, tmp_path: Path) -> None:
        pixels = np.full((300, 300, 3), 235, np.uint8)
        pixels[100:200, 100:200] = (200, 120, 160)
        slide = Slide("pale", Path("pale.svs"), (as_level(pixels, "pale"),), 0.25)
        result = run(
            segment_slide(slide, tmp_path, SegmentSettings(**EXACT), ["csv"], model=model(Empty(), confidence=FIT))
        )
        header = (tmp_path / "pale.csv").read_text().splitlines()
        assert result.nuclei == 0
        assert len(header) == 1
        assert header[0].endswith(",confidence,artefact") == (result.tiles > 0)
        assert header[0].endswith(",artefact")


class Empty(Oracle):
    """Finds nothing anywhere."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full_like(images, -1)
