# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""From scores of songs to what is said: means with intervals, the verdict on each judge, normalised scores, tables.

Everything here is a pure function of `Heard` and FAD scores, so tables and plots can be made again from
OUT/scores.jsonl and the run's record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from anacrusis.benchmarks import music_fad
from anacrusis.benchmarks import music_statistics as statistics
from anacrusis.benchmarks.music_clips import ANCHORS
from anacrusis.benchmarks.music_hear import Measure
from anacrusis.benchmarks.music_live import Player
from anacrusis.benchmarks.music_statistics import NOTHING, Interval, Verdict
from anacrusis.benchmarks.music_work import Heard

FAD: Final = Measure("fad", "FAD", -1, ("bass", "drums", "guitar", "piano"))


@dataclass(frozen=True, slots=True)
class Row:
    """One judge on one stem. values[signal]; normalised[player's label]: 1 ceiling, 0 floor."""

    measure: Measure
    stem: str
    values: Mapping[str, Interval]
    verdict: Verdict
    normalised: Mapping[str, Interval]

    def as_dict(self) -> dict[str, Any]:
        """Figures as `Interval.as_list` gives them: value, low, high, songs."""
        return {
            "measure": self.measure.name,
            "better": {1: "more", -1: "less", 0: "neither"}[self.measure.sign],
            "stem": self.stem,
            "values": {name: value.as_list() for name, value in self.values.items()},
            "pairs": {f"{b} - {w}": [*apart.as_list(), said] for b, w, apart, said in self.verdict.pairs},
            "verdict": self.verdict.text if self.measure.sign else "described, not judged",
            "normalised": {name: value.as_list() for name, value in self.normalised.items()},
        }


def rows(
    heard: Sequence[Heard],
    distances: Mapping[str, music_fad.Scores],
    measures: Sequence[Measure],
    stems: Sequence[str],
    players: Sequence[Player],
) -> list[Row]:
    """By stem, then by measure; FAD last."""
    found = []
    for stem in stems:
        mine = [piece for piece in heard if piece.stem == stem]
        found += [_row(measure, stem, mine, players) for measure in measures if stem in measure.stems]
        if stem in distances:
            found.append(_fad_row(stem, distances[stem], players))
    return found


def _row(measure: Measure, stem: str, mine: Sequence[Heard], players: Sequence[Player]) -> Row:
    signals = dict.fromkeys(name for piece in mine for name in piece.scores)
    scores = {
        name: np.array([piece.scores.get(name, {}).get(measure.name, math.nan) for piece in mine], np.float64)
        for name in signals
    }
    return Row(
        measure,
        stem,
        {name: statistics.mean(column) for name, column in scores.items()},
        statistics.verdict(
            measure.name,
            stem,
            measure.sign,
            {name: scores[name] for name in ANCHORS if name in scores and measure.sign},
            relative=measure.relative,
        ),
        {
            player.label: statistics.normalised(scores[player.label], scores["floor"], scores["ceiling"])
            for player in players
            if player.label in scores and measure.sign
        },
    )


def _fad_row(stem: str, scores: music_fad.Scores, players: Sequence[Player]) -> Row:
    """`floor` here is another instrument; see `music_fad`."""
    names = {name: "instrument" if name == "floor" else name for name in ANCHORS}
    names |= {player.label: player.label for player in players}
    there = {shown: name for shown, name in names.items() if name in scores.whole}
    pairs = []
    for better, worse in statistics.pairs_of(there):
        apart = scores.statistic(lambda a, b: a - b, there[better], there[worse])
        pairs.append((better, worse, apart, statistics.told(apart, FAD.sign)))

    def share(label: str) -> Interval:
        return scores.statistic(lambda s, f, c: (s - f) / (c - f), label, "instrument", "ceiling")

    return Row(
        FAD,
        stem,
        {shown: music_fad.interval(scores, name) for shown, name in there.items()},
        Verdict(FAD.name, stem, tuple(pairs)),
        {player.label: share(player.label) for player in players if player.label in there},
    )


