# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""FAD of a set of clips, cross-fitted: no song is ever compared with itself.

The songs are dealt into two halves by turns. A signal's FAD is the mean of two distances: its clips of the first half's
songs against the true stems of the second half's songs, and the other way round. So `ceiling` is true stems against
true stems of other songs (what a perfect model would score, not 0), and every signal has the same songs on both sides
and sets of the same size: a distance of few patches is too large (Gui et al., ICASSP 2024, extrapolate it away), but by
about as much for each, so differences and ranks hold where absolute figures do not, and figures of runs with other
numbers of songs must not be compared.

Another song's stem is a true stem, so as a floor it would score as the ceiling. FAD's floor is another instrument of
the same songs (bass: drums, drums: guitar, guitar: piano, piano: bass): FAD judges how a stem sounds, not whether it
fits.

Intervals: songs of each half drawn again, 100 times, the same draw for every signal. A draw holds some songs twice,
which makes its distance larger; so the spread is taken from the draws and the middle from the whole set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from anacrusis.benchmarks.music_clips import F32, F64, I64
from anacrusis.benchmarks.music_statistics import NOTHING, SEED, Interval

RESAMPLES: Final = 100
FEWEST_SONGS: Final = 4
Distance = Callable[[F32, F32], float]


@dataclass(frozen=True, slots=True)
class Scores:
    """Of every signal: its FAD over all songs, and in each draw [draws]."""

    songs: int
    whole: Mapping[str, float]
    draws: Mapping[str, F64]

    def statistic(self, statistic: Callable[..., F64], *signals: str) -> Interval:
        """statistic(*FADs), with the draws' spread around it."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(statistic(*(np.float64(self.whole[name]) for name in signals)))
            found = np.asarray(statistic(*(self.draws[name] for name in signals)))
        found = found[np.isfinite(found)]
        if not math.isfinite(value) or len(found) < 2:
            return Interval(value, math.nan, math.nan, self.songs)
        low, middle, high = np.percentile(found, (2.5, 50, 97.5))
        return Interval(value, float(value + low - middle), float(value + high - middle), self.songs)


def score(
    embedded: Mapping[str, Sequence[F32]], distance: Distance, *, resamples: int = RESAMPLES, seed: int = SEED
) -> Scores | None:
    """embedded[signal][song]: [patches, dimensions], the songs of all signals in one order; "ceiling" is the reference.

    None with fewer than four songs: halves of one song each say nothing.
    """
    truth = embedded["ceiling"]
    songs = len(truth)
    if songs < FEWEST_SONGS:
        return None
    even, odd = np.arange(0, songs, 2), np.arange(1, songs, 2)
    rng = np.random.default_rng(seed)
    drawn = [(rng.choice(even, len(even)), rng.choice(odd, len(odd))) for _ in range(resamples)]

    def fad(clips: Sequence[F32], ours: I64, theirs: I64) -> float:
        both = ((ours, theirs), (theirs, ours))
        return float(np.mean([distance(_patches(clips, one), _patches(truth, other)) for one, other in both]))

    whole = {name: fad(clips, even, odd) for name, clips in embedded.items()}
    draws = {name: np.array([fad(clips, *draw) for draw in drawn], np.float64) for name, clips in embedded.items()}
    return Scores(songs, whole, draws)


def _patches(clips: Sequence[F32], which: I64) -> F32:
    return np.concatenate([clips[int(index)] for index in which])


def interval(scores: Scores | None, signal: str) -> Interval:
    """Of one signal."""
    return NOTHING if scores is None else scores.statistic(lambda a: a, signal)
