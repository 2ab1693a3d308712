# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the band agreed on before it plays: bars with their chords, and who plays what in them.

Every player reads the same plan; that is why the parts follow one another. Times are ticks from the first downbeat.
Not covered: how the plan is made (writer.py), how a player reads it (drums.py, bass.py, comping.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")


class Hit(NamedTuple):
    """A note as meant. start, length: ticks. velocity: 0 to 1. delay_ms: of a strum, behind its start."""

    start: int
    length: int
    pitch: int
    velocity: float
    delay_ms: float = 0.0


class Change(NamedTuple):
    """A chord in the song's key. start: ticks. root, bass: pitch classes."""

    start: int
    root: int
    quality: str
    bass: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the plan.

    changes: its chords, the first at the bar's start. intensity: 0 quiet to 1 loud. loud: which groove. playing: stems.
    event: "" or "fill" (last bar of a phrase), "stop" (all hit the downbeat and rest), "build" (towards a loud
    section), "end" (the last bar). opens: first bar of a section.
    """

    number: int
    start: int
    length: int
    section: str
    changes: tuple[Change, ...]
    intensity: float
    loud: bool
    playing: frozenset[str]
    event: str = ""
    opens: bool = False

    @property
    def groove(self) -> int:
        """Which of a player's patterns: 0 quiet, 1 loud, 2 the bridge's."""
        return 2 if self.section == "bridge" else int(self.loud)


@dataclass(frozen=True, slots=True)
class Plan:
    """All bars, and the key. kicks: start ticks in the bar of the kick drum, per bar, as the groove has them."""

    bars: tuple[Bar, ...]
    beats_per_bar: int
    tonic: int
    mode: str
    kicks: tuple[tuple[int, ...], ...] = ()

    def chord_at(self, bar: Bar, tick: int) -> Change:
        """The chord at a tick within the bar (0 its start)."""
        return [c for c in bar.changes if c.start <= bar.start + tick][-1]

    def next_change(self, bar: Bar, tick: int) -> Change:
        """The first chord that begins after a tick of the bar; the last chord of the song where none does."""
        for change in bar.changes:
            if change.start > bar.start + tick:
                return change
        return self.bars[min(bar.number + 1, len(self.bars) - 1)].changes[0]


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of the items. (Generator.choice costs ten times as much and turns them into arrays.)"""
    return items[int(rng.random() * len(items))]
