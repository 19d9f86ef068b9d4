"""napari dock widgets: they show and never compute."""
