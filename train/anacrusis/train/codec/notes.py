# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The recorded notes that playback plays: each row once, as the corpus' renderer plays it at velocity 127.

So a decoded stem has the level of the rendered one without a further gain. One program an instrument, chosen for notes
that last and let go cleanly: bass 33 (fingered), guitar 27 (clean electric: steel strings, 25, ring on for seconds
after their end), piano 0, drum kit 0. Rates by what a program holds: bass 11,025 Hz, guitar and piano 22,050, drums
44,100. A row ends where less than `QUIET_DB` of its loudest hop is left, or at its group's limit, faded out.

Licence: FluidR3 GM is MIT; a bundle that carries these notes carries its notice. Needs the soundfont and tinysoundfont.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.train.codec.playback import Bank, advance_samples
from anacrusis.train.codec.rows import BASS, CHOKED_BY, DRUMS, GUITAR, HOP_SAMPLES, PIANO, Group
from anacrusis.train.render import Renderer
from anacrusis.train.song import Note, Part

FULL_VELOCITY: Final = 127
QUIET_DB: Final = -46.0
FADE_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Voice:
    """How a group is recorded and played. limit_hops: the longest a row may sound. See `Bank` for the rest."""

    group: Group
    program: int
    divisor: int
    limit_hops: int
    release: float
    events: int
    voices: int


# release: what the program's own release leaves after a hop (`measured_release`). limit: 222 hops fit 28 taper frames.
VOICES: Final = (
    Voice(BASS, 33, 4, 222, 0.60, 96, 6),
    Voice(DRUMS, 0, 1, 172, 0.5, 192, 20),  # rings: the release is that of a choked hi-hat
    Voice(GUITAR, 27, 2, 160, 0.84, 256, 24),
    Voice(PIANO, 0, 2, 172, 0.915, 256, 32),
)


def record(soundfont: Path | None = None, voices: Sequence[Voice] = VOICES) -> tuple[Bank, ...]:
    """All rows of all voices. About two seconds. Raises CorpusError without a soundfont."""
    renderer = Renderer(soundfont)
    return tuple(
        Bank(
            voice.group,
            tuple(_row(renderer, voice, pitch) for pitch in voice.group.pitches),
            voice.divisor,
            voice.release,
            voice.events,
            voice.voices,
            _chokes(voice.group),
        )
        for voice in voices
    )


def measured_release(renderer: Renderer, voice: Voice, hops: int = 12) -> float:
    """The gain that a hop after a note's end leaves, median over the middle octave: let go against held.

    Of a voice that does not ring.
    """
    middle = voice.group.pitches[len(voice.group) // 2 - 6 : len(voice.group) // 2 + 6]
    at, end = 40 * HOP_SAMPLES, (40 + hops) * HOP_SAMPLES
    ratios = []
    for pitch in middle:
        let_go, held = (
            renderer.stem(Part(voice.program, (Note(0, stop, pitch, FULL_VELOCITY),)), voice.group.stem, end * 2)
            for stop in (at, end * 2)
        )
        last = slice(end - HOP_SAMPLES, end)
        ratios.append((np.square(let_go[last]).sum() / np.square(held[last]).sum()) ** (0.5 / hops))
    return float(np.median(ratios))


def _chokes(group: Group) -> tuple[tuple[int, int], ...]:
    if not group.rings:
        return ()
    return tuple((group.pitches.index(row), group.pitches.index(by)) for row, by in CHOKED_BY.items())


def _row(renderer: Renderer, voice: Voice, pitch: int) -> NDArray[np.float32]:
    """[hops, 512 / divisor]: recorded, its high end taken out, advanced by the interpolator's delay, thinned."""
    length = voice.limit_hops * HOP_SAMPLES
    note = Note(0, length, pitch, FULL_VELOCITY)
    audio = renderer.stem(Part(voice.program, (note,)), voice.group.stem, length + HOP_SAMPLES)
    energy = np.square(audio[:length].astype(np.float64)).reshape(-1, HOP_SAMPLES).mean(axis=1)
    heard = np.flatnonzero(energy > energy.max() * 10 ** (QUIET_DB / 10))
    hops = min(int(heard[-1]) + 2, voice.limit_hops) if len(heard) else 1
    return thinned(audio, hops, voice.divisor)


def thinned(audio: NDArray[np.float32], hops: int, divisor: int) -> NDArray[np.float32]:
    """The first `hops` hops of a note at 44.1 kHz -> [hops, 512 / divisor], faded out over the last quarter."""
    hop, advance = HOP_SAMPLES // divisor, advance_samples(divisor)
    if divisor > 1:
        half = 32 * divisor
        at = np.arange(-half, half + 1)
        cutoff = 0.86 / divisor  # of 22,050 Hz
        taps = np.sinc(at * cutoff) * np.kaiser(len(at), 5.65)
        audio = np.convolve(audio, taps / taps.sum())[half:].astype(np.float32)
    padded = np.zeros(hops * HOP_SAMPLES + advance, np.float32)
    padded[: min(len(audio), len(padded))] = audio[: len(padded)]
    low = padded[advance::divisor][: hops * hop].copy()
    fade = max(int(len(low) * FADE_SHARE), min(len(low), hop))
    low[-fade:] *= np.cos(np.linspace(0.0, np.pi / 2, fade, dtype=np.float32)) ** 2
    return low.reshape(hops, hop)
