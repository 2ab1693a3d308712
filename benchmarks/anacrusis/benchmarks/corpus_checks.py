# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a song's audio says of its own truth: are notes, beats and chords where song.json has them?

    alignment     onsets heard in a stem against its notes
    beat_offset   where a grid of the declared beats fits the onsets of all stems best
    chord_fit     chroma against the chart: as declared, in the eleven other keys, and moved in time

Each has its control in the same audio (notes moved, every other phase, other keys), so that a figure means something.
These judge the corpus, whose truth is to be believed, and not a model: the ear for that is music.py. Chroma is
librosa's (ISC), which knows nothing of this project. Not covered: whether the music is good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.judges.onsets import HOP_SAMPLES, onset_envelope, onsets
from anacrusis.engine.errors import MissingExtraError
from anacrusis.train.song import QUALITIES, SAMPLE_RATE_HZ, Chord, Note, Part, Song

Audio = NDArray[np.float32]
Floats = NDArray[np.float64]

TOGETHER_S: Final = 0.035  # notes closer than this are one onset: a strum, a flam, two hands
NEAR_S: Final = 0.025
SEARCH_S: Final = 0.06
LAG_S, LAG_STEP_S = 0.1, 0.0025
QUIETEST: Final = 45  # velocity below which a note (ghost, muted) is not asked for
CONTROL_S: Final = 0.08  # the control's notes are this much later
GRID_STEP_S: Final = 0.005
CHROMA_HOP_SAMPLES: Final = 2048
BINS_PER_OCTAVE: Final = 36
OCTAVES: Final = 7  # from C1


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a stem's audio agrees with its notes. onsets: how many were asked for.

    lag_ms: by how much all notes must move, within 100 ms, to meet most of the onset envelope; contrast: how much that
    is against the envelope's mean. A note is heard when it has risen: `rise_ms` says what to expect of a program.
    median_ms: heard less declared, of onsets heard within 60 ms.
    hit_rate: share with an onset heard within 25 ms of the declared place and that median. Low where one pitch is
    struck again and again, legato: little is new in the spectrum, so no onset is heard though the envelope has one.
    within_25_ms: share with one heard within 25 ms of the declared place itself.
    by_chance: hit_rate with every note 80 ms later.
    """

    onsets: int
    lag_ms: float
    contrast: float
    median_ms: float
    hit_rate: float
    within_25_ms: float
    by_chance: float


@dataclass(frozen=True, slots=True)
class ChordFit:
    """Centred cosine of chroma and chart, -1 to 1, of bass, guitar and piano.

    other_keys: the best of eleven. moved: the better of a bar early and a bar late; moves: share of the chart that
    differs from itself a bar later, where it is small moved cannot be lower. beat_margin: of guitar and piano, as
    declared less the better of half a beat early and late.
    """

    declared: float
    other_keys: float
    best_key: int
    moved: float
    moves: float
    beat_margin: float


def note_onsets_s(song: Song, stem: str) -> list[tuple[float, float]]:
    """(first, last) start in seconds of each group of notes that begin together; groups of ghost notes left out."""
    groups: list[list[float]] = []
    loudest: list[int] = []
    for note in song.parts[stem].notes if stem in song.parts else ():
        at = note.start_samples / SAMPLE_RATE_HZ
        if groups and at - groups[-1][-1] <= TOGETHER_S:
            groups[-1].append(at)
            loudest[-1] = max(loudest[-1], note.velocity)
        else:
            groups.append([at])
            loudest.append(note.velocity)
    return [(g[0], g[-1]) for g, velocity in zip(groups, loudest, strict=True) if velocity >= QUIETEST]


def alignment(song: Song, stem: str, audio: Audio) -> Alignment:
    """A stem's audio, float32 [n], against the notes of its part."""
    groups = note_onsets_s(song, stem)
    heard = onsets(audio).times_s if audio.any() else np.zeros(0)
    if not groups:
        return Alignment(0, *[float("nan")] * 6)
    lag_s, contrast = _lag(onset_envelope(audio).astype(np.float64), np.array([first for first, _ in groups]))
    found = _offsets(heard, groups, 0.0, SEARCH_S)
    rise_s = float(np.nanmedian(found)) if np.isfinite(found).any() else 0.0
    return Alignment(
        len(groups),
        lag_s * 1e3,
        contrast,
        median_ms=rise_s * 1e3,
        hit_rate=_share(_offsets(heard, groups, rise_s, NEAR_S)),
        within_25_ms=_share(_offsets(heard, groups, 0.0, NEAR_S)),
        by_chance=_share(_offsets(heard, groups, rise_s + CONTROL_S, NEAR_S)),
    )


