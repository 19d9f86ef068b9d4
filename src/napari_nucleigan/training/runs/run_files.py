"""Run files: what the small files of a run folder must hold, whoever has written or edited them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_nucleigan.base.errors import RunError
from napari_nucleigan.base.reading import FileFault, read_json, reading
from napari_nucleigan.base.text import printable

_Moment = Annotated[float, Field(ge=0, le=1e11)]  # seconds since 1970, up to the year 5138
_Count = Annotated[int, Field(ge=0, le=10**15)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class ProgressFile(_Checked):
    """``progress.json``: how far a process has come."""

    done: _Count = 0
    total: _Count = 0
    what: str = ""
    seconds_left: float | None = None
    time: _Moment = 0.0
    step: _Count | None = None
    steps: _Count | None = None


class ProcessFile(_Checked):
    """``process.json``: the process that fills the folder, or was the last to do so."""

    model_config = ConfigDict(extra="forbid")

    pid: Annotated[int, Field(ge=0, lt=2**31)]
    born: _Moment
    host: str
    token: str
    dedicated: bool = False
    time: _Moment
    ended: str = ""
    error: str = ""


class OrderFile(_Checked):
    """``order.json``: what a run started in the background was told to do."""

    kind: Literal["segmenter", "synthesizer", "adaptation"] = "segmenter"
    data: str = ""
    device: str = "auto"
    name: str | None = None
    synthetic: str | None = None
    queue: bool = False
    recipe: dict[str, Any] = {}


class _Further(_Checked):
    folder: str | None = None
    names: list[str] = []


class DataFile(_Checked):
    """``data.json``: the data set, and which of its images train and which validate."""

    folder: str = ""
    train: list[str] = []
    val: list[str] = []
    labelled: list[str] | None = None
    card: dict[str, Any] = {}
    synthetic: _Further | None = None
    unlabelled: _Further | None = None


def read_run_file(path: Path, kind: type[BaseModel] | None = None) -> dict[str, Any]:
    """Read a file of a run folder.

    Parameters
    ----------
    path : Path
        The file.
    kind : type of pydantic.BaseModel, optional
        What it must hold; by default any JSON object.

    Returns
    -------
    dict
        What it holds.

    Raises
    ------
    RunError
        If it cannot be read, or holds something else.
    """
    with reading(path, RunError, "file of a training run"):
        values = read_json(path)
        if not isinstance(values, dict):
            raise FileFault("it is no file of a training run: it holds no JSON object")
        try:
            return values if kind is None else kind.model_validate(values).model_dump(exclude_unset=True)
        except ValidationError as error:
            first = error.errors()[0]
            place = printable(".".join(map(str, first["loc"])))
            raise FileFault(f"it is no file of a training run ({place}: {first['msg']})") from error
