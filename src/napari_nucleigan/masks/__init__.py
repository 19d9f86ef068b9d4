"""The mask domain: label images as fields that networks learn, random masks, and masks that users edit.

It imports `data` and what is below it.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
