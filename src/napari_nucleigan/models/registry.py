"""The registry of models: the bundled ones and the user's own. No torch here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.files import write_bytes
from napari_nucleigan.models.cards import Kind, ModelCard, read_card, read_checked

DEFAULT_SEGMENTER = "nucleigan-he"
"""Name of the bundled segmenter."""

DEFAULT_SYNTHESIZER = "nucleigan-paint"
"""Name of the bundled synthesizer."""

SUFFIX = ".safetensors"

_BUNDLED = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class ModelFile:
    """A model file of the registry.

    Attributes
    ----------
    name : str
        The name that `resolve` finds it by.
    path : Path
        Where it lies.
    bundled : bool
        Whether it came with this package.
    card : ModelCard or None
        Its card; None where the file cannot be used.
    problem : str
        Why it cannot be used; empty where it can.
    """

    name: str
    path: Path
    bundled: bool
    card: ModelCard | None
    problem: str = ""


def user_folder() -> Path:
    """Folder of the user's own models: ``NUCLEIGAN_MODELS``, else in the user's data folder."""
    chosen = os.environ.get("NUCLEIGAN_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("nucleigan", appauthor=False)) / "models"


def list_models(kind: Kind | None = None, *, broken: bool = False) -> list[ModelFile]:
    """List the models of the registry: the user's own, then the bundled ones.

    Parameters
    ----------
    kind : {"segmenter", "synthesizer"}, optional
        Only those of this kind.
    broken : bool
        Also list files that cannot be used, with the reason in `problem`.

    Returns
    -------
    list of ModelFile
        In each folder by file name. A user's model hides a bundled one of the same name.
    """
    found: dict[str, ModelFile] = {}
    for folder, bundled in ((user_folder(), False), (_BUNDLED, True)):
        for path in sorted(folder.glob(f"[!.]*{SUFFIX}")):
            try:
                card = read_card(path)
            except ModelError as error:
                if broken:
                    file = ModelFile(path.stem, path, bundled, None, str(error))
                    found.setdefault(file.name, file)
                continue
            if kind in (None, card.kind):
                found.setdefault(card.name, ModelFile(card.name, path, bundled, card))
    return list(found.values())


def resolve(source: str | Path) -> Path:
    """Find the file of a model.

    Parameters
    ----------
    source : str or Path
        Name of a model of the registry (the user's own come before the bundled ones), path of a
        model file, or folder of a training run (its best model).

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If there is none.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path
    best = path / f"best{SUFFIX}"
    if best.is_file():
        return best
    plain = path.parent == Path() and path.suffix != SUFFIX
    if not plain and path.is_dir():
        raise ModelError(
            f"{path} is a folder without a best{SUFFIX}; give a model file or the folder of a training run."
        )
    if not plain:
        raise ModelError(f"There is no model file {path}; check the path, or choose a model by its name.")
    for file in list_models(broken=True):
        if str(source) in (file.name, file.path.stem):
            return file.path
    names = ", ".join(file.name for file in list_models()) or "none is installed"
    raise ModelError(
        f"There is no model named {str(source)!r} (there are: {names}); choose one of these, give "
        f"the path of a model file, or put the file into {user_folder()}."
    )


def export_model(source: str | Path, out: str | Path) -> Path:
    """Copy a model file, checked, to a file or into a folder.

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
        target = target / f"{card.name}{SUFFIX}"
    write_bytes(target, content)
    return target
