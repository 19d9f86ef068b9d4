from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from napari_nucleigan.base.errors import ModelError, RecipeError
from napari_nucleigan.models import DEFAULT_SEGMENTER, load_model
from napari_nucleigan.networks import build
from napari_nucleigan.networks.blocks import InstanceNorm
from napari_nucleigan.networks.generators import Generator, ResNet, initialise
from napari_nucleigan.networks.registry import GENERATORS

SMALL = {
    "unet-256": {"name": "unet-256", "width": 4},
    "resnet": {"name": "resnet", "width": 4, "blocks": 2},
    "resnet, resized": {"name": "resnet", "width": 4, "blocks": 2, "upsampling": "resize"},
    "compact-unet": {"name": "compact-unet", "widths": [8, 8, 12, 12, 16]},
    "encoder-unet": {"name": "encoder-unet", "widths": [8, 8, 12, 12, 16]},
    "fcn": {"name": "fcn", "widths": [8, 8, 12, 12, 16]},
}
small = pytest.mark.parametrize("architecture", SMALL.values(), ids=SMALL)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def convolution(before, after, kernel, bias=True):
    return before * after * kernel**2 + bias * after


def norm(channels):
    return 2 * channels


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def ready(architecture, seed=0):
    """Build a network as after some training: its batch statistics fit what flows through it."""
    network = build(architecture)
    initialise(network, "he", seed)
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.5
    with torch.no_grad():
        for step in range(3):
            network(images(2, 3, 256, 256, seed=step))
    return network.eval()


# -- the published architectures -----------------------------------------------------------------


def test_the_parameters_of_unet_256():
    # Isola et al. 2017: C64-C128-C256-C512-C512-C512-C512-C512 down and back up, kernels of 4x4, skip
    # connections that double what the decoder sees, batch normalisation but at the two ends.
    widths = [64, 128, 256, 512, 512, 512, 512, 512]
    down = sum(convolution(a, b, 4, bias=False) for a, b in zip([3, *widths], widths, strict=False))
    down += sum(norm(width) for width in widths[1:-1])
    up = convolution(512, 512, 4, bias=False) + norm(512)
    up += sum(
        convolution(2 * a, b, 4, bias=False) + norm(b) for a, b in zip(widths[-2:0:-1], widths[-3::-1], strict=True)
    )
    up += convolution(2 * 64, 3, 4)
    assert down + up == 54_413_955
    # Ours gives a bias to the two convolutions of the encoder that no normalisation follows.
    assert parameters(build({"name": "unet-256"})) == down + up + 64 + 512 == 54_414_531


@pytest.mark.parametrize(("blocks", "millions"), [(9, 11.378), (6, 7.838)])
@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_the_parameters_of_resnet(blocks, millions, upsampling):
    # Zhu et al. 2017: c7s1-64, d128, d256, R256 x blocks, u128, u64, c7s1-3; instance normalisation
    # without parameters, so that every convolution has a bias.
    expected = convolution(3, 64, 7) + convolution(64, 128, 3) + convolution(128, 256, 3)
    expected += blocks * 2 * convolution(256, 256, 3)
    expected += convolution(256, 128, 3) + convolution(128, 64, 3) + convolution(64, 3, 7)
    network = build({"name": "resnet", "blocks": blocks, "upsampling": upsampling})
    assert parameters(network) == expected
    assert round(expected / 1e6, 3) == millions


def test_the_compact_unet_fits_into_a_small_file():
    network = build({"name": "compact-unet"})
    assert 4.3e6 < parameters(network) < 4.4e6
    bytes_in_half = sum(2 * tensor.numel() for tensor in network.state_dict().values())
    assert bytes_in_half < 12e6


def test_the_unet_forgets_at_its_three_levels_outside_the_innermost():
    network = build({"name": "unet-256", "width": 4, "dropout": 0.4})
    dropouts = [any(isinstance(layer, nn.Dropout) for layer in block) for block in network.up]
    assert dropouts == [False, True, True, True, False, False, False, False]


# -- every generator -----------------------------------------------------------------------------


def test_every_generator_is_tested_here():
    # Mask R-CNN needs an extra, and is tested in its own file.
    assert {architecture["name"] for architecture in SMALL.values()} == set(GENERATORS) - {"mask-rcnn"}


