"""The dock *Measure nuclei*: counts, densities and plots of measurements, and nuclei selected in plot and image.

It imports `widgets.base` and everything below the widgets.
"""
