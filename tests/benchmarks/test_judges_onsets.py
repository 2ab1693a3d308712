# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Onsets, density, level and silence against sounds that were made to have them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.benchmarks.judges.onsets import (
    Activity,
    activity,
    level_dbfs,
    levelled,
    onset_density_per_s,
    onset_envelope,
    onset_times_s,
    silence_ratio,
)
from anacrusis.benchmarks.judges.packages import JudgeError

RATE_HZ = 44100
BLOCK = 2205


def pluck(hz: float, seconds: float = 0.25) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (0.3 * np.exp(-8 * t) * sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 6))).astype(np.float32)


def melody(times_s: list[float], seconds: float, hz: tuple[float, ...] = (220.0, 277.2, 329.6)) -> np.ndarray:
    audio = np.zeros(round(seconds * RATE_HZ), np.float32)
    for i, time_s in enumerate(times_s):
        note = pluck(hz[i % len(hz)])
        at = round(time_s * RATE_HZ)
        audio[at : at + len(note)] += note[: len(audio) - at]
    return audio


@pytest.mark.parametrize("hz", [(55.0, 65.4), (220.0, 277.2), (880.0, 1046.5)], ids=["bass", "middle", "treble"])
@pytest.mark.parametrize("gap_s", [0.15, 0.25, 0.7], ids=["fast", "medium", "slow"])
def test_notes_are_found_where_they_begin(hz: tuple[float, ...], gap_s: float) -> None:
    true = list(np.arange(0.2, 3.5, gap_s))
    found = onset_times_s(melody(true, 4.0, hz))
    assert len(found) == len(true)
    assert np.abs(found - true).max() < 0.02


def test_a_clip_may_begin_with_an_onset() -> None:
    assert onset_times_s(melody([0.0, 0.5], 1.0)) == pytest.approx([0.0, 0.5], abs=0.02)


@pytest.mark.parametrize(
    ("audio", "most"),
    [
        (np.zeros(RATE_HZ, np.float32), 0),
        (np.zeros(100, np.float32), 0),
        (np.full(2 * RATE_HZ, 0.1, np.float32), 2),  # its beginning and its end are events
        (np.random.default_rng(0).normal(0, 0.1, 4 * RATE_HZ).astype(np.float32), 8),
    ],
    ids=["silence", "shorter than a frame", "constant", "noise"],
)
def test_where_nothing_happens_little_is_found(audio: np.ndarray, most: int) -> None:
    assert len(onset_times_s(audio)) <= most


def test_density_is_by_the_whole_clip() -> None:
    assert onset_density_per_s(melody([0.2, 0.6, 1.0, 1.4], 8.0)) == pytest.approx(0.5)


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 5000])
def test_the_envelope_has_a_frame_each_256_samples(samples: int) -> None:
    assert onset_envelope(np.ones(samples, np.float32)).shape == (1 + samples // 256,)


@pytest.mark.parametrize(
    ("sounding_blocks", "silent_blocks", "ratio"), [(4, 0, 0.0), (3, 1, 0.25), (1, 3, 0.75), (0, 4, 1.0)]
)
def test_level_and_silence_are_by_blocks(sounding_blocks: int, silent_blocks: int, ratio: float) -> None:
    audio = np.concatenate([np.full(sounding_blocks * BLOCK, 0.1), np.full(silent_blocks * BLOCK, 5e-4)])
    assert silence_ratio(audio.astype(np.float32)) == ratio
    assert level_dbfs(audio.astype(np.float32)) == pytest.approx(-20.0 if sounding_blocks else -60.0, abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(gain_db=st.floats(-25, 10, allow_subnormal=False), seed=st.integers(0, 9))
def test_a_gain_moves_the_level_and_nothing_else(gain_db: float, seed: int) -> None:
    audio = np.random.default_rng(seed).normal(0, 0.1, 4 * BLOCK).astype(np.float32)
    louder = audio * np.float32(10 ** (gain_db / 20))
    change = activity(louder).minus(activity(audio))
    assert change.level_dbfs == pytest.approx(gain_db, abs=1e-3)
    assert (change.onsets_per_s, change.silence_ratio) == (0.0, 0.0)
    assert level_dbfs(levelled(louder)) == pytest.approx(-20.0, abs=1e-3)


def test_a_difference_is_against_the_truth() -> None:
    assert Activity(3.0, -20.0, 0.5).minus(Activity(2.0, -26.0, 0.75)) == Activity(1.0, 6.0, -0.25)


@pytest.mark.parametrize(
    ("audio", "says"),
    [
        (np.zeros((2, 100), np.float32), "mono"),
        (np.zeros(0, np.float32), "mono"),
        (np.zeros(100, np.int16), "mono"),
        (np.full(100, np.nan, np.float32), "NaN"),
        (np.full(100, np.inf, np.float32), "infinity"),
    ],
    ids=["stereo", "empty", "integers", "nan", "infinite"],
)
@pytest.mark.parametrize("judge", [activity, onset_times_s, level_dbfs, silence_ratio, levelled])
def test_what_is_no_clip_is_refused(judge: object, audio: np.ndarray, says: str) -> None:
    with pytest.raises(JudgeError, match=says):
        judge(audio)  # type: ignore[operator]
