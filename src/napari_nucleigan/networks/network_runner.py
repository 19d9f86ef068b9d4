"""A network on a device: precision, threads, and what happens when memory runs out."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from napari_nucleigan.base.devices import choose_device, computes_bfloat16, usable_cores
from napari_nucleigan.base.errors import DeviceError
from napari_nucleigan.base.events import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import torch

    from napari_nucleigan.base.errors import NucleiganError

Precision = Literal["auto", "float32", "bfloat16"]

_EXHAUSTED = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
_Network = TypeVar("_Network", bound="torch.nn.Module")
_Window = TypeVar("_Window")
_Result = TypeVar("_Result")


@contextmanager
def network_errors(memory: NucleiganError | None = None) -> Iterator[None]:
    """Turn what torch raises into errors of ours: napari would swallow a `RuntimeError`.

    Parameters
    ----------
    memory : NucleiganError, optional
        What to raise where arrays do not fit into memory.
    """
    try:
        yield
    except MemoryError as error:
        if memory is None:
            raise
        raise memory from error
    except RuntimeError as error:
        raise DeviceError(f"The network failed: {error}; try the device 'cpu'.") from error


class NetworkRunner(Generic[_Network]):
    """Hold a network on a device.

    When memory runs out the batch is halved until single windows are left, then the CPU takes over.
    Each such step is said in a `Note`.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, on the CPU.
    device : str
        As `napari_nucleigan.base.devices.choose_device` takes it.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic.
    batch : int, optional
        Windows at once; by default 4 on a GPU, 1 on a CPU.

    Attributes
    ----------
    network : torch.nn.Module
        What to call, on `device` and in the memory format channels_last.
    device : str
        Where it computes now.
    precision : str
        ``"float32"`` or ``"bfloat16"``.
    batch : int
        Windows at once.

    Raises
    ------
    DeviceError
        If the device is not to be had.
    """

    def __init__(
        self, network: _Network, device: str = "auto", precision: Precision = "auto", batch: int | None = None
    ) -> None:
        import torch

        self.network = network
        self._asked = precision
        self._notes: list[Note] = []
        try:
            self._use(choose_device(device))
        except RuntimeError as error:  # a GPU that torch lists, but that does not answer
            if device != "auto":
                raise DeviceError(f"The device {device!r} cannot be used: {error}; choose 'cpu'.") from error
            self._notes.append(Note(f"The GPU cannot be used ({error}); using the CPU.", "warning"))
            self._use("cpu")
        self.batch = batch or (1 if torch.device(self.device).type == "cpu" else 4)

    @property
    def on_cpu(self) -> bool:
        """Whether it computes on the CPU now."""
        return self.device == "cpu"

    def notes(self) -> list[Note]:
        """Return, once, what has happened since the last call."""
        said, self._notes = self._notes, []
        return said

    def autocast(self) -> torch.autocast:
        """Compute in `precision` within this context."""
        import torch

        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bfloat16")

    def relieve(self, error: Exception) -> None:
        """Ask less of the memory after `error`, so that the same work can be tried again.

        Raises
        ------
        Exception
            The error itself, if it is not for lack of memory.
        DeviceError
            If not even the CPU has the memory for a single window.
        """
        import torch

        if not _is_exhausted(error):
            raise error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.batch > 1:
            self.batch //= 2
            text = f"Memory of {self.device} ran out; going on with a batch of {self.batch}."
        elif not self.on_cpu:
            text = f"Memory of {self.device} ran out; going on on the CPU, slower."
            self._use("cpu")
        else:
            raise DeviceError(
                "There is not enough memory for this image; choose a smaller tile, or close other programs."
            ) from error
        self._notes.append(Note(text, "warning"))

    def in_batches(
        self,
        windows: Sequence[_Window],
        shapes: Sequence[tuple[int, ...]],
        work: Callable[[list[_Window]], Iterable[_Result]],
    ) -> list[_Result]:
        """Work through windows, those of one shape together, in smaller batches where memory runs out.

        Parameters
        ----------
        windows : sequence
            What the network looks at.
        shapes : sequence of tuple of int
            Shape of each.
        work : callable
            Maps a batch to a result for each of its windows.

        Returns
        -------
        list
            The results, in the order of the windows.

        Raises
        ------
        DeviceError
            If not even the CPU has the memory for a single window.
        """
        results: dict[int, _Result] = {}
        waiting = list(range(len(windows)))
        while waiting:
            same = [index for index in waiting if shapes[index] == shapes[waiting[0]]][: self.batch]
            try:
                found = work([windows[index] for index in same])
            except (RuntimeError, MemoryError) as error:
                self.relieve(error)
                continue
            results.update(zip(same, found, strict=True))
            waiting = [index for index in waiting if index not in same]
        return [results[index] for index in range(len(windows))]

    def _use(self, device: str) -> None:
        import torch

        self.device = device
        if device == "cpu":
            torch.set_num_threads(usable_cores())
        else:
            # Another device gets a copy: the model itself stays on the CPU for whoever shares it.
            self.network = copy.deepcopy(self.network)
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        wanted = self._asked
        if wanted == "auto":
            wanted = "bfloat16" if computes_bfloat16(device) else "float32"
        self.precision = wanted


def _is_exhausted(error: Exception) -> bool:
    # Only CUDA has an error class of its own; Apple's GPU, cuDNN and the CPU say it in words.
    import torch

    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in text for words in _EXHAUSTED)
