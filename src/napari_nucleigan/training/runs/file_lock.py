"""Locks on files that the system drops when their holder ends, however it ends."""

from __future__ import annotations

import os

if os.name == "nt":
    import msvcrt

    def try_lock(descriptor: int, shared: bool = False) -> bool:
        """Lock an open file if no other process has; the lock ends with the file's closing."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(descriptor: int, shared: bool = False) -> bool:
        """Lock an open file if no other process has; the lock ends with the file's closing."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
