# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What was recorded, commit by commit: the same measurement on the same machine, its figures side by side, and a plot.

    anacrusis bench history [--only TEXT] [--from COMMIT --to COMMIT] [--png FILE]

Records of one measurement differ in nothing but the commit and the day: same benchmark, bundle, machine, rung, threads,
pace, stems and evaluations (`series_of` says which fields). Where a commit was measured more than once, the newest
record counts. `changed_files` above 0 means that the commit alone does not tell what ran: such points are marked "+".

A time is better where it is lower, a ratio where it is higher. Nothing is judged: a busy machine moves both, and its
load is in the records.

Not covered: statistics over repeats (a record has its own quantiles).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from anacrusis.benchmarks.record import columns
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.paths import REPOSITORY

RESULTS: Final = REPOSITORY / "benchmarks" / "results"
# What makes two records the same measurement, where a benchmark has it.
SAME: Final = (
    "bundle",
    "machine",
    "cores",
    "gpus",
    "backend",
    "threads",
    "precision",
    "r",
    "w",
    "stems",
    "nfe",
    "step_samples",
    "lead_samples",
    "name",
    "package",
    "between",
)
OLDER: Final = {"between": "loopback"}  # what records say nothing of because there was nothing else yet
# Benchmark -> figure -> where it is in a record.
FIGURES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "table1": {
        "full cycle p50 ms": ("ours_ms", "full cycle", "p50"),
        "yardstick over ours": ("yardstick_over_ours", "full cycle"),
    },
    "table2": {
        "full cycle p50 ms": ("ours_ms", "full cycle", "p50"),
        "yardstick over ours": ("yardstick_over_ours", "full cycle"),
    },
    "sweep": {"compute p50 ms": ("ours_ms", "compute", "p50"), "yardstick over ours": ("yardstick_over_ours",)},
    "cpu_stages": {
        "cycle p50 ms": ("stages", "cycle", "onnxruntime", "p50"),
        "torch over ours": ("stages", "cycle", "torch_over_onnxruntime"),
    },
    "cycle_overhead": {"overhead p99 ms": ("overhead_ms", "p99")},
    "overhead": {
        "server p99 ms": ("totals", "server", "wall_ms", "p99"),
        "client p99 ms": ("totals", "client", "wall_ms", "p99"),
    },
    "soak": {"round trip p99 ms": ("p99_ms",), "late": ("late",), "concealed": ("concealed",)},
    "profile": {"kernels ms": ("kernels_ms",)},
    "net": {"whole ratio": ("whole_ratio",), "client concealed": ("client_concealed_samples",)},
}


@dataclass(frozen=True, slots=True)
class Point:
    """One figure of one commit. commit: with "+" where files had been changed since."""

    date: str
    commit: str
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """One figure of one measurement, oldest first. label: what the measurement is, without what all have in common."""

    benchmark: str
    label: str
    figure: str
    points: tuple[Point, ...]

    @property
    def change(self) -> float | None:
        """The last point over the first, less one; None where there is one point or the first is 0."""
        first, last = self.points[0].value, self.points[-1].value
        return last / first - 1 if len(self.points) > 1 and first else None


