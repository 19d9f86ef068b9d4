"""What every room stands on: events of long jobs, errors, files, settings, devices.

It imports no other room, and torch only inside functions.
"""
