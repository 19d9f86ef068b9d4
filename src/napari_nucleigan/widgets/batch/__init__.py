"""The dock *Segment a folder*: many images, and what became of each.

It imports `widgets.base` and everything below the widgets.
"""
