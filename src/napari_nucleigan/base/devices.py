"""Where to compute, with what precision, on how many cores, and how processes of their own are started."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from napari_nucleigan.base.errors import DeviceError

# Numbers of glibc's malloc.h.
_RETURNED_FROM, _MAPPED_FROM, _ARENAS = -1, -3, -8


@dataclass(frozen=True, slots=True)
class Device:
    """A place to compute.

    Attributes
    ----------
    name : str
        What settings call it: ``"auto"``, ``"cpu"``, ``"cuda:0"``, ``"mps"``.
    label : str
        What people call it.
    available : bool
        Whether it can be used on this machine.
    reason : str
        Why not, where it cannot.
    """

    name: str
    label: str
    available: bool = True
    reason: str = ""


def devices() -> list[Device]:
    """List the places to compute, ``"auto"`` first, and why some are not to be had."""
    import torch

    found = [Device("cpu", f"CPU ({usable_cores()} cores)")]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            found.append(Device(f"cuda:{index}", torch.cuda.get_device_name(index)))
    else:
        built = torch.version.cuda is not None
        why = "no NVIDIA GPU or driver was found" if built else "this build of torch is for CPUs only"
        found.append(Device("cuda", "NVIDIA GPU", False, why))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU"))
    elif torch.backends.mps.is_built():
        found.append(Device("mps", "Apple GPU", False, "macOS offers no GPU to torch"))
    return [Device("auto", f"Automatic: {_best(found).label}"), *found]


def choose_device(name: str = "auto") -> str:
    """Turn a setting into a device that is there.

    Parameters
    ----------
    name : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Returns
    -------
    str
        A name that torch understands.

    Raises
    ------
    DeviceError
        If that device is not to be had.
    """
    found = devices()[1:]
    if name == "auto":
        return _best(found).name
    wanted = "cuda:0" if name == "cuda" else name
    for device in found:
        if device.name in (name, wanted):
            if device.available:
                return device.name
            raise DeviceError(f"The device {name!r} is not to be had: {device.reason}; choose 'cpu' or 'auto'.")
    names = ", ".join(device.name for device in found if device.available)
    raise DeviceError(f"There is no device {name!r} here; choose one of auto, {names}.")


def computes_bfloat16(device: str) -> bool:
    """Tell whether a device has fast bfloat16 arithmetic, and does not merely emulate it."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "cpu":
        # Emulated bfloat16 is slower than float32, so the instructions must be there.
        engine = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        return engine and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def usable_cores() -> int:
    """Count the cores that this process may really use: its affinity and its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return cores


def detached() -> dict[str, Any]:
    """Return options of `subprocess.Popen` that keep Ctrl-C from a process: who started it decides its end."""
    if os.name == "nt":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined]
        return {"creationflags": flags}
    return {"start_new_session": True}


@contextmanager
def kept_memory() -> Iterator[Callable[[], object]]:
    """Let the C library keep what is freed for what is allocated next, and give it back at the end.

    By default glibc gets every array of more than 32 MB from the system and returns it, so that all its pages are
    cleared anew: that is a third of the time that a network takes for a large tile on a CPU. Elsewhere nothing is done.

    Yields
    ------
    callable
        Gives back what is free now. Called now and then, it keeps gaps between what stays from adding up.
    """
    adjust = _adjuster()
    if adjust is None:
        yield lambda: None
        return
    # All threads use one heap: each has what the others leave, and large arrays fit into it.
    adjust.mallopt(_ARENAS, 1)
    adjust.mallopt(_MAPPED_FROM, 2**30)
    adjust.mallopt(_RETURNED_FROM, 2**31 - 1)
    try:
        yield partial(adjust.malloc_trim, 0)
    finally:
        adjust.mallopt(_MAPPED_FROM, 2**25)
        adjust.mallopt(_RETURNED_FROM, 2**26)
        adjust.malloc_trim(0)


def _adjuster() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)


def _best(found: list[Device]) -> Device:
    usable = [device for device in found if device.available]
    return next((device for device in usable if device.name != "cpu"), usable[0])
