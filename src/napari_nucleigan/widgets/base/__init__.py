"""What the docks share: jobs, fields, model picker, run bar, layers, pixel sizes, colours.

It imports everything below the widgets, and no dock.
"""
