"""Bad data sets: folders, split.csv, recipes, and what is asked to train on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from _bad_case import Case, Check, Make, answers, either, fails, misused
from _bad_files import (
    both,
    data_set,
    deep,
    in_json,
    json_text,
    label_image,
    link,
    nothing,
    picture,
    pipe,
    png,
    saved,
    write,
)

_ESTIMATE = ("train", "segmenter", "in", "--estimate", "--json", "--device", "cpu")
_SMALL = {
    "generator": {"name": "compact-unet", "widths": [8, 8, 8, 8, 8]},
    "patch": 64,
    "batch": 1,
    "discriminator_width": 4,
}
_ANY = in_json()


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _folders()
    yield from _splits()
    yield from _recipes()
    yield from _changes()


def _sound(folder: Path) -> None:
    data_set(folder / "in", ("a", "b", "c", "d"))


def _folders() -> Iterator[Case]:
    commands = {
        "train": (*_ESTIMATE, "--set", "patch=64"),
        "export": ("export", "coco", "in", "out", "--json"),
    }
    wrong: dict[str, Make] = {
        "missing": nothing,
        "empty": lambda folder: (folder / "in").mkdir(),
        "a file": write("in", b"x"),
        "no labels": lambda folder: _removed(folder, "labels"),
        "no images": lambda folder: _removed(folder, "images"),
        "a label image missing": both(_sound, lambda folder: (folder / "in/labels/b.tif").unlink()),
        "a label image empty": both(_sound, write("in/labels/b.tif", b"")),
        "a label image of text": both(_sound, write("in/labels/b.tif", b"x" * 99)),
        "labels of another size": both(_sound, write("in/labels/b.tif", saved(label_image()[:30]))),
        "labels of 0 and 255": both(
            _sound, write("in/labels/b.tif", saved(((label_image() > 0) * 255).astype(np.uint8)))
        ),
        "labels of float": both(_sound, write("in/labels/b.tif", saved(label_image() / 2))),
        "an image empty": both(_sound, write("in/images/b.png", b"")),
        "an image cut": both(_sound, write("in/images/b.png", png()[:500])),
        "two images of one name": both(_sound, write("in/images/b.tif", saved(picture()))),
        "images a file": both(write("in/images", b"x"), write("in/labels/a.tif", saved(label_image()))),
        "an image that is a pipe": both(_sound, lambda folder: _instead(folder / "in/images/b.png", os.mkfifo)),
        "a label image that is /dev/zero": both(
            _sound, lambda folder: _instead(folder / "in/labels/b.tif", lambda path: os.symlink("/dev/zero", path))
        ),
        "regions of another size": both(_sound, write("in/regions/b.tif", saved(label_image()[:9, :9]))),
        "regions of text": both(_sound, write("in/regions/b.tif", b"x")),
    }
    for name, make in wrong.items():
        for command, arguments in commands.items():
            check: Check = _ANY
            if command == "export" and name.startswith("regions"):
                yield either(f"data set/{name}, {command}", arguments, make, "cannot|size|regions|differ", check)
            elif name == "an image that is a pipe":  # a pipe is no image, so its labels are left over
                yield either(f"data set/{name}, {command}", arguments, make, "pipe|cannot", check)
            else:
                says = "cannot|no folder|not a data set|no label|differ|two images|holds no|no images|integers|only"
                yield fails(f"data set/{name}, {command}", arguments, make, says)


def _removed(folder: Path, part: str) -> None:
    _sound(folder)
    for path in (folder / "in" / part).iterdir():
        path.unlink()
    (folder / "in" / part).rmdir()


def _instead(path: Path, put: Any) -> None:
    path.unlink()
    put(path)


def _splits() -> Iterator[Case]:
    sound = "name,organ,split\na,liver,train\nb,liver,val\nc,breast,test\nd,breast,train\n"
    export = ("export", "coco", "in", "out", "--json", "--split", "train")
    tables: dict[str, Any] = {
        "empty": "",
        "a header only": "name,organ,split\n",
        "no header": sound.split("\n", 1)[1],
        "no name": sound.replace("name", "file"),
        "of noise": bytes(range(256)) * 20,
        "of other names": sound.replace("\na", "\nx").replace("\nb", "\ny").replace("\nc", "\nz").replace("\nd", "\nw"),
        "two things of one name": sound + "a,liver,test\n",
        "of Latin-1": sound.replace("liver", "l\udce9ver"),
        "no such split": sound.replace("train", "exercise"),
        "an open quote": sound.replace("a,liver", 'a,"liver'),
        "NUL": sound.replace("liver", "li\0ver"),
        "JSON": '{"a": "train"}',
        "a cell of 200 000": lambda: sound.replace("liver", "l" * 200_000),
        "30 MB": lambda: sound + "x,y,z\n" * 5_000_000,
        "one line of 10 MB": lambda: "name," * 2_000_000,
    }
    for name, content in tables.items():
        make = both(_sound, write("in/split.csv", content))
        yield either(f"split.csv/{name}", export, make, "split|cannot", _ANY)
        # Without a split that is asked for, a table that says less is no fault.
        yield either(
            f"split.csv/{name}, to train", (*_ESTIMATE, "--set", "patch=64"), make, "split|cannot|train|images", _ANY
        )
    for name, content in {
        "semicolons": sound.replace(",", ";"),
        "tabs": sound.replace(",", "\t"),
        "UTF-16": sound.encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + sound.encode(),
        "names with suffixes": sound.replace("\na", "\na.png"),
        "capitals": sound.replace("train", "TRAIN"),
        "spaces": sound.replace(",", " , "),
        "sep=": "sep=,\n" + sound,
        "line ends of a Mac": sound.replace("\n", "\r"),
        "folders": sound.replace("\na", "\nimages/a"),
    }.items():
        yield answers(f"split.csv/{name}", export, both(_sound, write("in/split.csv", content)), in_json(images=2))
    for name, put in {
        "a pipe": os.mkfifo,
        "a folder": Path.mkdir,
        "a link to /dev/zero": lambda path: os.symlink("/dev/zero", path),
    }.items():
        make = both(_sound, lambda folder, to=put: to(folder / "in/split.csv"))
        yield fails(f"split.csv/{name}", export, make, "split|pipe|device|cannot")
    for value in ("", "nothing", "\x1b[31m", "x" * 1500, "[red]x[/red]"):
        make = both(_sound, write("in/split.csv", sound))
        yield fails(f"split.csv/--split {ascii(value)[:14]}", (*export[:-1], value), make, "split")


def _recipes() -> Iterator[Case]:
    texts: dict[str, Any] = {
        "empty": "",
        "text": "recipe",
        "null": "null",
        "a list": "[]",
        "a number": "1",
        "cut": '{"patch": 2',
        "nested deeply": deep(),
        "of Latin-1": '{"name": "caf\udce9"}',
        "a field that is none": json_text({"speed": 9}),
        "another kind": json_text({"kind": "synthesizer"}),
        "a kind that is none": json_text({"kind": "x"}),
        "NaN": json_text({"lr": float("nan")}),
        "infinite": json_text({"lr": float("inf")}),
        "1e999": '{"lr": 1e999}',
        "of 10**400 digits": '{"patch": 1' + "0" * 4000 + "}",
        "10 MB of zeros": lambda: "[" + "0," * 5_000_000 + "0]",
        "a network that is none": json_text({"generator": {"name": "x"}}),
        "a network without name": json_text({"generator": {}}),
        "a network of text": json_text({"generator": "x"}),
        "widths negative": json_text({"generator": {"name": "compact-unet", "widths": [-1] * 5}}),
        "widths of 10**9": json_text({"generator": {"name": "compact-unet", "widths": [10**9] * 5}}),
        "widths of text": json_text({"generator": {"name": "compact-unet", "widths": "abcde"}}),
        "widths empty": json_text({"generator": {"name": "compact-unet", "widths": []}}),
        "an argument that is none": json_text({"generator": {"name": "compact-unet", "x": 1}}),
        "unet-256 of width 10**8": json_text({"generator": {"name": "unet-256", "width": 10**8}}),
        "zoom turned round": json_text({"zoom": [2, 1]}),
        "zoom of one": json_text({"zoom": [1]}),
        "a name of markup": json_text({"name": "[red]x[/blue]", "zoom": [2, 1]}),
        "no epochs": json_text({"epochs_constant": 0, "epochs_decay": 0}),
        "a start that is none": json_text({"start_from": "nothing.safetensors"}),
        "weights that are none": json_text(
            {"generator": {"name": "encoder-unet", "encoder": "efficientnet-lite0"}, "encoder_weights": "nothing.pth"}
        ),
    }
    for name, content in texts.items():
        make = both(_sound, write("r.json", content))
        yield fails(
            f"recipe/{name}",
            (*_ESTIMATE, "--recipe", "r.json"),
            make,
            "recipe|network|generator|cannot|no model|memory|weights|start",
        )
    yield fails("recipe/missing", (*_ESTIMATE, "--recipe", "r.json"), _sound, "no recipe")
    yield fails("recipe/a folder", (*_ESTIMATE, "--recipe", "in"), _sound, "cannot read")
    yield fails("recipe/a pipe", (*_ESTIMATE, "--recipe", "r.json"), both(_sound, pipe("r.json")), "pipe")
    yield fails(
        "recipe/a link to /dev/zero",
        (*_ESTIMATE, "--recipe", "r.json"),
        both(_sound, link("r.json", "/dev/zero")),
        "device",
    )
    yield fails(
        "recipe/one for the synthesizer", (*_ESTIMATE, "--recipe", "compact-synthesizer"), _sound, "another kind"
    )
    yield fails("recipe/shown, that is none", "train recipes nothing", nothing, "no recipe")


def _changes() -> Iterator[Case]:
    numbers = ("patch", "batch", "lr", "ema", "minutes", "epochs_constant")
    for field in numbers:
        for value in ("NaN", "Infinity", "-1", "text", "null"):
            yield fails(
                f"recipe/--set {field}={value}",
                (*_ESTIMATE, "--set", f"{field}={value}"),
                _sound,
                f"recipe.*{field}|{field}",
            )
    for value in ("patch", "=5", "", "patch 5"):
        yield misused(f"recipe/--set {value!r}", (*_ESTIMATE, "--set", value), _sound, "KEY=VALUE")
    yield fails("recipe/--set speed=9", (*_ESTIMATE, "--set", "speed=9"), _sound, "speed")
    yield fails("recipe/--set nested deeply", (*_ESTIMATE, "--set", "patch=" + deep(20_000)), _sound, "patch|nested")
    for command in ("segmenter", "synthesizer"):
        run = ("train", command, "in", "--device", "cpu")
        yield misused(f"train/{command} without a run", run, _sound, "--run")
        yield fails(
            f"train/{command} on a device that is none", (*run, "--run", "run", "--device", "tpu"), _sound, "device"
        )
        yield fails(
            f"train/{command} goes on from nothing", (*run, "--run", "run", "--resume"), _sound, "run|resume|checkpoint"
        )
        yield fails(
            f"train/{command} into a file",
            (*run, "--run", "run"),
            both(_sound, write("run", b"mine")),
            "run|file|folder",
        )
        yield fails(
            f"train/{command} into a foreign folder",
            (*run, "--run", "run"),
            both(_sound, write("run/mine.txt", b"mine")),
            "run|holds|folder|not",
        )
        yield misused(
            f"train/{command} goes on with another recipe",
            (*run, "--run", "run", "--resume", "--recipe", "x"),
            _sound,
            "--resume",
        )
    yield fails("train/a model to start from that is none", (*_ESTIMATE, "--from", "nothing"), _sound, "model|nothing")
    yield fails(
        "train/synthetic pairs that are none", (*_ESTIMATE, "--synthetic", "nowhere"), _sound, "nowhere|folder|data set"
    )
    for value in ("nan", "-1", "1.5", "x"):
        yield misused(
            f"train/synthetic share {value}", (*_ESTIMATE, "--synthetic-share", value), _sound, "synthetic-share"
        )
    for value in ("nothing", "in/images", "/dev/null", ""):
        arguments = ("train", "synthesizer", "in", "--estimate", "--json", "--device", "cpu", "--masks", value)
        check: Check = _ANY
        yield either(f"train/masks {value!r}", arguments, _sound, "masks|label|nothing|cannot|no ", check)
