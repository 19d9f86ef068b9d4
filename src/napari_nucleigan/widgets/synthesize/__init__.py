"""The dock *Synthesize H&E*: masks to pictures, live, and to data sets.

It imports `widgets.base` and everything below the widgets.
"""
