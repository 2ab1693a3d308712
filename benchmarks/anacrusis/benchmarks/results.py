# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/RESULTS.md and its plots from what was recorded: nothing is measured here, nothing is typed in.

    anacrusis bench results [--results DIR] [--out FILE] [--no-plots]

Of every measurement (bundle, rung, threads, r, ...) the newest record is shown, with its commit and day, and under each
table the machine and libraries it was measured with. What was never recorded is a line that says which command would.

Not covered: the README's tables (`scripts/verified_table.py`), the ear's (`music.py` and its own report).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from anacrusis.benchmarks import history, tables
from anacrusis.benchmarks.paper import SMALLEST_R, SOURCE, TABLE_1, notes
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

Record = dict[str, Any]
Section = tuple[str, str, Callable[[Sequence[Record]], list[str]]]


def newest(records: Sequence[Record], fields: Sequence[str] = history.SAME) -> list[Record]:
    """The last of each measurement, in the order the measurements first came."""
    found: dict[str, Record] = {}
    for record in records:
        found[json.dumps([record.get(name) for name in fields])] = record
    return list(found.values())


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first row is the head."""
    head, *rest = rows
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rest)]


def measured_with(records: Sequence[Record]) -> list[str]:
    """A line for every set of conditions (machine, libraries, commit, day), with the loads and the stolen time seen."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        gpus = f", {', '.join(record['gpus'])} (CUDA driver {record['cuda_driver']})" if record.get("gpus") else ""
        names = ("onnxruntime", "torch", "numpy")
        libraries = ", ".join(f"{name} {record[name]}" for name in names if record.get(name))
        changed = "+" if record.get("changed_files") else ""
        text = (
            f"Measured on {record['machine']}, {record['cores']} cores{gpus}, {record['threads']} thread(s); Python "
            f"{record['python']}, {libraries}; commit {record['commit']}{changed}, {str(record['date'])[:10]}"
        )
        groups.setdefault(text, []).append(record)
    out = [""]
    for text, found in groups.items():
        loads = [record["load_1min"] for record in found if record.get("load_1min") is not None]
        stolen = [record["stolen_share"] for record in found if record.get("stolen_share") is not None]
        load = f"; load before {min(loads):g} to {max(loads):g}" if loads else ""
        host = f"; the host stole at most {max(stolen):.2%} of the processor time" if stolen else ""
        out.append(f"{text}{load}{host}.")
    return out


def table_1(records: Sequence[Record]) -> list[str]:
    out = []
    for row in newest(records):
        out += [
            "",
            f"**{row['bundle']}** ({row['model']}), {row['nfe']} NFE, r = {row['r']:g}, one stem, "
            f"{row['backend']}, {row['threads']} thread(s), {row['ours_ms']['compute']['n']} cycles after "
            f"{row['warm_up_cycles']} to warm up",
            "",
        ]
        out += markdown(tables.stage_lines(row))
        out += ["", f"Yardstick: {row['yardstick_is'] or 'none: ' + str(row['no_yardstick'])}."]
    models = {row["model"] for row in records}
    out += ["", f"Paper: {SOURCE}; the four columns themselves are not known here, so each cell is their range."]
    out += [f"{model}: {notes(model)}." for model in TABLE_1 if model in models]
    return [*out, *measured_with(newest(records))]


def table_2(records: Sequence[Record]) -> list[str]:
    rows = newest(records)
    lines = markdown(tables.ratio_lines(rows))
    rule = ", ".join(f"{r:.3f} ({text})" for r, text in SMALLEST_R.items())
    note = (
        'RT: a full cycle within its step; "p50 only": the median did, the slowest measured did not. The paper\'s '
        f"columns are what its two smallest ratios, {rule}, make of the same r."
    )
    return ["", *lines, "", note, *measured_with(rows)]