@small
def test_output_has_the_size_of_the_input_and_lies_in_the_mask_domain(architecture):
    network = ready(architecture)
    side = network.stride * (2 if network.stride < 256 else 1)
    for shape in ((side, side), (side, 2 * side)):
        x = images(2, 3, *shape)
        with torch.no_grad():
            field = network(x)
            assert torch.equal(field, torch.tanh(network.logits(x)))
        assert field.shape == (2, 3, *shape)
        assert field.dtype == torch.float32
        assert field.abs().max() <= 1


@small
def test_sides_must_be_multiples_of_the_stride(architecture):
    network = build(architecture).eval()
    side = network.stride + network.stride // 2
    with torch.no_grad():
        try:
            shape = network(images(1, 3, side, side)).shape
        except RuntimeError:
            shape = None
    assert shape != (1, 3, side, side)


@small
def test_other_channels_can_be_asked_for(architecture):
    network = build({**architecture, "in_channels": 4, "out_channels": 2}).eval()
    with torch.no_grad():
        assert network(images(1, 4, 256, 256)).shape == (1, 2, 256, 256)


@small
def test_the_rest_of_the_batch_does_not_matter(architecture):
    network = ready(architecture)
    x = images(3, 3, 256, 256)
    with torch.no_grad():
        together = network(x)
        for index in range(3):
            alone = network(x[index : index + 1])
            assert torch.allclose(together[index : index + 1], alone, atol=1e-4)


@small
def test_every_weight_learns(architecture):
    network = build(architecture).train()
    initialise(network, "normal")
    network.logits(images(2, 3, 256, 256)).square().sum().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert still == []


# -- tiles ---------------------------------------------------------------------------------------


def tile_difference(network, image, core, halo):
    """Return how much the field of the core differs between the whole image and a tile with its halo."""
    start, stop = core[0] - halo, core[1] + halo
    inside = slice(halo, halo + core[1] - core[0])
    with torch.no_grad():
        whole = network(image)[..., core[0] : core[1], core[0] : core[1]]
        tile = network(image[..., start:stop, start:stop].contiguous())[..., inside, inside]
    return float((whole - tile).abs().max())


def test_the_compact_unet_sees_189_pixels_beyond_the_grid():
    network = build({"name": "compact-unet", "widths": [2, 2, 2, 2, 2]}).eval()
    for parameter in network.parameters():
        parameter.data.abs_().add_(0.1)
    reaches = []
    for place in range(256, 256 + network.stride):
        x = torch.ones(1, 3, 512, 32, requires_grad=True)
        (gradient,) = torch.autograd.grad(network.logits(x)[0, 0, place, 16], x)
        seen = gradient[0, 0].abs().sum(dim=1).nonzero().flatten()
        reaches.append((place - int(seen[0]), int(seen[-1]) - place))
    assert max(map(max, reaches)) == 218
    # A cell of the grid begins at 256 and ends at 287: what it sees around itself is within the halo.
    beyond = [(up - i, down - (network.stride - 1 - i)) for i, (up, down) in enumerate(reaches)]
    assert max(map(max, beyond)) == 189 <= network.halo


def test_tiles_on_the_stride_have_the_field_of_the_whole():
    network = ready(SMALL["compact-unet"])
    image = images(1, 3, 704, 704)
    assert tile_difference(network, image, (256, 448), network.halo) < 1e-4
    # A smaller halo is not enough; nor is this one off the grid.
    assert tile_difference(network, image, (256, 448), network.halo - network.stride) > 0.001
    assert tile_difference(network, image, (272, 464), network.halo) > 0.01


def test_the_halo_of_the_bundled_model_is_wide_enough(tiny_he):
    try:
        network = load_model(DEFAULT_SEGMENTER).network.eval()
    except ModelError:
        pytest.skip("this checkout holds no bundled model")
    pixels, _ = tiny_he(192, 192, 40)
    image = torch.from_numpy(np.tile(pixels, (4, 4, 1))).permute(2, 0, 1)[None] / 127.5 - 1
    # It sees farther than its halo, and what it sees there changes the field by less than bfloat16 rounds.
    assert tile_difference(network, image, (352, 416), network.halo) < 0.03


# -- building and initialising -------------------------------------------------------------------


def test_an_unknown_network_is_refused():
    with pytest.raises(
        RecipeError, match=r"no network 'vit'; choose one of compact-unet, encoder-unet, fcn, .*unet-256"
    ):
        build({"name": "vit"})
    with pytest.raises(RecipeError, match="no network None"):
        build({})


