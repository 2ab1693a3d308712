# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Means over songs with bootstrap intervals, and whether a judge can tell one anchor from the next.

A song is what is drawn (with replacement, 10,000 times, by a fixed seed): its scores of several signals stay together,
so differences are paired. Intervals are the bootstrap's 2.5th and 97.5th percentiles. A score that does not exist (no
beat was found in silence) is nan; its song is left out of every mean that it would enter, and `songs` says how many
were left.

Not covered: several tests at once (a table of forty pairs has two at 5 % by chance).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]

RESAMPLES: Final = 10_000
SEED: Final = 20261123
ORDER: Final = ("ceiling", "late", "codec", "floor")  # as a judge should rank them, but for the codec
# Findings about the codec, not faults of the judge: what it costs at all, and whether more than the placement does.
FINDINGS: Final = {
    ("ceiling", "codec"): {"cannot tell": "codec at the ceiling", "reverses": "codec above the ceiling"},
    ("late", "codec"): {"tells": "late above codec", "reverses": "codec above late", "cannot tell": "codec like late"},
}

Told = Literal["tells", "cannot tell", "reverses", "not judged"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval; nan, all three, where no song has it."""

    value: float
    low: float
    high: float
    songs: int

    def as_list(self) -> list[float | None]:
        """For JSON: value, low, high, songs; nan is None."""
        figures = (self.value, self.low, self.high)
        return [*(round(v, 4) if math.isfinite(v) else None for v in figures), self.songs]


NOTHING: Final = Interval(math.nan, math.nan, math.nan, 0)


def bootstrap(columns: Sequence[ArrayLike], statistic: Callable[..., F64], seed: int = SEED) -> Interval:
    """statistic(*means) of the columns' means over songs; each column float [songs].

    statistic takes as many arrays of means as there are columns and works elementwise. Percentile method, paired.
    One song has no interval: low and high are then nan.
    """
    scores = np.array([np.asarray(column, np.float64) for column in columns])
    scores = scores[:, np.isfinite(scores).all(axis=0)]
    songs = scores.shape[1]
    if songs == 0:
        return NOTHING
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(*scores.mean(axis=1)))
        if songs == 1:
            return Interval(value, math.nan, math.nan, 1)
        drawn = np.random.default_rng(seed).integers(0, songs, (RESAMPLES, songs))
        found = statistic(*(column[drawn].mean(axis=1) for column in scores))
    found = found[np.isfinite(found)]
    if not len(found):
        return Interval(value, math.nan, math.nan, songs)
    low, high = np.percentile(found, (2.5, 97.5))
    return Interval(value, float(low), float(high), songs)


def mean(scores: ArrayLike, seed: int = SEED) -> Interval:
    """Of one signal's scores [songs]."""
    return bootstrap([scores], lambda a: a, seed)


def difference(better: ArrayLike, worse: ArrayLike, seed: int = SEED) -> Interval:
    """mean(better - worse), song by song."""
    return bootstrap([better, worse], lambda a, b: a - b, seed)


def normalised(scores: ArrayLike, floor: ArrayLike, ceiling: ArrayLike, seed: int = SEED) -> Interval:
    """(score - floor) / (ceiling - floor) of the means: 1 is the true stem, 0 a stem of another song.

    Means nothing where the judge cannot tell ceiling from floor; its interval is then very wide.
    """
    return bootstrap([scores, floor, ceiling], lambda s, f, c: (s - f) / (c - f), seed)


def told(apart: Interval, sign: int) -> Told:
    """What an interval of (better - worse) says, where sign is 1 if more is better and -1 if less is."""
    if not (math.isfinite(apart.low) and math.isfinite(apart.high)):
        return "not judged"
    low, high = sorted((sign * apart.low, sign * apart.high))
    return "tells" if low > 0 else "reverses" if high < 0 else "cannot tell"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one judge ranks the anchors of one stem. pairs: (better, worse, difference as scored, what it says).

    relative: a distance from the true stem; its ceiling is 0 by definition, so it has a range, and no pair tests that.
    """

    measure: str
    stem: str
    pairs: tuple[tuple[str, str, Interval, Told], ...]
    relative: bool = False

    def said(self, better: str, worse: str) -> Told:
        return next((s for b, w, _, s in self.pairs if (b, w) == (better, worse)), "not judged")

    @property
    def has_range(self) -> bool:
        """Ceiling lies above floor: without this a judge is not to be used on this stem."""
        return self.relative or self.said("ceiling", "floor") == "tells"

    @property
    def wrong(self) -> list[str]:
        """What it cannot do, pair by pair; how the codec stands is a finding, not a fault."""
        return [_say(b, w, s) for b, w, _, s in self.pairs if s != "tells" and (b, w) not in FINDINGS]

    @property
    def text(self) -> str:
        """One line: that it ranks all, or what it cannot do; then what it says of the codec."""
        if not self.has_range:
            return "not to be used: " + _say("ceiling", "floor", self.said("ceiling", "floor"))
        good = "ranks all but the ceiling, 0 by definition" if self.relative else "ranks all"
        found = [FINDINGS[b, w][s] for b, w, _, s in self.pairs if s in FINDINGS.get((b, w), {})]
        return "; ".join([*(self.wrong or [good]), *found])


def _say(better: str, worse: str, said: Told) -> str:
    if said == "cannot tell":
        return f"cannot tell {worse} from {better}"
    if said == "reverses":
        return f"puts {worse} above {better}"
    return f"{better} against {worse} not judged" if said == "not judged" else f"tells {better} from {worse}"


def pairs_of(anchors: Collection[str], relative: bool = False) -> list[tuple[str, str]]:
    """Every two of those that there are, in the order in which the first should be the better."""
    there = [name for name in ORDER if name in anchors and not (relative and name == "ceiling")]
    return list(combinations(there, 2))


def verdict(
    measure: str, stem: str, sign: int, scores: Mapping[str, ArrayLike], *, relative: bool = False, seed: int = SEED
) -> Verdict:
    """scores[anchor]: [songs], nan where there is none; pairs with an anchor that was not made are left out."""
    pairs = []
    for better, worse in pairs_of(scores, relative):
        apart = difference(scores[better], scores[worse], seed)
        pairs.append((better, worse, apart, told(apart, sign)))
    return Verdict(measure, stem, tuple(pairs), relative)
