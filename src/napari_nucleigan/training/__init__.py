"""Training: recipes, data, and the loops that fill run folders.

It imports `segmentation` and what is below it. Names are loaded when they are first asked for: forms and the
command line read recipes without waiting for torch.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