def _lag(envelope: Floats, starts_s: Floats) -> tuple[float, float]:
    """(seconds, contrast) of the move of all starts, within 100 ms, at which the envelope is highest."""
    moves_s = np.arange(-LAG_S, LAG_S + LAG_STEP_S / 2, LAG_STEP_S)
    at = (starts_s[None, :] + moves_s[:, None]) * SAMPLE_RATE_HZ / HOP_SAMPLES
    scores = np.interp(at, np.arange(envelope.size), envelope, 0.0, 0.0).mean(axis=1)
    best = int(np.argmax(scores))
    return float(moves_s[best]), float(scores[best] / max(float(envelope.mean()), 1e-9))


def _offsets(heard: Floats, groups: Sequence[tuple[float, float]], later_s: float, near_s: float) -> Floats:
    """Seconds from each group's first note, that much later, to the onset nearest to it; NaN where none is near."""
    found = np.full(len(groups), np.nan)
    for index, (first, last) in enumerate(groups):
        at = heard - later_s
        near = at[(at >= first - near_s) & (at <= last + near_s)] - first
        if near.size:
            found[index] = near[np.argmin(np.abs(near))]
    return found


def rise_ms(render: Callable[[Part, str, int], Audio], song: Song, stem: str) -> tuple[float, float]:
    """What a note of the stem's program takes to rise: `Alignment.lag_ms` of notes (alone, struck again legato).

    Eight pitches of the part, each alone and then twice more at the part's usual gap. A pitch struck again rises
    against its own ring: with FluidR3's fingered bass 50 ms, 18 alone. That is the sample's doing, not the corpus's.
    render: `Renderer.stem`.
    """
    part = song.parts[stem]
    pitches = sorted(note.pitch for note in part.notes)
    onsets_s = np.array([first for first, _ in note_onsets_s(song, stem)])
    gap = round(float(np.clip(np.median(np.diff(onsets_s)) if onsets_s.size > 1 else 1.0, 0.15, 1.0)) * SAMPLE_RATE_HZ)
    alone, again, notes = [], [], []
    for index in range(8):
        at = SAMPLE_RATE_HZ // 2 + index * (3 * gap + SAMPLE_RATE_HZ)
        pitch = pitches[round(index * (len(pitches) - 1) / 7)]
        notes += [Note(at + k * gap, at + (k + 1) * gap, pitch, 90) for k in range(3)]
        alone.append(at / SAMPLE_RATE_HZ)
        again += [(at + k * gap) / SAMPLE_RATE_HZ for k in (1, 2)]
    audio = render(Part(part.program, tuple(notes)), stem, notes[-1].end_samples + SAMPLE_RATE_HZ)
    envelope = onset_envelope(audio).astype(np.float64)
    first_s, _ = _lag(envelope, np.array(alone))
    again_s, _ = _lag(envelope, np.array(again))
    return first_s * 1e3, again_s * 1e3


def _share(offsets: Floats) -> float:
    return float(np.isfinite(offsets).mean())


