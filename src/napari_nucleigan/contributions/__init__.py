"""Contributions that the manifest names beside the docks: readers, writers, samples, commands.

It imports everything below the widgets, and never Qt.
"""
