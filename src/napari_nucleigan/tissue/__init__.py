"""Tissue maps: classes of tissue found in H&E without labels, and where each of them lies at 1/16 of the resolution.

It imports `stains` and `base`.
"""
