from __future__ import annotations

import pytest
import torch

from napari_nucleigan.training import optimizers


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_steps_are_those_of_torch_to_the_last_bit(name: str) -> None:
    weights = []
    for module in (torch.optim, optimizers):
        weight = torch.nn.Parameter(torch.arange(12.0).reshape(3, 4) / 7)
        optimizer = getattr(module, name)([weight], 0.1, (0.5, 0.9))
        for step in range(6):
            if step == 3:
                state = optimizer.state_dict()
                optimizer = getattr(module, name)([weight], 0.1, (0.5, 0.9))
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            (weight**3).sum().backward()
            optimizer.step()
        weights.append(weight.detach())
        assert repr(optimizer).startswith(f"{name} (")
    assert torch.equal(*weights)
