"""Training runs as folders: their states, events, processes, queue and library.

It imports `training.recipes` and what is below `training`; no torch.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
