"""The docks of napari: one folder for each, and `base` for what they share. They show and never compute.

They import everything below; a dock imports no other dock.
"""
