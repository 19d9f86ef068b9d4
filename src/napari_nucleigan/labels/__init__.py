"""Label images: runs and regions of pixels, outlines, polygons, features, GeoJSON.

It imports `base` and `stains`.
"""
