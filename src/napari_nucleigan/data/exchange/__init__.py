"""Data sets as others publish them, in and out."""
