"""Which process fills a run folder, so that it can be told from another that was given its number later."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

_TOLERANCE = 2.0  # seconds by which the start of a process may seem to move when the clock is set


@dataclass(frozen=True)
class ProcessRecord:
    """What ``process.json`` says of the process that fills a run folder, or was the last to do so.

    Attributes
    ----------
    pid : int
        Its number.
    born : float
        When it started, in seconds since 1970; number and start together are one process.
    host : str
        Its machine.
    token : str
        Random name: requests are addressed to it, so that a later process never obeys an old one.
    dedicated : bool
        Whether the process does nothing but train, so that it may be killed.
    time : float
        When this was written.
    ended : str
        How it ended: ``""`` (not yet, or without a word), ``"finished"``, ``"stopped"``, ``"failed"``, ``"killed"``.
    error : str
        Why it failed.
    """

    pid: int
    born: float
    host: str
    token: str
    dedicated: bool = False
    time: float = field(default_factory=time.time)
    ended: str = ""
    error: str = ""

    @classmethod
    def of(cls, token: str, *, pid: int | None = None, dedicated: bool = False) -> ProcessRecord:
        """Describe a process of this machine; by default this one.

        Raises
        ------
        psutil.NoSuchProcess
            If there is none of that number.
        """
        process = psutil.Process(pid)
        return cls(process.pid, process.create_time(), platform.node(), token, dedicated)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ProcessRecord:
        """Rebuild what `to_json` made.

        Raises
        ------
        TypeError
            If fields are missing or unknown.
        """
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Represent the record as a JSON-ready dictionary."""
        return asdict(self)

    @property
    def here(self) -> bool:
        """Whether the process belongs to this machine, so that its life can be seen."""
        return self.host == platform.node()

    @property
    def is_this(self) -> bool:
        """Whether it is the process that asks."""
        return self.here and self.pid == os.getpid()

    def find(self) -> psutil.Process | None:
        """Return the living process; None where it is gone, or its number belongs to another now."""
        if not self.here:
            return None
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.born) > _TOLERANCE or process.status() == psutil.STATUS_ZOMBIE:
                return None
        except psutil.Error:
            return None
        return process
