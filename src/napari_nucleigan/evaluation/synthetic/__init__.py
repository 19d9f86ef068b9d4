"""Synthetic H&E against real H&E: how like each other two sets of images are.

It imports `segmentation` and what is below it. Names are loaded when they are first asked for: the command line reads
the settings without waiting for torch.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
