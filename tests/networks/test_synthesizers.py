from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.networks import build_synthesizer
from napari_nucleigan.networks.generators import initialise
from napari_nucleigan.networks.synthesizers import NoisyUNet, Synthesizer

WIDTHS = {depth: [4, 6, 8, 8, 8][: depth + 1] for depth in (2, 3, 4)}


def painter(depth=2, seed=0, **arguments) -> Synthesizer:
    torch.manual_seed(seed)
    network = build_synthesizer({"name": "painter", "widths": WIDTHS[depth], "style_size": 4, **arguments})
    initialise(network, "he", seed)
    return network.eval()


def noisy_resnet(**arguments) -> Synthesizer:
    torch.manual_seed(0)
    return build_synthesizer({"name": "noisy-resnet", "width": 4, "blocks": 1, **arguments}).eval()


def inputs(network, height=64, width=64, count=1, seed=0):
    random = torch.Generator().manual_seed(seed)
    fields = torch.rand(count, 3, height, width, generator=random) * 2 - 1
    return fields, network.draw_noise(fields, random), torch.randn(count, network.style_size, generator=random)


# -- both networks -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [painter, noisy_resnet])
def test_images_are_of_the_fields_size_and_in_range(make):
    network = make()
    with torch.no_grad():
        image = network(*inputs(network, 32, 3 * network.stride + 32, count=2))
    assert image.shape == (2, 3, 32, 3 * network.stride + 32)
    assert image.isfinite().all()
    assert image.abs().max() <= 1
    assert image.std() > 0.01