def missed(found: Sequence[Row]) -> list[str]:
    """What the run's check finds: a judge that must tell anchors apart on this stem, and does not."""
    return [
        f"{row.measure.name} on {row.stem}: {row.verdict.text}"
        for row in found
        if (row.stem in row.measure.required and not row.verdict.has_range)
        or (row.stem in row.measure.ranks and row.verdict.wrong)
    ]


def above_floor(found: Sequence[Row]) -> list[str]:
    """Where a judge that the check relies on hears more in a bundle than floor and chance.

    Both, because another song's stem scores a little less than noise does: a wrong key is worse than none.
    """
    return [
        f"{label} on {row.stem} by {row.measure.name}: {share.value:.2f} of the way, at least {share.low:.2f}"
        for row in found
        if row.stem in row.measure.required
        for label, share in row.normalised.items()
        if share.low > 0 and not (row.measure.chance is not None and row.values[label].low <= row.measure.chance)
    ]


def anchor_table(found: Sequence[Row]) -> list[str]:
    """Markdown: each judge's means of the anchors with intervals, and what it can tell."""
    names = [name for name in ANCHORS if any(name in row.values for row in found)]
    lines = [_line(["stem", "judge", *names, "songs", "verdict"]), _line(["---"] * (len(names) + 4))]
    for row in judged(found):
        cells = [cell(row.values.get(name, NOTHING)) for name in names]
        songs = row.values.get("ceiling", NOTHING).songs
        lines.append(_line([row.stem, _label(row.measure), *cells, str(songs), row.verdict.text]))
    return lines


def pair_table(found: Sequence[Row]) -> list[str]:
    """Markdown: the paired difference of each two anchors."""
    lines = [_line(["stem", "judge", "better − worse", "difference", "it"]), _line(["---"] * 5)]
    for row in found:
        for better, worse, apart, said in row.verdict.pairs:
            lines.append(_line([row.stem, _label(row.measure), f"{better} − {worse}", cell(apart), said]))
    return lines


def player_table(found: Sequence[Row], players: Sequence[Player]) -> list[str]:
    """Markdown: each bundle and pace, as scored and normalised (1 the true stem, 0 the floor)."""
    head = ["bundle", "step s", "net look-ahead s", "stem", "judge", "score", "normalised", "songs"]
    lines = [_line(head), _line(["---"] * len(head))]
    for player in players:
        for row in found:
            if player.label not in row.normalised:
                continue
            value, share = row.values[player.label], row.normalised[player.label]
            shown = cell(share) if row.verdict.has_range else "– (no range)"
            where = [player.name, f"{player.step_s:.3f}", f"{player.net_look_ahead_s:+.3f}", row.stem]
            lines.append(_line([*where, _label(row.measure), cell(value), shown, str(value.songs)]))
    return lines


def amount_table(found: Sequence[Row]) -> list[str]:
    """Markdown: what is described and not judged, of every signal."""
    described = [row for row in found if not row.measure.sign]
    names = list(dict.fromkeys([*ANCHORS, *(name for row in described for name in row.values)]))
    names = [name for name in names if any(name in row.values for row in described)]
    lines = [_line(["stem", "amount", *names]), _line(["---"] * (len(names) + 2))]
    lines += [
        _line([row.stem, row.measure.label, *(cell(row.values.get(name, NOTHING)) for name in names)])
        for row in described
    ]
    return lines if described else []


def judged(found: Sequence[Row]) -> list[Row]:
    """Without what is only described."""
    return [row for row in found if row.measure.sign]


def cell(value: Interval) -> str:
    """ "0.86 [0.83, 0.88]", with as many places as the figure deserves."""
    if not math.isfinite(value.value):
        return "–"
    places = 1 if abs(value.value) >= 10 else 2 if abs(value.value) >= 1 else 3
    text = f"{value.value:.{places}f}"
    return text if not math.isfinite(value.low) else f"{text} [{value.low:.{places}f}, {value.high:.{places}f}]"


def _label(measure: Measure) -> str:
    return f"{measure.label} {'↑' if measure.sign > 0 else '↓'}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
