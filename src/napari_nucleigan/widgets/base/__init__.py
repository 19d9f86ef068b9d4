"""Base of the docks: the dock itself, jobs, fields, model picker, run bar, layers, pixel sizes, colours.

It imports everything below the widgets, and no dock.
"""
