# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The first table of RESULTS.md, which the README shows as well: what was measured, a line each, of records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from anacrusis.benchmarks.least_lead import name_of
from anacrusis.benchmarks.results_text import Record, markdown
from anacrusis.engine.paths import SHIPPED_BUNDLE

BEGIN: Final = "<!-- summary: begin -->"
END: Final = "<!-- summary: end -->"
PACKAGE: Final = 4410  # floats a datagram, as the released external sends
LOSSES: Final = {"none": "none", "loss .1 %": ".1 %", "loss 1 %": "1 %", "loss 5 %": "5 %"}
Row = tuple[str, str, str]


def block(found: Mapping[str, Sequence[Record]]) -> list[str]:
    """found: records by file. The table between its markers; what was not recorded has no line."""
    parts = (_targets, _cycles, _limits, _least, _soak, _hog, _net)
    rows = [row for part in parts for row in part(found)]
    lines = [["what", "measured", "command"], *([what, figure, f"`{command}`"] for what, figure, command in rows)]
    return [BEGIN, *markdown(lines), END]


def _of(found: Mapping[str, Sequence[Record]], name: str, bundle: str = SHIPPED_BUNDLE.name) -> list[Record]:
    return [record for record in found.get(name, ()) if record.get("bundle") == bundle]


def _targets(found: Mapping[str, Sequence[Record]]) -> list[Row]:
    shipped = [r for r in found.get("headline", ()) if r["players"][0]["bundle"] == SHIPPED_BUNDLE.name]
    newest = {record["corpus"]: record for record in shipped}
    rows: list[Row] = []
    for corpus, record in newest.items():
        told = []
        for target, goal in (("harmony", 0.5), ("beats", 0.8)):
            figures = [row for row in record["targets"] if row["target"].startswith(target)]
            values = ", ".join(f"{row['stem']} {row['value'][0]:.2f}" for row in figures)
            missed = [row["stem"] for row in figures if row["value"][0] < goal]
            told.append(f"{target} {values} (target {goal:g}, {'missed by ' + ', '.join(missed) if missed else 'met'})")
        what = f"the shipped model, {record['songs']} unseen songs ({corpus})"
        rows.append((what, "; ".join(told), "python -m anacrusis.benchmarks.headline"))
    return rows


def _cycles(found: Mapping[str, Sequence[Record]]) -> list[Row]:
    rows: list[Row] = []
    newest = {(r["bundle"], r["model"], r["nfe"]): r for r in found.get("table1", ())}
    for (bundle, model, nfe), row in newest.items():
        full, step_ms = row["ours_ms"]["full cycle"], 1e3 * row["r"] * row["window_s"]
        ratio = row["yardstick_over_ours"]
        graphs = str(row["yardstick_is"]).startswith("the bundle's own graphs")
        than = "its own graphs unoptimised" if graphs else "the original's cost on torch"
        beside = "" if ratio is None else f"; computes {ratio['compute']:.2f} times as fast as {than}"
        slow = "" if full["max"] < step_ms else ": not real-time here"
        figure = f"p50 {full['p50']:.0f}, max {full['max']:.0f} ms of {step_ms:.0f}{slow}{beside}"
        what = f"a full cycle at r = {row['r']:g}: {bundle} ({model}), {nfe} NFE, {row['backend']}"
        rows.append((what, figure, "anacrusis bench table1"))
    return rows


def _limits(found: Mapping[str, Sequence[Record]]) -> list[Row]:
    rows: list[Row] = []
    for row in found.get("profile", ())[-1:]:
        by_type: dict[str, float] = {}
        for one in row["operators"]:
            by_type[one["op"]] = by_type.get(one["op"], 0.0) + one["share"]
        most = max(by_type, key=lambda op: by_type[op])
        rates = [one["gflop_per_s"] for one in row["operators"] if one["op"] == most and one["gflop_per_s"]]
        peak = row["peak_gflop_per_s"]
        figure = f"{most}: {by_type[most]:.0%} of the kernels' time"
        if rates and peak is not None:
            figure += f", at {min(rates):.0f} to {max(rates):.0f} GFLOP/s; one large product reaches {peak:.0f}"
        rows.append((f"what limits a cycle of {row['bundle']} on ONNX Runtime", figure, "anacrusis bench profile"))
    return rows


