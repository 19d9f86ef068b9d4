"""Slides in OME-Zarr that lie on a server: only what is looked at is fetched.

The texts that describe a pyramid are copied into a folder of this machine, where they are looked through as those of
any pyramid; its pixels come from the server.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.storage import FsspecStore, WrapperStore

from napari_nucleigan.base.errors import ExtraError, ImageError
from napari_nucleigan.base.reading import FileFault, reading
from napari_nucleigan.base.text import printable
from napari_nucleigan.data.slides.zarr import attributes, inside, open_zarr
from napari_nucleigan.data.slides.zarr_arrays import METADATA

if TYPE_CHECKING:
    from zarr.abc.store import Store

    from napari_nucleigan.data.slides.slide import Slide

_URL = re.compile(r"(?:^|/)((?:https?|s3|gs|az|abfs):)/+(.+)$")
_TEXTS = ("zarr.json", ".zattrs", ".zgroup", ".zarray")


def url_of(path: str | Path) -> str | None:
    """Return the address that a path stands for; None if it is one of this machine.

    An address that was taken for a path has lost a slash, and may have got a folder before it.
    """
    found = _URL.search(path.as_posix() if isinstance(path, Path) else path)
    return None if found is None or Path(path).exists() else f"{found[1]}//{found[2].rstrip('/')}"


def open_remote(url: str) -> Slide:
    """Open a colour image in OME-Zarr on a server, without reading its pixels.

    Parameters
    ----------
    url : str
        Address of its folder, as ``https://host/slide.ome.zarr``; ``s3``, ``gs`` and others if fsspec knows them.

    Returns
    -------
    Slide

    Raises
    ------
    ImageError
        If there is none, or the server does not answer.
    ExtraError
        If what reads such addresses is not installed.
    """
    files, root = _file_system(url)
    kept = tempfile.TemporaryDirectory(prefix="nucleigan-")
    folder = Path(kept.name) / root.rsplit("/", 1)[-1]
    try:
        with reading(url, ImageError, "image in OME-Zarr"):
            _copy_texts(files, root, folder)
            if not attributes(folder):
                raise FileFault("there is no image in OME-Zarr, or the server does not answer")

        def store(path: Path) -> Store:
            place = path.relative_to(folder).as_posix()
            return _Described(FsspecStore.from_url(f"{url}/{place}", read_only=True), path)

        return open_zarr(folder, store, url, kept.cleanup)
    except BaseException:
        kept.cleanup()
        raise


def _file_system(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ExtraError(
            f"To read {url}, packages are missing ({error}); run: pip install "
            '"napari-nucleigan[slides]", and s3fs, gcsfs or adlfs for such addresses.'
        ) from error
    return files, str(root).rstrip("/")


def _copy_texts(files: Any, root: str, folder: Path, depth: int = 0) -> None:
    """Copy what describes a group, and the arrays of the image in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _TEXTS:
        try:
            content = files.cat_file(f"{root}/{name}", start=0, end=METADATA)
        except FileNotFoundError:
            continue
        (folder / name).write_bytes(content)
        if name == "zarr.json":
            break
    if depth > 1:
        return
    known = attributes(folder).get("ome", {})
    parts = [str(entry["path"]) for image in known.get("multiscales", ())[:1] for entry in image["datasets"]]
    if not parts and "bioformats2raw.layout" in known:
        parts = ["0"]
    for part in parts:
        _copy_texts(files, f"{root}/{part}", inside(folder, part), depth + 1)


class _Described(WrapperStore[FsspecStore]):  # type: ignore[misc]
    """An array on a server whose description is the copy that was looked through."""

    def __init__(self, store: FsspecStore, folder: Path) -> None:
        super().__init__(store)
        self._folder = folder

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if key.rsplit("/", 1)[-1] not in _TEXTS:
            try:
                return await super().get(key, prototype, byte_range)
            except OSError:
                raise
            except Exception as error:  # of the packages that speak to servers, each has its own
                raise FileFault(f"its server does not give it ({printable(error)}); try again later") from error
        file = self._folder / key
        return prototype.buffer.from_bytes(file.read_bytes()) if file.is_file() else None
