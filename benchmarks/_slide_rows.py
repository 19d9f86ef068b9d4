"""Rows of the table of whole slides, from what `bench_whole_slides` has kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from _table import Row
from napari_nucleigan.segmentation.formats import USUAL, format_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MEMORY = "<= 2560"
LONGEST_S = {20_000: 250}
"""Seconds that a slide of some side may take."""

_Record = dict[str, Any]


def rows_of(records: Sequence[_Record]) -> list[Row]:
    """Lay out all that is known, in the order of the parts."""
    sides = sorted(_of(records, "slides"), key=lambda record: int(record["key"]))
    return [
        *(row for record in sides for row in _slide(f"{record['key']} squared", record)),
        *_linear(sides),
        *(_first(record) for record in _of(records, "first")),
        *(_workers(record) for record in _of(records, "workers")),
        *(_same(record) for record in _of(records, "same")),
        *(Row(**row) for record in _of(records, "seams") for row in record["rows"]),
        *(row for record in _of(records, "largest") for row in _largest(record)),
    ]


def machines(records: Sequence[_Record]) -> str:
    """Say where, and beside how much other work, the parts were measured."""
    said: dict[str, list[str]] = {}
    for record in records:
        said.setdefault(record["machine"], []).append(f"{record['part']} {record['key']}".strip())
    return "Measured on " + "; ".join(f"{what} ({', '.join(parts)})" for what, parts in said.items()) + "."


def _of(records: Sequence[_Record], part: str) -> list[_Record]:
    return [record for record in records if record["part"] == part]


def _is_usual(stage: str) -> bool:
    return not stage.startswith("writing ") or format_of(Path(stage)) in USUAL


def _seconds(found: _Record) -> float:
    """Seconds of all that is done for a slide by default; other formats are not counted."""
    return sum(seconds for stage, seconds in found["stages"].items() if _is_usual(stage))


def _peak(found: _Record) -> float:
    return max(peak for stage, peak in found["peaks"].items() if _is_usual(stage))


def _slide(name: str, found: _Record) -> list[Row]:
    seconds, made = _seconds(found), found["provenance"]
    views = made["settings"].get("tta", 1)
    what = f"{found['area']:.0f} megapixels of tissue; {made['model']}, {views} view{'s' * (views != 1)}, "
    what += f"{made['device']}, {made['precision']}; the four usual files; {found['cpu']:.0f} s of processor time"
    longest = LONGEST_S.get(int(found["key"]) if found["key"].isdecimal() else 0)
    looking = sum(spent for stage, spent in found["stages"].items() if stage.startswith("looking")) / seconds
    writing = _writing(found, usual=True) / seconds
    inside = {part: spent / seconds for part, spent in found["inside"].items()}
    shares = f"beside it, in another thread, reading {inside['reading']:.0%} and nuclei {inside['nuclei']:.0%}; "
    shares += f"before, looking for tissue and artefacts {looking:.0%}; after, writing {writing:.0%}"
    sittings = f"; {found['sittings']} sittings" if found["sittings"] > 1 else ""
    return [
        Row(f"segment {name}", seconds, "s", f"<= {longest}" if longest else "", what + sittings),
        Row(f"{name}, a megapixel of tissue", seconds / found["area"], "s"),
        Row(f"{name}, nuclei", found["nuclei"] / seconds, "1/s", "", f"{found['nuclei']} nuclei"),
        Row(f"{name}, peak memory", _peak(found), "MiB", MEMORY, "resident, a process of its own"),
        Row(f"{name}, share of the network", inside["network"], "", ">= 0.75", shares),
        *_outputs(name, found),
    ]


def _outputs(name: str, found: _Record) -> list[Row]:
    sizes: dict[str, int] = {}
    files: dict[str, int] = {}
    for output, size in found["bytes"].items():
        suffix = format_of(Path(output))
        sizes[suffix] = sizes.get(suffix, 0) + size
        files[suffix] = files.get(suffix, 0) + found["files"][output]
    spent = {
        format_of(Path(stage)): seconds for stage, seconds in found["stages"].items() if stage.startswith("writing")
    }
    many = "{} file{}"
    return [
        Row(
            f"{name}, write {suffix}",
            spent.get(suffix, 0.0),
            "s",
            "",
            f"{size} bytes ({size / 2**20:.1f} MiB), {many.format(files[suffix], 's' * (files[suffix] != 1))}",
        )
        for suffix, size in sizes.items()
    ]


def _writing(found: _Record, *, usual: bool) -> float:
    return sum(
        spent for stage, spent in found["stages"].items() if stage.startswith("writing") and _is_usual(stage) is usual
    )


def _linear(sides: list[_Record]) -> list[Row]:
    if len(sides) < 2:
        return []
    each = [_seconds(record) / record["area"] for record in sides]
    names = f"{sides[-1]['key']} squared over {sides[0]['key']} squared"
    note = ", ".join(f"{record['key']}: {1e3 * one:.0f} ms" for record, one in zip(sides, each, strict=True))
    return [
        Row(f"peak memory of {names}", _peak(sides[-1]) / _peak(sides[0]), "", "<= 1.1"),
        Row("time by area of tissue, most over least", max(each) / min(each), "", "<= 1.1", f"a megapixel, {note}"),
    ]


def _first(found: _Record) -> Row:
    shown = f"{found['shape'][1]} x {found['shape'][0]} pixels"
    note = f"{shown}, libraries included; {found['cpu']:.2g} s of processor time; best of three"
    return Row(f"first picture of {found['key']} squared in a fresh process", found["seconds"], "s", "<= 1", note)


def _workers(found: _Record) -> Row:
    one, two = found["rates"]
    note = f"{one:.2f} and {two:.2f} tiles of {found['tile']} a second, one thread each; {found['key']} squared"
    return Row("two workers of a cluster over one", two / one, "", ">= 1.8", note)


def _same(found: _Record) -> Row:
    told = "; ".join(
        f"{name}: {each['nuclei']} nuclei, {each['tiles']} tiles, {each['sittings']} sittings"
        for name, each in found["told"].items()
    )
    return Row("labels that differ by threads, by dask, after three kills", found["differ"], "", "<= 0", told)


def _largest(found: _Record) -> list[Row]:
    rows = _slide(found["key"].replace("x", " x "), found)
    counts, shown = found["read"]["counts"], found["shown"] or {}
    rows += [
        Row("its polygons read back as QuPath reads them", found["read"]["seconds"], "s", "", f"{len(counts)} files"),
        Row("nuclei in a file of polygons", max(counts), "", "<= 100000", f"{sum(counts)} in all"),
        Row("nuclei without a polygon, or with two", abs(found["nuclei"] - sum(counts)), "", "<= 0"),
    ]
    for what, title in (("slide", "the slide"), ("labels", "its labels"), ("near", "both at full resolution")):
        note = f"until the canvas is drawn; napari itself took {shown.get('napari', 0.0):.1f} s to start"
        rows.append(Row(f"napari shows {title}", shown.get(what), "s", "", note))
    return rows
