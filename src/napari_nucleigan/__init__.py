"""Deep adversarial nuclei segmentation and synthesis for H&E images.

Every name of the public API is loaded when it is first asked for, so that importing the package
costs next to nothing and brings in neither torch nor napari.
"""

from __future__ import annotations

import os

import lazy_loader

from napari_nucleigan.base import moved_modules
from napari_nucleigan.base.version import __version__ as __version__

# Threads of torch that spin while they wait for one another make a busy machine up to twenty times slower. The
# variable is read when torch is loaded, hence here; whoever has set it keeps the last word.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

moved_modules.install()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
