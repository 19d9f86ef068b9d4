"""Data sets: folders of images and labels, training patches of them, and the formats of others.

It imports `data.images` and what is below it.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
