from __future__ import annotations

import pytest
import torch

from napari_nucleigan.networks.generators import ResNet
from napari_nucleigan.networks.normalisation import InstanceNorm

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