def read(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Every record of these files, in order. Raises AnacrusisError for a line that is none."""
    out = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise AnacrusisError(f"{path} cannot be read ({error.strerror})") from None
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict):
                raise AnacrusisError(f"{path}, line {number}, is not a record; remove the line")
            out.append(record)
    return out


def at(record: dict[str, Any], keys: Sequence[str]) -> float | None:
    """The number down there, None where there is none."""
    found: Any = record
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def series_of(records: Sequence[dict[str, Any]]) -> list[Series]:
    """Of everything known to FIGURES, in the order it was first measured."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda record: str(record.get("date", ""))):
        if record.get("benchmark") in FIGURES and record.get("commit"):
            key = (str(record["benchmark"]), *(_field(record, name) for name in SAME))
            groups.setdefault(key, []).append(record)
    out = []
    for (benchmark, *_), found in groups.items():
        for figure, keys in FIGURES[benchmark].items():
            newest: dict[str, Point] = {}
            for record in found:
                value = at(record, keys)
                if value is not None:
                    commit = str(record["commit"]) + ("+" if record.get("changed_files") else "")
                    newest[commit] = Point(str(record.get("date", "")), commit, value)
            if newest:
                points = tuple(sorted(newest.values(), key=lambda point: point.date))
                out.append(Series(benchmark, _label(found[-1]), figure, points))
    return out


def _field(record: dict[str, Any], name: str) -> str:
    default = OLDER.get(name) if record["benchmark"] == "net" else None
    return json.dumps(record.get(name, default))


def _label(record: dict[str, Any]) -> str:
    """For people: "tiny-cd, onnxruntime, r 0.25, 1 stem(s), 2 NFE, 1 thread(s)"."""
    known = {name: record.get(name) for name in SAME}
    stems = known["stems"]
    parts = [known["name"], known["bundle"], known["backend"]]
    parts += [None if known["r"] is None else f"r {known['r']:.4g}"]
    parts += [None if stems is None else f"{len(stems) if isinstance(stems, list) else stems} stem(s)"]
    parts += [None if known["nfe"] is None else f"{known['nfe']} NFE"]
    parts += [None if known["package"] is None else f"{known['package']} floats", known["between"]]
    parts += [None if known["threads"] is None else f"{known['threads']} thread(s)"]
    return ", ".join(str(part) for part in parts if part)


def between(series: Sequence[Series], first: str | None, last: str | None) -> list[Series]:
    """Only the points of these two commits (without "+"), where both were given."""
    if first is None and last is None:
        return list(series)
    wanted = [commit for commit in (first, last) if commit]
    out = []
    for one in series:
        points = tuple(p for p in one.points if any(p.commit.rstrip("+").startswith(commit) for commit in wanted))
        if points:
            out.append(Series(one.benchmark, one.label, one.figure, points))
    return out


def table(series: Sequence[Series]) -> list[str]:
    """For people: the first and the last commit of each, and how the figure moved."""
    lines = [["benchmark", "measurement", "figure", "first", "", "last", "", "change", "commits"]]
    for one in series:
        first, last = one.points[0], one.points[-1]
        change = "" if one.change is None else f"{one.change:+.1%}"
        figures = [first.commit, f"{first.value:.4g}", last.commit, f"{last.value:.4g}"]
        lines.append([one.benchmark, one.label, one.figure, *figures, change, str(len(one.points))])
    return columns(lines, right=(4, 6, 7, 8))


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anacrusis bench history", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory of JSONL files")
    parser.add_argument("--only", metavar="TEXT", help="measurements whose line holds this")
    parser.add_argument("--from", dest="first", metavar="COMMIT", help="compare this commit ...")
    parser.add_argument("--to", dest="last", metavar="COMMIT", help="... with this one")
    parser.add_argument("--png", type=Path, help="draw the trends, .png or .svg")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """0 done, 2 bad input or nothing recorded."""
    options = build_parser().parse_args(arguments)
    try:
        if not options.results.is_dir():
            raise AnacrusisError(f"{options.results} is not a directory; run a benchmark first")
        found = series_of(read(sorted(options.results.glob("*.jsonl"))))
        found = between(found, options.first, options.last)
        if options.only:
            found = [s for s in found if options.only in f"{s.benchmark} {s.label} {s.figure}"]
        if not found:
            raise AnacrusisError("nothing recorded is like that; run a benchmark, or ask for less")
        print("\n".join(table(found)))
        if options.png:
            from anacrusis.benchmarks.history_plot import plot_history

            plot_history(options.png, found)
    except AnacrusisError as error:
        print(f"history: {error}", file=sys.stderr)
        return 2
    said = [
        {
            "benchmark": s.benchmark,
            "measurement": s.label,
            "figure": s.figure,
            "points": [[p.date, p.commit, p.value] for p in s.points],
            "change": None if s.change is None else round(s.change, 5),
        }
        for s in found
    ]
    print(json.dumps({"benchmark": "history", "series": said}, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
