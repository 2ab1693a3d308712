# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""How busy, how loud and how silent a stem is: onsets, density, level, silence ratio. numpy only.

Onsets are the peaks of a spectral flux with a maximum filter over frequency (SuperFlux: Böck and Widmer, DAFx 2013), on
46 ms frames every 5.8 ms, after the clip was brought to one level: a quiet stem has as many onsets as a loud one. On
rendered stems F1 within 50 ms is .98 or more; in the median drums and keys are heard within 3 ms of the note,
guitars 6 ms and basses 18 ms late, which is their attack.

None of these says whether the notes are right. Not covered: pitch (harmony.py), where onsets should fall (rhythm.py),
perceived loudness (LUFS): level is RMS over the blocks that sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.judges.packages import JudgeError

SAMPLE_RATE_HZ: Final = 44100
BLOCK_SAMPLES: Final = 2205  # 50 ms
SILENCE_DBFS: Final = -60.0
HOP_SAMPLES: Final = 256
FRAME_SAMPLES: Final = 2048
LEVEL_DBFS: Final = -20.0  # what a clip is brought to before its onsets are sought
BANDS_PER_OCTAVE: Final = 24
LOWEST_HZ, HIGHEST_HZ = 40.0, 16000.0
LAG_FRAMES: Final = 3  # the flux compares frames 17 ms apart
GAIN: Final = 10.0  # of log(1 + GAIN x)
PEAK_S: Final = 0.03  # an onset is the highest within this much of itself, either side
MEAN_BEFORE_S, MEAN_AFTER_S = 0.1, 0.07  # and above the mean of this stretch
RISE: Final = 0.5  # by this much, in units of the flux
FOOT: Final = 0.5  # its time is where the flux first came to this share of the peak,
FOOT_FRAMES: Final = 8  # at most this long before it

Audio = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Onsets:
    """Where a clip of length_s begins something new. times_s: [k], rising; strengths: [k], flux, all above 0."""

    times_s: NDArray[np.float64]
    strengths: NDArray[np.float64]
    length_s: float


@dataclass(frozen=True, slots=True)
class Activity:
    """What a stem does, apart from which notes. Also the difference of two: the field's own units."""

    onsets_per_s: float
    level_dbfs: float
    silence_ratio: float

    def minus(self, truth: Activity) -> Activity:
        """This against the true stem's: positive is busier, louder, more silent."""
        return Activity(
            self.onsets_per_s - truth.onsets_per_s,
            self.level_dbfs - truth.level_dbfs,
            self.silence_ratio - truth.silence_ratio,
        )


def activity(audio: Audio) -> Activity:
    """float32 [n] at 44.1 kHz -> density, level and silence ratio."""
    return Activity(onset_density_per_s(audio), level_dbfs(audio), silence_ratio(audio))


def checked(audio: NDArray[Any]) -> Audio:
    """The clip as float32 [n]. Raises JudgeError for anything but finite mono samples."""
    clip = np.asarray(audio)
    if clip.ndim != 1 or not clip.size or clip.dtype.kind != "f":
        raise JudgeError(f"a judge hears mono float samples [n], not {clip.dtype} {list(clip.shape)}")
    if not np.isfinite(clip).all():
        raise JudgeError("a judge hears finite samples only; this clip has NaN or infinity")
    return clip.astype(np.float32, copy=False)


def block_dbfs(audio: Audio) -> NDArray[np.float64]:
    """[n] -> RMS of each 50 ms block, dB of full scale, at least -200. A last part block counts as a whole one."""
    clip = checked(audio).astype(np.float64)
    blocks = np.pad(clip, (0, -len(clip) % BLOCK_SAMPLES)).reshape(-1, BLOCK_SAMPLES)
    return np.asarray(10 * np.log10(np.maximum((blocks**2).mean(1), 1e-20)), np.float64)


def silence_ratio(audio: Audio) -> float:
    """Share of 50 ms blocks whose RMS lies below -60 dBFS: 0 never silent, 1 nothing at all."""
    return float((block_dbfs(audio) < SILENCE_DBFS).mean())


def level_dbfs(audio: Audio) -> float:
    """RMS of the blocks that are not silent, in dB of full scale; -60 where all are: differences stay finite."""
    levels = block_dbfs(audio)
    sounding = levels[levels >= SILENCE_DBFS]
    return float(10 * np.log10((10 ** (sounding / 10)).mean())) if len(sounding) else SILENCE_DBFS


