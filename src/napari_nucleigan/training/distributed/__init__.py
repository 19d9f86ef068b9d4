"""Several processes that train one network: ranks, and layers that see the whole batch.

It imports `data` and what is below it.
"""
