# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The README's tables of the shipped model: targets, what a lead is worth, a cycle. Of records alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
BUNDLE = "starter-cd"
MANIFEST = RESULTS.parents[1] / "bundles" / BUNDLE / "manifest.json"
FIGURES = {"share": "of the way", "ratio": "of the true stem's"}


def records(path: Path) -> list[dict[str, Any]]:
    """Of a JSONL file; none where there is no file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if line.strip()]


def starter() -> list[str]:
    """Whatever of it was recorded."""
    headline, curve, sweep = (records(RESULTS / f"{name}.jsonl") for name in ("headline", "curve", "sweep"))
    return [
        *_targets(headline),
        *_curve(curve),
        *_cycles(sweep),
        "Made by `scripts/verified_table.py` from `benchmarks/results/{headline,curve,sweep}.jsonl`.",
    ]


def interval(values: list[float | None] | None) -> str:
    if values is None or values[0] is None:
        return "-"
    value, low, high = values[:3]
    return f"{value:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low is not None else "")


def _evaluations() -> str:
    steps: int = json.loads(MANIFEST.read_text(encoding="utf-8"))["sampler"]["steps"]
    return f"{steps} evaluation{'s' if steps > 1 else ''} a step"


def _targets(found: list[dict[str, Any]]) -> list[str]:
    newest = {record["corpus"]: record for record in found if record["players"][0]["bundle"] == BUNDLE}
    if not newest:
        return []
    some = next(iter(newest.values()))["players"][0]
    rows = [
        f"{BUNDLE} as it ships ({_evaluations()}) through the live cycle, r = .125, w = 1 (step and lead "
        f"{some['step_s']:.3f} s), a stem at a time. "
        "Harmony: DeepChroma cosine with the context, its share of the way from another song's stem to the true one "
        "(target .5). Beats: F1 against the true beats, as a ratio to the true stem's (target .8). Means and 95 % "
        "intervals over songs.",
        "",
        "| songs | target | stem | written | another song's | true stem's | figure | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for record in newest.values():
        songs = f"{record['songs']}, {record['corpus']}"
        for row in record["targets"]:
            name = row["target"].split(":")[0]
            cells = [interval(row[key]) for key in ("made", "floor", "ceiling")]
            figure = f"**{interval(row['value'])}** {FIGURES[row['figure']]}"
            rows.append(f"| {songs} | {name} | {row['stem']} | {' | '.join(cells)} | {figure} | {row['verdict']} |")
    return [*rows, ""]


def _curve(found: list[dict[str, Any]]) -> list[str]:
    if not found:
        return []
    record = found[-1]
    judges = {judge["measure"]: judge for judge in record["points"]}
    shown = record["shown"]
    harmony, rhythm = (shown[panel].replace("_", " ") for panel in ("harmony", "rhythm"))
    rows = [
        f"What a short lead is worth, {record['songs']} songs of {record['seconds']:g} s: a lead of one frame (93 ms) "
        "less a lead of one step, at equal step, as a share of the way from another song's stem to the true one. "
        f"Harmony: {harmony}; rhythm: {rhythm}. Real: the interval over songs leaves out 0.",
        "",
        "| bundle | step | harmony: a frame, a step | worth | real | rhythm: a frame, a step | worth | real |",
        "|---|---|---|---|---|---|---|---|",
    ]
    worths = {(w["measure"], w["bundle"], w["step_frames"]): w for w in record["worths"]}
    for (measure, bundle, step), one in worths.items():
        if measure != shown["harmony"]:
            continue
        cells = []
        for judge in (shown["harmony"], shown["rhythm"]):
            worth, share = worths[judge, bundle, step], judges[judge]["share"]
            near, far = (share[f"{bundle} {step}:{lead}"][0] for lead in (1, step))
            value, low, high = worth["share"][:3]
            cells += [
                f"{near:.2f}, {far:.2f}",
                f"{value:+.2f} [{low:+.2f}, {high:+.2f}]",
                "**yes**" if worth["real"] else "no",
            ]
        rows.append(f"| {bundle} | {one['step_s']:.3f} s | {' | '.join(cells)} |")
    return [*rows, ""]


def _cycles(found: list[dict[str, Any]]) -> list[str]:
    """The newest of each number of stems, at two evaluations and steps of 16 frames."""
    newest = {
        row["stems"]: row
        for row in found
        if row["bundle"] == BUNDLE and (row["r"], row.get("nfe"), row.get("lead_samples")) == (0.25, 2, 65536)
    }
    if not newest:
        return []
    told = []
    for stems, row in sorted(newest.items()):
        ms, step_ms = row["ours_ms"]["compute"], row["step_ms"]
        told.append(
            f"{stems} stem{'s' if stems > 1 else ''}: p50 {ms['p50']:.0f}, p95 {ms['p95']:.0f}, p99 {ms['p99']:.0f}, "
            f"max {ms['max']:.0f} ms, p99 {ms['p99'] / step_ms:.3f} of the step"
        )
    some = next(iter(newest.values()))
    where = f"{some['threads']} thread of {some['cores']} cores, {some['machine']}"
    return [
        f"A cycle of {BUNDLE} at two evaluations, steps of 16 frames ({some['step_ms']:.0f} ms), {where}. "
        f"{'; '.join(told)}. Goal: .4 of the step with one stem.",
        "",
    ]