def levelled(audio: Audio) -> Audio:
    """The clip at -20 dBFS where it sounds; a silent clip stays as it is. No judge is to score level by accident."""
    clip = checked(audio)
    level = level_dbfs(clip)
    return clip if level <= SILENCE_DBFS else clip * np.float32(10 ** ((LEVEL_DBFS - level) / 20))


def onset_density_per_s(audio: Audio) -> float:
    """Onsets a second, over the whole clip, its silence included."""
    return len(onset_times_s(audio)) / (len(audio) / SAMPLE_RATE_HZ)


def onset_times_s(audio: Audio) -> NDArray[np.float64]:
    """float32 [n] -> rising times [k] in seconds from the clip's start."""
    return onsets(audio).times_s


def onsets(audio: Audio) -> Onsets:
    """float32 [n] -> the clip's onsets. Raises JudgeError for anything but finite mono samples."""
    flux = onset_envelope(audio).astype(np.float64)
    rate = SAMPLE_RATE_HZ / HOP_SAMPLES
    near = round(PEAK_S * rate)
    before, after = round(MEAN_BEFORE_S * rate), round(MEAN_AFTER_S * rate)
    padded = np.pad(flux, near, constant_values=-1.0)
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * near + 1).max(1)
    total = np.concatenate([[0.0], np.cumsum(flux)])
    index = np.arange(len(flux))
    low, high = np.maximum(index - before, 0), np.minimum(index + after + 1, len(flux))
    mean = (total[high] - total[low]) / (high - low)
    peaks = np.flatnonzero((flux == highest) & (flux >= mean + RISE))
    peaks = peaks[np.diff(peaks, prepend=-2 * near) > 1]  # of a flat top its first frame
    feet = np.unique([_foot(flux, int(peak)) for peak in peaks]).astype(np.intp)
    # Two peaks may rise from one foot: the stronger is the onset's.
    strengths = np.array([flux[foot : foot + FOOT_FRAMES + 1].max() for foot in feet])
    return Onsets(feet * HOP_SAMPLES / SAMPLE_RATE_HZ, strengths, len(audio) / SAMPLE_RATE_HZ)


def _foot(flux: NDArray[np.float64], peak: int) -> int:
    """Where the rise to a peak begins: a slow attack peaks late, and its note was earlier."""
    first = peak
    while first > max(0, peak - FOOT_FRAMES) and flux[first - 1] >= FOOT * flux[peak]:
        first -= 1
    return first


def onset_envelope(audio: Audio) -> NDArray[np.float32]:
    """float32 [n] -> flux [1 + n // 256]: how much of the sound is new. Frame i is centred on sample 256 i."""
    clip = levelled(audio)
    half = FRAME_SAMPLES // 2
    count = 1 + len(clip) // HOP_SAMPLES
    # A flux compares with what was before, so what is before the clip is silence: a clip may begin with an onset.
    padded = np.pad(clip, (half + LAG_FRAMES * HOP_SAMPLES, half + HOP_SAMPLES))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::HOP_SAMPLES][: count + LAG_FRAMES]
    window = np.hanning(FRAME_SAMPLES + 1)[:-1].astype(np.float32)
    edges = _band_edges()
    bands = np.empty((len(frames), len(edges)), np.float32)
    for start in range(0, len(frames), 512):  # all at once is 100 MB a minute
        sound = np.abs(np.fft.rfft(frames[start : start + 512] * window, axis=1)).astype(np.float32)
        bands[start : start + 512] = np.add.reduceat(sound[:, : _last_bin()], edges, axis=1)
    heard: NDArray[np.float32] = np.log1p(GAIN / half * bands)
    wide = np.pad(heard, ((0, 0), (1, 1)), mode="edge")
    widest = np.maximum(np.maximum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
    rises = np.maximum(heard[LAG_FRAMES:] - widest[:-LAG_FRAMES], 0)
    return np.asarray(rises.sum(1, dtype=np.float32)[:count])


@cache
def _band_edges() -> NDArray[np.intp]:
    """First bin of each band, rising: 24 an octave where bins are that fine, else a bin a band."""
    octaves = np.log2(HIGHEST_HZ / LOWEST_HZ)
    hz = LOWEST_HZ * 2 ** np.arange(0, octaves, 1 / BANDS_PER_OCTAVE)
    return np.unique(np.round(hz * FRAME_SAMPLES / SAMPLE_RATE_HZ).astype(np.intp))


def _last_bin() -> int:
    return round(HIGHEST_HZ * FRAME_SAMPLES / SAMPLE_RATE_HZ)
