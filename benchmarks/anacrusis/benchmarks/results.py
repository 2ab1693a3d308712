# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/RESULTS.md and its plots from what was recorded: nothing is measured here, nothing is typed in.

    anacrusis bench results [--results DIR] [--out FILE] [--no-plots]

Of every measurement (bundle, rung, threads, r, ...) the newest record is shown, with its commit and day, and under each
table the machine and libraries it was measured with. What was never recorded is a line that says which command would.

The sections are written in `results_cycle.py`, `results_live.py`, `results_half.py`, `results_starter.py` and
`results_music.py`; the page's first table is `results_summary.py`, which the README shows as well.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from anacrusis.benchmarks import (
    history,
    results_cycle,
    results_half,
    results_live,
    results_music,
    results_starter,
    results_summary,
)
from anacrusis.benchmarks.results_text import Record, markdown, newest
from anacrusis.engine.errors import AnacrusisError, MissingExtraError
from anacrusis.engine.paths import REPOSITORY

PRECISION: Final = history.RESULTS / "precision.jsonl"  # `anacrusis parity --rung` appends to it
OUT: Final = REPOSITORY / "benchmarks" / "RESULTS.md"
LICENCE: Final = (
    "<!-- SPDX-FileCopyrightText: 2026 The Anacrusis authors -->",
    "<!-- SPDX-" + "License-Identifier: Apache-2.0 -->",  # in two parts: the licence checker reads this file too
)
HEAD: Final = """
# What was measured

Made by `anacrusis bench results` from `benchmarks/results/*.jsonl`; do not edit. A ratio is the yardstick's median over
ours, at equal NFE, taking turns in one process: 2 means half the time. The yardstick is the original's cost structure
on the torch rung (`benchmarks/anacrusis/benchmarks/yardstick.py`). A "+" after a commit: files had been changed since.
"""

Section = tuple[str, str, Callable[[Sequence[Record]], list[str]]]

# File of records -> heading, the command that appends to it, what to write. In the page's order.
SECTIONS: Final[dict[str, Section]] = {
    "headline": (
        "The shipped model against its targets",
        "python -m anacrusis.benchmarks.headline --corpus DIR",
        results_starter.headline,
    ),
    "curve": (
        "What a short lead is worth",
        "python -m anacrusis.benchmarks.curve --corpus DIR",
        results_starter.curve,
    ),
    "least_lead": ("The smallest step and lead", "anacrusis bench lead", results_live.least_lead),
    "table1": ("Table 1: the stages of a cycle", "anacrusis bench table1", results_cycle.table_1),
    "table2": ("Table 2: how small a step", "anacrusis bench table2", results_cycle.table_2),
    "sweep": ("Sweep", "anacrusis bench sweep", results_cycle.sweep),
    "profile": ("What limits ONNX Runtime", "anacrusis bench profile", results_cycle.profile),
    "cpu": ("ONNX Runtime against torch", "python -m anacrusis.benchmarks.cpu", results_cycle.cpu),
    "soak": ("Soak: live, in real time", "anacrusis bench soak --minutes 30", results_live.soak),
    "hog": ("A core taken away", "python -m anacrusis.benchmarks.hog", results_live.hog),
    "net": ("Bad networks", "anacrusis bench net", results_live.net),
    "overhead": (
        "Server and client outside the networks",
        "python -m anacrusis.benchmarks.overhead",
        results_live.overhead,
    ),
    "precision": ("Precision of every rung", "anacrusis parity --rung all --record", results_cycle.precision),
    "fusion": ("Kernels of the plans", "python -m anacrusis.benchmarks.fusion", results_half.fusion),
    "half": ("What float16 costs", "anacrusis parity --precision fp16 --size full", results_half.half),
    "corpus": ("The corpus", "python -m anacrusis.benchmarks.corpus", results_music.corpus),
    "codec": ("Two codecs", "python -m anacrusis.benchmarks.codec --corpus DIR", results_music.codec),
    "music": ("The ear", "python -m anacrusis.benchmarks.music --corpus DIR", results_music.ear),
}
PLOTS: Final = {"music": "music-anchors"}  # where the plot is not named as the records


