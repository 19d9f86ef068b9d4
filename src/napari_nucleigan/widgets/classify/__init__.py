"""The dock *Classify nuclei*: classes by a few clicks.

It imports `widgets.base` and everything below the widgets.
"""
