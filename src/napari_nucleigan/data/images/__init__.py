"""Images on disk: read, converted to 8-bit RGB and written, with their microns per pixel.

It imports `labels` and what is below it.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
