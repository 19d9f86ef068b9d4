"""Write constraints.txt: the versions in this environment of all that the project's extras need."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = "napari-nucleigan"
EXTRAS = ("all", "dev", "docs", "slides")
OLDEST_PYTHON = "3.11.0"  # a pin must install there: Debian 12 has 3.11.2, this machine perhaps 3.11.9
NEWEST_PYTHON = "3.14"  # a pin that does not install there is none there
HEADER = "# The versions that `make env` installs, written by `make pin` from a working environment.\n"


def closure(name: str, extras: tuple[str, ...]) -> dict[str, str]:
    """Find what is installed of the requirements of a distribution and of theirs, in turn.

    Parameters
    ----------
    name : str
        Name of an installed distribution.
    extras : tuple of str
        Its extras to follow.

    Returns
    -------
    dict of str to str
        Public version (without local part such as ``+cpu``), with a marker where it needs one, by canonical name.

    Raises
    ------
    SystemExit
        If a version does not install on the oldest Python that the project supports.
    """
    pins: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    while waiting:
        entry = waiting.pop()
        if entry in seen:
            continue
        seen.add(entry)
        parent, extra = entry
        try:
            found = distribution(parent)
        except PackageNotFoundError:
            continue  # of another platform, or optional
        needs = found.metadata.get("Requires-Python") or ""
        if parent != name and not SpecifierSet(needs).contains(OLDEST_PYTHON):
            raise SystemExit(f"{parent} {found.version} needs Python {needs}; install an older one.")
        marker = "" if SpecifierSet(needs).contains(f"{NEWEST_PYTHON}.0") else f' ; python_version < "{NEWEST_PYTHON}"'
        pins[canonicalize_name(parent)] = Version(found.version).public + marker
        for line in found.requires or []:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                child = canonicalize_name(need.name)
                waiting += [(child, wanted) for wanted in ("", *need.extras)]
    del pins[canonicalize_name(name)]
    return pins


def main() -> None:
    pins = {**closure(PROJECT, EXTRAS), "pip": Version(version("pip")).public}
    text = HEADER + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))
    Path(__file__).resolve().parents[1].joinpath("constraints.txt").write_text(text)


if __name__ == "__main__":
    main()
