"""Locks: files that one process at a time holds; the system lets go of them when it ends, however it ends."""

from __future__ import annotations

import errno
import os
import platform
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from napari_nucleigan.base.files import make_folder, output_error
from napari_nucleigan.base.reading import FileFault, check_regular
from napari_nucleigan.base.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_nucleigan.base.errors import NucleiganError

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # file systems that know none
_AGAIN = 0.02  # seconds between two tries

if os.name == "nt":
    import msvcrt

    def try_lock(descriptor: int, shared: bool = False) -> bool:
        """Lock an open file if no other process has; the lock ends with the file's closing."""
        # Far behind what the file says, which others are to read.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
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
        except OSError as error:
            # Where there are no locks, nobody can be kept out, and everybody passes.
            if error.errno not in _NO_LOCKS:
                raise
        return True


class FileLock:
    """A lock that says who holds it. A file that a dead process has left locks nothing.

    Parameters
    ----------
    path : Path
        The file; it is made where it is not there, and its folder too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def held(self, refusal: Callable[[str], NucleiganError], patience: float = 0.0) -> Iterator[None]:
        """Hold the lock until the block ends.

        Parameters
        ----------
        refusal : callable
            Makes the error for who comes second of who holds it, as in "process 12 on lab-3".
        patience : float
            Seconds in which it is tried again.

        Raises
        ------
        NucleiganError
            What `refusal` has made, if another holds it.
        OutputError
            If the file cannot be written.
        """
        give_up = time.monotonic() + patience
        while True:
            handle = self._open()
            try:
                if try_lock(handle.fileno()) and self._is_there(handle):
                    self._sign(handle)
                    yield
                    return
                if time.monotonic() > give_up and self._is_there(handle):
                    raise refusal(_owner(handle))
            finally:
                # The system also drops the lock when the process ends.
                handle.close()
            time.sleep(_AGAIN)

    @property
    def taken(self) -> bool:
        """Whether somebody holds it now."""
        try:
            check_regular(self.path)
            with self.path.open("rb") as handle:
                return not try_lock(handle.fileno(), shared=True)
        except (OSError, FileFault):
            return False

    def _open(self) -> IO[bytes]:
        make_folder(self.path.parent)
        try:
            return self.path.open("a+b")
        except OSError as error:
            raise output_error(self.path, error) from error

    def _is_there(self, handle: IO[bytes]) -> bool:
        """Tell whether the open file is the one of that name: who held it before may have removed it."""
        try:
            return os.path.samestat(os.fstat(handle.fileno()), self.path.stat())
        except OSError:
            return False

    def _sign(self, handle: IO[bytes]) -> None:
        # On a full disk it locks without a name.
        with suppress(OSError):
            handle.truncate(0)
            handle.write(f"process {os.getpid()} on {platform.node()}".encode("utf-8", "replace"))
            handle.flush()


def _owner(handle: IO[bytes]) -> str:
    with suppress(OSError):
        handle.seek(0)
        if name := handle.read(200).decode("utf-8", "replace"):
            return printable(name)
    return "another process"
