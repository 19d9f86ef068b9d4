from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from napari_nucleigan.networks.discriminators import MultiScale, PatchGAN, Projected, discriminator_loss
from napari_nucleigan.networks.encoders import EncoderUNet
from napari_nucleigan.networks.generators import initialise

PATCHES = [(1, 16), (2, 34), (3, 70), (4, 142)]


def pairs(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def largest_singular_values(network):
    return [float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)) for layer in convolutions(network)]


def receptive_field(network):
    field = 1
    for layer in reversed(convolutions(network)):
        field = (field - 1) * layer.stride[0] + layer.kernel_size[0]
    return field


def trained(spectral, steps=30):
    torch.manual_seed(0)  # the power iterations start at random
    network = PatchGAN(width=8, layers=3, spectral=spectral)
    initialise(network, "normal", seed=0)
    network.normalise()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, betas=(0.5, 0.999))
    for step in range(steps):
        real = pairs(2, 6, 64, 64, seed=step)
        loss = discriminator_loss(network(real), network(-real.abs()), "hinge")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


# -- patches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "patch"), PATCHES)
def test_one_output_sees_a_patch_of_the_published_size(layers, patch):
    network = PatchGAN(width=1, layers=layers, spectral=False)
    assert receptive_field(network) == patch
    # Positive weights, so that no two ways to a pixel cancel out.
    for parameter in network.parameters():
        parameter.data.abs_().add_(0.1)
    image = torch.ones(1, 6, 256, 256, requires_grad=True)
    logits = network(image)
    middle = logits.shape[-1] // 2
    (gradient,) = torch.autograd.grad(logits[0, 0, middle, middle], image)
    seen = gradient[0].abs().sum(dim=0) > 0
    rows, columns = seen.any(dim=1).nonzero(), seen.any(dim=0).nonzero()
    assert len(rows) == len(columns) == patch
    assert int(seen.sum()) == patch**2
    # Condition and judged image are both seen.
    assert (gradient[0].abs().amax(dim=(1, 2)) > 0).all()


@pytest.mark.parametrize(("layers", "spectral"), [(3, True), (1, False)])
def test_spectral_normalisation_leaves_patches_and_parameters(layers, spectral):
    plain, normed = PatchGAN(layers=layers), PatchGAN(layers=layers, spectral=spectral).normalise()
    assert receptive_field(plain) == receptive_field(normed)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in normed.parameters())


def test_a_crop_of_256_has_30_by_30_patches():
    with torch.no_grad():
        assert PatchGAN(width=2)(pairs(2, 6, 256, 256)).shape == (2, 1, 30, 30)


@pytest.mark.parametrize(("channels", "expected"), [(6, 2_767_809), (3, 2_764_737)])
def test_the_parameters_of_the_70x70_patchgan(channels, expected):
    # Isola et al. 2017: C64-C128-C256-C512 and one output channel, kernels of 4x4. The published code's 2 768 705
    # (6 channels) count batch normalisation, 2 for each channel, where ours has a bias, 1 for each.
    widths = [channels, 64, 128, 256, 512, 1]
    assert sum(16 * before * after + after for before, after in pairwise(widths)) == expected
    assert sum(p.numel() for p in PatchGAN(channels).parameters()) == expected
    assert channels != 6 or expected + 128 + 256 + 512 == 2_768_705


def test_widths_double_up_to_eight_times_the_first():
    widths = [layer.out_channels for layer in convolutions(PatchGAN(width=4, layers=5))]
    assert widths == [4, 8, 16, 32, 32, 32, 1]


def test_nothing_else_normalises():
    kinds = {type(layer) for layer in PatchGAN().layers}
    assert kinds == {nn.Conv2d, nn.LeakyReLU}


# -- spectral normalisation ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_the_largest_singular_value_of_every_convolution_is_one(mode):
    network = trained(spectral=True)
    network.train(mode == "training")
    values = largest_singular_values(network)
    assert len(values) == len(convolutions(network)) == 5
    assert values == pytest.approx([1] * 5, abs=0.05)


def test_the_singular_values_are_those_of_the_weights_that_convolve():
    network = trained(spectral=True, steps=2).eval()
    first = convolutions(network)[0]
    image = pairs(1, 6, 32, 32)
    expected = nn.functional.conv2d(image, first.weight, first.bias, stride=2, padding=1)
    assert torch.equal(first(image), expected)
    by_numpy = np.linalg.svd(first.weight.detach().numpy().reshape(8, -1), compute_uv=False)[0]
    assert largest_singular_values(network)[0] == pytest.approx(by_numpy, rel=1e-5)


def test_without_it_the_singular_values_go_their_own_way():
    network = trained(spectral=False)
    assert not any(nn.utils.parametrize.is_parametrized(layer) for layer in network.layers)
    assert max(abs(value - 1) for value in largest_singular_values(network)) > 0.2


def test_the_weights_are_filled_before_they_are_normalised():
    torch.manual_seed(0)
    plain, normed = PatchGAN(width=4), PatchGAN(width=4)
    initialise(plain, "normal", seed=1)
    initialise(normed, "normal", seed=1)
    normed.normalise().eval()
    for before, after in zip(convolutions(plain), convolutions(normed), strict=True):
        ratio = after.weight.flatten() @ before.weight.flatten() / before.weight.square().sum()
        assert torch.allclose(after.weight, before.weight * ratio, atol=1e-6)
    # Fifteen power iterations come near the largest singular value, from below.
    values = largest_singular_values(normed)
    assert min(values) > 1 - 1e-4
    assert max(values) < 1.15


