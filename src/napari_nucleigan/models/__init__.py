"""Model files, their cards, and the registry of bundled and user models.

A model is one ``NAME.safetensors`` file: the tensors, and in its metadata a JSON card that says
what the network is, what it expects and where it comes from. Nothing is ever unpickled. The card
holds a SHA-256 over the tensors, because the format itself loads a half-written file of full size
as zeros without a word.

Reading a card does not import torch, so lists of models are quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.errors import ExtraError, ModelError
from napari_nucleigan.base.files import refuse_foreign, write_bytes
from napari_nucleigan.base.text import file_name, printable
from napari_nucleigan.models.registry import (
    CARD_FORMAT,
    DEFAULT_SEGMENTER,
    DEFAULT_SYNTHESIZER,
    KEY,
    SUFFIX,
    Kind,
    ModelCard,
    ModelFile,
    digest,
    list_models,
    read_card,
    read_checked,
    resolve,
    user_folder,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch


__all__ = [
    "CARD_FORMAT",
    "DEFAULT_SEGMENTER",
    "DEFAULT_SYNTHESIZER",
    "Kind",
    "Model",
    "ModelCard",
    "ModelFile",
    "export_model",
    "list_models",
    "load_model",
    "read_card",
    "resolve",
    "save_model",
    "user_folder",
]


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model.

    Attributes
    ----------
    card : ModelCard
        What it is.
    path : Path
        The file it came from.
    network : Generator or Synthesizer
        The network, as the card's `kind` says, in evaluation mode, float32, on the CPU, without gradients.
    """

    card: ModelCard
    path: Path
    network: Any


def save_model(
    path: str | Path, state: Mapping[str, torch.Tensor], card: ModelCard, *, half: bool = False
) -> ModelCard:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file; its name should end in ``.safetensors``.
    state : mapping of str to torch.Tensor
        State dictionary of the network.
    card : ModelCard
        Its card; `sha256` is filled in here.
    half : bool
        Store the weights as float16, which halves the file. Tensors of fewer than two dimensions
        (biases, the statistics of normalisation layers) stay as they are: they cost nothing and
        span more than float16 holds.

    Returns
    -------
    ModelCard
        The card as written.

    Raises
    ------
    ModelError
        If `state` holds values that are not finite.
    OutputError
        If the file cannot be written.
    """
    import torch
    from safetensors.torch import save

    tensors: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        tensor = value.detach().to("cpu", copy=True).contiguous()
        if half and tensor.is_floating_point() and tensor.ndim >= 2:
            tensor = tensor.to(torch.float16)
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"The model {card.name!r} was not saved: its tensor {name!r} holds values that are "
                "not finite, so its training went astray; go back to an earlier checkpoint."
            )
        tensors[name] = tensor
    filled = card.model_copy(update={"sha256": digest(save(tensors))})
    write_bytes(path, save(tensors, metadata={KEY: filled.model_dump_json()}))
    return filled


def load_model(source: str | Path, kind: Kind | None = None) -> Model:
    """Load a model, ready to use.

    Parameters
    ----------
    source : str or Path
        Name of a model of the registry, a model file, or the folder of a training run.
    kind : {"segmenter", "synthesizer"}, optional
        What the model must be.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        If there is no such model, or the file is damaged, not ours, of another kind, or from a
        newer version.
    """
    path = resolve(source)
    card, content = read_checked(path)
    if kind is not None and card.kind != kind:
        raise ModelError(f"{path} is a {card.kind}, but a {kind} is needed here; choose another model.")
    return Model(card, path, _build(content, card, path))


def _build(content: bytes, card: ModelCard, path: Path) -> Any:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from napari_nucleigan import networks

    build: Any = networks.build if card.kind == "segmenter" else networks.build_synthesizer
    try:
        state = load(content)
        # First without memory for its tensors: what does not fit the file may not fit this machine either.
        with torch.device("meta"):
            plan = build(card.architecture).state_dict()
    except ExtraError as error:
        raise ModelError(f"{path} cannot be used here. {error}") from error
    except SafetensorError as error:
        raise _misfit(path) from error
    except Exception as error:  # whatever a card from elsewhere makes a builder say
        name = printable(card.architecture.get("name", "?"))
        raise ModelError(
            f"{path} needs the network {name!r}, which this version cannot build; update napari-nucleigan."
        ) from error
    if {name: value.shape for name, value in plan.items()} != {name: value.shape for name, value in state.items()}:
        raise _misfit(path)
    for name, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ModelError(
                f"{path} cannot be used: its tensor {printable(name)!r} holds values that are no numbers; copy or "
                "train the model again."
            )
    network = build(card.architecture)
    network.load_state_dict(
        {key: value.to(torch.float32) if value.is_floating_point() else value for key, value in state.items()}
    )
    return network.eval().requires_grad_(False)


def _misfit(path: Path) -> ModelError:
    return ModelError(f"The tensors of {path} do not fit the network on its card; train the model again.")


def export_model(source: str | Path, out: str | Path) -> Path:
    """Copy a model file, checked, to a file or into a folder, over nothing but another model.

    Parameters
    ----------
    source : str or Path
        As for `resolve`.
    out : str or Path
        The new file, or the folder to put it in under the model's name.

    Returns
    -------
    Path
        The new file.

    Raises
    ------
    ModelError
        If the model is not there or damaged.
    OutputError
        If it cannot be written.
    """
    card, content = read_checked(resolve(source))
    target = Path(out)
    if target.suffix != SUFFIX:
        target = target / f"{file_name(card.name)}{SUFFIX}"
    refuse_foreign(target)
    write_bytes(target, content)
    return target
