from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleigan.networks.discriminators import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    presence_loss,
)

ADVERSARIAL = ("bce", "least-squares", "hinge")
steady = settings(deadline=None, derandomize=True, max_examples=50)
logits = hnp.arrays(np.float64, st.tuples(st.integers(1, 3), st.just(1), st.integers(1, 4)), elements=st.floats(-8, 8))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


DISCRIMINATOR = {
    "bce": lambda real, fake: -0.5 * (np.log(sigmoid(real)).mean() + np.log(1 - sigmoid(fake)).mean()),
    "least-squares": lambda real, fake: 0.5 * (((real - 1) ** 2).mean() + (fake**2).mean()),
    "hinge": lambda real, fake: 0.5 * (np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()),
}
GENERATOR = {
    "bce": lambda fake: -np.log(sigmoid(fake)).mean(),
    "least-squares": lambda fake: ((fake - 1) ** 2).mean(),
    "hinge": lambda fake: -fake.mean(),
}


# -- adversarial losses --------------------------------------------------------------------------


def test_every_loss_is_tested_here():
    assert set(DISCRIMINATOR) == set(GENERATOR) == set(ADVERSARIAL)


@pytest.mark.parametrize("kind", ADVERSARIAL)
@given(real=logits, fake=logits)
@steady
def test_losses_equal_their_definitions(kind, real, fake):
    loss = discriminator_loss(torch.from_numpy(real), torch.from_numpy(fake), kind)
    assert float(loss) == pytest.approx(DISCRIMINATOR[kind](real, fake), abs=1e-9)
    assert float(generator_loss(torch.from_numpy(fake), kind)) == pytest.approx(GENERATOR[kind](fake), abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "undecided", "generator"), [("bce", math.log(2), math.log(2)), ("least-squares", 0.5, 1), ("hinge", 1, 0)]
)
def test_losses_of_a_discriminator_that_cannot_tell(kind, undecided, generator):
    nothing = torch.zeros(2, 1, 3, 3)
    assert float(discriminator_loss(nothing, nothing, kind)) == pytest.approx(undecided)
    assert float(generator_loss(nothing, kind)) == pytest.approx(generator)


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_losses_pull_the_two_networks_apart(kind):
    real, fake = (torch.full((1, 1, 2, 2), 0.5, requires_grad=True) for _ in range(2))
    discriminator_loss(real, fake, kind).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    fake.grad = None
    generator_loss(fake, kind).backward()
    assert (fake.grad < 0).all()


def test_cross_entropy_of_extreme_logits_stays_finite():
    far = torch.full((1, 1, 2, 2), 1e4)
    assert float(discriminator_loss(far, -far, "bce")) == 0
    assert float(discriminator_loss(-far, far, "bce")) == pytest.approx(1e4)


@pytest.mark.parametrize("kind", ["wasserstein", "none", ""])
def test_unknown_losses_and_penalties_are_refused(kind):
    some = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="no adversarial loss"):
        discriminator_loss(some, some, kind)
    with pytest.raises(ValueError, match="no adversarial loss"):
        generator_loss(some, kind)
    with pytest.raises(ValueError, match="no gradient penalty"):
        gradient_penalty(lambda x: x, some, some, kind)


# -- gradient penalties --------------------------------------------------------------------------


def linear(weights):
    """A discriminator whose gradient is `weights` everywhere."""
    return lambda x: (x * weights).sum(dim=(1, 2, 3)).view(-1, 1, 1, 1)


def half_square(x):
    """A discriminator whose gradient at `x` is `x`."""
    return 0.5 * x.square().sum(dim=(1, 2, 3)).view(-1, 1, 1, 1)


def penalty(*arguments):
    return float(gradient_penalty(*arguments).detach())


def samples(seed, count=3):
    return torch.randn(count, 2, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(0, 2**31), st.floats(0.01, 10))
@steady
def test_penalties_of_a_linear_discriminator(seed, scale):
    weights = samples(seed, 1)[0] * scale
    norm = float(weights.norm())
    real, fake = samples(seed + 1), samples(seed + 2)
    assert penalty(linear(weights), real, fake, "r1") == pytest.approx(0.5 * norm**2)
    assert penalty(linear(weights), real, fake, "wgan-gp") == pytest.approx((norm - 1) ** 2)


def test_r1_looks_at_the_real_pairs_only():
    real, fake = samples(0), samples(1)
    norms = real.flatten(1).norm(dim=1)
    expected = float(0.5 * norms.square().mean())
    assert penalty(half_square, real, fake, "r1") == pytest.approx(expected)
    assert penalty(half_square, real, 100 * fake, "r1") == pytest.approx(expected)


