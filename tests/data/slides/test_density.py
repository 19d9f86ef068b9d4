from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.files import SOFTWARE, write_image, write_labels
from napari_nucleigan.data.slides.density import is_density, read_density

if TYPE_CHECKING:
    from pathlib import Path

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4) * 100


def write_density(path: Path, um: float | None = 100, **options: Any) -> Path:
    scale = {"resolution": (1e4 / um, 1e4 / um), "resolutionunit": "CENTIMETER"} if um else {}
    tifffile.imwrite(
        path, VALUES, **{"software": SOFTWARE, "metadata": None, "compression": "zlib", **scale, **options}
    )
    return path


@pytest.mark.parametrize("um", [100, 64.5, None])
def test_pixels_may_be_larger_than_those_of_microscopes(tmp_path: Path, um: float | None) -> None:
    path = write_density(tmp_path / "a.density.tif", um)
    assert is_density(path)
    density = read_density(path)
    assert density.name == "a.density"
    assert density.pixel_um == um
    assert density.values.dtype == np.float32
    assert np.array_equal(density.values, VALUES)


def test_what_is_none(tmp_path: Path) -> None:
    assert not is_density(write_density(tmp_path / "a.tif", software="another"))
    write_labels(tmp_path / "b.tif", np.ones((3, 4), int))
    write_image(tmp_path / "c.tif", np.zeros((3, 4, 3), np.uint8))
    for name in ("b.tif", "c.tif"):
        assert not is_density(tmp_path / name)
        with pytest.raises(ImageError, match="is no density map"):
            read_density(tmp_path / name)


def test_damage(tmp_path: Path) -> None:
    path = write_density(tmp_path / "a.density.tif")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImageError, match=r"Cannot read the density map .*a\.density\.tif"):
        read_density(path)