def beat_offset(song: Song, stems: Sequence[Audio]) -> tuple[float, float]:
    """(ms, share of a beat) by which the declared grid must move, within half a beat, to meet the most onsets.

    A stem's onset envelope has unit sum, so no stem outvotes the others. Between two envelope frames: linear.
    """
    length = min(len(audio) for audio in stems)
    total = np.zeros(1 + length // HOP_SAMPLES)
    for audio in stems:
        envelope = onset_envelope(audio[:length]).astype(np.float64)
        total += envelope / max(float(envelope.sum()), 1e-9)
    grid = np.array([b.position_samples for b in song.beats]) / HOP_SAMPLES
    beat_s = 60.0 / song.tempo_bpm
    moves_s = np.arange(-round(beat_s / 2 / GRID_STEP_S) + 1, round(beat_s / 2 / GRID_STEP_S) + 1) * GRID_STEP_S
    frames = np.arange(total.size)
    scores = [np.interp(grid + s * SAMPLE_RATE_HZ / HOP_SAMPLES, frames, total, 0.0, 0.0).sum() for s in moves_s]
    best = float(moves_s[int(np.argmax(scores))])
    return best * 1e3, best / beat_s


def chroma(audio: Audio) -> Floats:
    """float32 [n] -> [12, frames], C first, one frame each 2,048 samples. Raises MissingExtraError without librosa."""
    try:
        import librosa
    except ImportError:
        raise MissingExtraError("chroma needs librosa: pip install 'anacrusis[judge]'") from None
    found: Floats = librosa.feature.chroma_cqt(
        y=audio,
        sr=SAMPLE_RATE_HZ,
        hop_length=CHROMA_HOP_SAMPLES,
        bins_per_octave=BINS_PER_OCTAVE,
        n_octaves=OCTAVES,
        tuning=0.0,
        norm=None,
    )
    return np.asarray(found, np.float64)


def chart_templates(chords: Sequence[Chord], frames: int, move_samples: int = 0) -> Floats:
    """[12, frames]: 1 where the chart's pitch classes are, 0 elsewhere. move_samples: the chart that much later."""
    centres = np.arange(frames) * CHROMA_HOP_SAMPLES - move_samples
    templates = np.zeros((12, frames))
    for chord in chords:
        inside = (centres >= chord.start_samples) & (centres < chord.end_samples)
        for pitch_class in sorted({(chord.root + step) % 12 for step in QUALITIES[chord.quality]} | {chord.bass}):
            templates[pitch_class, inside] = 1.0
    return templates


def chord_fit(
    song: Song, bass: Audio, guitar: Audio, piano: Audio, hear: Callable[[Audio], Floats] = chroma
) -> ChordFit:
    """The chart against the stems that have pitch, float32 [n] each. Raises MissingExtraError without librosa.

    hear: see `chroma`. Half a beat is told without the bass, which may well play the next chord's root early.
    """
    heard, upper = hear(bass + guitar + piano), hear(guitar + piano)
    frames = heard.shape[1]
    beat = 60.0 / song.tempo_bpm * SAMPLE_RATE_HZ
    bar = round(beat * song.beats_per_bar)
    off_beat = [_fit(upper, chart_templates(song.chords, frames, round(sign * beat / 2))) for sign in (1, -1)]
    declared = chart_templates(song.chords, frames)
    keys = [_fit(heard, np.roll(declared, shift, axis=0)) for shift in range(12)]
    moved = [chart_templates(song.chords, frames, sign * bar) for sign in (1, -1)]
    both = declared.any(axis=0) & moved[0].any(axis=0)
    differs = (declared != moved[0]).any(axis=0)
    return ChordFit(
        declared=keys[0],
        other_keys=max(keys[1:]),
        best_key=int(np.argmax(keys)),
        moved=max(_fit(heard, one) for one in moved),
        moves=float(differs[both].mean()) if both.any() else 0.0,
        beat_margin=_fit(upper, declared) - max(off_beat),
    )


def _fit(heard: Floats, templates: Floats) -> float:
    """Mean over sounding frames with a chord of the cosine between chroma and template, each less its mean."""
    loud = heard.sum(axis=0)
    use = templates.any(axis=0) & (loud > 0.02 * max(float(loud.max(initial=0.0)), 1e-9))
    if not use.any():
        return float("nan")
    a = heard[:, use] - heard[:, use].mean(axis=0)
    b = templates[:, use] - templates[:, use].mean(axis=0)
    norm: Any = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    return float(np.mean((a * b).sum(axis=0) / np.maximum(norm, 1e-12)))