def trend(records: Sequence[Record]) -> list[str]:
    moving = [one for one in history.series_of(records) if len(one.points) > 1]
    if not moving:
        return ["", "Nothing was recorded at two commits yet."]
    lines = [["benchmark", "measurement", "figure", "first", "last", "change"]]
    for one in moving:
        ends = [f"{point.value:.4g} ({point.commit})" for point in (one.points[0], one.points[-1])]
        change = "" if one.change is None else f"{one.change:+.1%}"
        lines.append([one.benchmark, one.label, one.figure, *ends, change])
    return ["", *markdown(lines)]


def read(results: Path) -> dict[str, list[Record]]:
    """Every record, by the name of its file. Raises AnacrusisError for a damaged one."""
    return {path.stem: history.read([path]) for path in sorted(results.glob("*.jsonl")) if path.stat().st_size}


def every(found: Mapping[str, Sequence[Record]]) -> list[Record]:
    return [record for records in found.values() for record in records]


def write(results: Path, found: Mapping[str, Sequence[Record]]) -> list[str]:
    """The whole page, by lines. results: where its plots are."""
    lines = [*LICENCE, *HEAD.rstrip("\n").split("\n"), "", *results_summary.block(found)]
    for name, (title, command, section) in SECTIONS.items():
        lines += [
            "",
            f"## {title}",
            *(section(found[name]) if name in found else ["", f"Not recorded yet: `{command}`."]),
        ]
        plot = f"{PLOTS.get(name, name)}.png"
        if (results / plot).is_file():
            lines += ["", f"![{title}]({results.name}/{plot})"]
    lines += ["", "## Trend", *trend(every(found))]
    if (results / "history.png").is_file():
        lines += ["", f"![Trend]({results.name}/history.png)"]
    return [*lines, ""]


def draw(results: Path, found: Mapping[str, Sequence[Record]]) -> list[Path]:
    """Every plot that records allow, into `results`. Raises AnacrusisError, MissingExtraError."""
    from anacrusis.benchmarks.history_plot import plot_history
    from anacrusis.benchmarks.hog_plot import plot_hog
    from anacrusis.benchmarks.least_lead_plot import plot_least_lead
    from anacrusis.benchmarks.soak_plot import plot_soak
    from anacrusis.benchmarks.sweep_plot import plot_sweep
    from anacrusis.benchmarks.tables_plot import plot_ratios, plot_stages

    drawn = []

    def add(name: str, plot: Callable[..., None], *what: object) -> None:
        plot(results / f"{name}.png", *what)
        drawn.append(results / f"{name}.png")

    for name, plot in (("table1", plot_stages), ("table2", plot_ratios), ("sweep", plot_sweep)):
        if records := [r for r in newest(found.get(name, ())) if "refused" not in r]:
            add(name, plot, records)
    for name, plot_one in (("soak", plot_soak), ("hog", plot_hog)):
        told = [r for r in found.get(name, ()) if "series" in r and r.get("pacing") is not False]
        if told:
            add(name, plot_one, told[-1], told[-1]["series"])
    if leads := {r["lead_is"]: r for r in found.get("least_lead", ())}:
        add("least_lead", plot_least_lead, sorted(leads.values(), key=lambda r: -r["lead_samples"]))
    trends = [s for s in history.series_of(every(found)) if len(s.points) > 1]
    if trends:
        add("history", plot_history, trends)
    return drawn


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anacrusis bench results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=history.RESULTS, help="directory of JSONL files")
    parser.add_argument("--out", type=Path, default=OUT, help="(default: benchmarks/RESULTS.md)")
    parser.add_argument("--no-plots", action="store_true", help="only the text")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """0 written, 2 bad input. Without matplotlib the text is written and the plots are left as they are."""
    options = build_parser().parse_args(arguments)
    drawn: list[Path] = []
    try:
        if not options.results.is_dir():
            raise AnacrusisError(f"{options.results} is not a directory; run a benchmark first")
        found = read(options.results)
        if not options.no_plots:
            try:
                drawn = draw(options.results, found)
            except MissingExtraError as error:
                print(f"results: {error}; the plots are left as they are", file=sys.stderr)
        text = "\n".join(write(options.results, found))
        try:
            options.out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise AnacrusisError(f"{options.out} cannot be written ({error.strerror})") from None
    except AnacrusisError as error:
        print(f"results: {error}", file=sys.stderr)
        return 2
    said = {"benchmark": "results", "file": str(options.out), "plots": [str(path) for path in drawn]}
    print(json.dumps(said, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
