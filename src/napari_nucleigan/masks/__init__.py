"""Masks: the domain that networks learn in, random polygons like those of a tissue, and masks that users draw."""
