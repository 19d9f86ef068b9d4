from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage

from _defects import INKS, blurred, bubbled, folded, inked
from _looks import other_look
from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.data.images.samples import synthetic_he
from napari_nucleigan.data.slides import Slide
from napari_nucleigan.segmentation import find_artefacts
from napari_nucleigan.segmentation.artefacts import ARTEFACT, KINDS, ArtefactMap

if TYPE_CHECKING:
    from collections.abc import Callable

MPP = 0.5


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    """Tissue of 400 microns: the bundled sample, mirrored, at half its resolution."""
    sample = synthetic_he()[0].pixels[:1024, :1024]
    small = sample[: len(sample) // 2 * 2, : sample.shape[1] // 2 * 2].astype(float)
    small = small.reshape(len(small) // 2, 2, -1, 2, 3).mean(axis=(1, 3))
    more = [(0, max(0, 800 - length)) for length in small.shape[:2]]
    return np.pad(small, (*more, (0, 0)), mode="reflect")[:800, :800].astype(np.uint8)


def looked_at(pixels: np.ndarray, mpp: float = MPP) -> ArtefactMap:
    return run(find_artefacts(HEImage(pixels, mpp, "picture"), mpp))


def marked(found: ArtefactMap, kind: str, inside: np.ndarray) -> tuple[float, float]:
    """Share of the places of a defect that are called by its name, and of the others that are called anything."""
    rows, columns = np.indices(inside.shape)[:, ::5, ::5]
    names = found.named(rows.ravel(), columns.ravel())
    within = inside[::5, ::5].ravel()
    # Squares that lie partly in it may be either.
    away = ~ndimage.binary_dilation(inside, iterations=int(50 / MPP))[::5, ::5].ravel()
    return float((names[within] == kind).mean()), float((names[away] != "").mean())


def test_sharp_tissue_has_none(tissue: np.ndarray) -> None:
    for picture in (tissue, np.full((300, 300, 3), 240, np.uint8), np.zeros((300, 300, 3), np.uint8)):
        found = looked_at(picture)
        assert not found.kinds.any()
        assert found.shares() == {}
        assert found.note() == ""
    # Darker stains are no fold, and stains of another scanner no ink.
    dark = (255 * (tissue / 255) ** 1.8).astype(np.uint8)
    assert not looked_at(dark).kinds.any()
    assert not looked_at(np.clip(tissue * np.array([1.0, 0.97, 1.05]), 0, 255).astype(np.uint8)).kinds.any()
    # Nor is a stain that has the colour of ink everywhere.
    brown, _ = other_look(tissue, np.zeros(tissue.shape[:2], np.int32))
    assert "pen" not in looked_at(brown).shares()


@pytest.mark.parametrize(
    ("kind", "draw", "least"),
    [
        ("blur", lambda pixels: blurred(pixels, MPP, 2.5), 0.7),
        ("fold", lambda pixels: folded(pixels, MPP), 0.5),
        ("air", lambda pixels: bubbled(pixels, MPP), 0.8),
        *(("pen", lambda pixels, ink=ink: inked(pixels, MPP, ink), 0.7) for ink in INKS),
    ],
)
def test_defects_are_found_where_they_are(
    tissue: np.ndarray, kind: str, draw: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], least: float
) -> None:
    picture, inside = draw(tissue)
    found = looked_at(picture)
    right, wrong = marked(found, kind, inside)
    assert right >= least
    assert wrong <= 0.02
    assert found.shares()[kind] == pytest.approx(inside.mean(), abs=0.15)
    assert ARTEFACT in found.note()


def test_pen_on_empty_glass(tissue: np.ndarray) -> None:
    picture, inside = inked(np.full_like(tissue, 243), MPP, "green")
    right, wrong = marked(looked_at(picture), "pen", inside)
    assert right > 0.9
    assert wrong == 0


def test_focus_is_not_judged_of_coarse_pixels(tissue: np.ndarray) -> None:
    picture = blurred(tissue, MPP, 2.5)[0]
    assert not looked_at(picture[::4, ::4], 4 * MPP).kinds.any()


def test_of_a_slide_a_coarse_level_tells_the_same_block_by_block(tissue: np.ndarray) -> None:
    picture = blurred(tissue, MPP, 2.5)[0]
    whole = np.tile(picture, (2, 3, 1))
    half = np.rint(whole.reshape(800, 2, 1200, 2, 3).mean(axis=(1, 3))).astype(np.uint8)
    slide = Slide("s", Path("s"), (whole, half, half[::4, ::4]), MPP)  # type: ignore[arg-type]
    events: list[Any] = []
    found = run(find_artefacts(slide, MPP), events.append)
    assert [event.total for event in events if isinstance(event, Progress)] == [2, 2]
    alone = looked_at(whole)
    assert found.kinds.shape == alone.kinds.shape
    assert (found.kinds == alone.kinds).mean() > 0.98
    assert found.square == alone.square == (32.0, 32.0)

    asked: list[tuple[float, ...]] = []

    def left_half(*box: float) -> bool:
        asked.append(box)
        return box[2] < 1000

    part = run(find_artefacts(slide, MPP, left_half))
    assert asked[0] == (0, 1600, 0, 2048)
    # What is usual in the tissue is told by all of it.
    assert (part.kinds[:, :60] == found.kinds[:, :60]).mean() > 0.98
    assert not part.tissue[:, 64:].any()


def test_what_cannot_be_read_is_left_out(tissue: np.ndarray) -> None:
    picture = np.tile(blurred(tissue, MPP, 2.5)[0], (1, 3, 1))

    class Damaged:
        shape, ndim, dtype = picture.shape, 3, picture.dtype

        def __getitem__(self, parts: Any) -> np.ndarray:
            if parts[1].start > 1000:
                raise ImageError("damaged there")
            return picture[parts]

    found = run(find_artefacts(Slide("s", Path("s"), (Damaged(),), MPP), MPP))  # type: ignore[arg-type]
    assert found.kinds[:, :60].any()
    assert not found.tissue[:, 64:].any()


def test_nuclei_are_named_by_their_centroids() -> None:
    kinds = np.array([[0, 1], [2, 4]], np.uint8)
    found = ArtefactMap(kinds, np.ones((2, 2), bool), (32.0, 30.0))
    table = {"centroid_y_px": np.array([0.0, 31.4, 31.6, 90]), "centroid_x_px": np.array([29.4, 29.6, 0.0, 90])}
    assert found.column(table)[ARTEFACT].tolist() == ["", "blur", "fold", "air"]
    assert found.shares() == {"blur": 0.25, "fold": 0.25, "air": 0.25}
    assert KINDS.index("air") == 3
    assert found.note().startswith("Of the tissue 25 % is out of focus, 25 % is folded, 25 % is under air")
