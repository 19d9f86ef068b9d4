"""Optimizers: Adam and AdamW of torch, without its compiler, whose import takes longer than that of torch itself."""

from __future__ import annotations

from inspect import unwrap
from typing import TypeVar

import torch

_Optimizer = TypeVar("_Optimizer", bound=torch.optim.Optimizer)


def _uncompiled(kind: type[_Optimizer]) -> type[_Optimizer]:
    # torch wraps these methods in what keeps its compiler off them, and loads the compiler for that: a second of the
    # start of each training, though nothing is compiled. Without a compiler the methods inside do the same.
    names = "add_param_group", "load_state_dict", "state_dict", "zero_grad"
    inside = {name: unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), {**inside, "step": torch.no_grad()(unwrap(kind.step)), "__doc__": kind.__doc__})


Adam = _uncompiled(torch.optim.Adam)
AdamW = _uncompiled(torch.optim.AdamW)