def sweep(records: Sequence[Record]) -> list[str]:
    rows = newest(records, (*history.SAME, "lead_frames", "sampler_steps"))
    lines = [["bundle", "rung", "r", "lead samples", "stems", "NFE", "cycle ms, p50 / p95 / max", "keeps up", "ratio"]]
    for row in rows:
        if "refused" in row:
            continue
        compute, ratio = row["ours_ms"]["compute"], row["yardstick_over_ours"]
        figures = " / ".join(f"{compute[q]:.1f}" for q in ("p50", "p95", "max"))
        cells = [row["bundle"], row["backend"], f"{row['r']:.4g}", str(row["lead_samples"]), str(row["stems"])]
        keeps = "yes" if row["keeps_up"] else "no"
        lines.append([*cells, str(row["nfe"]), figures, keeps, "-" if ratio is None else f"{ratio:.2f}"])
    refused = dict.fromkeys(f"{row['backend']}, r {row['r']:.4g}: {row['refused']}" for row in rows if "refused" in row)
    return ["", *markdown(lines), *(f"Refused: {text}." for text in refused), *measured_with(rows)]


def profile(records: Sequence[Record]) -> list[str]:
    out = []
    for record in newest(records):
        peak = record["peak_gflop_per_s"]
        out += [
            "",
            f"**{record['bundle']}**, r = {record['r']:g}, {record['nfe']} NFE, {record['threads']} thread(s): "
            f"{record['kernels_ms']:.0f} ms of kernels a cycle; one large product reaches "
            + ("an unknown rate" if peak is None else f"{peak:.0f} GFLOP/s"),
            "",
        ]
        lines = [["stage", "operator", "ms", "share", "GFLOP/s", "runs"]]
        for row in record["operators"][:8]:
            rate = "-" if row["gflop_per_s"] is None else f"{row['gflop_per_s']:.0f}"
            cells = [f"{row['ms']:.1f}", f"{row['share']:.1%}", rate, f"{row['runs']:.0f}"]
            lines.append([row["stage"], row["op"], *cells])
        out += markdown(lines)
    return [*out, *measured_with(newest(records))]


def soak(records: Sequence[Record]) -> list[str]:
    heads = ["bundle", "minutes", "step ms", "lead ms", "steps", "late", "dropped", "concealed"]
    lines = [[*heads, "p50 / p95 / p99 / p99.9 / max ms", "deadline ms", "memory spread"]]
    rows = newest(records, (*history.SAME, "seconds"))
    for row in rows:
        trip = " / ".join("-" if row.get(f"{q}_ms") is None else f"{row[f'{q}_ms']:.0f}" for q in _TRIP)
        lead_ms = 1e3 * row["lead_samples"] / (row["step_samples"] / row["step_ms"] * 1e3)
        spread = row.get("memory_spread")
        counts = [str(row[name]) for name in ("steps", "late", "dropped", "concealed")]
        cells = [row["bundle"], f"{row['seconds'] / 60:.1f}", f"{row['step_ms']:.0f}", f"{lead_ms:.0f}", *counts]
        lines.append([*cells, trip, f"{row['deadline_ms']:.0f}", "-" if spread is None else f"{spread:.2%}"])
    return ["", *markdown(lines), *measured_with(rows)]


_TRIP: Final = ("p50", "p95", "p99", "p999", "max")


def net(records: Sequence[Record]) -> list[str]:
    rows = newest(records)
    heads = ["network", "floats a datagram", "between", "steps", "complete steps", "late"]
    lines = [[*heads, "context concealed, s", "heard as silence, s", "trip p50 / p99 ms"]]
    for row in rows:
        heard, context = row["client_concealed_samples"] / 44100, (row["server_concealed_samples"] or 0) / 44100
        trip = "none" if row["p50_ms"] is None else f"{row['p50_ms']:.0f} / {row['p99_ms']:.0f}"
        whole = "-" if row["whole_ratio"] is None else f"{row['whole_ratio']:.1%}"
        cells = [row["name"], str(row["package"]), row.get("between", "loopback"), str(row["steps"]), whole]
        lines.append([*cells, str(row["late"]), f"{context:.2f}", f"{heard:.2f}", trip])
    return ["", *markdown(lines), *measured_with(rows)]


