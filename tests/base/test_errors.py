from __future__ import annotations

import inspect

import pytest

from napari_nucleigan.base import errors

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_ours_and_no_runtime_error(kind: type[Exception]) -> None:
    # napari's generator workers swallow every RuntimeError without a word.
    assert issubclass(kind, errors.NucleiganError)
    assert not issubclass(kind, RuntimeError)
    assert str(kind("One clear sentence.")) == "One clear sentence."


def test_unexpected_errors_are_logged_with_their_traceback_for_developers_only(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "TypeError: odd" in str(errors.explain(TypeError("odd"), "counting"))
    assert caplog.text == ""
    monkeypatch.setenv(errors.DEBUG, "1")
    errors.explain(TypeError("odd"), "counting")
    assert "TypeError: odd" in caplog.text
    assert errors.explain(errors.ImageError("said"), "counting").args == ("said",)