def test_wgan_gp_looks_at_random_points_between():
    real, fake = samples(0), samples(1)
    mix = torch.rand(3, 1, 1, 1, generator=torch.Generator().manual_seed(7)).double()
    norms = (mix * real + (1 - mix) * fake).flatten(1).norm(dim=1)
    found = penalty(half_square, real, fake, "wgan-gp", mix)
    assert found == pytest.approx(float((norms - 1).square().mean()))
    assert penalty(half_square, real, fake, "wgan-gp") != found


def test_a_patch_discriminator_is_judged_by_the_mean_of_its_patches():
    weights = samples(3, 4)

    def patches(x):
        return torch.stack([(x * w).sum(dim=(1, 2, 3)) for w in weights], dim=1).view(-1, 1, 2, 2)

    norm = float(weights.mean(dim=0).norm())
    assert penalty(patches, samples(0), samples(1), "r1") == pytest.approx(0.5 * norm**2)


@pytest.mark.parametrize(("kind", "expected"), [("r1", lambda w: w), ("wgan-gp", lambda w: 2 * (1 - 1 / w.norm()) * w)])
def test_the_discriminator_learns_from_the_penalty(kind, expected):
    weights = samples(5, 1)[0].requires_grad_(True)
    real, fake = samples(0).requires_grad_(True), samples(1).requires_grad_(True)
    gradient_penalty(linear(weights), real, fake, kind).backward()
    assert torch.allclose(weights.grad, expected(weights.detach()))
    assert real.grad is None
    assert fake.grad is None


def test_penalties_leave_the_pairs_alone():
    real, fake = samples(0), samples(1)
    copies = real.clone(), fake.clone()
    for kind in ("r1", "wgan-gp"):
        gradient_penalty(half_square, real, fake, kind)
    assert torch.equal(real, copies[0])
    assert torch.equal(fake, copies[1])
    assert not real.requires_grad
    assert not fake.requires_grad


def test_wgan_gp_of_a_flat_discriminator_has_a_finite_gradient():
    weights = torch.zeros(2, 3, 3, dtype=torch.float64, requires_grad=True)
    loss = gradient_penalty(linear(weights), samples(0), samples(1), "wgan-gp")
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1, abs=1e-5)
    assert weights.grad.isfinite().all()


# -- presence ------------------------------------------------------------------------------------


def target(seed=0, side=12):
    random = np.random.default_rng(seed)
    return torch.from_numpy(np.where(random.random((2, 3, side, side)) < 0.3, 1.0, -1.0))


def test_perfect_logits_cost_nothing():
    assert float(presence_loss(20 * target(), target())) == pytest.approx(0, abs=1e-6)


def test_an_empty_target_found_empty_costs_nothing():
    empty = -torch.ones(1, 3, 8, 8)
    assert float(presence_loss(20 * empty, empty)) == pytest.approx(0, abs=1e-6)


def test_logits_of_zero_have_a_known_cost():
    truth = -torch.ones(1, 3, 10, 10, dtype=torch.float64)
    truth[:, :, :4] = 1
    # Every probability is one half: 40 of 100 pixels are present, half of each is found.
    dice = (2 * 20 + 1) / (100 / 4 + 40 + 1)
    expected = math.log(2) + 1 - dice
    assert float(presence_loss(torch.zeros_like(truth), truth)) == pytest.approx(expected)


@given(st.integers(0, 1000))
@steady
def test_channels_weigh_alike(seed):
    truth = target(seed)
    found = torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    each = [float(presence_loss(found[:, c : c + 1], truth[:, c : c + 1])) for c in range(3)]
    assert float(presence_loss(found, truth)) == pytest.approx(sum(each) / 3)


def test_it_pulls_towards_the_truth():
    truth = target()
    found = torch.zeros_like(truth, requires_grad=True)
    presence_loss(found, truth).backward()
    # Where something is present the logit is pulled up, elsewhere down.
    assert torch.equal(found.grad < 0, truth > 0)


def test_the_probability_is_that_of_the_tanh_field():
    x = torch.linspace(-3, 3, 25)
    assert torch.allclose((torch.tanh(x) + 1) / 2, torch.sigmoid(2 * x), atol=1e-6)


def test_better_logits_cost_less():
    truth = target()
    costs = [float(presence_loss(scale * truth, truth)) for scale in (-1, 0, 0.5, 1, 2, 4)]
    assert costs == sorted(costs, reverse=True)
