from __future__ import annotations

from typing import TYPE_CHECKING
from xml.parsers.expat import ExpatError

import numpy as np
import pytest

from napari_nucleigan import metrics
from napari_nucleigan.base.reading import FileFault
from napari_nucleigan.data.datasets.formats import FORMATS
from napari_nucleigan.data.datasets.formats.outlines import read_aperio
from napari_nucleigan.data.images.files import read_image, read_labels, write_image

if TYPE_CHECKING:
    from pathlib import Path


def region(*corners: tuple[float, float], **attributes: str) -> str:
    said = "".join(f' {key}="{value}"' for key, value in attributes.items())
    vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in corners)
    return f"<Region{said}><Vertices>{vertices}</Vertices></Region>"


def layer(*regions: str, name: str = "") -> str:
    about = f'<Attributes><Attribute Name="{name}" Id="0" Value=""/></Attributes>'
    return f"<Annotation>{about}<Regions>{''.join(regions)}</Regions></Annotation>"


SQUARE = ((2, 2), (6, 2), (6, 6), (2, 6))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    write_image(tmp_path / "x.tif", np.full((10, 12, 3), 200, np.uint8), 0.5)
    return tmp_path / "x.tif", tmp_path / "x.xml"


def save(path: Path, *layers: str, attributes: str = "") -> None:
    path.write_text(f"<Annotations{attributes}>{''.join(layers)}</Annotations>", encoding="utf-8")


@pytest.mark.parametrize(("tile", "least"), [("TCGA-B0-5710-01Z-00-DX1", 0.89), ("TCGA-A7-A13E-01Z-00-DX1", 0.97)])
def test_published_tiles_equal_the_published_labels(
    tile: str, least: float, monuseg_original: Path, kumar: Path
) -> None:
    entry = next(each for each in FORMATS["kumar"].find(monuseg_original).entries if each.name == tile)
    got, truth = entry.read(), read_labels(kumar / "labels" / f"{tile}.tif")
    assert metrics.aji(metrics.overlaps(truth, got.labels)) >= least
    # what was measured, so that nothing is lost unseen
    assert metrics.aji(metrics.overlaps(truth, got.labels)) >= 0.99
    assert len(np.unique(got.labels)) == len(np.unique(truth))
    assert np.array_equal(got.pixels, read_image(kumar / "images" / f"{tile}.png").pixels)
    assert got.mpp == pytest.approx(0.25, abs=0.005)
    assert got.tally["overlapping"] > 0


def test_corners_are_centres_of_pixels(pair: tuple[Path, Path]) -> None:
    save(pair[1], layer(region(*SQUARE)), attributes=' MicronsPerPixel="0.2456"')
    tile = read_aperio(*pair)
    assert np.array_equal(np.argwhere(tile.labels).min(0), [2, 2])
    assert np.array_equal(np.argwhere(tile.labels).max(0), [5, 5])  # half open
    assert tile.mpp == pytest.approx(0.2456)


def test_what_is_left_out_is_counted(pair: tuple[Path, Path]) -> None:
    outside = [(x + 100, y) for x, y in SQUARE]
    save(
        pair[1],
        layer(
            region((1, 1), (5, 5)), region(), region(*SQUARE), region(*outside), region(*SQUARE[:3]), name="Epithelial"
        ),
        layer(region(*SQUARE), name="Ambiguous"),
        layer(region((3, 4), (5, 4), (5, 5), (3, 5), NegativeROA="1")),
    )
    tile = read_aperio(*pair)
    assert +tile.tally == {"short": 2, "empty": 1, "ambiguous": 1, "cut": 1, "overlapping": 2}
    assert tile.labels[4, 3] == 0
    assert tile.labels.max() == 2
    assert tile.mpp == pytest.approx(0.5)  # the image's


@pytest.mark.parametrize("said", ["", "abc", "0", "inf", "90"])
def test_resolution_that_is_none_is_not_taken(pair: tuple[Path, Path], said: str) -> None:
    save(pair[1], layer(region(*SQUARE)), attributes=f' MicronsPerPixel="{said}"')
    assert read_aperio(*pair).mpp == pytest.approx(0.5)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<Annotations>",
        "<svg/>",
        "<Annotations><Annotation><Region><Vertex X='a' Y='1'/></Region></Annotation></Annotations>",
        "<Annotations><Annotation><Region><Vertex X='1'/></Region></Annotation></Annotations>",
        "<?xml version='1.0' encoding='klingon'?><Annotations/>",
    ],
)
def test_damaged_files_are_refused(pair: tuple[Path, Path], content: str) -> None:
    pair[1].write_text(content)
    with pytest.raises((ValueError, KeyError, LookupError, ExpatError)):
        read_aperio(*pair)


def test_entities_are_not_fetched(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("1")
    pair[1].write_text(
        f'<!DOCTYPE a [<!ENTITY s SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
        "<Annotations><Annotation><Region><Vertex X='&s;' Y='1'/></Region></Annotation></Annotations>"
    )
    with pytest.raises(FileFault, match="defines entities"):
        read_aperio(*pair)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_bombs_of_entities_are_refused(pair: tuple[Path, Path], encoding: str) -> None:
    entities = "".join(f'<!ENTITY b{n} "{f"&b{n - 1};" * 10 if n else "b" * 10}">' for n in range(10))
    pair[1].write_bytes(
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [{entities}]><Annotations>&b9;</Annotations>'.encode(
            encoding
        )
    )
    with pytest.raises(FileFault, match="defines entities"):
        read_aperio(*pair)


def test_depth_is_no_fault(pair: tuple[Path, Path]) -> None:
    depth = 100_000
    pair[1].write_text(f"<Annotations>{'<a>' * depth}{'</a>' * depth}</Annotations>")
    assert not read_aperio(*pair).labels.any()


def test_numbers_may_have_a_decimal_comma(pair: tuple[Path, Path]) -> None:
    commas = [(f"{x},0", f"{y},0") for x, y in SQUARE]
    save(pair[1], layer(region(*commas)), attributes=' MicronsPerPixel="0,252"')  # type: ignore[arg-type]
    tile = read_aperio(*pair)
    assert tile.mpp == pytest.approx(0.252)
    save(pair[1], layer(region(*SQUARE)))
    assert np.array_equal(tile.labels, read_aperio(*pair).labels)
