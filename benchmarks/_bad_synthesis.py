"""Bad statistics of masks, and what synthesis takes: masks, styles, numbers, places."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from _bad_case import Case, Make, answers, either, fails, misused
from _bad_files import deep, in_json, json_text, label_image, link, nothing, pipe, saved, write


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _statistics()
    yield from _synthesis()


def _statistics() -> Iterator[Case]:
    from napari_nucleigan.masks.polygons import preset

    sound = preset("liver").model_dump(mode="json")
    command = ("masks", "-o", "out", "--like", "s.json", "--size", "64")
    texts: dict[str, Any] = {
        "empty": "",
        "text": "liver",
        "null": "null",
        "a list": "[]",
        "cut": json_text(sound)[:99],
        "nested deeply": deep(),
        "of Latin-1": '{"area": "\udce9"}',
        "an empty object": "{}",
        "a field that is none": json_text({**sound, "speed": 1}),
        "tissues empty": json_text({**sound, "tissues": []}),
        "tissues of null": json_text({**sound, "tissues": [None]}),
        "tissues of text": json_text({**sound, "tissues": "x"}),
        **{
            f"{field} {value}": json_text({**sound, field: value})
            for field in ("density", "area", "reach", "elongation")
            for value in (float("nan"), -1, 1e300, None)
        },
    }
    for name, content in texts.items():
        yield either(f"statistics/{name}", command, write("s.json", content), "cannot|statistics|not", _drawn)
    tissue = sound["tissues"][0]
    for name, change in {
        "no areas": {"areas": []},
        "areas NaN": {"areas": [float("nan")]},
        "areas infinite": {"areas": [float("inf")] * 3},
        "areas of 1e12": {"areas": [1e12]},
        "areas negative": {"areas": [-5.0]},
        "areas falling": {"areas": [50.0, 5.0]},
        "a million areas": {"areas": [30.0] * 10**6},
        "elongations 0": {"elongations": [0.0]},
        "elongations 1e300": {"elongations": [1e300]},
        "spacings NaN": {"spacings": [float("nan")]},
        "share 0": {"share": 0},
        "share infinite": {"share": float("inf")},
        "density 1e12": {"density": 1e12},
        "reach 0": {"reach": 0},
        "reach 1e300": {"reach": 1e300},
        "clustering 1e300": {"clustering": 1e300},
        "contacts 0": {"contacts": [0.0]},
        "sizes 1e300": {"touching_sizes": 1e300},
    }.items():
        changed = json_text({**sound, "tissues": [{**tissue, **change}]})
        yield either(
            f"statistics/of a tissue: {name}",
            command,
            write("s.json", changed),
            "cannot|statistics|not|memory|large",
            _drawn,
        )
    for name, make in {
        "a pipe": pipe("s.json"),
        "a link to /dev/zero": link("s.json", "/dev/zero"),
        "missing": nothing,
        "a folder": lambda folder: (folder / "s.json").mkdir(),
    }.items():
        yield fails(f"statistics/{name}", command, make, "cannot|neither|no |pipe|device")


def _drawn(folder: Path, outcome: Any) -> str | None:
    return None if (folder / "out" / "labels" / "mask-00001.tif").is_file() else "no mask was drawn"


def _synthesis() -> Iterator[Case]:
    base = ("synthesize", "-o", "out", "-n", "1", "--size", "64", "--device", "cpu", "--model", "painter")
    yield answers("synthesize/sound", (*base, "--json"), nothing, in_json(made=1))
    for option, values in {
        "--style": ("spleen", "nowhere.png", ".", "\x1b", "x" * 5000),
        "--restain": ("teal", "nowhere.png", "."),
        "--like": ("spleen", "nowhere.json", "."),
        "--segmenter": (),
        "--device": ("tpu", "cuda:99", "", "cpu:x"),
        "--model": ("nothing", "tiny"),
    }.items():
        for value in values:
            yield fails(
                f"synthesize/{option} {ascii(value)[:16]}",
                (*base, option, value),
                nothing,
                option.strip("-") + "|cannot|no |image|style|" + "|reference|segmenter|holds|name too long",
            )
    for option, values in {
        "-n": ("0", "-1", "1e9", "nan", "99999999999"),
        "--size": ("0", "15", "99999", "x"),
        "--mpp": ("nan", "0", "-1", "inf", "99"),
        "--seed": ("-1", "99999999999", "x"),
        "--min-consistency": ("2", "nan", "-1"),
        "--validation": ("2", "nan"),
        "--tile": ("1", "10000000"),
        "--precision": ("int4",),
    }.items():
        for value in values:
            yield misused(
                f"synthesize/{option} {value}",
                (*base, option, value),
                nothing,
                option.strip("-").replace("-", ".") + "|count|-n",
            )
    masks: dict[str, tuple[Make, str]] = {
        "missing": (nothing, "in.tif|cannot|neither|no "),
        "empty": (write("in.tif", b""), "cannot"),
        "of 0 and 255": (write("in.tif", saved(((label_image() > 0) * 255).astype(np.uint8))), "only tells|no label"),
        "of float": (write("in.tif", saved(label_image() / 2)), "integers|float"),
        "a pipe": (pipe("in.tif"), "pipe|neither|no "),
        "a link to /dev/zero": (link("in.tif", "/dev/zero"), "device|neither|no "),
    }
    for name, (make, words) in masks.items():
        yield fails(
            f"synthesize/a mask {name}",
            ("synthesize", "in.tif", "-o", "out", "--device", "cpu", "--model", "painter"),
            make,
            words,
        )
    yield fails("synthesize/into a foreign folder", base, write("out/images/mine.png", b"mine"), "did not make")
    yield fails("synthesize/into a file", base, write("out", b"mine"), "file|in the way|path")
    yield fails("synthesize/a record that is damaged", base, write("out/provenance.json", b"{"), "damaged")
    yield fails("synthesize/a record nested deeply", base, write("out/provenance.json", deep()), "damaged|nested")
