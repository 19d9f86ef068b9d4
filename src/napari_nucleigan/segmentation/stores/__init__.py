"""Stores of nuclei that programs for single cells open: Parquet, AnnData and SpatialData.

Each takes the `nuclei.Nuclei` of an image or a slide, of which only a tile is in memory at a time.
"""
