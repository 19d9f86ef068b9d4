from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_nucleigan.base.errors import DeviceError, ImageError, ModelError
from napari_nucleigan.evaluation.synthetic import Encoder, PretrainedEncoder, encoder_features
from napari_nucleigan.models import Model, ModelCard, load_model, save_model
from napari_nucleigan.networks import build
from napari_nucleigan.networks.encoders import pretrained_encoder

if TYPE_CHECKING:
    from pathlib import Path


def _model(path: Path, architecture: dict[str, object]) -> Model:
    torch.manual_seed(0)
    card = ModelCard(name="tiny", kind="segmenter", architecture=architecture, mpp=0.25)
    save_model(path, build(architecture).state_dict(), card)
    return load_model(path)


@pytest.fixture
def compact(tmp_path: Path) -> Model:
    return _model(tmp_path / "compact.safetensors", {"name": "compact-unet", "widths": [4, 5, 6, 7, 8]})


def _pictures(count: int, height: int = 64, width: int = 64) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def test_are_the_moments_of_the_levels_at_their_resolutions(compact: Model) -> None:
    pictures = _pictures(2, 96, 64)
    levels: list[torch.Tensor] = []
    for block in compact.network.down:
        block.register_forward_hook(lambda module, inputs, output: levels.append(output))
    compact.network(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1)
    assert [level.shape[2] for level in levels] == [48, 24, 12, 6, 3]
    expected = {"fine": levels[:2], "deep": levels[3:]}
    for depth, found in Encoder(compact, "cpu")(pictures).items():
        parts = [torch.cat([x.mean((2, 3)), x.var((2, 3), correction=0).sqrt()], 1) for x in expected[depth]]
        np.testing.assert_allclose(found, torch.cat(parts, 1).numpy(), atol=1e-5)


def test_do_not_depend_on_the_company(compact: Model) -> None:
    pictures = _pictures(40)
    together = encoder_features(pictures, compact, device="cpu")
    assert together.dtype == np.float32
    alone = np.concatenate([encoder_features([picture], compact, device="cpu") for picture in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_any_size_will_do(compact: Model) -> None:
    encoder = Encoder(compact, "cpu")
    sizes = {encoder(_pictures(1, *shape))["deep"].shape for shape in ((64, 64), (1, 1), (37, 100))}
    assert sizes == {(1, 2 * (7 + 8))}
    with pytest.raises(ImageError, match="one size"):
        encoder([*_pictures(1), *_pictures(1, 32, 32)])


def test_the_u_net_of_the_paper_has_features_too(tmp_path: Path) -> None:
    model = _model(tmp_path / "unet.safetensors", {"name": "unet-256", "width": 4})
    assert encoder_features(_pictures(2), model, device="cpu").shape == (2, 2 * (32 + 32))
    assert encoder_features(_pictures(2), model, depth="fine", device="cpu").shape == (2, 2 * (4 + 8))


def test_a_file_may_hold_the_encoder(tmp_path: Path) -> None:
    _model(tmp_path / "other.safetensors", {"name": "compact-unet", "widths": [4, 4, 4, 4, 4]})
    assert Encoder(tmp_path / "other.safetensors", "cpu").model.card.name == "tiny"
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x04K\x01.")  # a pickle
    with pytest.raises(ModelError, match="not a model file"):
        Encoder(tmp_path / "bad.safetensors")


def test_a_network_without_features_is_refused(tmp_path: Path) -> None:
    model = _model(tmp_path / "resnet.safetensors", {"name": "resnet", "width": 4, "blocks": 1})
    with pytest.raises(ModelError, match="gives no features"):
        Encoder(model)


def test_failures_of_the_network_are_ours(compact: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(images: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(compact.network.stem, "forward", broken)
    with pytest.raises(DeviceError, match="out of luck"):
        Encoder(compact, "cpu")(_pictures(1))


def test_those_of_photographs_are_the_moments_of_the_deepest_levels() -> None:
    pictures = _pictures(2, 70, 64)  # 70 is padded to 96
    encoder = PretrainedEncoder("cpu")
    found = encoder(pictures)
    assert encoder.name == "efficientnet-lite0, imagenet"
    assert set(found) == {"pretrained"}
    assert found["pretrained"].shape == (2, 2 * (112 + 320))
    padded = np.pad(np.stack(pictures), ((0, 0), (0, 26), (0, 0), (0, 0)), mode="symmetric")
    with torch.inference_mode():
        levels = pretrained_encoder("imagenet")(torch.from_numpy(padded).permute(0, 3, 1, 2) / 127.5 - 1)
    parts = [torch.cat([x.mean((2, 3)), x.var((2, 3), correction=0).sqrt()], 1) for x in levels[3:]]
    np.testing.assert_allclose(found["pretrained"], torch.cat(parts, 1).numpy() / 4, rtol=1e-4, atol=1e-4)
