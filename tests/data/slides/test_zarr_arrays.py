from __future__ import annotations

import json
import os
import pickle
import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import zarr

from napari_nucleigan.base.errors import ImageError, LabelsError
from napari_nucleigan.base.reading import FileFault
from napari_nucleigan.data.slides import is_slide, open_slide
from napari_nucleigan.data.slides.label_pyramids import label_folders, open_label_pyramid
from napari_nucleigan.data.slides.zarr_arrays import open_array
from slide_files import write_label_zarr, write_labels_of, write_zarr

if TYPE_CHECKING:
    from pathlib import Path


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


class Spell:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return (open, (self.trace, "w"))


@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_nothing_is_unpickled(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    numcodecs = pytest.importorskip("numcodecs")
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    path = tmp_path / "a"
    zarr.create_array(path, shape=(4, 4), chunks=(4, 4), dtype="u1", zarr_format=2, compressors=None)
    codec = {"id": "pickle", "protocol": 4}
    edit(path / ".zarray", **{place: codec if place == "compressor" else [codec]})
    (path / "0.0").write_bytes(pickle.dumps(Spell(str(tmp_path / "trace"))))
    with pytest.raises(FileFault, match="'pickle', which is not run"):
        open_array(path)[:]
    assert not (tmp_path / "trace").exists()


def test_nor_within_shards(tmp_path: Path) -> None:
    path = tmp_path / "a"
    zarr.create_array(path, shape=(8, 8), chunks=(4, 4), shards=(8, 8), dtype="u1")
    known = json.loads((path / "zarr.json").read_text())
    known["codecs"][0]["configuration"]["codecs"].append({"name": "numcodecs.pickle", "configuration": {}})
    (path / "zarr.json").write_text(json.dumps(known))
    with pytest.raises(FileFault, match="pickle"):
        open_array(path)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("compressors", ["auto", None])
def test_what_is_sound_is_read(tmp_path: Path, version: Any, compressors: Any) -> None:
    values = np.random.default_rng(0).integers(0, 255, (100, 90), np.uint8)
    made = zarr.create_array(
        tmp_path / "a", shape=(100, 90), chunks=(32, 32), dtype="u1", zarr_format=version, compressors=compressors
    )
    made[:] = values
    assert np.array_equal(open_array(tmp_path / "a")[:], values)


@pytest.mark.parametrize("shards", [None, (200_000, 200_000)])
def test_giant_chunks_are_refused(tmp_path: Path, shards: Any) -> None:
    chunk = (100_000, 100_000) if shards is None else (2000, 2000)
    zarr.create_array(tmp_path / "a", shape=(200_000, 200_000), chunks=chunk, shards=shards, dtype="u1")
    with pytest.raises(FileFault, match="GB of memory"):
        open_array(tmp_path / "a")


@pytest.mark.parametrize("codec", ["gzip", "zlib", "zstd", "blosc"])
def test_chunks_that_unpack_to_more_than_they_hold(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a"
    made = zarr.create_array(path, shape=(64, 64), chunks=(64, 64), dtype="u1", zarr_format=2, compressors=None)
    made[:] = 1
    setting = {"blosc": {"cname": "zstd", "clevel": 5, "shuffle": 1}, "zstd": {"level": 1}}.get(codec, {"level": 1})
    edit(path / ".zarray", compressor={"id": codec, **setting})
    bomb = bytes(300_000_000)
    packed = {
        "gzip": lambda: zlib.compress(bomb, 1, wbits=31),
        "zlib": lambda: zlib.compress(bomb, 1),
        "zstd": lambda: imagecodecs.zstd_encode(bomb, 1),
        "blosc": lambda: imagecodecs.blosc_encode(bomb, compressor="zstd", level=1),
    }[codec]()
    (path / "0.0").write_bytes(packed)
    with pytest.raises(FileFault, match="unpacks to more than 1 MB"):
        open_array(path)[:]


@pytest.mark.parametrize("place", ["/dev/zero", "pipe", "large"])
def test_chunks_are_files_no_larger_than_what_they_hold(tmp_path: Path, place: str) -> None:
    made = zarr.create_array(tmp_path / "a", shape=(64, 64), chunks=(64, 64), dtype="u1", compressors=None)
    made[:] = 1
    file = tmp_path / "a" / "c" / "0" / "0"
    if place == "large":
        with file.open("r+b") as handle:
            handle.truncate(1 << 40)
    elif not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes and devices in folders")
    else:
        file.unlink()
        os.mkfifo(file) if place == "pipe" else file.symlink_to(place)
    with pytest.raises(FileFault, match=r"unpacks to more than 1 MB|it is a pipe, a socket or a device"):
        open_array(tmp_path / "a")[:]


@pytest.mark.parametrize("name", ["../secret", "/etc", "0/../../secret"])
def test_parts_lie_within(tmp_path: Path, tiny_he: Any, name: str) -> None:
    rgb, labels = tiny_he(300, 420, 40)
    image = write_zarr(tmp_path / "a.ome.zarr", rgb, "0.5")
    write_zarr(tmp_path / "secret", rgb, "0.5")
    assert is_slide(image)
    known = json.loads((image / "zarr.json").read_text())
    known["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = name
    (image / "zarr.json").write_text(json.dumps(known))
    assert not is_slide(image)
    with pytest.raises(ImageError, match="lies outside of it"):
        open_slide(image)
    write_labels_of(image, "0.5", [f"../../{name}", "nuclei"])
    write_label_zarr(image / "labels" / "nuclei", labels.astype(np.uint32), features=name)
    assert label_folders(image) == [image / "labels" / "nuclei"]
    with pytest.raises(LabelsError, match="lies outside of it"):
        open_label_pyramid(image / "labels" / "nuclei")


def test_fluorescence_is_no_slide(tmp_path: Path, tiny_he: Any) -> None:
    rgb = tiny_he(300, 420, 40)[0]
    four = write_zarr(tmp_path / "four.ome.zarr", np.dstack([rgb, rgb[..., 0]]), "0.5")
    dark = write_zarr(tmp_path / "dark.ome.zarr", rgb // 12, "0.5")
    named = write_zarr(tmp_path / "named.ome.zarr", rgb, "0.4")
    edit(named / ".zattrs", omero={"channels": [{"label": name} for name in ("DAPI", "b", "c")]})
    for path, why in ((four, "slides are 8-bit RGB"), (dark, "dark background"), (named, r"fluorescence \(DAPI\)")):
        assert not is_slide(path)
        with pytest.raises(ImageError, match=why):
            open_slide(path)
