"""Data on disk: images, whole slides and data sets.

It imports `labels` and what is below it.
"""
