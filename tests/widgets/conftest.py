"""A small segmenter for the widgets' tests, trained within seconds on painted images."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from qtpy.QtCore import QThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from npe2.manifest.schema import DiscoverResults

    from napari_nucleigan.masks.polygons import PolygonMasks

ARCHITECTURE = {"name": "compact-unet", "widths": [8, 16, 16]}
MPP = 0.25


@pytest.fixture(scope="session", autouse=True)
def manifests_read_once() -> Iterator[None]:
    """napari reads the manifest of each plugin there is for each viewer: a tenth of the time of a test.

    What is installed stays as it is while tests run, and npe2 only takes manifests that it does not know yet.
    """
    from npe2 import PluginManifest

    discover = PluginManifest.discover
    found: dict[tuple[str, ...], list[DiscoverResults]] = {}

    def once(paths: Sequence[str | Path] = ()) -> Iterator[DiscoverResults]:
        key = tuple(map(str, paths))
        if key not in found:
            found[key] = list(discover(paths))
        return iter(found[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", once)
        yield


@pytest.fixture(scope="session")
def trained_file(tiny_he: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file whose network finds the nuclei that `tiny_he` paints."""
    import numpy as np
    import torch

    from napari_nucleigan.masks.encoding import encode
    from napari_nucleigan.models import DEFAULT_SEGMENTER, ModelCard, save_model
    from napari_nucleigan.networks import build

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine threads that wait for each other take minutes
    torch.manual_seed(0)
    pairs = [tiny_he(96, 96, 14, seed) for seed in range(8)]
    images = torch.from_numpy(np.stack([rgb for rgb, _ in pairs])).permute(0, 3, 1, 2)
    images = images.to(torch.float32) / 127.5 - 1
    masks = torch.from_numpy(np.stack([encode(labels) for _, labels in pairs]))
    network = build(ARCHITECTURE).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.l1_loss(network(images), masks).backward()
        optimizer.step()
    torch.set_num_threads(threads)
    card = ModelCard(
        name=DEFAULT_SEGMENTER,  # takes the place of the bundled model
        kind="segmenter",
        architecture=ARCHITECTURE,
        mpp=MPP,
        decode={"threshold": 0.5, "min_area_um2": 1.0},
        scores={"aji": 0.5, "f1": 0.75},
        licence="CC0-1.0",
        training_data="painted ellipses",
    )
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model(path, network.state_dict(), card)
    return path


@pytest.fixture
def models(trained_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's model folder, with one small model."""
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(trained_file, folder)
    monkeypatch.setenv("NUCLEIGAN_MODELS", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Every thread that a test started has ended."""
    yield
    assert QThreadPool.globalInstance().waitForDone(10_000)


PAINTER = {"name": "painter", "widths": [8, 8, 8, 8, 8], "style_size": 4}


@pytest.fixture
def painters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's model folder, with a small synthesizer of random weights in place of the bundled one."""
    import torch

    from napari_nucleigan.models import DEFAULT_SYNTHESIZER, ModelCard, save_model
    from napari_nucleigan.networks import build_synthesizer

    folder = tmp_path / "models"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("NUCLEIGAN_MODELS", str(folder))
    torch.manual_seed(0)
    card = ModelCard(
        name=DEFAULT_SYNTHESIZER,
        kind="synthesizer",
        architecture=PAINTER,
        mpp=MPP,
        styles={"liver": [[1.0, 1, -1, -1], [-1, 1, -1, 1]], "breast": [[1.0, -1, 1, -1]]},
        licence="CC0-1.0",
    )
    save_model(folder / "paint.safetensors", build_synthesizer(PAINTER).state_dict(), card)
    return folder


KNOWS = {"name": "tissue-unet", "classes": 3, "widths": [8, 8, 8, 8], "style_size": 4, "features": 8}


@pytest.fixture(scope="session")
def tissue_masks() -> PolygonMasks:
    """Masks of three tissues, as learnt from a painted tile."""
    from napari_nucleigan.masks.polygons import fit_tissue
    from tissue_pictures import tissue_picture

    pixels, labels, _ = tissue_picture()
    return fit_tissue([pixels], [labels], count=3)


@pytest.fixture
def tissue_painter(painters: Path, tissue_masks: PolygonMasks) -> Path:
    """The user's model folder, whose synthesizer of random weights paints those tissues, and each otherwise."""
    from napari_nucleigan.models import DEFAULT_SYNTHESIZER, ModelCard, save_model
    from napari_nucleigan.networks import build_synthesizer

    network = build_synthesizer(KNOWS)
    state = {key: 8 * value if key.startswith("modulate") else value for key, value in network.state_dict().items()}
    masks = tissue_masks.model_dump(mode="json")
    tissue = {"classes": masks["layout"]["classes"], "masks": masks}
    card = ModelCard(name=DEFAULT_SYNTHESIZER, kind="synthesizer", architecture=KNOWS, mpp=MPP, tissue=tissue)
    save_model(painters / "paint.safetensors", state, card)
    return painters
