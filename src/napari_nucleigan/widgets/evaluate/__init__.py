"""The dock *Evaluate*: predicted nuclei against true ones, in layers and in folders.

It imports `widgets.base` and everything below the widgets.
"""
