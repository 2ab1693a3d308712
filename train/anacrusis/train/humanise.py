# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""From notes as meant, in ticks, to notes as played, in samples: swing, a shared sway, each hand's own unsteadiness.

A note's time is grid + the player's place (some push, some lay back) + the band's sway (an AR(1) walk over beats that
all players share) + its own jitter + the strum's delay. Not covered: tempo that drifts; the grid is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.train.song import SAMPLE_RATE_HZ, Note
from anacrusis.train.styles.family import TICKS
from anacrusis.train.styles.plan import Hit

SHORTEST_SAMPLES: Final = 882  # 20 ms
CLASH_SAMPLES: Final = 882  # two starts of one pitch (of one bass) nearer than this are one note
_SWAY_KEEP: Final = 0.8


@dataclass(frozen=True, slots=True)
class Grid:
    """Where ticks fall. first_beat_s: of tick 0. swing: where in swing_ticks the second half begins, 0.5 straight."""

    tempo_bpm: float
    first_beat_s: float
    swing: float = 0.5
    swing_ticks: int = TICKS

    def seconds(self, ticks: NDArray[np.float64]) -> NDArray[np.float64]:
        """Time of each tick, swung; negative ticks lie before the first beat."""
        whole, part = np.divmod(ticks / self.swing_ticks, 1.0)
        first = part * (self.swing / 0.5)
        second = self.swing + (part - 0.5) * ((1.0 - self.swing) / 0.5)
        swung = np.where(part < 0.5, first, second)
        # Triplets of a beat are not swung: a shuffle's fills mix them with its long and short eighths.
        triplet = (ticks % TICKS == TICKS // 3) | (ticks % TICKS == 2 * TICKS // 3)
        units = whole + np.where(triplet, part, swung)
        return self.first_beat_s + units * (self.swing_ticks / TICKS) * (60.0 / self.tempo_bpm)

    def samples(self, tick: int) -> int:
        """Sample of an unswung tick: beats and chord changes."""
        return max(0, round((self.first_beat_s + tick / TICKS * 60.0 / self.tempo_bpm) * SAMPLE_RATE_HZ))


def sway(beats: int, sd_ms: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """The band's common place against the grid at each beat, seconds [beats]."""
    noise = rng.normal(0.0, sd_ms / 1000.0 * np.sqrt(1.0 - _SWAY_KEEP**2), beats)
    out = np.zeros(beats)
    for i in range(1, beats):
        out[i] = _SWAY_KEEP * out[i - 1] + noise[i]
    return out


def perform(
    hits: list[Hit],
    grid: Grid,
    band_s: NDArray[np.float64],
    *,
    place_ms: float,
    jitter_ms: float,
    legato: bool,
    rng: np.random.Generator,
) -> tuple[Note, ...]:
    """Notes in samples, in order, no two of one pitch at once. place_ms: of this player, late positive.

    legato: of a part that is one voice (the bass): a note ends where the next begins.
    """
    if not hits:
        return ()
    hits = sorted(hits)
    starts = np.array([hit.start for hit in hits], dtype=np.float64)
    lengths = np.array([hit.length for hit in hits], dtype=np.float64)
    delays_s = np.array([hit.delay_ms for hit in hits]) / 1000.0
    # Notes struck together share most of their jitter: it is one hand.
    _, same = np.unique(starts, return_inverse=True)
    own = rng.normal(0.0, jitter_ms / 1000.0, int(same.max()) + 1)[same]
    own = own + rng.normal(0.0, 0.0012, len(hits))
    beat = np.clip(starts / TICKS, 0, len(band_s) - 1)
    common = np.interp(beat, np.arange(len(band_s)), band_s)
    shift_s = place_ms / 1000.0 + common + np.clip(own, -0.02, 0.02) + delays_s
    at = np.maximum(0.0, grid.seconds(starts) + shift_s)
    until = np.maximum(at, grid.seconds(starts + lengths) + shift_s - delays_s)
    velocities = np.array([hit.velocity for hit in hits]) * 110.0 + 8.0 + rng.normal(0.0, 3.5, len(hits))
    first = np.rint(at * SAMPLE_RATE_HZ).astype(np.int64)
    last = np.maximum(np.rint(until * SAMPLE_RATE_HZ).astype(np.int64), first + SHORTEST_SAMPLES)
    strength = np.clip(np.rint(velocities), 1, 127).astype(np.int64)
    rows = zip(first.tolist(), last.tolist(), [h.pitch for h in hits], strength.tolist(), strict=True)
    return _one_at_a_time([Note(*row) for row in rows], legato)


def _one_at_a_time(notes: list[Note], whole_part: bool) -> tuple[Note, ...]:
    """End a note where the next of its pitch (of the whole part) begins; drop what clashes."""
    kept: list[Note] = []
    latest: dict[int, int] = {}
    for note in sorted(notes):
        lane = 0 if whole_part else note.pitch
        if lane in latest:
            before = kept[latest[lane]]
            if note.start_samples - before.start_samples < CLASH_SAMPLES:
                continue
            if before.end_samples > note.start_samples:
                kept[latest[lane]] = Note(before.start_samples, note.start_samples, before.pitch, before.velocity)
        latest[lane] = len(kept)
        kept.append(note)
    return tuple(sorted(kept))
