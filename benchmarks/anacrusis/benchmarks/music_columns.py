# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Scores of a run as columns, a value a song, for what is claimed of a bundle: the headline and the curve.

Two rules make a column of what a bundle wrote comparable with its anchors':

    silence is no excuse   a judge that cannot score what was written (no harmony in silence, under eight onsets) where
                           it scores the true stem counts as chance, 0, and is counted; a song whose true stem has no
                           score is in no mean
    all stems or none      a column over several stems is their mean; a song where one of them has no score is left out

Not covered: judges whose chance is not 0 (distances, densities).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anacrusis.benchmarks.music_clips import F64
from anacrusis.benchmarks.music_work import Heard

CHANCE = 0.0


@dataclass(frozen=True, slots=True)
class Column:
    """scores: [songs], nan where there is none. unanswered: stems of songs that count as chance."""

    scores: F64
    unanswered: int = 0


def songs_of(heard: Sequence[Heard]) -> list[str]:
    """In the run's order."""
    return list(dict.fromkeys(piece.song for piece in heard))


def scores_of(heard: Sequence[Heard], stem: str, measure: str, signal: str) -> F64:
    """[songs], in the order of `songs_of`; nan where a song has no such score."""
    found = {p.song: p.scores.get(signal, {}).get(measure, np.nan) for p in heard if p.stem == stem}
    return np.array([found.get(song, np.nan) for song in songs_of(heard)], np.float64)


def column(heard: Sequence[Heard], stems: Sequence[str], measure: str, signal: str) -> Column:
    """Of a signal (an anchor, or a player's label), by both rules of the module's docstring."""
    rows, unanswered = [], 0
    for stem in stems:
        scores = scores_of(heard, stem, measure, signal)
        silent = np.isnan(scores) & np.isfinite(scores_of(heard, stem, measure, "ceiling"))
        unanswered += int(silent.sum())
        rows.append(np.where(silent, CHANCE, scores))
    return Column(np.mean(rows, axis=0), unanswered)
