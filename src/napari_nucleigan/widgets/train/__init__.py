"""The dock *Train a model*: new runs, live plots, and the list of all runs.

It imports `widgets.base` and everything below the widgets.
"""
