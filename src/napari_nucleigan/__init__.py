"""Deep adversarial nuclei segmentation and synthesis for H&E images."""

from __future__ import annotations

__version__ = "0.1.0"