def _least(found: Mapping[str, Sequence[Record]]) -> list[Row]:
    """Every run counts, not the newest alone: a late step in a thousand is not seen in each."""
    runs: dict[Any, list[Record]] = {}
    for run in _of(found, "least_lead"):
        runs.setdefault(run["lead_is"], []).append(run)
    if not runs:
        return []
    told = []
    for lead, those in sorted(runs.items(), key=lambda item: -item[1][-1]["lead_ms"]):
        late, steps = (sum(run[name] for run in those) for name in ("late", "steps"))
        times = f" in {len(those)} runs" if len(those) > 1 else ""
        told.append(f"at {name_of(lead)} ({those[-1]['lead_ms']:.0f} ms) {late} of {steps} steps late{times}")
    newest = next(iter(runs.values()))[-1]
    calibrated = newest["calibration"]
    stolen = max(run["stolen_share"] or 0.0 for those in runs.values() for run in those)
    host = f"; at most {stolen:.2%} of the CPU stolen by the host"
    figure = f"r* {calibrated['aligned_frames']}/{calibrated['window_frames']}; {', '.join(told)}{host}"
    what = f"the smallest step and lead, {newest['bundle']}, in real time"
    return [(what, figure, "anacrusis calibrate && anacrusis bench lead")]


def _soak(found: Mapping[str, Sequence[Record]]) -> list[Row]:
    rows = _of(found, "soak")[-1:]
    out: list[Row] = []
    for row in rows:
        figure = (
            f"{row['late']} of {row['steps']} steps late, {row['dropped']} dropped; round trip p99 "
            f"{row['p99_ms']:.0f}, max {row['max_ms']:.0f} ms of {row['deadline_ms']:.0f}"
        )
        if row.get("memory_spread") is not None:
            figure += f"; memory within {row['memory_spread']:.2%}"
        if row["stolen_share"] is not None:
            figure += f"; {row['stolen_share']:.2%} of the CPU stolen by the host"
        what = f"{row['seconds'] / 60:.0f} minutes live, {row['bundle']}, step {row['step_ms']:.0f} ms"
        out.append((what, figure, f"anacrusis bench soak --minutes {row['seconds'] / 60:.0f}"))
    return out


def _hog(found: Mapping[str, Sequence[Record]]) -> list[Row]:
    newest = {((row["hogs"], row["cores_shared"]), row["pacing"]): row for row in _of(found, "hog")}
    out: list[Row] = []
    for hogs, cores in sorted({setting for setting, _ in newest}):
        told, what = [], ""
        for pacing in (True, False):
            if (row := newest.get(((hogs, cores), pacing))) is not None:
                back = f", back after {row['returned_s']:.0f} s" if row["pace_changes"] and row["returned_s"] else ""
                told.append(f"{'with' if pacing else 'without'} pacing {row['late']} late{back}")
                what = f"{len(row['stems'])} stem(s), lead {row['lead_samples'] / 44.1:.0f} ms"
        what = f"{hogs} other program(s) on the {cores} core(s) for 20 s, {what}"
        out.append((what, "; ".join(told), "python -m anacrusis.benchmarks.hog"))
    return out


def _net(found: Mapping[str, Sequence[Record]]) -> list[Row]:
    released = [row for row in found.get("net", ()) if row["package"] == PACKAGE]
    newest = {row["name"]: row for row in released if row["name"] in LOSSES}
    if not newest:
        return []
    told = [f"{newest[name]['whole_ratio']:.0%} ({said})" for name, said in LOSSES.items() if name in newest]
    step_ms = next(iter(newest.values()))["step_ms"]
    what = f"steps whose reply came whole, by datagrams lost each way, step {step_ms:.0f} ms"
    return [(what, ", ".join(told), "anacrusis bench net --losses")]
