# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""How near a round trip is to what went in: pure functions of two clips at 44.1 kHz. numpy, and librosa's mel filters.

    si_sdr_db        scale-invariant signal to distortion (Le Roux et al. 2019): the waveform. A codec that makes its
                     own phases, or plays another recording of the note, is far below 0 dB however well it sounds.
    stft_distance    windows of 2048 and 512, summed: L1 of the magnitude plus L1 of the log10 of its square
    mel_distance     the same of 150 and 80 mel bands
    log_spectral_db  root mean square over bins of the difference in dB, the quietest 60 dB below the clip's loudest bin
    onset_f1         true notes against onsets heard in the audio; notes closer than 30 ms are one onset
    chroma_cosine    pitch-class energy over 0.19 s, centred, where the truth sounds
    visqol           MOS-LQO, 1 to about 4.75 (Chinen et al. 2020, audio mode), where visqol-python is installed

The two distances follow the definition of DAC's evaluation (Kumar et al. 2023: clamp at 1e-5, hop a quarter of a
window), written from its description and not compared with its code.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ: Final = 44100
VISQOL_RATE_HZ: Final = 48000
CLAMP: Final = 1e-5
WINDOWS: Final = ((2048, 150), (512, 80))  # samples, mel bands
STRUM_S: Final = 0.03
CHROMA_N: Final = 8192
CHROMA_HZ: Final = (55.0, 2000.0)

Audio = NDArray[np.float32]
Floats = NDArray[np.float64]


def spectrum(audio: Audio, samples: int, hop_samples: int) -> Floats:
    """float32 [n] -> magnitude [frames, samples / 2 + 1]; Hann, frame i begins at i hops, none hangs over."""
    padded = np.pad(audio, (0, max(0, samples - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, samples)[::hop_samples]
    window = np.hanning(samples + 1)[:-1].astype(np.float32)
    return np.asarray(np.abs(np.fft.rfft(frames * window, axis=1)), np.float64)


def si_sdr_db(truth: Audio, made: Audio) -> float:
    """Infinite for a scaled copy; NaN where either is silent."""
    t, m = truth.astype(np.float64), made.astype(np.float64)
    energy = float(t @ t)
    if energy == 0 or not np.any(m):
        return float("nan")
    target = t * (float(m @ t) / energy)
    rest = float(((m - target) ** 2).sum())
    return float(10 * np.log10(max(float(target @ target), 1e-20) / rest)) if rest > 0 else float("inf")


def stft_distance(truth: Audio, made: Audio) -> float:
    return sum(_distance(*(spectrum(a, n, n // 4) for a in (truth, made))) for n, _ in WINDOWS)


def mel_distance(truth: Audio, made: Audio) -> float:
    return sum(_distance(*(spectrum(a, n, n // 4) @ _mel(n, bands) for a in (truth, made))) for n, bands in WINDOWS)


def log_spectral_db(truth: Audio, made: Audio, range_db: float = 60.0) -> float:
    """0 for equal clips; NaN for a silent truth."""
    one, other = (spectrum(a, 2048, 512) for a in (truth, made))
    loudest = float(one.max())
    if loudest == 0:
        return float("nan")
    floor = loudest * 10 ** (-range_db / 20)
    apart = 20 * np.log10(np.maximum(one, floor) / np.maximum(other, floor))
    return float(np.sqrt((apart**2).mean(1)).mean())


def chroma_cosine(truth: Audio, made: Audio) -> float:
    """-1 to 1; unrelated pitch classes are about 0; NaN where hardly anything sounds."""
    chromas = [spectrum(a, CHROMA_N, CHROMA_N // 4) ** 2 @ _pitch_classes() for a in (truth, made)]
    loud = chromas[0].sum(1)
    counts = loud > loud.max(initial=0.0) * 1e-3
    if counts.sum() < 4 or loud.max() == 0:
        return float("nan")
    one, other = (np.sqrt(c[counts]) for c in chromas)
    one, other = one - one.mean(1, keepdims=True), other - other.mean(1, keepdims=True)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / np.maximum(lengths, 1e-12)).mean())


def visqol(truth: Audio, made: Audio) -> float:
    """Mean opinion score that ViSQOL predicts for the clip; NaN where it is not installed or nothing sounds."""
    judge = _visqol()
    if judge is None or not truth.any():
        return float("nan")
    import soxr

    pair = [soxr.resample(a.astype(np.float64), SAMPLE_RATE_HZ, VISQOL_RATE_HZ) for a in (truth, made)]
    return float(judge.measure_from_arrays(*pair, VISQOL_RATE_HZ).moslqo)


@cache
def _visqol() -> Any:
    try:
        from visqol import VisqolApi
    except ImportError:
        return None
    judge = VisqolApi()
    judge.create(mode="audio")
    return judge


def merged(times_s: NDArray[Any], within_s: float = STRUM_S) -> Floats:
    """Rising times, without those that follow the last kept one too closely: a strummed chord is one onset."""
    kept: list[float] = []
    for time_s in np.sort(np.asarray(times_s, np.float64)):
        if not kept or time_s - kept[-1] > within_s:
            kept.append(float(time_s))
    return np.asarray(kept, np.float64)


def match_f1(truth_s: NDArray[Any], found_s: NDArray[Any], tolerance_s: float) -> float:
    """F1 of two rising lists, each time matched at most once, within the tolerance. 1 if both are empty.

    On a line, matching from the left whatever can be matched is a largest matching.
    """
    if len(truth_s) + len(found_s) == 0:
        return 1.0
    hits, i, j = 0, 0, 0
    while i < len(truth_s) and j < len(found_s):
        apart = found_s[j] - truth_s[i]
        if abs(apart) <= tolerance_s:
            hits, i, j = hits + 1, i + 1, j + 1
        elif apart > 0:
            i += 1
        else:
            j += 1
    return 2 * hits / (len(truth_s) + len(found_s))


def note_f1(truth: list[tuple[float, int]], found: list[tuple[float, int]], tolerance_s: float) -> float:
    """F1 of (time in seconds, row): the right row within the tolerance. 1 if both are empty."""
    total = len(truth) + len(found)
    if total == 0:
        return 1.0
    hits = 0.0
    for row in sorted({row for _, row in truth} & {row for _, row in found}):
        ours, theirs = (np.sort([t for t, r in notes if r == row]) for notes in (truth, found))
        hits += match_f1(ours, theirs, tolerance_s) * (len(ours) + len(theirs)) / 2
    return 2 * hits / total


def _distance(one: Floats, other: Floats) -> float:
    logs = [2 * np.log10(np.maximum(x, CLAMP)) for x in (one, other)]
    return float(np.abs(logs[0] - logs[1]).mean() + np.abs(one - other).mean())


@cache
def _mel(samples: int, bands: int) -> Floats:
    import librosa

    return np.asarray(librosa.filters.mel(sr=SAMPLE_RATE_HZ, n_fft=samples, n_mels=bands).T, np.float64)


@cache
def _pitch_classes() -> Floats:
    """[bins, 12], 1 where a bin's centre belongs to a pitch class."""
    hz = np.arange(CHROMA_N // 2 + 1) * SAMPLE_RATE_HZ / CHROMA_N
    used = (hz >= CHROMA_HZ[0]) & (hz <= CHROMA_HZ[1])
    pitch = np.round(69 + 12 * np.log2(np.maximum(hz, 1.0) / 440)).astype(int) % 12
    table = np.zeros((len(hz), 12))
    table[np.flatnonzero(used), pitch[used]] = 1.0
    return table