def test_arguments_that_a_network_does_not_take_are_refused():
    with pytest.raises(RecipeError, match="does not take"):
        build({"name": "compact-unet", "blocks": 9})
    with pytest.raises(RecipeError, match="'transposed' or 'resize', not 'bicubic'"):
        build({"name": "resnet", "upsampling": "bicubic"})


def test_building_leaves_the_description_alone():
    description = {"name": "resnet", "width": 4, "blocks": 1}
    assert isinstance(build(description), Generator)
    assert description == {"name": "resnet", "width": 4, "blocks": 1}


def weights(network, kind):
    return [layer for layer in network.modules() if isinstance(layer, kind)]


def test_the_weights_of_the_paper_are_normal_with_deviation_0_02():
    network = build({"name": "unet-256", "width": 16})
    initialise(network, "normal", seed=3)
    filters = weights(network, nn.Conv2d | nn.ConvTranspose2d)
    values = torch.cat([layer.weight.detach().flatten() for layer in filters])
    assert abs(float(values.mean())) < 1e-4
    assert float(values.std()) == pytest.approx(0.02, rel=0.01)
    # A normal distribution has 4.55 % beyond two deviations.
    assert float((values.abs() > 0.04).float().mean()) == pytest.approx(0.0455, rel=0.02)
    assert all(not layer.bias.any() for layer in filters if layer.bias is not None)
    norms = weights(network, nn.BatchNorm2d)
    scales = torch.cat([layer.weight.detach() for layer in norms])
    assert float(scales.mean()) == pytest.approx(1, abs=0.005)
    assert float(scales.std()) == pytest.approx(0.02, rel=0.1)
    assert all(not layer.bias.any() for layer in norms)


def test_the_weights_of_he_are_scaled_to_what_comes_in():
    network = build({"name": "compact-unet"})
    initialise(network, "he", seed=3)
    for layer in weights(network, nn.Conv2d):
        fan_in = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
        few = 4 / math.sqrt(layer.weight.numel())
        assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_in), rel=few)
    assert all((layer.weight == 1).all() for layer in weights(network, nn.BatchNorm2d))


@pytest.mark.parametrize("scheme", ["normal", "he"])
def test_the_seed_alone_decides_the_weights(scheme):
    def state(seed):
        network = build(SMALL["compact-unet"])
        initialise(network, scheme, seed)
        return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])

    before = torch.get_rng_state()
    network = build(SMALL["unet-256"])
    torch.set_rng_state(before)
    initialise(network, scheme)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    first = state(0)
    torch.manual_seed(2)
    assert torch.equal(state(0), first)
    assert not torch.equal(state(1), first)


LAYOUTS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("returned", LAYOUTS)
def test_gradients_do_not_depend_on_the_layout(
    count: int, layout: torch.memory_format, returned: torch.memory_format
) -> None:
    random = torch.Generator().manual_seed(0)
    features, gradient = torch.randn(2, count, 8, 6, 6, generator=random)
    exact = features.double().requires_grad_()
    (expected,) = torch.autograd.grad(InstanceNorm(8)(exact), exact, gradient.double())
    given = features.contiguous(memory_format=layout).requires_grad_()
    (found,) = torch.autograd.grad(InstanceNorm(8)(given), given, gradient.contiguous(memory_format=returned))
    assert torch.allclose(found, expected.float(), atol=1e-5)


def test_a_batch_learns_the_sum_of_what_its_images_teach() -> None:
    torch.manual_seed(0)
    network = ResNet(3, 3, 4, 1).to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 32, 32)

    def gradients(part: torch.Tensor) -> torch.Tensor:
        network.zero_grad()
        network(part).square().sum().backward()
        return torch.cat([weight.grad.flatten() for weight in network.parameters() if weight.grad is not None])

    whole, parts = gradients(images), gradients(images[:1]) + gradients(images[1:])
    assert float((whole - parts).norm()) < 1e-4 * float(whole.norm())


@pytest.mark.parametrize("widths", [[], "abcde", [-8] * 5, [None] * 5])
def test_what_a_network_stumbles_over_is_one_sentence(widths):
    with pytest.raises(RecipeError, match="The network 'compact-unet' does not take"):
        build({"name": "compact-unet", "widths": widths})
    with pytest.raises(RecipeError, match="no network"):
        build({"name": ["compact-unet"]})
