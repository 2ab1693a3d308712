# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Notes to roll and back.

A roll is float32 [hops, rows, 2]: `ONSET` is 0, or the velocity / 127 of a note that starts in this hop; `HOLD` is 1
from a note's first hop to its last. Amplitude is proportional to velocity in the renderer (measured: 40 -> 127 is
10.0 dB on every program tried), so an onset's value is the gain that its sound is played with. Drums have no hold.

Starts and ends go to the nearest hop: at most 256 samples, 5.8 ms, off. Two notes that start on one row in one hop
become one, the louder. Not covered: pedal, bends, notes shorter than a hop (they become one hop long).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.train.codec.rows import HOP_SAMPLES, HOPS_PER_FRAME, Group
from anacrusis.train.song import Note

ONSET: Final = 0
HOLD: Final = 1
Roll = NDArray[np.float32]


def to_roll(notes: Iterable[Note], group: Group, hops: int, start_samples: int = 0) -> Roll:
    """The roll [hops, rows, 2] of a stretch that begins at start_samples.

    A note that began before the stretch is only held in it. Of two notes on one row the later ends the earlier.
    """
    roll = np.zeros((hops, len(group), 2), np.float32)
    table = np.array([(n.start_samples, n.end_samples, group.row_of(n.pitch), n.velocity) for n in notes], np.int64)
    if table.size == 0 or hops == 0:
        return roll
    start, end = (_nearest_hop(table[:, i] - start_samples) for i in (0, 1))
    row, velocity = table[:, 2], table[:, 3]
    end = np.maximum(end, start + 1)
    begins = (start >= 0) & (start < hops)
    np.maximum.at(roll[:, :, ONSET], (start[begins], row[begins]), (velocity[begins] / 127).astype(np.float32))
    if group.rings:
        return roll
    inside = (end > 0) & (start < hops)
    steps = np.zeros((hops + 1, len(group)), np.int32)
    np.add.at(steps, (np.maximum(start[inside], 0), row[inside]), 1)
    np.add.at(steps, (np.minimum(end[inside], hops), row[inside]), -1)
    roll[:, :, HOLD] = np.cumsum(steps, axis=0)[:hops] > 0
    return roll


def to_notes(roll: Roll, group: Group, start_samples: int = 0) -> tuple[Note, ...]:
    """The notes of a roll [hops, rows, 2] that begin in it, in order. A drum sounds for one hop.

    A pitched note lasts until its row is no longer held, or begins again.
    """
    hops = len(roll)
    begins = roll[:, :, ONSET] > 0
    stops = begins if group.rings else begins | (roll[:, :, HOLD] < 0.5)
    # next_stop[t]: the first stop at or after hop t, hops where there is none.
    at = np.where(stops, np.arange(hops)[:, None], hops)
    next_stop = np.minimum.accumulate(at[::-1], axis=0)[::-1]
    next_stop = np.concatenate([next_stop, np.full((1, len(group)), hops)])
    notes = []
    for start, row in np.argwhere(begins):
        end = start + 1 if group.rings else next_stop[start + 1, row]
        notes.append(
            Note(
                int(start) * HOP_SAMPLES + start_samples,
                int(end) * HOP_SAMPLES + start_samples,
                group.pitches[row],
                int(np.clip(np.rint(roll[start, row, ONSET] * 127), 1, 127)),
            )
        )
    return tuple(sorted(notes))


def by_frame(roll: Roll) -> Roll:
    """[hops, rows, 2] -> [frames, 8, rows, 2]; hops that fill no whole frame are filled up with silence."""
    frames = -(-len(roll) // HOPS_PER_FRAME)
    padded = np.zeros((frames * HOPS_PER_FRAME, *roll.shape[1:]), np.float32)
    padded[: len(roll)] = roll
    return padded.reshape(frames, HOPS_PER_FRAME, *roll.shape[1:])


def _nearest_hop(samples: NDArray[np.int64]) -> NDArray[np.int64]:
    return (samples + HOP_SAMPLES // 2) // HOP_SAMPLES
