"""The methods of the paper's table, trained with one budget and tested on the same images.

It imports everything below the widgets and the command line. Names are loaded when they are first asked for: the
command line reads the list of methods without waiting for torch.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
