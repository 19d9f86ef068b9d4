"""The dock *Segment nuclei*: images and slides to nuclei, filters, corrections.

It imports `widgets.base` and everything below the widgets.
"""
