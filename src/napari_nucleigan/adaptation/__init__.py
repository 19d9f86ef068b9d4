"""Adaptation of a segmenter to unlabelled images: by synthetic pairs of their look, and by what it finds itself.

It imports synthesis, training and what is below them.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
