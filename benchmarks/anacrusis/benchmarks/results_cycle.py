# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""RESULTS.md, what a cycle takes: the paper's tables, the sweep, the profile, precision, ONNX Runtime against torch."""

from __future__ import annotations

from collections.abc import Sequence

from anacrusis.benchmarks import history, tables
from anacrusis.benchmarks.paper import SMALLEST_R, SOURCE, TABLE_1, notes
from anacrusis.benchmarks.results_text import Record, markdown, measured_with, newest


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
    # One step ahead and the same lead in frames are one measurement; a refused one has only what was asked for.
    same = [name for name in history.SAME if name != "w"]
    rows = newest(records, (*same, "lead_samples", "sampler_steps", "refused"))
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
    said = ["", *(f"Refused: {text}." for text in refused)] if refused else []
    return ["", *markdown(lines), *said, *measured_with(rows)]


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


def precision(records: Sequence[Record]) -> list[str]:
    heads = [
        "bundle",
        "rung",
        "precision",
        "against",
        "windows",
        "encode",
        "denoise, worst row",
        "final",
        "decode",
        "audio",
    ]
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
            against = record["oracle"].split(" (")[0]  # without why it is no other
            cells = [record["bundle"], rung["rung"], rung["precision"], against, str(len(record["windows"]))]
            cells += [f"{worst[s]:.1f}" for s in ("encode", "denoise", "final", "decode", "audio")]
            lines.append([*cells, str(sum(row["nonfinite"] for row in rung["rows"]))])
    note = "dB from the oracle on the same noise, the worst over the windows; inf: equal bit for bit."
    return ["", *markdown(lines), "", note, *measured_with(rows)]


def cpu(records: Sequence[Record]) -> list[str]:
    """ONNX Runtime against torch, per stage; and the cycle's own work outside the networks."""
    stages = {(r["bundle"], r["threads"]): r for r in records if r["benchmark"] == "cpu_stages"}
    overhead = {(r["r"], r["stems"]): r for r in records if r["benchmark"] != "cpu_stages"}
    names = ("encode", "denoise", "decode", "cycle")
    out = [""]
    if stages:
        lines = [["bundle", "NFE", "threads", "cycles", *names]]
        for (bundle, threads), record in stages.items():
            cells = []
            for name in names:
                row = record["stages"][name]
                figures = " / ".join(f"{row['onnxruntime'][q]:.0f}" for q in ("p50", "p95", "p99"))
                cells.append(f"{figures} ({row['torch_over_onnxruntime']:.2f}×)")
            count = record["stages"]["cycle"]["onnxruntime"]["n"]
            lines.append([bundle, str(record["nfe"]), str(threads), str(count), *cells])
        out += [
            "One cycle at r = .25, one stem, both in one process, taking turns. ms are p50 / p95 / p99 of ONNX "
            "Runtime; the ratio is torch (eager, the same code as the export) over ONNX Runtime at p50. Half of the "
            "window is the silence beyond now, which ONNX Runtime mostly leaves out.",
            "",
            *markdown(lines),
            "",
        ]
    if overhead:
        lines = [["r", "stems", "p50", "p95", "p99", "max"]]
        for (r, stems), record in overhead.items():
            values = [f"{record['overhead_ms'][q]:.2f} ms" for q in ("p50", "p95", "p99", "max")]
            lines.append([f"{r:.4g}", str(stems), *values])
        first = overhead.get((0.25, 1))
        goal = "" if first is None else "met" if first["overhead_ms"]["p99"] <= 1.0 else "not met in this run"
        out += [
            "The cycle's own work outside the networks, per step"
            + (f" (goal at r = .25, one stem: p99 at most 1 ms, {goal}):" if goal else ":"),
            "",
            *markdown(lines),
        ]
    return [*out, *measured_with([*stages.values(), *overhead.values()])]
