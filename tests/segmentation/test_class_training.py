"""Points to a classifier, and the classifier to classes: in images, folders and slides."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_nucleigan.base.errors import ImageError, LabelsError, ModelError, RecipeError
from napari_nucleigan.base.events import Note, run
from napari_nucleigan.classification import Classifier, save_classifier
from napari_nucleigan.data.images.files import read_image, write_image
from napari_nucleigan.segmentation import SegmentSettings, segment, segment_files
from napari_nucleigan.segmentation.class_training import train_classifier
from napari_nucleigan.segmentation.filter_files import filter_results
from napari_nucleigan.segmentation.settings import NucleiFilter
from napari_nucleigan.segmentation.slides import segment_slide
from napari_nucleigan.segmentation.stored import StoredNuclei
from oracle import Oracle, model, save_picture, scatter
from slide_pictures import slide_of

EXACT: dict[str, Any] = {"device": "cpu", "precision": "float32"}


class Seeing(Oracle):
    """Tells, of each place, the mean colour around: an embedding that can be reckoned."""

    embedding = 3

    def described(self, images: Any) -> Any:
        from torch.nn.functional import avg_pool2d

        return self(images), avg_pool2d(images, 4)


SEEN = model(Seeing(), sha256="abc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of nuclei, of which the large ones are large, and the small ones small."""
    rows = []
    for number in range(3):
        path = tmp_path / "images" / f"img{number}.tif"
        path.parent.mkdir(exist_ok=True)
        labels = save_picture(path, number, (300, 300))
        areas = np.bincount(labels.ravel())
        for label in range(1, len(areas)):
            y, x = np.argwhere(labels == label).mean(axis=0)
            rows.append((path.stem, x + 0.5, y + 0.5, "large" if areas[label] > np.median(areas[1:]) else "small"))
    with (tmp_path / "points.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([("name", "x", "y", "type"), *rows])
    return tmp_path


def trained(folder: Path, **options: Any) -> Classifier:
    settings = SegmentSettings(mpp=0.25, **EXACT)
    job = train_classifier([folder / "images"], [folder / "points.csv"], settings, SEEN, **options)
    return save_classifier(folder / "types.safetensors", run(job))


def test_what_is_clicked_is_learnt(folder: Path) -> None:
    card = trained(folder, name="sizes").card
    assert card.images == 3
    assert set(card.counts) == {"large", "small"}
    assert card.embedding == 3
    assert (card.segmenter, card.segmenter_sha256) == ("oracle", "abc")
    assert card.scores["held_back"] == "images"
    assert card.scores["weighted_f1"] > 0.8


def test_images_get_classes(folder: Path) -> None:
    trained(folder)
    settings = SegmentSettings(mpp=0.25, classifier=str(folder / "types.safetensors"), **EXACT)
    found = run(segment(read_image(folder / "images" / "img0.tif"), settings, SEEN))
    table = found.features
    assert set(table["class"]) == {"large", "small"}
    assert (table["class_probability"] >= 0.5).all()
    assert table["area_px"][table["class"] == "large"].mean() > table["area_px"][table["class"] == "small"].mean()
    assert found.provenance["classes"].keys() == {"large", "small"}


def test_folders_get_classes_and_another_classifier_does_them_again(folder: Path) -> None:
    classifier = trained(folder)
    out, path = folder / "out", folder / "types.safetensors"
    settings = SegmentSettings(mpp=0.25, classifier=str(path), **EXACT)

    def states() -> list[str]:
        return [each.state for each in run(segment_files([folder / "images"], out, settings, ["csv"], SEEN))]

    assert states() == ["done"] * 3
    with (out / "img1.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert {row["class"] for row in rows} == {"large", "small"}
    assert all(0.5 <= float(row["class_probability"]) <= 1 for row in rows)
    assert states() == ["skipped"] * 3
    save_classifier(
        path, Classifier(classifier.card, classifier.mean, classifier.scale, -classifier.weights, classifier.bias)
    )
    assert states() == ["done"] * 3


def test_on_slides_neighbours_and_classes_do_not_depend_on_tiles(folder: Path) -> None:
    trained(folder)
    settings = {"classifier": str(folder / "types.safetensors"), **EXACT}
    tables = []
    for tile in (160, 2048):
        out = folder / f"slide{tile}.csv"
        run(segment_slide(slide_of(scatter((500, 700))), out, SegmentSettings(tile=tile, **settings), model=SEEN))
        with out.open() as handle:
            tables.append({row["label"]: row for row in csv.DictReader(handle)})
    assert tables[0].keys() == tables[1].keys()
    assert len(tables[0]) > 50
    assert {row["class"] for row in tables[0].values()} == {"large", "small"}
    for label, row in tables[0].items():
        other = tables[1][label]
        assert row["class"] == other["class"]
        for name in ("nearest_um", "neighbours_10um", "neighbours_25um", "neighbours_50um", "density_per_mm2"):
            assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-6), name


def test_a_finished_slide_gets_classes_without_being_segmented_again(folder: Path) -> None:
    classifier = trained(folder)
    picture, found, classed = slide_of(scatter((300, 400))), folder / "found", folder / "classed"
    formats = ["csv", "parquet", "ome.zarr", "geojson.gz"]
    known = SegmentSettings(classifier=str(folder / "types.safetensors"), tile=160, **EXACT)
    run(segment_slide(picture, folder / "at once", known, ["csv"], model=SEEN))
    run(segment_slide(picture, found, SegmentSettings(measurements="full", tile=160, **EXACT), formats, model=SEEN))
    (result,) = run(filter_results([found], classed, classifier=classifier))
    assert {path.suffix for path in result.outputs} == {".csv", ".parquet", ".zarr", ".gz"}

    def rows(path: Path) -> dict[str, dict[str, str]]:
        with next(path.glob("*.csv")).open() as handle:
            return {row["label"]: row for row in csv.DictReader(handle)}

    expected, got = rows(folder / "at once"), rows(classed)
    assert len(got) == len(expected) > 20
    for label, row in got.items():
        assert row["class"] == expected[label]["class"]
        assert float(row["class_probability"]) == pytest.approx(float(expected[label]["class_probability"]), abs=1e-3)
    assert "class" not in next(iter(rows(found).values()))
    labels = next(classed.glob("*.ome.zarr"))
    assert StoredNuclei(labels).classes() == {name: tuple(color) for name, color in classifier.colours.items()}
    (large,) = run(filter_results([classed], folder / "large", NucleiFilter(classes=("large",))))
    assert large.nuclei == sum(row["class"] == "large" for row in got.values())

    other = replace(classifier, card=classifier.card.model_copy(update={"segmenter_sha256": "def"}))
    with pytest.raises(ModelError, match=r"'oracle' .* is another one"):
        run(filter_results([found], folder / "other", classifier=other))
    next(found.glob("*.parquet")).unlink()
    with pytest.raises(LabelsError, match="embeddings, which a table in Parquet keeps"):
        run(filter_results([found], folder / "none", classifier=classifier))
    run(filter_results([found], folder / "shape", classifier=trained(folder, embedding=False)))
    assert {row["class"] for row in rows(folder / "shape").values()} == {"large", "small"}


def test_a_result_with_few_measurements_gets_no_classes(folder: Path) -> None:
    classifier = trained(folder, embedding=False)
    settings = SegmentSettings(mpp=0.25, **EXACT)
    image = folder / "images" / "img0.tif"
    run(segment_files([image, folder / "images" / "img1.tif"], folder / "found", settings, ["tif", "csv"], SEEN))
    with pytest.raises(LabelsError, match="segment with --measurements full"):
        run(filter_results([folder / "found" / "img0.tif"], folder / "classed", classifier=classifier))


def test_a_slide_without_nuclei_has_the_same_columns(folder: Path) -> None:
    trained(folder)
    settings = SegmentSettings(classifier=str(folder / "types.safetensors"), **EXACT)
    headers = []
    for labels in (scatter((400, 400)), np.zeros((400, 400), np.int32)):
        out = folder / "one.csv"
        run(segment_slide(slide_of(labels), out, settings, model=SEEN))
        headers.append(out.read_text().splitlines()[0])
    assert headers[0].split(",")[-3:] == ["class", "class_probability", "artefact"]


def test_another_segmenter_is_refused(folder: Path) -> None:
    trained(folder)
    settings = SegmentSettings(mpp=0.25, classifier=str(folder / "types.safetensors"), **EXACT)
    with pytest.raises(ModelError, match="is another one"):
        run(segment(read_image(folder / "images" / "img0.tif"), settings, model(Seeing(), sha256="def")))


def test_without_embeddings_any_segmenter_will_do(folder: Path) -> None:
    assert trained(folder, embedding=False).card.segmenter == ""
    settings = SegmentSettings(mpp=0.25, classifier=str(folder / "types.safetensors"), **EXACT)
    found = run(segment(read_image(folder / "images" / "img0.tif"), settings, model(Oracle(), sha256="def")))
    assert set(found.features["class"]) == {"large", "small"}


@pytest.mark.parametrize(
    ("rows", "kind", "said"),
    [
        ("img0,1,1,a\n" * 9, RecipeError, "'a' has"),
        ("img9,1,1,a\n", LabelsError, "The points name img9, and none of the 3 images"),
        ("img0,9999,1,a\nimg0,1,9999,b\n", RecipeError, "'a' has 0, 'b' has 0"),
    ],
)
def test_faults_of_points_get_a_sentence(folder: Path, rows: str, kind: type[Exception], said: str) -> None:
    (folder / "points.csv").write_text("name,x,y,type\n" + rows)
    with pytest.raises(kind, match=said):
        trained(folder)


def test_names_that_no_image_has_are_told(folder: Path) -> None:
    with (folder / "points.csv").open("a") as handle:
        handle.write("elsewhere,1,1,large\n")
    heard: list[Any] = []
    settings = SegmentSettings(mpp=0.25, **EXACT)
    run(train_classifier([folder / "images"], [folder / "points.csv"], settings, SEEN), heard.append)
    assert any(isinstance(each, Note) and "1 images that were not given: elsewhere" in each.text for each in heard)


def test_two_images_of_one_name_are_refused(folder: Path) -> None:
    write_image(folder / "images" / "img0.png", read_image(folder / "images" / "img0.tif").pixels)
    with pytest.raises(LabelsError, match="may belong to"):
        trained(folder)


def test_without_a_scale_it_is_asked_for(folder: Path) -> None:
    with pytest.raises(ImageError, match="--mpp"):
        run(train_classifier([folder / "images"], [folder / "points.csv"], SegmentSettings(**EXACT), SEEN))
