# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the ear listens to: which songs, which seconds of them, and the anchors of each stem.

One excerpt a song, the same for all of its stems: a warm-up of one window, then the scored region. A sample of the
scored region is written by a cycle whose whole window lies in the excerpt, because the window ends at most
step + lead after `now`, which is where the newest sample written ends: so every score is one of full history.

The anchors of a stem, all of the scored region's length:

    ceiling     the true stem
    late        the true stem 1,804 samples (40.9 ms) late: what the original server's placement costs at r = .25. What
                comes before is the stem's own past, not silence
    floor       the same stem of another song, from that song's own scored region
    instrument  another instrument of the same song, in time and in key; the floor of FAD only (`music_fad.py`)

The fifth, `codec`, is in `music_codec.py`. Not covered: songs shorter than warm-up and scored region together, which
are left out and counted.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import AnacrusisError
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, Chord, Song

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

WINDOW_SAMPLES: Final = 262144
LATE_SAMPLES: Final = 1804  # of 44,100: T = 264,600 at r = .25 over a codec of 4,096
CANDIDATES: Final = 16  # excerpts looked at in a song
ANCHORS: Final = ("ceiling", "late", "codec", "floor")


class MusicError(AnacrusisError):
    """Music that the ear cannot judge: too few songs, too short, an unknown stem."""


class Track(Protocol):
    """What the ear asks of `train.dataset.Track`."""

    @property
    def name(self) -> str: ...

    @property
    def split(self) -> str: ...

    @property
    def song(self) -> Song: ...

    @property
    def length_samples(self) -> int: ...

    def stem(self, name: str, start_samples: int = 0, length_samples: int | None = None) -> F32: ...

    def context(self, without: str, start_samples: int = 0, length_samples: int | None = None) -> F32: ...


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Samples of the song: a warm-up from start_samples, then what is scored."""

    start_samples: int
    warm_up_samples: int
    scored_samples: int

    @property
    def scored_start_samples(self) -> int:
        return self.start_samples + self.warm_up_samples

    @property
    def length_samples(self) -> int:
        return self.warm_up_samples + self.scored_samples


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a scored region, which begins at the song's sample `start_samples`.

    chords: in samples of the song, empty where nobody knows them. beats_s: float64 [k], all of the song's, in seconds
    from the region's first sample: some are negative, some beyond its end. swing: as `Song.swing`.
    """

    song: str
    stem: str
    start_samples: int
    length_samples: int
    chords: tuple[Chord, ...]
    beats_s: F64
    swing: float

    @property
    def length_s(self) -> float:
        return self.length_samples / SAMPLE_RATE_HZ

    @property
    def beats_inside_s(self) -> F64:
        """Those of the region."""
        return self.beats_s[(self.beats_s >= 0) & (self.beats_s < self.length_s)]


def choose(tracks: Sequence[Track], songs: int, shortest_samples: int, stems: Sequence[str], seed: int) -> list[Track]:
    """`songs` of the tracks that are long enough and have these stems, by seed: fewer songs are the first of more.

    Raises MusicError where there are fewer than two: a floor needs another song.
    """
    if songs < 2:
        raise MusicError(f"{songs} song is asked for: the floor is another song's stem, so at least 2 are needed")
    # By a hash of the name, not by place: another song in the corpus moves none of the others past each other.
    order = sorted(tracks, key=lambda track: (zlib.crc32(f"{seed}/{track.name}".encode()), track.name))
    fit: list[Track] = []
    for track in order:  # a song is read only when its turn comes
        if track.length_samples < shortest_samples:
            continue
        if all(stem in track.song.parts and track.song.parts[stem].notes for stem in stems):
            fit.append(track)
            if len(fit) == songs:
                break
    if len(fit) < 2:
        raise MusicError(
            f"{len(fit)} of {len(tracks)} songs last {shortest_samples / SAMPLE_RATE_HZ:.1f} s and have "
            f"{', '.join(stems)}: the floor is another song's stem, so at least 2 are needed "
            "(make more songs, or fewer seconds)"
        )
    return fit


