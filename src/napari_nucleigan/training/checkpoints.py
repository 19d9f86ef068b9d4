"""Checkpoints: tensors in safetensors, the rest in JSON, nothing pickled.

The JSON file is written last and holds the checksum of the tensors, so it alone decides whether a checkpoint is there.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from napari_nucleigan.base.files import atomic_write, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TYPES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int16: "I16",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.bool: "BOOL",
}

KEEP = 2
"""Checkpoints kept: the newest, and one before it in case that the newest is damaged."""


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any], *, flush: bool = True
) -> Path:
    """Write a checkpoint, whole or not at all, and remove those that are no longer needed.

    Parameters
    ----------
    folder : Path
        Folder of the checkpoints.
    step : int
        Step after which the state was taken.
    tensors : mapping of str to tensor
        All tensors.
    state : mapping
        Everything else; must be representable as JSON.
    flush : bool
        Whether to wait until it would survive a power cut, which takes seconds while other programs write much. Where
        not, it would survive one half a minute later, and no earlier checkpoint is removed.

    Returns
    -------
    Path
        The JSON file of the checkpoint.

    Raises
    ------
    OutputError
        If it cannot be written; earlier checkpoints stay.
    """
    stem = f"{step:08d}"
    with atomic_write(folder / f"{stem}.safetensors", flush=flush) as temporary:
        digest = _write(temporary, tensors)
    record = {"step": step, "sha256": digest, "state": state}
    write_text(folder / f"{stem}.json", json.dumps(record), flush=flush)
    if not flush:
        return folder / f"{stem}.json"
    for old in sorted(folder.glob("*.json"))[:-KEEP]:
        old.unlink()
    kept = {path.stem for path in folder.glob("*.json")}
    for file in folder.glob("*.safetensors"):
        if file.stem not in kept:
            file.unlink()
    return folder / f"{stem}.json"


def load_checkpoint(
    folder: Path,
) -> tuple[int, dict[str, torch.Tensor], dict[str, Any]] | None:
    """Read the newest checkpoint that is whole.

    Parameters
    ----------
    folder : Path
        Folder of the checkpoints.

    Returns
    -------
    step, tensors, state
        As given to `save_checkpoint`; None where there is no whole checkpoint.
    """
    for path in sorted(folder.glob("*.json"), reverse=True):
        try:
            record = json.loads(path.read_text("utf-8"))
            content = path.with_suffix(".safetensors").read_bytes()
            if hashlib.sha256(content).hexdigest() == record["sha256"]:
                return int(record["step"]), load(content), dict(record["state"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError):
            continue
    return None


def _write(path: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """Write tensors in the format of safetensors, and return the checksum of the file.

    Its own writer first copies them all, twice: with a gigabyte, who stopped a training waited for eight seconds.
    """
    # The widest first, so that each lies where its type may be read from.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header, offset = {}, 0
    for name in names:
        end = offset + tensors[name].nbytes
        shape = list(tensors[name].shape)
        header[name] = {"dtype": _TYPES[tensors[name].dtype], "shape": shape, "data_offsets": [offset, end]}
        offset = end
    head = json.dumps(header).encode()
    head = head.ljust(-(-len(head) // 8) * 8)
    digest = hashlib.sha256()
    with path.open("wb") as handle:
        for part in (len(head).to_bytes(8, "little"), head):
            handle.write(part)
            digest.update(part)
        for name in names:
            values: Any = tensors[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
            handle.write(values)
            digest.update(values)
    return digest.hexdigest()


def flatten_optimizer(prefix: str, optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Split the state of an optimizer into tensors and JSON."""
    state = optimizer.state_dict()
    tensors = {
        f"{prefix}/{index}/{name}": value
        for index, entries in state["state"].items()
        for name, value in entries.items()
        if isinstance(value, torch.Tensor)
    }
    return tensors, {"param_groups": state["param_groups"]}


def restore_optimizer(
    prefix: str,
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, torch.Tensor],
    state: Mapping[str, Any],
) -> None:
    """Put back what `flatten_optimizer` took apart."""
    entries: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{prefix}/"):
            index, name = key.removeprefix(f"{prefix}/").split("/")
            entries.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": entries, "param_groups": state["param_groups"]})


def strip_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors whose names start with ``prefix/``, without it."""
    start = f"{prefix}/"
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