@pytest.mark.parametrize("make", [painter, noisy_resnet])
def test_noise_is_drawn_as_the_network_takes_it(make):
    network = make()
    fields = torch.zeros(3, 3, 64, 96)
    first, again, other = (network.draw_noise(fields, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert [tuple(noise.shape) for noise in first] == [
        (3, channels, 64 // stride, 96 // stride) for channels, stride in network.noise
    ]
    for one, same, different in zip(first, again, other, strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, different)
    values = torch.cat([noise.flatten() for noise in first])
    assert values.mean().abs() < 0.05
    assert values.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("make", [painter, noisy_resnet])
def test_nothing_depends_on_the_rest_of_the_batch(make):
    network = make()
    kinds = {type(layer) for layer in network.modules()}
    assert not kinds & {nn.BatchNorm2d, nn.SyncBatchNorm}
    fields, noise, style = inputs(network, 32, 32, count=3)
    with torch.no_grad():
        together = network.train()(fields, noise, style)
        alone = network(fields[1:2], [part[1:2] for part in noise], style[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [painter, noisy_resnet])
def test_a_uniform_field_is_painted_without_a_grid(make):
    network = make()
    fields, noise, style = inputs(network, 160, 160)
    flat = torch.tensor([0.3, -0.2, 0.1])[None, :, None, None].expand_as(fields).contiguous()
    with torch.no_grad():
        inner = network(flat, [torch.zeros_like(part) for part in noise], style)[..., 64:96, 64:96]
    assert (inner - inner[..., :1, :1]).abs().max() < 1e-5


def test_transposed_convolutions_would_leave_one():
    network = noisy_resnet(upsampling="transposed")
    fields, noise, style = inputs(network, 160, 160)
    with torch.no_grad():
        inner = network(torch.full_like(fields, 0.3), [torch.zeros_like(part) for part in noise], style)
    assert (inner - inner[..., 80:81, 80:81])[..., 64:96, 64:96].abs().max() > 1e-3


# -- the painter ---------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_halo_is_as_wide_as_the_network_sees(depth):
    network = painter(depth).double()
    stride, halo = network.stride, network.halo
    assert stride == 2**depth
    assert halo % stride == 0
    side = 2 * halo + 5 * stride
    fields, noise, style = inputs(network, side, side)
    fields = fields.double().requires_grad_()
    noise = [part.double().requires_grad_() for part in noise]
    start = halo + 2 * stride
    image = network(fields, noise, style.double())
    gradients = torch.autograd.grad(image[..., start : start + stride, start : start + stride].sum(), [fields, *noise])
    reach = 0
    for gradient, step in zip(gradients, (1, *(step for _, step in network.noise)), strict=True):
        seen = gradient[0].abs().sum(dim=0) > 0
        for axis in (0, 1):
            places = seen.any(dim=axis).nonzero() * step
            reach = max(reach, start - int(places.min()), int(places.max()) + step - start - stride)
    # Not wider than it needs to be, either: tiles pay for every pixel of it.
    assert reach == halo


@pytest.mark.parametrize("depth", [2, 3])
def test_tiles_with_a_halo_are_one_picture(depth):
    network = painter(depth)
    stride, halo = network.stride, network.halo
    tile = 4 * stride
    side = 3 * tile
    fields, noise, style = inputs(network, side, side)
    with torch.no_grad():
        whole = network(fields, noise, style)
        for row in range(0, side, tile):
            for column in range(0, side, tile):
                top, left = max(0, row - halo), max(0, column - halo)
                bottom, right = min(side, row + tile + halo), min(side, column + tile + halo)
                parts = [
                    part[..., top // step : bottom // step, left // step : right // step]
                    for part, step in zip(noise, (step for _, step in network.noise), strict=True)
                ]
                piece = network(fields[..., top:bottom, left:right], parts, style)
                inner = piece[..., row - top : row - top + tile, column - left : column - left + tile]
                expected = whole[..., row : row + tile, column : column + tile]
                torch.testing.assert_close(inner, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("depth", [2, 4])
def test_every_noise_map_and_the_style_change_the_picture(depth):
    network = painter(depth)
    fields, noise, style = inputs(network, 64, 64)
    assert [stride for _, stride in network.noise] == [2**level for level in range(depth + 1)]
    with torch.no_grad():
        plain = network(fields, noise, style)
        for level in range(len(noise)):
            other = [-part if index == level else part for index, part in enumerate(noise)]
            assert (network(fields, other, style) - plain).abs().mean() > 1e-3, level
        assert (network(fields, noise, -style) - plain).abs().mean() > 1e-3
        for entry in range(network.style_size):
            shifted = style + 2 * torch.eye(network.style_size)[entry]
            assert (network(fields, noise, shifted) - plain).abs().mean() > 1e-3, entry


def test_the_contour_channel_is_not_read():
    network = painter()
    fields, noise, style = inputs(network, 32, 32)
    fields.requires_grad_()
    (gradient,) = torch.autograd.grad(network(fields, noise, style).square().sum(), fields)
    assert not gradient[:, 1].any()
    assert gradient[:, 0].any()
    assert gradient[:, 2].any()


def test_of_the_distance_only_the_first_quarter_is_read():
    network = painter()
    fields, noise, style = inputs(network, 32, 32)
    with torch.no_grad():
        pictures = []
        for distance in (-1.0, -0.75, -0.5, 0.0, 1.0):
            fields[:, 2] = distance
            pictures.append(network(fields, noise, style))
    border, near, *hearts = pictures
    assert (border - near).abs().mean() > 1e-3
    assert (near - hearts[0]).abs().mean() > 1e-3
    assert all(torch.equal(heart, hearts[0]) for heart in hearts)


def test_no_layer_looks_at_a_whole_tile():
    kinds = {type(layer) for layer in NoisyUNet().modules()}
    assert kinds <= {NoisyUNet, nn.Conv2d, nn.Linear, nn.ModuleList, *(type(block) for block in NoisyUNet().inner)}


def test_the_painter_fits_into_the_package():
    network = NoisyUNet()
    assert (network.stride, network.halo, network.style_size) == (16, 96, 16)
    # Bundled in half precision, 12 MB at most.
    assert 2 * sum(p.numel() for p in network.parameters()) < 6e6


def test_all_weights_learn():
    network = painter()
    fields, noise, _ = inputs(network, 32, 32)
    style = network.encode_style(torch.rand(1, 3, 32, 32) * 2 - 1)
    network(fields, noise, style).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


# -- the painter that knows tissue ---------------------------------------------------------------


def tissue_unet(depth=3, **arguments):
    torch.manual_seed(depth)
    widths = (4, 6, 8, 8, 8)[: depth + 1]
    return build_synthesizer(
        {"name": "tissue-unet", "classes": 3, "widths": widths, "style_size": 4, "features": 6, **arguments}
    ).eval()


def with_tissue(fields, cells):
    wide = cells.repeat_interleave(16, 0).repeat_interleave(16, 1)
    return torch.cat([fields, wide[: fields.shape[2], : fields.shape[3]].expand(len(fields), 1, -1, -1)], 1)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_tissue_is_seen_within_the_halo_and_not_beyond(depth):
    network = tissue_unet(depth).double()
    assert network.stride == 16
    assert network.halo % 16 == 0
    cells = torch.full((16, 16), 2)
    fields, noise, style = inputs(network, 256, 256)
    changed = cells.clone()
    changed[8, 8] = 3
    with torch.no_grad():
        pictures = [
            network(with_tissue(fields, each).double(), [part.double() for part in noise], style.double())
            for each in (cells, changed)
        ]
    seen = (pictures[0] - pictures[1]).abs().sum((0, 1)) > 0
    assert seen[128:144, 128:144].all()
    for axis in (0, 1):
        places = seen.any(dim=axis).nonzero()
        assert 128 - int(places.min()) <= network.halo
        assert int(places.max()) - 143 <= network.halo


def test_tiles_with_tissue_are_one_picture():
    network = tissue_unet(4)
    side, halo = 320, network.halo
    fields, noise, style = inputs(network, side, side)
    fields = with_tissue(fields, torch.randint(0, 4, (20, 20)))
    with torch.no_grad():
        whole = network(fields, noise, style)
        left = network(
            fields[..., : 160 + halo],
            [part[..., : (160 + halo) // step] for part, (_, step) in zip(noise, network.noise, strict=True)],
            style,
        )
    torch.testing.assert_close(left[..., :160], whole[..., :160], rtol=0, atol=1e-5)


def test_every_tissue_paints_something_else_and_unknown_too():
    network = tissue_unet()
    fields, noise, style = inputs(network, 64, 64)
    with torch.no_grad():
        pictures = [network(with_tissue(fields, torch.full((4, 4), number)), noise, style) for number in range(4)]
        beyond = network(with_tissue(fields, torch.full((4, 4), -1)), noise, style)
    for number, picture in enumerate(pictures):
        for other in pictures[:number]:
            assert (picture - other).abs().mean() > 1e-3
    assert torch.equal(beyond, pictures[0])


def test_all_weights_of_the_tissue_learn():
    network = tissue_unet()
    fields, noise, style = inputs(network, 64, 64)
    cells = torch.arange(16).reshape(4, 4) % 4
    network(with_tissue(fields, cells), noise, style).square().sum().backward()
    for name, parameter in [*network.read.named_parameters(), *network.modulate.named_parameters()]:
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_the_painter_with_tissue_fits_into_the_package():
    network = build_synthesizer({"name": "tissue-unet"})
    assert (network.stride, network.halo, network.tissue_classes) == (16, 96, 6)
    # In half precision, 9 MB at most.
    assert 2 * sum(p.numel() for p in network.parameters()) < 9e6


# -- styles --------------------------------------------------------------------------------------


def test_style_codes_have_mean_0_and_variance_1():
    network = painter(style_size=6)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        codes = network.encode_style(torch.rand(5, 3, 64, 48, generator=random) * 2 - 1)
    assert codes.shape == (5, 6)
    assert codes.dtype == torch.float32
    assert codes.mean(dim=1).abs().max() < 1e-5
    assert codes.var(dim=1, unbiased=False).tolist() == pytest.approx([1] * 5, abs=0.01)


def test_style_codes_tell_images_apart_and_not_where_things_lie():
    network = painter()
    red, blue = (torch.zeros(1, 3, 64, 64) for _ in range(2))
    red[:, 0], blue[:, 2] = 0.8, 0.8
    random = torch.Generator().manual_seed(0)
    grain = 0.1 * torch.randn(1, 3, 64, 64, generator=random)
    with torch.no_grad():
        codes = [network.encode_style(image) for image in (red + grain, red + grain.roll(16, 2), blue + grain)]
    near, far = ((codes[0] - other).abs().mean() for other in codes[1:])
    assert far > 10 * near


def test_the_noisy_resnet_has_no_style():
    network = noisy_resnet()
    assert network.style_size == 0
    assert network.encode_style(torch.zeros(3, 3, 32, 32)).shape == (3, 0)


# -- the noisy resnet ----------------------------------------------------------------------------


def test_the_noisy_resnet_is_the_papers_with_one_channel_more():
    network = build_synthesizer({"name": "noisy-resnet", "width": 64, "blocks": 9})
    assert (network.local, network.noise, network.stride) == (False, ((1, 1),), 4)
    # 11.4 M with three channels in (Zhu et al., 2017); the fourth adds 7 x 7 x 64 weights.
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    assert first.weight.shape == (64, 4, 7, 7)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(11.4e6, rel=0.01)


def test_noise_and_mask_change_what_the_noisy_resnet_paints():
    network = noisy_resnet()
    fields, noise, style = inputs(network, 32, 32)
    with torch.no_grad():
        plain = network(fields, noise, style)
        assert (network(fields, [-noise[0]], style) - plain).abs().mean() > 1e-3
        assert (network(-fields, noise, style) - plain).abs().mean() > 1e-3


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ({}, "no network None; choose one of noisy-resnet, painter, tissue-unet"),
        ({"name": "resnet"}, "no network 'resnet'"),
        ({"name": "painter", "depth": 3}, "does not take"),
        ({"name": "painter", "widths": [8, 8]}, "at least three widths"),
        ({"name": "painter", "widths": 8}, "does not take"),
        ({"name": "painter", "style_size": 0}, "style of at least 1"),
        ({"name": "tissue-unet", "classes": 0}, "at least one class"),
        ({"name": "tissue-unet", "widths": [4] * 6}, "at most five widths"),
        ({"name": "noisy-resnet", "width": 2, "upsampling": "shuffle"}, "'transposed' or 'resize'"),
    ],
)
def test_what_cannot_be_built_is_one_clear_error(architecture, reason):
    with pytest.raises(RecipeError, match=reason):
        build_synthesizer(architecture)
