"""Data sets as others publish them, in and out: one module for each format.

It imports `data.images`, `data.datasets.dataset` and what is below them.
"""
