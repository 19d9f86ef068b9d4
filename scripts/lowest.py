"""Print the requirements that pin each dependency, and those of the extras, to the lower bound that is declared."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
EXTRAS = ("charts", "distributed", "maskrcnn", "parquet", "pretrained", "slides", "spatial")


def lowest(text: str) -> list[str]:
    """Pin declared dependencies to their lower bounds.

    Parameters
    ----------
    text : str
        A ``pyproject.toml``.

    Returns
    -------
    list of str
        Requirements such as ``"dask[array]==2024.11.2"``.
    """
    project = tomllib.loads(text)["project"]
    pins = []
    for line in [
        *project["dependencies"],
        *(line for name in EXTRAS for line in project["optional-dependencies"][name]),
    ]:
        need = Requirement(line)
        (bound,) = need.specifier
        extras = f"[{','.join(sorted(need.extras))}]" if need.extras else ""
        pins.append(f"{need.name}{extras}=={bound.version}")
    return list(dict.fromkeys(pins))  # two extras may need the same


if __name__ == "__main__":
    print("\n".join(lowest(PYPROJECT.read_text("utf-8"))))
