"""Masks that users draw: labels and polygons kept alike, and edits of single nuclei.

It imports `masks.sampler` and what is below `masks`.
"""
