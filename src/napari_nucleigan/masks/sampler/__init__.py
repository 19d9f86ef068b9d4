"""Random masks of polygons, laid out like the nuclei of a tissue: fitted, kept as presets, sampled.

It imports `data` and what is below it.
"""
