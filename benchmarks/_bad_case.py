"""A bad input: what is made, what is asked of it, what is right, and whether an answer was."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MEMORY, SECONDS = 2000.0, 60.0
"""The bar: MB resident and seconds that a case may take at most."""

_FRAME = re.compile(r"[╭╮│╰╯─\s]+")
_BROKEN = re.compile(r"Traceback|Unexpected error|\[Errno|<class |object at 0x|Segmentation fault|\w+Warning: ")
_LONGEST = 2000  # characters of a sentence

Make = Callable[[Path], object]
Check = Callable[[Path, "Outcome"], "str | None"]
"""Says what is wrong with an answer; None where nothing is."""


@dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes
    ----------
    name : str
        Its kind and what is bad, as in "png/cut in the header".
    arguments : tuple of str
        Of the command, which runs in the folder that was made.
    make : callable
        Fills that folder.
    codes : tuple of int
        Exit codes that are right.
    says : str
        Pattern of what the sentence must say where the command fails.
    check : callable, optional
        Looks at the answer where the command does not fail.
    keeps : tuple of str
        Patterns of what may be new in the folder after a failure: what was finished before.
    changes : tuple of str
        Patterns of what may differ, or be gone, afterwards.
    notes : bool
        Whether other lines than the sentence may stand on stderr: of a folder, one for each file.
    bound : bool
        Whether it runs without root's right to pass all permissions.
    stdout : str
        Where the answer goes instead, such as a device that is full.
    """

    name: str
    arguments: tuple[str, ...]
    make: Make
    codes: tuple[int, ...] = (1,)
    says: str = ""
    check: Check | None = None
    keeps: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    notes: bool = False
    bound: bool = False
    stdout: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes
    ----------
    code : int
        Exit code; negative for a signal.
    stdout, stderr : str
        What was written.
    megabytes, seconds : float
        Most memory that was resident, and the time on the clock.
    """

    code: int
    stdout: str
    stderr: str
    megabytes: float
    seconds: float

    @property
    def said(self) -> str:
        """The text on stderr as one line, without frames."""
        return _FRAME.sub(" ", self.stderr).strip()


def fails(name: str, arguments: str | tuple[str, ...], make: Make, says: str, **more: object) -> Case:
    """Make a case that is right with exit code 1 and one sentence."""
    return Case(name, _split(arguments), make, says=says, **more)  # type: ignore[arg-type]


def misused(name: str, arguments: str | tuple[str, ...], make: Make, says: str, **more: object) -> Case:
    """Make a case that is right with exit code 2 and one sentence."""
    return Case(name, _split(arguments), make, codes=(2,), says=says, **more)  # type: ignore[arg-type]


def answers(name: str, arguments: str | tuple[str, ...], make: Make, check: Check, **more: object) -> Case:
    """Make a case that is right with exit code 0 and an answer that passes a check."""
    return Case(name, _split(arguments), make, codes=(0,), check=check, **more)  # type: ignore[arg-type]


def either(name: str, arguments: str | tuple[str, ...], make: Make, says: str, check: Check, **more: object) -> Case:
    """Make a case that may be answered, if the answer passes the check, or refused: the file allows both readings."""
    return Case(name, _split(arguments), make, codes=(0, 1), says=says, check=check, **more)  # type: ignore[arg-type]


def _split(arguments: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(arguments.split()) if isinstance(arguments, str) else arguments


Listing = dict[str, tuple[str, int, int]]
"""Kind, size and time of change of all that is in a folder, by its path."""


def listing(folder: Path) -> Listing:
    """List all that is in a folder, links and pipes as what they are."""
    found: Listing = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        whole = kind == "file"
        found[str(path.relative_to(folder))] = (kind, state.st_size if whole else 0, state.st_mtime_ns if whole else 0)
    return found


def faults(case: Case, outcome: Outcome, folder: Path, before: Listing) -> list[str]:
    """Say what is wrong with what became of a case; nothing where it is right."""
    found = []
    if outcome.megabytes > MEMORY:
        found.append(f"{outcome.megabytes:.0f} MB resident")
    if outcome.seconds > SECONDS:
        found.append(f"{outcome.seconds:.0f} s")
    if outcome.code not in case.codes:
        found.append(f"exit code {outcome.code}, right is {' or '.join(map(str, case.codes))}")
    if _BROKEN.search(outcome.said):
        found.append("what is said is not for people")
    after = listing(folder)
    found += [f"changed or removed: {name}" for name in _changed(before, after, case.changes)]
    if outcome.code == 0:
        if case.check is not None and 0 in case.codes and (wrong := case.check(folder, outcome)):
            found.append(wrong)
        return found
    found += _faults_of_sentence(case, outcome)
    left = [name for name in after.keys() - before.keys() if not _any(name, case.keeps)]
    found += [f"left behind: {name}" for name in sorted(left)]
    return found


def _faults_of_sentence(case: Case, outcome: Outcome) -> list[str]:
    said = outcome.said
    found = []
    lines = [line for line in outcome.stderr.splitlines() if line.strip()]
    marks = len(re.findall(r"(?:^|\s)Error(?::| ?$| )", said)) if outcome.code == 2 else 0
    errors = [line for line in lines if line.startswith("Error: ")]
    if outcome.code == 1 and len(errors) != 1:
        found.append(f"{len(errors)} sentences begin with 'Error:'")
    if outcome.code == 1 and not case.notes and len(lines) != 1:
        found.append(f"{len(lines)} lines on stderr")
    if outcome.code == 2 and not marks:
        found.append("no sentence says what is wrong")
    if errors and not errors[0].rstrip().endswith((".", "?", ")", "'", "…")):
        found.append("the sentence does not end")
    if len(said) > _LONGEST:
        found.append(f"{len(said)} characters")
    if not re.search(case.says, said, re.IGNORECASE):
        found.append(f"does not say {case.says!r}")
    return found


def _changed(before: Listing, after: Listing, allowed: tuple[str, ...]) -> list[str]:
    return [name for name, state in before.items() if after.get(name) != state and not _any(name, allowed)]


def _any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
