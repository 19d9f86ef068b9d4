"""Files of every kind, damaged in every way: each reader gives something or one clear line, and never hangs."""

from __future__ import annotations

import itertools
import math
import shutil
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus import KINDS, damaged
from napari_nucleigan.base.errors import NucleiganError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Seconds that the damaging of one kind of file may take; more where the profile looks for more (see conftest.py).
BUDGET = 0.5 if settings().max_examples <= 100 else 120.0
LONGEST = 10  # seconds of one file


class HangError(BaseException):
    """Passes through all that catches errors."""


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """End what takes too long."""

    def end(number: int, frame: object) -> None:
        raise HangError(f"took longer than {seconds} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", KINDS)
def test_sound_files_are_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    KINDS[name].make(folder)
    taken = 0
    for read in KINDS[name].readers:
        try:
            read(folder)
            taken += 1
        except NucleiganError:
            assert len(KINDS[name].readers) > 1  # a picture is no label image, but it is a picture
    assert taken


@pytest.mark.parametrize("name", KINDS)
@settings(suppress_health_check=list(HealthCheck))
@given(choices=st.data())
def test_damaged_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, choices: st.DataObject
) -> None:
    kind, corpus = KINDS[name], _corpora(tmp_path_factory)[name]
    files = sorted(path for pattern in kind.names for path in corpus.rglob(pattern) if path.is_file())
    chosen = choices.draw(st.sampled_from(files), label="file")
    content = choices.draw(damaged(chosen.read_bytes(), kind.fields), label="content")
    if _left.setdefault(name, BUDGET) < 0:
        return
    began = time.perf_counter()
    place = tmp_path_factory.getbasetemp() / f"damaged{next(_numbers)}" / "a"
    shutil.copytree(corpus, place)
    (place / chosen.relative_to(corpus)).write_bytes(content)
    try:
        for read in kind.readers:
            _read(read, place)
    except BaseException:
        _left[name] = math.inf  # what fails must fail again, for the smallest of its kind to be found
        raise
    finally:
        shutil.rmtree(place.parent)
        _left[name] -= time.perf_counter() - began


def _read(read: Callable[[Path], object], folder: Path) -> None:
    with no_longer_than(LONGEST):
        try:
            read(folder)
        except NucleiganError as error:
            said = str(error)
            assert "\n" not in said
            assert "\x1b" not in said
            assert len(said) < 4000


_numbers = itertools.count()
_left: dict[str, float] = {}
_made: dict[str, Path] = {}


def _corpora(factory: pytest.TempPathFactory) -> dict[str, Path]:
    if not _made:
        for name, kind in KINDS.items():
            _made[name] = factory.mktemp("corpus") / "a"
            _made[name].mkdir()
            kind.make(_made[name])
    return _made
