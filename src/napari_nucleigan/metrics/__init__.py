"""Metrics of how well predicted nuclei agree with true ones.

All overlap metrics come from one table of intersections, `overlaps`; the distances look at each
nucleus in its own window. The exact definitions are in the page on metrics of the documentation.

References
----------
.. [1] Kumar et al., IEEE TMI 36 (2017) 1550-1560: the aggregated Jaccard index (AJI).
.. [2] Graham et al., Med. Image Anal. 58 (2019) 101563: AJI+, panoptic quality of nuclei.
.. [3] Kirillov et al., CVPR 2019, 9404-9413: panoptic quality.
.. [4] Sahasrabudhe et al., MICCAI 2020, 393-402: the distance `sahasrabudhe_hausdorff`.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
