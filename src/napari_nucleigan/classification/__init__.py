"""Classes of nuclei, learnt from a few clicks: a small classifier, its file, and the points that it learns from.

It imports `models`, `labels` and what is below them. Applying a classifier needs numpy alone.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