def precision(records: Sequence[Record]) -> list[str]:
    heads = ["bundle", "rung", "precision", "windows", "encode", "denoise, worst row", "final", "decode", "audio"]
    lines = [[*heads, "not finite"]]
    rows = newest(records, ("bundle_sha256", "machine"))
    for record in rows:
        for rung in record["rungs"]:
            if "refused" in rung:
                continue
            worst: dict[str, float] = {}
            for row in rung["rows"]:
                db = float("inf") if row["worst_db"] is None else row["worst_db"]
                worst[row["stage"]] = min(db, worst.get(row["stage"], db))
            cells = [record["bundle"], rung["rung"], rung["precision"], str(len(record["windows"]))]
            cells += [f"{worst[s]:.1f}" for s in ("encode", "denoise", "final", "decode", "audio")]
            lines.append([*cells, str(sum(row["nonfinite"] for row in rung["rows"]))])
    note = f"dB from {rows[-1]['oracle']} on the same noise, the worst over the windows; inf: equal bit for bit."
    return ["", *markdown(lines), "", note, *measured_with(rows)]


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


# Benchmark (and file) -> heading, the command that records it, what to write.
SECTIONS: Final[dict[str, Section]] = {
    "table1": ("Table 1: the stages of a cycle", "anacrusis bench table1", table_1),
    "table2": ("Table 2: how small a step", "anacrusis bench table2", table_2),
    "sweep": ("Sweep", "anacrusis bench sweep", sweep),
    "profile": ("What limits ONNX Runtime", "anacrusis bench profile", profile),
    "soak": ("Soak: live, in real time", "anacrusis bench soak --minutes 30", soak),
    "net": ("Bad networks", "anacrusis bench net", net),
    "precision": ("Precision of every rung", "anacrusis parity --rung all --record", precision),
}


def write(results: Path) -> list[str]:
    """The whole page, by lines. Raises AnacrusisError for a damaged file."""
    lines = [*LICENCE, *HEAD.rstrip("\n").split("\n")]
    every: list[Record] = []
    for name, (title, command, section) in SECTIONS.items():
        path = results / f"{name}.jsonl"
        records = history.read([path]) if path.is_file() else []
        every += records
        lines += ["", f"## {title}"]
        if records:
            lines += section(records)
        else:
            lines += ["", f"Not recorded yet: `{command}`."]
        if (results / f"{name}.png").is_file():
            lines += ["", f"![{title}]({results.name}/{name}.png)"]
    others = [path for path in sorted(results.glob("*.jsonl")) if path.stem not in SECTIONS]
    lines += ["", "## Trend", *trend([*every, *history.read(others)])]
    if (results / "history.png").is_file():
        lines += ["", f"![Trend]({results.name}/history.png)"]
    return [*lines, ""]


def draw(results: Path) -> list[Path]:
    """Every plot that records allow, into `results`. Raises AnacrusisError, MissingExtraError."""
    from anacrusis.benchmarks.history_plot import plot_history
    from anacrusis.benchmarks.soak_plot import plot_soak
    from anacrusis.benchmarks.sweep_plot import plot_sweep
    from anacrusis.benchmarks.tables_plot import plot_ratios, plot_stages

    drawn = []
    for name, plot in (("table1", plot_stages), ("table2", plot_ratios), ("sweep", plot_sweep)):
        path = results / f"{name}.jsonl"
        records = [r for r in newest(history.read([path])) if "refused" not in r] if path.is_file() else []
        if records:
            plot(results / f"{name}.png", records)
            drawn.append(results / f"{name}.png")
    path = results / "soak.jsonl"
    soaks = [record for record in history.read([path]) if "series" in record] if path.is_file() else []
    if soaks:
        plot_soak(results / "soak.png", soaks[-1], soaks[-1]["series"])
        drawn.append(results / "soak.png")
    trends = [s for s in history.series_of(history.read(sorted(results.glob("*.jsonl")))) if len(s.points) > 1]
    if trends:
        plot_history(results / "history.png", trends)
        drawn.append(results / "history.png")
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
        if not options.no_plots:
            try:
                drawn = draw(options.results)
            except MissingExtraError as error:
                print(f"results: {error}; the plots are left as they are", file=sys.stderr)
        text = "\n".join(write(options.results))
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
