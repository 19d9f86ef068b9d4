"""H&E images of any size and magnification, folders of them and whole slides to nuclei.

It imports `models`, `tiling` and what is below them. Names are loaded when they are first asked for: forms and the
command line read the settings without waiting for torch.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
