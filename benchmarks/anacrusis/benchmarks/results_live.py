# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""RESULTS.md, what a performance keeps: soaks, a hog, bad networks, what server and client cost beside the networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from anacrusis.benchmarks import history
from anacrusis.benchmarks.least_lead import name_of
from anacrusis.benchmarks.results_text import Record, markdown, measured_with, newest

_TRIP: Final = ("p50", "p95", "p99", "p999", "max")


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


def overhead(records: Sequence[Record]) -> list[str]:
    """What both sides cost a step outside the networks."""
    rows = list({(r["r"], r["stems"]): r for r in records}.values())
    heads = ["r", "stems", "server p50 / p95 / p99 / max", "client p50 / p95 / p99 / max", "goal"]
    lines = [heads]
    for row in rows:
        cells = []
        for side in ("server", "client"):
            total = row["totals"][side]
            figures = " / ".join(f"{total['wall_ms'][q]:.2f}" for q in ("p50", "p95", "p99", "max"))
            cells.append(f"{figures} (p99 {total['with_sockets']['wall_ms']['p99']:.2f})")
        met = all(row["totals"][side]["goal_met"]["wall_ms"] for side in ("server", "client"))
        lines.append([f"{row['r']:.4g}", str(row["stems"]), *cells, "met" if met else "not met"])
    note = (
        f"Wall clock in ms, {rows[-1]['steps']} steps each, networks that only wait. Goal: p99 at most 2 ms a side; "
        "with the sockets' system calls in brackets. The cycle's own work is in a table above."
    )
    return ["", note, "", *markdown(lines), *measured_with(rows)]


def hog(records: Sequence[Record]) -> list[str]:
    """Other programs on the cores in the middle of a song, with pacing and without."""
    rows = newest(records, (*history.SAME, "hogs", "cores_shared", "pacing", "lead_samples"))
    heads = [
        "bundle",
        "stems",
        "threads",
        "cores",
        "hogs",
        "pacing",
        "steps",
        "late",
        "of them with the hog",
        "concealed",
    ]
    lines = [
        [*heads, "gap, repeated samples", "longest lead ms", "reacted after s", "back after s", "trip p50 / max ms"]
    ]
    for row in rows:
        longest = max([row["lead_samples"], *(change["lead"] for change in row["pace_changes"])]) / 44.1
        cells = [row["bundle"], str(len(row["stems"])), str(row["threads"]), str(row["cores_shared"]), str(row["hogs"])]
        cells += ["yes" if row["pacing"] else "no", str(row["steps"]), str(row["late"]), str(row["missed_during"])]
        cells += [str(row["concealed_samples"]), f"{row['gap_samples']}, {row['repeated_samples']}", f"{longest:.0f}"]
        for name in ("to_react_s", "returned_s"):
            cells.append("-" if row[name] is None or not row["pace_changes"] else f"{row[name]:.1f}")
        trip = row["round_trip_ms"]
        lines.append([*cells, f"{trip['p50']:.0f} / {trip['max']:.0f}"])
    note = (
        "Processes that count, for 20 s in the middle of a song, on the cores of server and client. Back: from the "
        "hog's end until what was asked for was played again. A lead of one frame is 93 ms, of which the fade takes 20."
    )
    return ["", note, "", *markdown(lines), *measured_with(rows)]


def least_lead(records: Sequence[Record]) -> list[str]:
    """r* and l* as calibrated, and what the calibrated lead and half of it did in real time."""
    out: list[str] = []
    for row in records[-1:]:
        found = row["calibration"]
        lines = [["step", "r", "cycle p50 ms", "transfer p50 ms", "bound ms", "l* ms", "real time"]]
        for step in found["steps"]:
            cells = [str(step["step_frames"]), f"{step['r']:.4g}", f"{step['compute_ms']:.1f}"]
            cells += [f"{step['transfer_ms']:.1f}", f"{step['bound_ms']:.1f}", f"{step['least_lead_ms']:.1f}"]
            lines.append([*cells, "yes" if step["real_time"] else "no"])
        out += [
            "",
            f"**{row['bundle']}**, {len(row['stems'])} stem(s), {row['nfe']} NFE: r* = {found['smallest_r']:.4f}, in "
            f"whole frames {found['aligned_frames']}/{found['window_frames']}. Bound: the {found['quantile']:.1%} "
            f"quantile of wake + cycle + transfer at {found['confidence']:.0%} confidence; l* adds the fade.",
            "",
            *markdown(lines),
        ]
    heads = ["bundle", "stems", "lead", "lead samples", "lead ms", "minutes", "steps", "late", "dropped", "concealed"]
    played = [[*heads, "trip p50 / p95 / p99 / max ms", "budget ms", "stolen"]]
    for row in records:
        trip = " / ".join(f"{row[f'{q}_ms']:.1f}" for q in ("p50", "p95", "p99", "max"))
        cells = [row["bundle"], str(len(row["stems"])), name_of(row["lead_is"])]
        cells += [str(row["lead_samples"]), f"{row['lead_ms']:.1f}", f"{row['seconds'] / 60:.1f}"]
        cells += [str(row[name]) for name in ("steps", "late", "dropped", "concealed")]
        stolen = "-" if row["stolen_share"] is None else f"{row['stolen_share']:.2%}"
        played.append([*cells, trip, f"{row['deadline_ms']:.1f}", stolen])
    return [
        *out,
        "",
        "Every run in real time over UDP, without pacing:",
        "",
        *markdown(played),
        *measured_with(records),
    ]
