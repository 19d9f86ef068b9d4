"""Tiles of large images and the scale at which a model sees them.

It imports `base`; segmentation, synthesis and slides share it.
"""
