"""The dock *Draw masks*: nuclei drawn by hand, by chance, or both.

It imports `widgets.base` and everything below the widgets.
"""
