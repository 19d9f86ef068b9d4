"""Masks of any size and scale to H&E, and whole data sets of such pairs.

It imports `evaluation.synthetic`, `segmentation` and what is below them. Names are loaded when they are first asked
for: forms and the command line read the settings without waiting for torch.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
