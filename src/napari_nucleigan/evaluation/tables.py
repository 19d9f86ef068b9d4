"""Reports laid out: as text for the terminal, as Markdown, as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nucleigan.evaluation.groups import AVERAGED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_nucleigan.evaluation.groups import Group
    from napari_nucleigan.evaluation.intervals import Interval
    from napari_nucleigan.evaluation.report import Report

COLUMNS = (
    ("aji", "AJI"),
    ("aji_plus", "AJI+"),
    ("pq", "PQ"),
    ("f1", "F1"),
    ("dice", "Dice"),
    ("average_hausdorff", "AHD px"),
    ("average_hausdorff_penalised", "AHDp px"),
)
"""Metrics of the tables for people, and their headings."""

_COUNTS = ("n_truth", "n_pred", "tp", "fp", "fn", "matched", "missed", "spurious")


def text_table(report: Report, by: str) -> tuple[list[str], list[list[str]]]:
    """Lay a report out as `Report.table` says."""
    rows: list[list[str]] = []
    if by == "image":
        for image in report.images:
            scores = image.scores
            rows.append([image.name, *_cells(scores.to_json()), str(scores.n_truth), str(scores.n_pred)])
    elif by == "organ":
        for group in report.groups:
            rows += _group_rows(f"{group.name} ({len(group.images)})", group, group.mean, group.mean_intervals)
    else:
        raise ValueError(f"a table is by 'image' or by 'organ', not by {by!r}")
    overall = report.overall
    rows += _group_rows(f"mean of {len(report.images)}", overall, overall.mean, overall.mean_intervals)
    rows += _group_rows("pooled", overall, overall.pooled.to_json(), overall.pooled_intervals)
    return [by, *(heading for _, heading in COLUMNS), "true", "found"], rows


def markdown(report: Report, by: str) -> str:
    """Lay a report out as `Report.to_markdown` says."""
    header, rows = text_table(report, by)
    lines = [_line(header), _line(["---", *["---:"] * (len(header) - 1)]), *(_line(row) for row in rows), ""]
    overall, draw = len(report.images), report.bootstrap
    lines.append(
        f"*mean of {overall}*: mean over images, each image weighs the same"
        + (", as in the rows of organs" if by == "organ" and report.groups else "")
        + "; *pooled*: all nuclei as if in one image. Objects are pairs at IoU > "
        + f"{report.iou:g}; distances in pixels."
    )
    if draw.resamples and overall > 1:
        lines.append(
            f"Below each average its {draw.level:.0%} interval: percentile bootstrap over images, "
            f"{draw.resamples} resamples, seed {draw.seed}.".replace("%", " %")
        )
    for what, names in (("Without a prediction", report.missing), ("Without true labels", report.extra)):
        if names:
            lines += ["", f"{what}, left out: {', '.join(names)}"]
    if report.failed:
        lines += ["", "Could not be compared:", "", *(f"- {bad.name}: {bad.reason}" for bad in report.failed)]
    return "\n".join(lines) + "\n"


def csv_table(report: Report) -> tuple[list[str], list[list[str]]]:
    """Lay a report out as `Report.to_csv` says."""
    header = ["level", "name", "organ", "averaging", "images"]
    for name in AVERAGED:
        header += [name, f"{name}_low", f"{name}_high"]
    header += [*_COUNTS, "note"]
    rows = [
        _csv_row(header, i.scores.to_json(), level="image", name=i.name, organ=i.organ, images=1) for i in report.images
    ]
    notes = [(name, "no prediction") for name in report.missing]
    notes += [(name, "no true labels") for name in report.extra]
    notes += [(bad.name, bad.reason) for bad in report.failed]
    rows += [_csv_row(header, {}, level="image", name=name, note=note) for name, note in notes]
    for group in (*report.groups, report.overall):
        level = "overall" if group is report.overall else "organ"
        about = {"level": level, "name": group.name, "images": len(group.images)}
        about["organ"] = group.name if level == "organ" else None
        counts = {name: value for name, value in group.pooled.to_json().items() if name in _COUNTS}
        mean = {**counts, **group.mean}
        rows.append(_csv_row(header, mean, group.mean_intervals, averaging="mean over images", **about))
        rows.append(_csv_row(header, group.pooled.to_json(), group.pooled_intervals, averaging="pooled", **about))
    return header, rows


def _group_rows(
    name: str, group: Group, values: Mapping[str, Any], intervals: Mapping[str, Interval | None]
) -> list[list[str]]:
    """Make a row of figures and, where there are any, one of their intervals."""
    rows = [[name, *_cells(values), str(group.n_truth), str(group.n_pred)]]
    if any(intervals.values()):
        ends = [_range(key, intervals[key]) for key, _ in COLUMNS]
        rows.append([f"{group.bootstrap.level * 100:g} %", *ends, "", ""])
    return rows


def _cells(values: Mapping[str, Any]) -> list[str]:
    return [_cell(name, values[name]) for name, _ in COLUMNS]


def _cell(name: str, value: float | None) -> str:
    return "-" if value is None else f"{value:.{2 if 'hausdorff' in name else 3}f}"


def _range(name: str, interval: Interval | None) -> str:
    return "-" if interval is None else f"{_cell(name, interval.low)}-{_cell(name, interval.high)}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _csv_row(
    header: list[str], values: Mapping[str, Any], intervals: Mapping[str, Interval | None] | None = None, **about: Any
) -> list[str]:
    cells = {**values, **about}
    for name, interval in (intervals or {}).items():
        if interval is not None:
            cells[f"{name}_low"], cells[f"{name}_high"] = interval.low, interval.high
    return ["" if cells.get(name) is None else str(cells[name]) for name in header]
