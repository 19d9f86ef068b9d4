from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from skimage.io import imsave

from napari_nucleigan.base.errors import DatasetError, ImageError, LabelsError
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import read_labels, write_labels


def write(folder, names, split=None, suffix="png", size=(20, 30)):
    """Write a data set whose images are all of one colour; the third name has the grey 2, and so on."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for value, name in enumerate(names):
        imsave(folder / "images" / f"{name}.{suffix}", np.full((*size, 3), value, np.uint8), check_contrast=False)
        labels = np.zeros(size, np.int32)
        labels[2:6, 2:6] = value + 1
        write_labels(folder / "labels" / f"{name}.tif", labels)
    if split is not None:
        (folder / "split.csv").write_text(split, "utf-8")
    return folder


# -- opening -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_images_and_labels_belong_together_by_name(tmp_path, suffix):
    dataset = Dataset.open(str(write(tmp_path, ["b", "a", "c.1"], suffix=suffix)))
    assert dataset.folder == tmp_path
    assert dataset.names == ("a", "b", "c.1")
    assert len(dataset) == 3
    for name, value in (("b", 0), ("a", 1), ("c.1", 2)):
        image, labels = dataset.pair(name)
        assert image.name == name
        assert image.pixels.shape == (20, 30, 3)
        assert (image.pixels == value).all()
        assert labels.dtype == np.int32
        assert labels.max() == value + 1


def test_without_a_split_all_images_train(tmp_path):
    dataset = Dataset.open(write(tmp_path, ["a", "b"]))
    assert dataset.organs == {"a": "unknown", "b": "unknown"}
    assert dataset.subset("train").names == ("a", "b")
    assert len(dataset.subset("test")) == 0


def test_the_split_names_organs_and_parts(tmp_path):
    split = "name,organ,split,nuclei\nb,liver,test,7\na,breast,train,3\n"
    dataset = Dataset.open(write(tmp_path, ["a", "b", "c"], split))
    assert dataset.organs == {"a": "breast", "b": "liver", "c": "unknown"}
    assert dataset.subset("test").names == ("b",)
    assert dataset.subset("train").names == ("a", "c")
    assert dataset.subset("val").names == ()


def test_splits_may_be_called_otherwise(tmp_path):
    dataset = Dataset.open(write(tmp_path, ["a", "b"], "name,split\na,Validation\nb,folds-1\n"))
    assert dataset.subset("val").names == dataset.subset("validation").names == ("a",)
    assert dataset.subset("folds-1").names == ("b",)


@pytest.mark.parametrize(
    "split",
    [
        "split,name\ntest,b\n",
        "name, organ, split\nb, liver, test\n",
        "name,organ,split\r\nb,,test\r\n",
        "\ufeffname,split\nb,test\nother,train\n",
    ],
    ids=["other order", "blanks", "carriage returns", "byte order mark"],
)
def test_splits_as_spreadsheets_write_them(tmp_path, split):
    assert Dataset.open(write(tmp_path, ["a", "b"], split)).subset("test").names == ("b",)


def test_names_that_the_split_lists_in_excess_do_not_matter(tmp_path):
    dataset = Dataset.open(write(tmp_path, ["a"], "name,organ,split\na,liver,test\ngone,liver,train\n"))
    assert dataset.names == ("a",)
    assert "gone" not in dataset.splits


def test_other_files_beside_the_images_do_not_matter(tmp_path):
    write(tmp_path, ["a"])
    (tmp_path / "images" / "notes.txt").write_text("cut on Monday")
    (tmp_path / "labels" / "b.tif").write_bytes(b"")
    assert Dataset.open(tmp_path).names == ("a",)


def test_the_kumar_set(kumar):
    dataset = Dataset.open(kumar)
    assert len(dataset) == 30
    assert len(dataset.subset("train")) == 16
    assert len(dataset.subset("test")) == 14
    assert len(set(dataset.organs.values())) == 7
    image, labels = dataset.pair(dataset.subset("train").names[0])
    assert image.pixels.shape == (1000, 1000, 3)
    assert labels.shape == (1000, 1000)


# -- what is no data set -------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_missing_folder_is_told(tmp_path, part):
    write(tmp_path, ["a"])
    (tmp_path / part).rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=f"no folder '{part}'"):
        Dataset.open(tmp_path)


def test_a_missing_data_set_is_told(tmp_path):
    with pytest.raises(DatasetError, match="is not a data set"):
        Dataset.open(tmp_path / "nowhere")


def test_no_images_are_told(tmp_path):
    with pytest.raises(DatasetError, match="no PNG, JPEG or TIFF images"):
        Dataset.open(write(tmp_path, []))


def test_missing_labels_are_counted_and_the_first_is_named(tmp_path):
    write(tmp_path, ["a", "b", "c"])
    for name in ("b", "c"):
        (tmp_path / "labels" / f"{name}.tif").unlink()
    with pytest.raises(DatasetError, match=r"2 images of .* no label image, 'b' first; put it at labels/b\.tif"):
        Dataset.open(tmp_path)


def test_two_images_of_one_name_are_told(tmp_path):
    write(tmp_path, ["a", "b"])
    write(tmp_path, ["b"], suffix="tif")
    with pytest.raises(DatasetError, match="two images called 'b'"):
        Dataset.open(tmp_path)


def test_a_split_without_names_is_told(tmp_path):
    with pytest.raises(DatasetError, match="must name the columns name,organ,split, and is 'image;organ;split'"):
        Dataset.open(write(tmp_path, ["a"], "image;organ;split\na;liver;test\n"))


def test_a_split_of_other_images_is_told(tmp_path):
    # Taken in silence, such a split would train on the test images.
    with pytest.raises(DatasetError, match=r"names none of the images, 'c' first and the first image is 'a'"):
        Dataset.open(write(tmp_path, ["a", "b"], "name,organ,split\nc.png,liver,test\nd.png,liver,train\n"))


def test_a_split_that_is_no_text_is_told(tmp_path):
    write(tmp_path, ["a"])
    (tmp_path / "split.csv").write_bytes("name,organ,split\na,Mägen,test\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"Cannot read .*split\.csv: its text is not in UTF-8; save it"):
        Dataset.open(tmp_path)


def test_sizes_that_do_not_fit_are_told(tmp_path):
    write(tmp_path, ["a"])
    write_labels(tmp_path / "labels" / "a.tif", np.ones((30, 20), np.int32))
    dataset = Dataset.open(tmp_path)
    with pytest.raises(DatasetError, match=r"'a' differ in size: \(20, 30\) and \(30, 20\)"):
        dataset.pair("a")


def test_files_that_cannot_be_read_are_told(tmp_path):
    dataset = Dataset.open(write(tmp_path, ["a"]))
    (tmp_path / "images" / "a.png").write_bytes(b"no image")
    (tmp_path / "labels" / "a.tif").write_bytes(b"no image")
    with pytest.raises(ImageError):
        dataset.image("a")
    with pytest.raises((LabelsError, ImageError)):
        dataset.labels("a")


# -- names and suffixes ------------------------------------------------------------------------


def test_composed_and_decomposed_names_are_one(tmp_path):
    write(tmp_path, ["e"], f"name,organ,split\n{unicodedata.normalize('NFC', 'Müller é')},liver,test\n")
    taken_apart, composed = (unicodedata.normalize(form, "Müller é") for form in ("NFD", "NFC"))
    (tmp_path / "images" / "e.png").rename(tmp_path / "images" / f"{taken_apart}.png")
    (tmp_path / "labels" / "e.tif").rename(tmp_path / "labels" / f"{composed}.tif")
    write_labels(tmp_path / "regions" / f"{taken_apart}.tif", np.ones((20, 30), np.int32))
    dataset = Dataset.open(tmp_path)
    assert dataset.names == (composed,)
    assert dataset.subset("test").names == dataset.names
    assert dataset.pair(composed)[1].max() == 1
    assert dataset.regions(composed).all()


def test_labels_may_be_png_and_names_may_be_those_of_ome(tmp_path):
    write(tmp_path, ["a", "b.ome"], suffix="tif")
    imsave(
        tmp_path / "labels" / "a.png", read_labels(tmp_path / "labels" / "a.tif").astype(np.uint8), check_contrast=False
    )
    (tmp_path / "labels" / "a.tif").unlink()
    dataset = Dataset.open(tmp_path)
    assert dataset.names == ("a", "b")
    assert [dataset.pair(name)[1].max() for name in "ab"] == [1, 2]


def test_masks_are_no_labels(tmp_path):
    write(tmp_path, ["a"], size=(90, 90))
    labels = np.zeros((90, 90), np.int32)
    labels[::30, ::30] = 255
    write_labels(tmp_path / "labels" / "a.tif", labels)
    with pytest.raises(LabelsError, match="only tells nuclei from background"):
        Dataset.open(tmp_path).labels("a")


# -- without labels ------------------------------------------------------------------------------


def test_labels_need_not_be_there(tmp_path):
    write(tmp_path, ["a", "b", "c"], "name,organ,split\na,liver,train\nb,liver,test\n")
    assert Dataset.open(tmp_path, labelled=False).labelled
    (tmp_path / "labels" / "b.tif").unlink()
    dataset = Dataset.open(tmp_path, labelled=False)
    assert dataset.names == ("a", "b", "c")
    assert not dataset.labelled
    # Those that are used may have all of theirs.
    assert dataset.subset("train").labelled
    assert (dataset.image("b").pixels == 1).all()


def test_a_plain_folder_of_images_is_a_data_set_without_labels(tmp_path):
    folder = write(tmp_path, ["a", "b"]) / "images"
    (folder / "split.csv").write_text("name,organ,split\na,liver,val\n")
    dataset = Dataset.open(folder, labelled=False)
    assert dataset.names == ("a", "b")
    assert not dataset.labelled
    assert dataset.organs == {"a": "liver", "b": "unknown"}
    assert dataset.subset("val").names == ("a",)
    assert (dataset.image("b").pixels == 1).all()
    with pytest.raises(DatasetError, match="no folder 'images'"):
        Dataset.open(folder)


def test_images_are_looked_for_in_their_folder_first(tmp_path):
    write(tmp_path, ["a"])
    imsave(tmp_path / "overview.png", np.zeros((9, 9, 3), np.uint8), check_contrast=False)
    assert Dataset.open(tmp_path, labelled=False).names == ("a",)


def test_what_is_no_folder_of_images_is_told(tmp_path):
    with pytest.raises(DatasetError, match="There is no folder"):
        Dataset.open(tmp_path / "nowhere", labelled=False)
    with pytest.raises(DatasetError, match="no PNG, JPEG or TIFF images"):
        Dataset.open(tmp_path, labelled=False)


def test_labels_can_be_hidden(tmp_path):
    dataset = Dataset.open(write(tmp_path, ["a", "b", "c"]))
    hidden = dataset.hide_labels(["b"]).hide_labels(["c"])
    assert (dataset.labelled_names, hidden.labelled_names) == (("a", "b", "c"), ("a",))
    assert hidden.names == dataset.names
    assert not hidden.labelled
    assert hidden.only(["a"]).labelled


# -- holding out ---------------------------------------------------------------------------------


def of_organs(folder, **organs):
    names = [f"{organ}{i}" for organ, count in organs.items() for i in range(count)]
    rows = [f"{name},{name.rstrip('0123456789')},train" for name in names]
    return Dataset.open(write(folder, names, "\n".join(["name,organ,split", *rows]), size=(8, 8)))


def organs_of(dataset):
    names = [dataset.organs[name] for name in dataset.names]
    return {organ: names.count(organ) for organ in sorted(set(names))}


def test_every_organ_is_held_out_alike(tmp_path):
    dataset = of_organs(tmp_path, breast=4, kidney=8, liver=5)
    training, validation = dataset.hold_out(0.25, seed=1)
    assert organs_of(validation) == {"breast": 1, "kidney": 2, "liver": 1}
    assert organs_of(training) == {"breast": 3, "kidney": 6, "liver": 4}
    assert sorted(training.names + validation.names) == list(dataset.names)


def test_the_seed_decides_who_is_held_out(tmp_path):
    dataset = of_organs(tmp_path, breast=6, liver=6)
    choices = {dataset.hold_out(0.34, seed)[1].names for seed in range(10)}
    assert len(choices) > 3
    assert dataset.hold_out(0.34, 2)[1].names == dataset.hold_out(0.34, 2)[1].names


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("organs", [{"liver": 2}, {"liver": 1, "breast": 1}, {"liver": 7, "breast": 1, "colon": 2}])
def test_at_least_one_is_held_out_and_one_stays(tmp_path, fraction, organs):
    training, validation = of_organs(tmp_path, **organs).hold_out(fraction)
    assert len(training) >= 1
    assert len(validation) >= 1
    assert not set(training.names) & set(validation.names)


@pytest.mark.parametrize("fraction", [0.01, 0.4])
def test_images_without_labels_are_held_out_first(tmp_path, fraction):
    dataset = of_organs(tmp_path, liver=5, breast=5)
    some = dataset.hide_labels(["liver0", "liver1", "breast3", "breast4"])
    for seed in range(5):
        assert not some.hold_out(fraction, seed)[1].labelled_names
    # Where all have labels, or none, it is chance.
    assert dataset.hold_out(fraction)[1].names == dataset.hide_labels(dataset.names).hold_out(fraction)[1].names


def test_nothing_is_held_out_where_nothing_can_be(tmp_path):
    dataset = of_organs(tmp_path, liver=3)
    assert [part.names for part in dataset.hold_out(0)] == [dataset.names, ()]
    alone = dataset.only(["liver1"])
    assert [part.names for part in alone.hold_out(0.5)] == [("liver1",), ()]


def test_the_kumar_validation_holds_every_organ_of_the_training_tiles(kumar):
    training = Dataset.open(kumar).subset("train")
    _, validation = training.hold_out(0.25)
    assert set(organs_of(validation)) == set(organs_of(training))
    assert len(validation) == 4
