from __future__ import annotations

import subprocess
import sys

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_nucleigan.contributions import menus


def test_synthetic_he_lies_in_microns_with_its_labels() -> None:
    image, labels = (Layer.create(*data) for data in menus.synthetic_he())
    assert isinstance(image, Image)
    assert isinstance(labels, Labels)
    assert "synthetic" in image.name.lower()
    for layer in (image, labels):
        assert layer.scale.tolist() == [0.25, 0.25]
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
    assert image.data.shape[:2] == labels.data.shape
    assert len(np.unique(labels.data)) > 300


def test_immunohistochemistry_says_what_it_is() -> None:
    (data,) = menus.immunohistochemistry()
    layer = Layer.create(*data)
    assert "not H&E" in layer.name
    assert "not H&E" in layer.metadata["nucleigan"]["notes"][0]


def test_contributions_load_neither_torch_nor_qt() -> None:
    modules = "menus, readers, writers"
    code = (
        f"import sys; from napari_nucleigan.contributions import {modules}; menus.synthetic_he(); "
        "print([m for m in ('torch', 'qtpy', 'napari') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_manifest_offers_the_samples() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-nucleigan")
    offered = manifest.contributions.sample_data or []
    assert [one.key for one in offered] == ["synthetic_he", "skin", "immunohistochemistry"]
    for one in offered:
        name = next(c.python_name for c in manifest.contributions.commands or [] if c.id == one.command)
        assert callable(getattr(menus, str(name).split(":")[1]))
