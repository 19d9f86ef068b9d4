"""Stain normalisation of H&E images: Vahadane (sparse), Macenko and Reinhard.

Light that crosses a stained section is absorbed exponentially (Beer and Lambert), so the optical
density of a pixel is a non-negative mixture of two stain vectors, ``od = c_H w_H + c_E w_E``. A
:class:`StainFit` holds these vectors for one image, the strength of each stain, and the CIELAB
statistics that Reinhard's method compares. Fit it once per image or slide, never per tile: a tile
of background has no stains.

References
----------
.. [1] Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23 (2001) 291-299: the stain vectors.
.. [2] Macenko et al., ISBI 2009, 1107-1110: extreme angles in the plane of the densities.
.. [3] Vahadane et al., IEEE TMI 35 (2016) 1962-1971: sparse non-negative factorisation.
.. [4] Reinhard et al., IEEE Comput. Graph. Appl. 21 (2001) 34-41: mean and deviation of channels.
"""

from __future__ import annotations

from napari_nucleigan.stains.normalization import METHODS, REFERENCE, StainFit, concentrations, fit, normalize
from napari_nucleigan.stains.separation import RUIFROK

__all__ = [
    "METHODS",
    "REFERENCE",
    "RUIFROK",
    "StainFit",
    "concentrations",
    "fit",
    "normalize",
]
