# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the curve says: a figure for each judge and player, the worth of a short lead, and both as tables and sentences.

`points` and `worths` make plain dictionaries of what was heard (for the record); tables and sentences are made of a
record alone, so they can be made again.

Not covered: anything a single stem says (OUT/scores.jsonl has that).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from anacrusis.benchmarks import music_statistics as statistics
from anacrusis.benchmarks.judges.harmony import JUDGED
from anacrusis.benchmarks.music_columns import column
from anacrusis.benchmarks.music_live import Player
from anacrusis.benchmarks.music_report import cell
from anacrusis.benchmarks.music_statistics import Interval
from anacrusis.benchmarks.music_work import Heard

# The first of each is the plot's. Of rhythm it is a judge that ranks the anchors on bass and drums (music_ear.py).
JUDGES: Final[Mapping[str, tuple[str, ...]]] = {
    "harmony": ("context_cosine", "chord_cosine"),
    "rhythm": ("grid_lock", "context_lock", "beat_f1"),
}
STEMS_OF: Final = {"harmony": JUDGED, "rhythm": ("bass", "drums")}
NAMES: Final = {
    "context_cosine": "chroma cosine with the context",
    "chord_cosine": "chroma cosine with the chart",
    "grid_lock": "lock to the true grid",
    "context_lock": "lock to the context's onsets",
    "beat_f1": "beat F1",
}
LEAST_SONGS: Final = 5  # below, a bootstrap interval over songs is far too short
ANCHORS_SHOWN: Final = ("ceiling", "late", "floor")


def stems_of(panel: str, stems: Sequence[str]) -> tuple[str, ...]:
    """Those of `stems` that the panel's judges judge."""
    return tuple(stem for stem in STEMS_OF[panel] if stem in stems)


def points(heard: Sequence[Heard], players: Sequence[Player], stems: Sequence[str]) -> list[dict[str, Any]]:
    """A judge each: its anchors and players, [value, low, high, songs]; share: 1 the true stem, 0 another song's."""
    found = []
    for panel, measures in JUDGES.items():
        judged = stems_of(panel, stems)
        for measure in measures if judged else ():
            anchors = {name: column(heard, judged, measure, name).scores for name in ANCHORS_SHOWN}
            made = {player.label: column(heard, judged, measure, player.label) for player in players}
            found.append(
                {
                    "panel": panel,
                    "measure": measure,
                    "anchors": {name: statistics.mean(scores).as_list() for name, scores in anchors.items()},
                    "made": {label: statistics.mean(one.scores).as_list() for label, one in made.items()},
                    "share": {
                        label: statistics.normalised(one.scores, anchors["floor"], anchors["ceiling"]).as_list()
                        for label, one in made.items()
                    },
                    "unanswered": {label: one.unanswered for label, one in made.items()},
                }
            )
    return found


def worths(heard: Sequence[Heard], players: Sequence[Player], stems: Sequence[str]) -> list[dict[str, Any]]:
    """A lead of one frame less a lead of one step, at each judge, bundle with NFE, and step of more than a frame.

    worth: as scored; share: of the way from floor to ceiling; real: whether the interval of worth leaves out 0, over
    five songs or more.
    """
    by_pace = {(player.name, player.step_frames, player.lead_frames): player for player in players}
    pairs = [
        (near, by_pace[name, step, step])
        for (name, step, lead), near in by_pace.items()
        if lead == 1 < step and (name, step, step) in by_pace
    ]
    found = []
    for panel, measures in JUDGES.items():
        judged = stems_of(panel, stems)
        for measure in measures if judged else ():
            floor, ceiling = (column(heard, judged, measure, name).scores for name in ("floor", "ceiling"))
            for near, far in pairs:
                short, long = (column(heard, judged, measure, player.label).scores for player in (near, far))
                worth = statistics.difference(short, long)
                share = statistics.bootstrap([short, long, floor, ceiling], lambda s, far, f, c: (s - far) / (c - f))
                found.append(
                    {
                        "panel": panel,
                        "measure": measure,
                        "bundle": near.name,
                        "step_frames": near.step_frames,
                        "step_s": round(near.step_s, 4),
                        "short_lead_s": round(near.net_look_ahead_s, 4),
                        "long_lead_s": round(far.net_look_ahead_s, 4),
                        "worth": worth.as_list(),
                        "share": share.as_list(),
                        "real": worth.songs >= LEAST_SONGS and not worth.low <= 0 <= worth.high,
                    }
                )
    return found


def sentences(record: Mapping[str, Any]) -> list[str]:
    """One a worth of the judges that the plot shows."""
    said = []
    for one in record["worths"]:
        if record["shown"][one["panel"]] != one["measure"]:
            continue
        worth, share = as_interval(one["worth"]), as_interval(one["share"])
        verdict = (
            "Too few songs, so nothing is said"
            if worth.songs < LEAST_SONGS
            else f"Real: the interval leaves out 0, and a short lead is {'better' if worth.value > 0 else 'worse'}"
            if one["real"]
            else "Not real: the interval holds 0"
        )
        said.append(
            f"- {one['bundle']}, step {one['step_s']:.3f} s: a lead of {one['short_lead_s']:.3f} s instead of "
            f"{one['long_lead_s']:.3f} s is worth {signed(worth)} of {one['panel']} ({NAMES[one['measure']]}), "
            f"{signed(share)} of the way from floor to ceiling, over {worth.songs} songs. {verdict}."
        )
    return said


def worth_table(record: Mapping[str, Any]) -> list[str]:
    """Markdown: every worth."""
    lines = [
        "| judge | bundle | step s | lead s, short and long | worth | of floor to ceiling | real |",
        "|" + "---|" * 7,
    ]
    for one in record["worths"]:
        cells = [
            f"{one['panel']}: {NAMES[one['measure']]}",
            one["bundle"],
            f"{one['step_s']:.3f}",
            f"{one['short_lead_s']:.3f}, {one['long_lead_s']:.3f}",
            signed(as_interval(one["worth"])),
            signed(as_interval(one["share"])),
            "yes" if one["real"] else "no",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def point_table(record: Mapping[str, Any]) -> list[str]:
    """Markdown: the share of every judge (1 the true stem, 0 another song's), a line a player, then the anchors."""
    judges = record["points"]
    head = ["bundle", "step s", "lead s", *(NAMES[judge["measure"]] for judge in judges), "silent"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for player in record["players"]:
        label = player["label"]
        shares = [cell(as_interval(judge["share"][label])) for judge in judges]
        silent = str(max(judge["unanswered"][label] for judge in judges))
        cells = [player["bundle"], f"{player['step_s']:.3f}", f"{player['net_look_ahead_s']:+.3f}", *shares, silent]
        lines.append(f"| {' | '.join(cells)} |")
    for name in ANCHORS_SHOWN:
        scored = [cell(as_interval(judge["anchors"][name])) for judge in judges]
        lines.append(f"| {' | '.join([f'{name}, as scored', '', '', *scored, ''])} |")
    return lines


def as_interval(figures: Sequence[float | None]) -> Interval:
    """The inverse of `Interval.as_list`."""
    value, low, high = (math.nan if figure is None else float(figure) for figure in figures[:3])
    return Interval(value, low, high, int(figures[3] or 0))


def signed(value: Interval) -> str:
    """ "+0.031 [-0.002, +0.064]"."""
    if not math.isfinite(value.value):
        return "–"
    text = f"{value.value:+.3f}"
    return text if not math.isfinite(value.low) else f"{text} [{value.low:+.3f}, {value.high:+.3f}]"
