# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Roll frames to train the codec on: songs of the writer's training families, cut anywhere, in any key, and some noise.

A pool holds the latest frames of each stem, one byte a cell (velocity in seven bits, hold in the eighth). It takes in
a new song whenever it is asked to, so training sees far more songs than memory holds. Frames of rest are left out but
for those before and after a note's end. A batch moves pitched frames by up to half an octave, within the rows, and
makes a share of its frames of notes drawn at random, so that the code is not only that of this writer.

Not covered: validation (`scores.py`), audio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.train.codec.roll import HOLD, ONSET, Roll, by_frame, to_roll
from anacrusis.train.codec.rows import FRAME_SAMPLES, HOPS_PER_FRAME, Group, Rows
from anacrusis.train.song import Song
from anacrusis.train.writer import FAMILIES, write_song

# How much of a batch each stem is: more where there is more to say.
SHARES: Final[Mapping[str, float]] = {"bass": 0.15, "drums": 0.2, "guitar": 0.3, "piano": 0.35}
RANDOM_SHARE: Final = 0.1
LARGEST_SHIFT: Final = 6
HELD: Final = 128


def families_of(split: str) -> tuple[str, ...]:
    """Names of the writer's families of a split, in order."""
    return tuple(sorted(name for name, family in FAMILIES.items() if family.split == split))


class FramePool:
    """A ring of frames a stem. Everything follows from the seed and the order of calls."""

    def __init__(self, seed: int, rows: Rows | None = None, frames_each: int = 120_000) -> None:
        self.rows = rows or Rows()
        self._rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
        self._families = families_of("train")
        self._frames_each = frames_each
        self._rings = {
            group.stem: np.zeros((frames_each, HOPS_PER_FRAME, len(group)), np.uint8) for group in self.rows.groups
        }
        self._filled = {group.stem: 0 for group in self.rows.groups}
        self.songs = 0

    def add_songs(self, count: int, seconds: float = 60.0) -> None:
        """Write songs and take their frames in; the oldest frames make room."""
        for _ in range(count):
            family = self._families[int(self._rng.integers(len(self._families)))]
            song = write_song(int(self._rng.integers(2**31)), family, seconds=seconds)
            self.songs += 1
            for group in self.rows.groups:
                # Cut at any sample: the grid of frames knows nothing of the song's.
                self._take(group, sounding(packed_song(song, group, int(self._rng.integers(FRAME_SAMPLES)))))

    def _take(self, group: Group, frames: NDArray[np.uint8]) -> None:
        at = (self._filled[group.stem] + np.arange(len(frames))) % self._frames_each
        self._rings[group.stem][at] = frames
        self._filled[group.stem] += len(frames)

    def batch(self, count: int) -> Roll:
        """Roll frames [count, 8, rows, 2]."""
        roll = np.zeros((count, HOPS_PER_FRAME, len(self.rows), 2), np.float32)
        stems = [group.stem for group in self.rows.groups]
        shares = np.array([SHARES[stem] for stem in stems])
        sizes = self._rng.multinomial(count, shares / shares.sum())
        at = 0
        for group, size in zip(self.rows.groups, sizes, strict=True):
            roll[at : at + size, :, self.rows.span(group.stem)] = self._draw(group, int(size))
            at += size
        return roll

    def _draw(self, group: Group, count: int) -> Roll:
        have = min(self._filled[group.stem], self._frames_each)
        frames = self._rings[group.stem][self._rng.integers(have, size=count)]
        if not group.rings:
            frames = _shifted(frames, self._rng)
        made = round(count * RANDOM_SHARE)
        out = unpack(frames)
        if made:
            out[:made] = random_frames(group, made, self._rng)
        return out


def packed_song(song: Song, group: Group, early_samples: int = 0) -> NDArray[np.uint8]:
    """All frames [frames, 8, rows] of one stem, its grid early_samples before the song's start."""
    part = song.parts.get(group.stem)
    frames = -(-(song.length_samples + early_samples) // FRAME_SAMPLES)
    roll = to_roll(part.notes if part else (), group, frames * HOPS_PER_FRAME, -early_samples)
    return pack(by_frame(roll))


def pack(roll: Roll) -> NDArray[np.uint8]:
    """Roll [..., 2] -> one byte a cell."""
    velocity = np.rint(roll[..., ONSET] * 127).astype(np.uint8)
    return np.asarray(velocity + HELD * (roll[..., HOLD] > 0).astype(np.uint8), np.uint8)


def unpack(cells: NDArray[np.uint8]) -> Roll:
    """The reverse of `pack`."""
    roll = np.empty((*cells.shape, 2), np.float32)
    roll[..., ONSET] = (cells % HELD) / np.float32(127)
    roll[..., HOLD] = cells >= HELD
    return roll


def sounding(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frames in which anything is."""
    return frames[frames.any(axis=(1, 2))]


def _shifted(frames: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Each frame [8, rows] moved by a random number of semitones that leaves all its notes on rows."""
    used = np.asarray(frames.any(axis=1))
    rows = used.shape[1]
    lowest, highest = used.argmax(axis=1), rows - 1 - used[:, ::-1].argmax(axis=1)
    down = np.minimum(lowest, LARGEST_SHIFT)
    up = np.minimum(rows - 1 - highest, LARGEST_SHIFT)
    shift = rng.integers(-down, up + 1)
    source = np.arange(rows)[None, :] - shift[:, None]
    moved = np.take_along_axis(frames, np.clip(source, 0, rows - 1)[:, None, :], axis=2)
    return np.where(((source >= 0) & (source < rows))[:, None, :], moved, 0).astype(np.uint8)


def random_frames(group: Group, count: int, rng: np.random.Generator) -> Roll:
    """Frames [count, 8, rows, 2] of up to four notes with no style at all."""
    roll = np.zeros((count, HOPS_PER_FRAME, len(group), 2), np.float32)
    hops = np.arange(HOPS_PER_FRAME)
    for frame, notes in zip(roll, rng.integers(1, 5, size=count), strict=True):
        together = rng.integers(-4, HOPS_PER_FRAME)
        for _ in range(notes):
            row, start = rng.integers(len(group)), together if rng.random() < 0.7 else rng.integers(-4, HOPS_PER_FRAME)
            stop = start + 1 + rng.geometric(0.12)
            if not group.rings:
                frame[(hops >= start) & (hops < stop), row, HOLD] = 1.0
            if start >= 0:
                frame[start, row, ONSET] = rng.uniform(0.15, 1.0)
    return roll


def whole_songs(
    rows: Rows, families: Sequence[str], songs: int, seed: int, seconds: float = 40.0
) -> dict[str, list[Roll]]:
    """Whole songs of the named families, a roll [frames, 8, rows of the stem, 2] each: stem -> songs."""
    rolls: dict[str, list[Roll]] = {group.stem: [] for group in rows.groups}
    for index in range(songs):
        song = write_song(seed + index, families[index % len(families)], seconds=seconds)
        for group in rows.groups:
            rolls[group.stem].append(unpack(packed_song(song, group)))
    return rolls
