"""Bad run folders: files of a training that were cut, edited, or are no files at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _bad_case import Case, answers, either, fails, misused
from _bad_files import both, data_set, deep, in_json, json_text, nothing, says, write

_NO = "run|cannot|folder|nothing|not|holds no"
_ANY = in_json()


def cases() -> Iterator[Case]:
    """All of them."""
    for file, contents in _files().items():
        for number, (name, content) in enumerate(contents.items()):
            make = both(run, write(f"r/{file}", content))
            yield either(f"runs/{file} {name}, show", "runs show r --json", make, _NO, _ANY)
            if number % 3 == 0:
                yield answers(f"runs/{file} {name}, list", "runs list --folder . --json", both(make, other), _lists)
    yield from _special()
    yield from _commands()


def run(folder: Path, name: str = "r") -> None:
    """Make a run folder as a training leaves it."""
    from napari_nucleigan.base.events import Finished, Losses, ValidationScores
    from napari_nucleigan.training.recipes import SegmenterRecipe
    from napari_nucleigan.training.runs.run_folder import RunFolder

    made = RunFolder(folder / name)
    made.start(SegmenterRecipe(), {"folder": "in", "train": ["a"], "val": ["b"], "card": {}})
    for step in range(10, 60, 10):
        made.record(Losses(step, {"l1": 1 / step}, 1e-3, 8.0))
    made.record(ValidationScores(50, {"aji": 0.5}, True))
    made.record(Finished(50, str(made.best)))


def other(folder: Path) -> None:
    """Make a second one, which no other takes away from the list."""
    run(folder, "sound")


def _lists(folder: Path, outcome: Any) -> str | None:
    import json

    names = [each.get("name") for each in json.loads(outcome.stdout)]
    return None if "sound" in names else f"the list holds {names}"


def _files() -> dict[str, dict[str, Any]]:
    events = '{"event": "losses", "step": 1, "values": {"l1": 0.5}, "lr": 0.001, "images_per_second": 8.0}\n'
    usual: dict[str, Any] = {
        "empty": "",
        "null": "null",
        "a list": "[1]",
        "text": "hello",
        "cut": '{"kind": "seg',
        "nested deeply": deep(),
        "of Latin-1": '{"name": "\udce9"}',
        "of noise": bytes(range(256)),
    }
    return {
        "recipe.json": {
            **usual,
            "a kind that is none": json_text({"kind": "x"}),
            "a name of markup": json_text({"name": "[red]x[/blue]"}),
            "NaN": '{"lr": NaN}',
        },
        "data.json": {**usual, "train a text": json_text({"train": "a"}), "folder a number": json_text({"folder": 5})},
        "progress.json": {
            **usual,
            "NaN": '{"done": NaN}',
            "done negative": json_text({"done": -5}),
            "done 1e300": json_text({"done": 1e300}),
            "time 1e300": json_text({"time": 1e300}),
            "text of escapes": json_text({"what": "\x1b[31m"}),
        },
        "process.json": {
            **usual,
            "pid -1": json_text(_process(pid=-1)),
            "pid 1": json_text(_process(pid=1)),
            "pid 2**40": json_text(_process(pid=2**40)),
            "pid of text": json_text(_process(pid="x")),
            "born NaN": '{"pid": 1, "born": NaN}',
        },
        "order.json": {**usual, "another kind": json_text({"kind": "x"}), "recipe a text": json_text({"recipe": "x"})},
        "events.jsonl": {
            **usual,
            "NaN": events.replace("0.5", "NaN"),
            "step negative": events.replace('"step": 1', '"step": -1'),
            "step of text": events.replace('"step": 1', '"step": "x"'),
            "step of 10**400": events.replace('"step": 1', '"step": 1' + "0" * 400),
            "an event that is none": events.replace("losses", "x"),
            "values a list": events.replace('{"l1": 0.5}', "[]"),
            "100 000 lines": lambda: events * 100_000,
            "a line of 20 MB": lambda: events.replace("l1", "x" * 20_000_000),
            "lines of NUL": lambda: "\0" * 10**6,
        },
        "pause": {"a file": "x"},
        "stop": {"a file": "x"},
        "best.safetensors": {"empty": "", "text": "model"},
    }


def _process(**change: Any) -> dict[str, Any]:
    return {"pid": 123, "born": 1e9, "host": "here", "token": "x", "time": 1e9, **change}


def _special() -> Iterator[Case]:
    for file in ("recipe.json", "events.jsonl", "process.json", "progress.json", "data.json"):
        for name, put in {
            "a pipe": os.mkfifo,
            "a folder": Path.mkdir,
            "a link to /dev/zero": lambda path: os.symlink("/dev/zero", path),
            "a link to itself": lambda path: os.symlink(path.name, path),
        }.items():
            make = both(run, lambda folder, at=file, to=put: _instead(folder / "r" / at, to))
            yield either(f"runs/{file} {name}, show", "runs show r --json", make, _NO, _ANY)
            yield answers(f"runs/{file} {name}, list", "runs list --folder . --json", both(make, other), _lists)


def _instead(path: Path, put: Any) -> None:
    path.unlink(missing_ok=True)
    put(path)


def _commands() -> Iterator[Case]:
    empty = lambda folder: (folder / "r").mkdir()  # noqa: E731
    for command in ("show", "resume", "pause", "stop", "kill", "delete"):
        yield fails(f"runs/{command} of nothing", f"runs {command} r", nothing, _NO)
        yield fails(f"runs/{command} of an empty folder", f"runs {command} r", empty, _NO)
        yield fails(f"runs/{command} of a file", f"runs {command} r", write("r", b"x"), _NO)
        yield fails(f"runs/{command} of a foreign folder", f"runs {command} r", write("r/mine.txt", b"x"), _NO)
        yield fails(f"runs/{command} of no name", ("runs", command, ""), nothing, _NO)
    for name in ("", "..", "a/b", "/etc/x", "x" * 300, "a\nb", "\x1b[31m", "."):
        yield either(
            f"runs/rename to {ascii(name)[:16]}",
            ("runs", "rename", "r", name),
            run,
            "name|cannot|path",
            _renamed,
            changes=("r", "r/*"),
        )
    yield fails("runs/rename to one that is there", "runs rename r sound", both(run, other), "sound")
    yield answers("runs/list of nothing", "runs list --folder nowhere", nothing, says("no runs", "stderr"))
    yield either("runs/list of a file", "runs list --folder f", write("f", b"x"), "f|folder", says("no runs", "stderr"))
    shut = "runs/list of a folder that may not be listed"
    yield misused(shut, "runs list --folder in", _closed, "not readable", bound=True)
    yield fails("runs/watch of nothing", "train --watch r", nothing, _NO)
    yield fails("runs/watch of a file", "train --watch r", write("r", b"x"), _NO)
    yield misused(
        "runs/watch and train at once", "train --watch r segmenter in --run s", run, "watch|--run|subcommand|command"
    )
    yield misused("runs/--json before its command", "train --json", nothing, "--json|missing")
    for name, change in {
        "missing": nothing,
        "empty": write("r/order.json", b""),
        "a list": write("r/order.json", b"[]"),
        "of no recipe": write("r/order.json", json_text({"kind": "segmenter", "data": "in", "device": "cpu"})),
    }.items():
        yield fails(f"runs/an order that is {name}", "train ordered r", change, _NO)
    yield fails("runs/an order on an input of nothing", "train ordered -", nothing, _NO)
    train = ("train", "segmenter", "in", "--run", "r", "--device", "cpu", "--resume")
    data = lambda folder: data_set(folder / "in") and None  # noqa: E731
    for name, content in _files()["recipe.json"].items():
        if name == "a name of markup":
            continue  # which is a recipe
        yield fails(
            f"runs/going on with a recipe {name}",
            train,
            both(run, data, write("r/recipe.json", content)),
            "run|recipe|cannot|checkpoint",
            changes=("r", "r/*"),
            keeps=("r/*",),
            notes=True,
        )


def _renamed(folder: Path, outcome: Any) -> str | None:
    return None if not (folder / "r").exists() and any(folder.iterdir()) else "the run is gone, or was not renamed"


def _closed(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in").chmod(0)
