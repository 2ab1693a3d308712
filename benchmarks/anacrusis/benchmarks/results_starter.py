# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""RESULTS.md, the shipped model: its targets, and what a lead is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from anacrusis.benchmarks.results_text import Record, interval, markdown, measured_with
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.paths import SHIPPED_BUNDLE

FIGURES: Final = {"share": "of the way", "ratio": "of the true stem's"}


def headline(records: Sequence[Record]) -> list[str]:
    """The shipped bundle against its targets, on each corpus; the newest of each."""
    bundle = SHIPPED_BUNDLE.name
    newest = {record["corpus"]: record for record in records if record["players"][0]["bundle"] == bundle}
    if not newest:
        return []
    some = next(iter(newest.values()))["players"][0]
    note = (
        f"{bundle} as it ships ({_evaluations()}) through the live cycle, r = .125, w = 1 (step and lead "
        f"{some['step_s']:.3f} s), a stem at a time. "
        "Harmony: DeepChroma cosine with the context, its share of the way from another song's stem to the true one "
        "(target .5). Beats: F1 against the true beats, as a ratio to the true stem's (target .8). Means and 95 % "
        "intervals over songs."
    )
    lines = [["songs", "target", "stem", "written", "another song's", "true stem's", "figure", "verdict"]]
    for record in newest.values():
        songs = f"{record['songs']}, {record['corpus']}"
        for row in record["targets"]:
            cells = [interval(row[key]) for key in ("made", "floor", "ceiling")]
            figure = f"**{interval(row['value'])}** {FIGURES[row['figure']]}"
            lines.append([songs, row["target"].split(":")[0], row["stem"], *cells, figure, row["verdict"]])
    return ["", note, "", *markdown(lines), *measured_with(list(newest.values()))]


def _evaluations() -> str:
    steps = Bundle.open(SHIPPED_BUNDLE, verify=False).manifest.sampler.steps
    return f"{steps} evaluation{'s' if steps > 1 else ''} a step"


def curve(records: Sequence[Record]) -> list[str]:
    """A lead of one frame against a lead of one step, bundle by bundle, step by step."""
    record = records[-1]
    judges = {judge["measure"]: judge for judge in record["points"]}
    shown = record["shown"]
    harmony, rhythm = (shown[panel].replace("_", " ") for panel in ("harmony", "rhythm"))
    note = (
        f"{record['songs']} songs of {record['seconds']:g} s: a lead of one frame (93 ms) "
        "less a lead of one step, at equal step, as a share of the way from another song's stem to the true one. "
        f"Harmony: {harmony}; rhythm: {rhythm}. Real: the interval over songs leaves out 0."
    )
    heads = [f"{name}: a frame, a step" for name in ("harmony", "rhythm")]
    lines = [["bundle", "step", heads[0], "worth", "real", heads[1], "worth", "real"]]
    worths = {(w["measure"], w["bundle"], w["step_frames"]): w for w in record["worths"]}
    for (measure, bundle, step), one in worths.items():
        if measure != shown["harmony"]:
            continue
        cells = []
        for judge in (shown["harmony"], shown["rhythm"]):
            worth, share = worths[judge, bundle, step], judges[judge]["share"]
            near, far = (share[f"{bundle} {step}:{lead}"][0] for lead in (1, step))
            value, low, high = worth["share"][:3]
            cells += [f"{near:.2f}, {far:.2f}", f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"]
            cells.append("**yes**" if worth["real"] else "no")
        lines.append([bundle, f"{one['step_s']:.3f} s", *cells])
    return ["", note, "", *markdown(lines), *measured_with([record])]