def test_an_update_learns_through_the_normalisation():
    network = PatchGAN(width=4).normalise()
    network(pairs(1, 6, 64, 64)).mean().backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert sum(bool(gradient.any()) for gradient in gradients) == len(gradients)


# -- instance normalisation, features, several scales --------------------------------------------


def test_instance_normalisation_stands_between_the_first_and_the_last_convolution():
    network = PatchGAN(width=4, layers=3, instance_norm=True).normalise()
    kinds = [type(layer) for layer in network.layers]
    assert sum(issubclass(kind, nn.InstanceNorm2d) for kind in kinds) == 3
    first, last = kinds[:2], kinds[-1]
    assert nn.InstanceNorm2d not in first
    assert issubclass(last, nn.Conv2d)
    # It has no weights of its own.
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in PatchGAN(width=4).parameters())


@pytest.mark.parametrize("instance_norm", [False, True])
def test_features_end_with_the_logits(instance_norm):
    network = PatchGAN(3, width=4, layers=2, instance_norm=instance_norm).normalise().eval()
    images = pairs(2, 3, 64, 64)
    with torch.no_grad():
        features = network.features(images)
        assert torch.equal(features[-1], network(images))
    assert [tuple(level.shape) for level in features] == [
        (2, 4, 32, 32),
        (2, 8, 16, 16),
        (2, 16, 15, 15),
        (2, 1, 14, 14),
    ]
    # Every level but the logits has been through its activation.
    assert all(level.min() > -level.max() for level in features[:-1])


def test_each_scale_judges_the_image_at_half_the_resolution_of_the_one_before():
    network = MultiScale(3, 3, 4, layers=1).normalise().eval()
    images = pairs(2, 3, 64, 64)
    with torch.no_grad():
        found = network(images)
        assert len(found) == len(network.judges) == 3
        for scale, (judge, levels) in enumerate(zip(network.judges, found, strict=True)):
            seen = nn.functional.avg_pool2d(images, 2**scale)
            assert torch.equal(levels[-1], judge(seen))
            assert levels[-1].shape[-1] == 64 // 2 ** (scale + 1) - 2
    # The judges are different networks.
    weights = [convolutions(judge)[0].weight for judge in network.judges]
    assert not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize("instance_norm", [False, True])
def test_the_bound_holds_at_every_scale_after_training(instance_norm):
    torch.manual_seed(0)
    network = MultiScale(2, 3, 4, layers=2, instance_norm=instance_norm)
    initialise(network, "normal", seed=0)
    network.normalise()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, betas=(0.5, 0.99))
    for step in range(30):
        real = pairs(2, 3, 64, 64, seed=step)
        verdicts = [(r[-1], f[-1]) for r, f in zip(network(real), network(real.abs()), strict=True)]
        loss = torch.stack([discriminator_loss(r, f, "hinge") for r, f in verdicts]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert largest_singular_values(network) == pytest.approx([1] * 8, abs=0.05)


def test_without_spectral_normalisation_there_is_no_bound():
    network = MultiScale(2, 3, 4, spectral=False).normalise()
    assert not any(nn.utils.parametrize.is_parametrized(layer) for layer in network.modules())


# -- through a pretrained encoder ----------------------------------------------------------------


@pytest.fixture
def projected():
    torch.manual_seed(0)
    encoder = EncoderUNet().encoder.eval().requires_grad_(False)
    return Projected(encoder, width=8, seed=1).normalise()


def test_a_projected_discriminator_judges_four_levels(projected):
    images = pairs(2, 3, 64, 96).requires_grad_()
    found = projected(images)
    assert [levels[-1].shape for levels in found] == [(2, 1, 64 // 2**k, 96 // 2**k) for k in (5, 4, 3, 2)]
    sum(levels[-1].sum() for levels in found).backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0


def test_its_encoder_and_its_mixture_do_not_learn(projected):
    assert not any("encoder" in name for name in projected.state_dict())
    assert all(name.startswith("judges") for name, _ in projected.named_parameters())
    projected.requires_grad_(True)
    assert not any(parameter.requires_grad for parameter in projected._encoder[0].parameters())
    same, other = (Projected(projected._encoder[0], width=8, seed=seed) for seed in (1, 2))
    assert torch.equal(same.within0, projected.within0)
    assert not torch.equal(other.within0, projected.within0)


def test_what_learns_has_spectral_normalisation_unless_it_is_not_asked_for(projected):
    projected(pairs(2, 3, 64, 64))
    assert max(largest_singular_values(projected)) < 1.5
    loose = Projected(projected._encoder[0], width=8, spectral=False).normalise()
    for layer in convolutions(loose):
        layer.weight.data.mul_(10)
    assert max(largest_singular_values(loose)) > 2


def test_it_judges_beside_patches(projected):
    both = MultiScale(2, 3, 8, projected=projected)
    found = both(pairs(2, 3, 64, 64))
    assert len(found) == 6
    assert all(torch.equal(a[-1], b[-1]) for a, b in zip(found, projected.eval()(pairs(2, 3, 64, 64)), strict=False))
