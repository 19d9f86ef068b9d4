"""Bad options of every command: not a number, infinite, negative, enormous, of another kind, at odds with others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from _bad_case import Case, answers, fails, misused
from _bad_files import (
    SHAPE,
    both,
    data_set,
    in_json,
    label_image,
    labels,
    looks_right,
    nothing,
    picture,
    png,
    saved,
    says,
    sized,
    write,
)

_PICTURE = write("a.png", png())
_SEGMENT = ("segment", "a.png", "-o", "out.tif", "--device", "cpu", "--model", "tiny", "--mpp", "0.25")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _segment()
    yield from _masks()
    yield from _evaluate()
    yield from _normalize()
    yield from _others()


def _segment() -> Iterator[Case]:
    for option, values in {
        "--threshold": ("nan", "inf", "-0.1", "1.1", "x", ""),
        "--prominence": ("nan", "-inf", "-1", "2", "x"),
        "--min-area": ("nan", "inf", "-1", "x"),
        "--max-area": ("nan", "inf", "-1", "0", "x"),
        "--min-confidence": ("nan", "-1", "2", "x"),
        "--mpp": ("nan", "inf", "-inf", "0", "-0.25", "x", "", "auto5", "0,25"),
        "--tta": ("0", "3", "9", "-1", "2.5", "x"),
        "--tile": ("0", "63", "-64", "99999", "1e3", "x"),
        "--batch": ("0", "-1", "257", "x"),
        "--workers": ("0", "-1", "1.5", "x"),
        "--normalize": ("x", ""),
        "--precision": ("float16", "x"),
        "--measurements": ("x",),
        "--format": ("x", "jpg", ""),
        "--region": ("nowhere.geojson",),
        "--model": ("",),
    }.items():
        for value in values:
            name = option.strip("-").replace("-", ".") + "|views"
            yield misused(f"segment/{option} {value!r}", (*_SEGMENT, option, value), _PICTURE, name)
    for option, values in {
        "--mpp": ("1e-300", "1e-9", "0.0001", "1e9", "1e300"),
        "--device": ("", "tpu", "cuda", "cuda:7", "cuda:x", "mps", "meta", "cpu:0", "-1"),
        "--model": ("nothing", "painter", ".", "a.png", "\x1b", "x" * 5000),
        "--classifier": ("nothing", ".", "a.png"),
        "--scheduler": ("nowhere", "127.0.0.1:9", "http://x", "a.png", "tcp://127.0.0.1:9"),
    }.items():
        for value in values:
            more = ("--slide",) if option == "--scheduler" else ()
            says = {
                "--mpp": "microns|mpp|large|memory|scale|small",
                "--scheduler": "scheduler|cluster|reach|address|cannot|distributed",
            }.get(option, option.strip("-") + "|cannot|no |name too long")
            yield fails(f"segment/{option} {value[:20]!r}", (*_SEGMENT, option, value, *more), _PICTURE, says)
    yield misused("segment/areas turned round", (*_SEGMENT, "--min-area", "50", "--max-area", "5"), _PICTURE, "area")
    for value in ("0", "1"):
        yield answers(f"segment/--threshold {value}", (*_SEGMENT, "--threshold", value), _PICTURE, labels(0, 6144))
    yield answers(
        "segment/--min-area 1e300", (*_SEGMENT, "--min-area", "1e300", "--max-area", "1e301"), _PICTURE, labels(0, 6144)
    )
    yield misused("segment/an option that is none", (*_SEGMENT, "--speed", "9"), _PICTURE, "speed")
    yield misused("segment/an option without its value", (*_SEGMENT, "--threshold"), _PICTURE, "threshold")
    yield misused("segment/5000 options", (*_SEGMENT, *("--speed",) * 5000), _PICTURE, "speed")


def _masks() -> Iterator[Case]:
    base = ("masks", "-o", "out", "--size", "64")
    for option, values in {
        "--count": ("0", "-1", "nan", "1e9", "99999999"),
        "--size": ("0", "-5", "x", "64x", "64x64x64", "99999", "1e3", "nan", "64.5", "", "64x64x64x"),
        "--seed": ("-1", "x", "1.5"),
        "--mpp": ("nan", "0", "-1", "inf", "0.001", "99", "x"),
        "--density": ("nan", "-1", "inf", "1e9"),
        "--area": ("nan", "0", "-1", "1e9"),
        "--area-spread": ("nan", "-1", "9"),
        "--elongation": ("nan", "0", "99"),
        "--touching": ("nan", "-1", "2"),
        "--clustering": ("nan", "9"),
        "--reach": ("nan", "0", "1e9"),
        "--vertices": ("2", "65", "nan"),
        "--irregularity": ("nan", "2"),
        "--spikiness": ("nan", "-1"),
        "--save-statistics": ("x.txt", "x"),
    }.items():
        for value in values:
            yield misused(
                f"masks/{option} {value!r}",
                (*base, option, value),
                nothing,
                option.strip("-").replace("-", ".") + "|count",
            )
    for value in ("spleen", "nowhere", ".", "", "\x1b[31m"):
        yield fails(
            f"masks/--like {value!r}", (*base, "--like", value), nothing, "like|preset|neither|no |cannot|holds"
        )
    huge = {
        "a seed of 10**30": ("--seed", str(10**30)),
        "a seed of 2**62": ("--seed", str(2**62)),
        "nothing in it": ("--density", "0"),
    }
    for name, more in huge.items():
        yield answers(f"masks/{name}", (*base, *more), nothing, _drawn)
    crowded = ("--density", "60000", "--area", "100000")
    yield misused("masks/density 60 000, area 100 000", (*base, *crowded), nothing, "lower the density or the area")
    yield fails(
        "masks/statistics over a foreign file",
        (*base, "--save-statistics", "s.json"),
        write("s.json", b'{"mine": 1}'),
        "not made by this program",
    )


def _drawn(folder: Path, outcome: object) -> str | None:
    return None if (folder / "out/labels/mask-00001.tif").is_file() else "no mask was drawn"


def _evaluate() -> Iterator[Case]:
    pair = both(write("p.tif", saved(label_image())), write("t.tif", saved(label_image())))
    base = ("evaluate", "p.tif", "t.tif")
    for option, values in {
        "--iou": ("nan", "-0.1", "1", "inf", "x"),
        "--resamples": ("-1", "nan", "x"),
        "--seed": ("-1", "x"),
        "--workers": ("-1", "x"),
        "--by": ("x", ""),
    }.items():
        for value in values:
            yield misused(f"evaluate/{option} {value!r}", (*base, option, value), pair, option.strip("-"))
    for more in (
        ("--within", "nan"),
        ("--within", "-1"),
        ("--mpp", "0"),
        ("--mpp", "nan"),
        ("--mpp", "-1"),
        ("--mpp", "inf"),
        ("--within", "inf"),
    ):
        yield misused(f"evaluate/by class, {' '.join(more)}", (*base, "--by", "class", *more), pair, more[0].strip("-"))
    for more in (("--within", "5"), ("--mpp", "1"), ("--segmenter", "x"), ("--crop", "64"), ("--device", "cpu")):
        yield misused(f"evaluate/{' '.join(more)} that does not go with it", (*base, *more), pair, more[0].strip("-"))
    for more in (("--csv", "x.csv"), ("--by", "organ"), ("--strict",), ("--iou", "0.5")):
        yield misused(
            f"evaluate/--synthetic with {' '.join(more)}", (*base, "--synthetic", *more), pair, more[0].strip("-")
        )
    for more in (("--crop", "0"), ("--crop", "-5"), ("--crop", "nan")):
        yield misused(f"evaluate/--synthetic {' '.join(more)}", (*base, "--synthetic", *more), pair, "crop")
    sets = both(lambda folder: data_set(folder / "p") and None, lambda folder: data_set(folder / "t") and None)
    for more in (("--segmenter", "nothing"), ("--features", "nothing"), ("--device", "tpu"), ("--split", "nothing")):
        yield fails(
            f"evaluate/--synthetic {' '.join(more)}",
            ("evaluate", "p", "t", "--synthetic", *more),
            sets,
            more[0].strip("-") + "|nothing|tpu|model",
        )
    yield fails("evaluate/--synthetic of nothing", ("evaluate", "x", "y", "--synthetic"), nothing, "folder|data set|x")
    for option in ("--csv", "--markdown"):
        yield fails(
            f"evaluate/{option} over a foreign file",
            (*base, option, "mine"),
            both(pair, write("mine", b"mine")),
            "not made by this program",
        )
        yield fails(
            f"evaluate/{option} below a file",
            (*base, option, "mine/x"),
            both(pair, write("mine", b"mine")),
            "cannot write",
        )
    yield fails(
        "evaluate/--strict, one missing",
        ("evaluate", "p", "t", "--strict"),
        both(sets, lambda folder: (folder / "p/labels/b.tif").unlink()),
        "missing",
        notes=True,
    )
    wrapped = both(
        write("p.tif", saved((np.arange(6144) % 256).astype(np.uint8).reshape(SHAPE))),
        write("t.tif", saved(label_image())),
    )
    yield answers("evaluate/numbers that wrapped", (*base, "--json"), wrapped, in_json(images__0__n_truth=6))


def _normalize() -> Iterator[Case]:
    base = ("normalize", "a.png", "-o", "out.tif")
    yield misused("normalize/a method that is none", (*base, "--method", "x"), _PICTURE, "method")
    for name, content in {
        "missing": None,
        "empty": b"",
        "text": b"x",
        "white": png(np.full((*SHAPE, 3), 255, np.uint8)),
        "grey": png(np.full((*SHAPE, 3), 128, np.uint8)),
    }.items():
        make = _PICTURE if content is None else both(_PICTURE, write("r.png", content))
        yield fails(f"normalize/to a reference {name}", (*base, "--to", "r.png"), make, "reference|cannot")
    for suffix in (".jpg", ".bmp", ".ome.zarr", ".csv"):
        yield fails(
            f"normalize/to {suffix}",
            ("normalize", "a.png", "-o", f"out{suffix}"),
            _PICTURE,
            "suffix|written|format|tif",
        )
    for method in ("vahadane", "macenko", "reinhard"):
        for name, pixels in {
            "white": np.full((*SHAPE, 3), 255, np.uint8),
            "black": np.zeros((*SHAPE, 3), np.uint8),
            "1 x 1": picture()[:1, :1],
        }.items():
            yield answers(
                f"normalize/{method} of {name}",
                (*base, "--method", method),
                write("a.png", png(pixels)),
                sized(pixels.shape[:2]),
            )
        yield answers(f"normalize/{method} of a good one", (*base, "--method", method), _PICTURE, looks_right())


def _others() -> Iterator[Case]:
    propose = ("propose", "a.png", "--mpp", "0.25", "--device", "cpu", "--tta", "1")
    for more in (
        ("--count", "0"),
        ("--count", "101"),
        ("--count", "x"),
        ("--side", "nan"),
        ("--side", "0"),
        ("--side", "1e9"),
        ("--threshold", "nan"),
        ("--mpp", "nan"),
    ):
        yield misused(f"propose/{' '.join(more)}", (*propose, *more), _PICTURE, more[0].strip("-"))
    for name, done in {"missing": None, "empty": b"", "text": b"x"}.items():
        make = _PICTURE if done is None else both(_PICTURE, write("d.geojson", done))
        yield fails(f"propose/what is done is {name}", (*propose, "--done", "d.geojson"), make, "cannot read")
    yield fails(
        "propose/what is done is of another size",
        (*propose, "--done", "d.png"),
        both(_PICTURE, write("d.png", png(np.ones((9, 9), np.uint8)))),
        "9 x 9 pixels large, but .* 96 x 64",
    )
    yield fails("propose/into a file that is no GeoJSON", (*propose, "-o", "x.txt"), _PICTURE, "GeoJSON")
    yield fails(
        "propose/over a foreign file",
        (*propose, "-o", "x.geojson"),
        both(_PICTURE, write("x.geojson", b"mine")),
        "not made by this program",
    )
    data = lambda folder: data_set(folder / "in") and None  # noqa: E731
    adapt = ("adapt", "in", "-o", "out", "--device", "cpu")
    for more in (("--method", "x"), ("--pairs", "0"), ("--pairs", "nan"), ("--set", "x"), ("--set-generator", "x")):
        yield misused(f"adapt/{' '.join(more)}", (*adapt, *more), data, more[0].strip("-"))
    for more in (
        ("--model", "nothing"),
        ("--model", "painter"),
        ("--set", "speed=9"),
        ("--set-generator", "lr=NaN"),
        ("--truth", "nowhere"),
        ("--real", "nowhere"),
        ("--device", "tpu"),
    ):
        yield fails(f"adapt/{' '.join(more)}", (*adapt, *more), data, "model|speed|lr|nowhere|device|synthesizer")
    yield fails(
        "adapt/images that are not there",
        ("adapt", "nowhere", "-o", "out", "--device", "cpu"),
        nothing,
        "nowhere|folder",
    )
    yield fails("adapt/into a file", adapt, both(data, write("out", b"mine")), "out|file")
    compare = ("compare", "in", "-o", "out", "--device", "cpu")
    for more in (
        ("--epochs", "-1", "5"),
        ("--epochs", "x", "y"),
        ("--epochs", "5"),
        ("--seed", "-1"),
        ("--labels", "x"),
        ("--labels", "1,,2"),
        ("--labels", "1", "--method", "x"),
        ("--labels", "1", "--report-only"),
        ("--seeds", "0"),
        ("--pairs", "0"),
        ("--set", "x"),
    ):
        yield misused(f"compare/{' '.join(more)}", (*compare, *more), data, more[0].strip("-"))
    split = "name,organ,split\na,x,train\nb,x,train\nc,x,test\n"
    tested = lambda folder: data_set(folder / "in", ("a", "b", "c"), split) and None  # noqa: E731
    yield fails("compare/no images to test on", compare, data, "no images to test on")
    for more, reason in {
        ("--method", "x"): "method.*x",
        ("--split", "nothing"): "no images to test on.*'nothing'",
        ("--synthetic", "nowhere"): "nowhere",
        ("--set", "speed=9"): "speed",
        ("--epochs", "0", "0"): "epoch",
        ("--labels", "0"): "label",
        ("--labels", "-1"): "label",
        ("--labels", "99"): "label|images",
        ("--device", "tpu"): "device 'tpu'",
    }.items():
        yield fails(
            f"compare/{' '.join(more)}, refused",
            (*compare, *more),
            tested,
            reason,
        )
    told = says("conditional GAN +not run")
    yield answers("compare/--report-only of nothing", (*compare, "--report-only"), tested, told)
    yield fails("compare/data that are not there", ("compare", "nowhere", "-o", "out"), nothing, "nowhere|folder")
    for more in (("--workers", "0"), ("--memory", "nan"), ("--memory", "0"), ("--port", "-1"), ("--port", "99999")):
        yield misused(f"cluster/local {' '.join(more)}", ("cluster", "local", *more), nothing, more[0].strip("-"))
    for more in (
        ("--jobs", "0"),
        ("--cores", "0"),
        ("--gpus", "2"),
        ("--hours", "0"),
        ("--hours", "nan"),
        ("--memory", "-1"),
    ):
        yield misused(f"cluster/slurm {' '.join(more)}", ("cluster", "slurm", *more), nothing, more[0].strip("-"))
    yield misused("command/one that is none", ("fly",), nothing, "fly")
    for command in ("classify", "cluster", "models", "runs"):
        yield misused(f"command/{command} fly", (command, "fly"), nothing, "fly")
    yield misused("command/an option that is none", ("--fly",), nothing, "fly")
    yield misused("command/of Latin-1", ("\udce9",), nothing, "no such command")