def excerpt(track: Track, scored_samples: int, seed: int, warm_up_samples: int = WINDOW_SAMPLES) -> Excerpt:
    """Of 16 places by seed the one where the stem that plays least plays most (notes that start in the scored region).

    So a stem that rests for half a song is not judged on its rest. Depends on the song's name and seed alone.
    """
    room = track.length_samples - warm_up_samples - scored_samples
    if room < 0:
        raise MusicError(f"{track.name} is too short for {(warm_up_samples + scored_samples) / SAMPLE_RATE_HZ:.1f} s")
    rng = np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(track.name.encode())]))
    starts = rng.integers(0, room + 1, CANDIDATES)
    onsets = [
        np.array([note.start_samples for note in part.notes], np.int64) for _, part in sorted(track.song.parts.items())
    ]

    def least(start: int) -> int:
        first = start + warm_up_samples
        return min((int(((at >= first) & (at < first + scored_samples)).sum()) for at in onsets), default=0)

    best = max(range(CANDIDATES), key=lambda index: (least(int(starts[index])), -index))
    return Excerpt(int(starts[best]), warm_up_samples, scored_samples)


def derangement(count: int, seed: int) -> I64:
    """[count]: a permutation of one cycle (Sattolo's algorithm), so nothing stays. Raises MusicError below two."""
    if count < 2:
        raise MusicError(f"{count} song cannot be exchanged with another; at least 2 are needed")
    rng = np.random.default_rng(np.random.SeedSequence([seed, count]))
    order = np.arange(count)
    for last in range(count - 1, 0, -1):
        other = int(rng.integers(0, last))
        order[[last, other]] = order[[other, last]]
    return order


def floors(tracks: Sequence[Track], seed: int) -> I64:
    """[songs]: whose stem is the floor of each. Of 64 derangements the first with the fewest pairs of one chart."""
    found = [derangement(len(tracks), seed + 7919 * draw) for draw in range(64)]
    charts = [track.song.chart for track in tracks]
    return min(found, key=lambda order: sum(charts[i] == charts[j] for i, j in enumerate(order)))


def known(track: Track, stem: str, cut: Excerpt) -> Known:
    """The truths of the scored region."""
    first, last = cut.scored_start_samples, cut.scored_start_samples + cut.scored_samples
    beats_s = np.array([(beat.position_samples - first) / SAMPLE_RATE_HZ for beat in track.song.beats], np.float64)
    chords = tuple(c for c in track.song.chords if c.start_samples < last and c.end_samples > first)
    return Known(track.name, stem, first, cut.scored_samples, chords, beats_s, track.song.swing)


def another_instrument(stem: str) -> str:
    """The next stem, round: the level and the notes of another instrument. Raises MusicError for an unknown stem."""
    if stem not in STEMS:
        raise MusicError(f"unknown stem {stem!r}; choose from {', '.join(STEMS)}")
    return STEMS[(STEMS.index(stem) + 1) % len(STEMS)]


def plain_anchors(track: Track, stem: str, cut: Excerpt, other: Track, other_cut: Excerpt) -> Mapping[str, F32]:
    """ceiling, late, floor and instrument: each float32 [scored_samples]."""
    first, length = cut.scored_start_samples, cut.scored_samples
    if cut.warm_up_samples < LATE_SAMPLES:
        raise MusicError(f"a warm-up of {cut.warm_up_samples} samples is shorter than the delay of {LATE_SAMPLES}")
    whole = track.stem(stem, first - LATE_SAMPLES, length + LATE_SAMPLES)
    return {
        "ceiling": whole[LATE_SAMPLES:],
        "late": whole[:length],
        "floor": other.stem(stem, other_cut.scored_start_samples, length),
        "instrument": track.stem(another_instrument(stem), first, length),
    }
