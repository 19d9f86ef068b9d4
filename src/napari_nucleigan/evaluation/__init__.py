"""Predicted nuclei against true ones over whole folders: by image, by organ, overall, with intervals.

`evaluate_folders` pairs the files, compares them (in several processes where asked to) and returns a `Report`. How the
figures are averaged, and what the intervals mean, is on the page on metrics of the documentation. It imports
`segmentation` and what is below it.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
