from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.slides import address_of, is_slide, open_slide
from napari_nucleigan.data.slides.remote import url_of
from napari_nucleigan.segmentation import FileResult
from napari_nucleigan.segmentation.file_plan import file_key
from slide_files import write_zarr

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")

if TYPE_CHECKING:
    from collections.abc import Iterator


class Handler(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if (Path(self.directory) / "busy").exists():
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    handler = type("Asked", (Handler,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}", handler.asked
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_only_what_is_looked_at_is_fetched(
    tmp_path: Path, tiny_he: Any, server: tuple[str, list[str]], version: str
) -> None:
    url, asked = server
    pixels = tiny_he(300, 420, 40)[0]
    write_zarr(tmp_path / "a.ome.zarr", pixels, version)
    assert is_slide(f"{url}/a.ome.zarr")
    with open_slide(tmp_path / "a.ome.zarr") as near, open_slide(f"{url}/a.ome.zarr") as far:
        described = list(asked)
        assert not any(path.startswith(("/a.ome.zarr/0/c/", "/a.ome.zarr/0/0")) for path in described)
        assert (far.name, far.mpp, far.shape) == (near.name, near.mpp, near.shape)
        assert np.array_equal(far.region((10, 20, 30, 50)), pixels[10:20, 30:50])
        one = len(asked) - len(described)
        assert 0 < one < 12
        for level in range(len(near.planes)):
            assert np.array_equal(far.planes[level][:], near.planes[level][:])


def test_a_server_that_fails_meanwhile_is_no_damage(
    tmp_path: Path, tiny_he: Any, server: tuple[str, list[str]]
) -> None:
    write_zarr(tmp_path / "a.ome.zarr", tiny_he(300, 420, 40)[0], "0.5")
    with open_slide(f"{server[0]}/a.ome.zarr") as slide:
        (tmp_path / "busy").touch()
        with pytest.raises(ImageError, match=r"rows 0 to 9, .* its server does not give it \(503.*; try again later"):
            slide.region((0, 9, 0, 9))
        (tmp_path / "busy").unlink()
        assert slide.region((0, 9, 0, 9)).shape == (9, 9, 3)


def test_addresses_that_were_taken_for_paths() -> None:
    url = "https://host.org/slides/a.ome.zarr"
    assert url_of(url) == url_of(Path(url)) == url_of(Path(url).absolute()) == url
    assert url_of("s3://bucket/a.zarr/") == "s3://bucket/a.zarr"
    assert address_of(Path(url)) == file_key(Path(url)) == FileResult(Path(url)).to_json()["source"] == url
    assert url_of("slides/a.ome.zarr") is None
    assert address_of("slides/a.ome.zarr") is None
    assert url_of(Path("C:/slides/a.ome.zarr")) is None


def test_what_is_not_there_is_one_sentence(server: tuple[str, list[str]]) -> None:
    url, _ = server
    with pytest.raises(ImageError, match=f"Cannot read {url}/none.ome.zarr: there is no image in OME-Zarr"):
        open_slide(Path(f"{url}/none.ome.zarr"))
    with pytest.raises(ImageError, match="Cannot read"):
        open_slide("http://127.0.0.1:9/none.ome.zarr")
