"""Generators, synthesizers, discriminators and objectives of the adversarial networks.

It imports `tiling`, `masks` and what is below them. Names are loaded when they are first asked for, and torch with
them.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
