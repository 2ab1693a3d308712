# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Rhythm against onsets that were put on a grid, off it, and anywhere; the beat tracker against clicks."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.benchmarks.judges.onsets import Onsets
from anacrusis.benchmarks.judges.packages import INSTALL, JudgeError
from anacrusis.benchmarks.judges.rhythm import beat_f1, context_lock, grid_fit, grid_phase

LENGTH_S = 20.0
LATE_S = 1804 / 44100


def beats_of(tempo_bpm: float) -> np.ndarray:
    return np.arange(0, LENGTH_S + 60 / tempo_bpm, 60 / tempo_bpm)


def at(times_s: np.ndarray, strengths: np.ndarray | None = None) -> Onsets:
    times = np.sort(np.asarray(times_s, np.float64))
    times = times[(times >= 0) & (times < LENGTH_S)]
    return Onsets(times, np.ones(len(times)) if strengths is None else strengths[: len(times)], LENGTH_S)


def on_grid(tempo_bpm: float, parts: tuple[float, ...], late_s: float = 0.0) -> Onsets:
    grid = beats_of(tempo_bpm)[:-1]
    return at((grid[:, None] + np.array(parts) * 60 / tempo_bpm).ravel() + late_s)


EIGHTHS, SWUNG, SIXTEENTHS = (0, 0.5), (0, 2 / 3), (0, 0.25, 0.5, 0.75)


@pytest.mark.parametrize("tempo_bpm", [70, 120, 160])
@pytest.mark.parametrize(
    ("parts", "swing"),
    [((0,), 0.5), (EIGHTHS, 0.5), (SIXTEENTHS, 0.5), (SWUNG, 2 / 3), ((0, 1 / 3, 2 / 3), 2 / 3)],
    ids=["beats", "eighths", "sixteenths", "swung", "triplets"],
)
def test_on_the_grid_is_all_right_and_late_is_less(tempo_bpm: float, parts: tuple[float, ...], swing: float) -> None:
    grid = beats_of(tempo_bpm)
    true = grid_fit(on_grid(tempo_bpm, parts), grid, swing)
    late = grid_fit(on_grid(tempo_bpm, parts, LATE_S), grid, swing)
    assert true.share == pytest.approx(1)
    assert true.offset_ms == pytest.approx(0, abs=1e-6)
    assert true.lock > late.lock + 0.03
    assert true.share > late.share + 1


def test_the_measures_rank_true_late_and_anything() -> None:
    grid = beats_of(105)
    anything = [at(np.random.default_rng(seed).uniform(0, LENGTH_S, 70)) for seed in range(8)]
    locks = [grid_fit(onsets, grid).lock for onsets in anything]
    shares = [grid_fit(onsets, grid).share for onsets in anything]
    true, late = (grid_fit(on_grid(105, EIGHTHS, late_s), grid) for late_s in (0.0, LATE_S))
    assert true.lock > late.lock > max(locks)
    assert true.share > max(shares)
    assert np.mean(locks) == pytest.approx(0, abs=0.1)
    assert np.mean(shares) == pytest.approx(0, abs=0.15)


def test_swung_notes_do_not_fit_a_straight_grid() -> None:
    swung = on_grid(100, SWUNG)
    assert grid_fit(swung, beats_of(100), 2 / 3).share > grid_fit(swung, beats_of(100), 0.5).share + 0.4


@settings(deadline=None, max_examples=40)
@given(tempo_bpm=st.floats(70, 160), part=st.floats(-0.95, 0.95, allow_subnormal=False))
def test_the_offset_is_how_late_it_is(tempo_bpm: float, part: float) -> None:
    late_s = part * 60 / tempo_bpm / 8  # within half a sixteenth
    fit = grid_fit(on_grid(tempo_bpm, SIXTEENTHS, late_s), beats_of(tempo_bpm))
    assert fit.offset_ms == pytest.approx(1000 * late_s, abs=1e-6)


def test_strong_onsets_count_more() -> None:
    times = np.sort(np.concatenate([beats_of(60)[:12], beats_of(60)[:12] + 0.125]))  # beats and, 125 ms late, others
    beat, other = np.tile([1.0, 0.1], 12), np.tile([0.1, 1.0], 12)
    assert grid_fit(at(times, beat), beats_of(60)).share > grid_fit(at(times, other), beats_of(60)).share + 0.9


@pytest.mark.parametrize(
    ("time_s", "swing", "phase", "beat_s"),
    [
        (0.0, 0.5, 0.0, 1.0),
        (0.25, 0.5, 0.25, 1.0),
        (0.75, 0.75, 0.5, 1.0),  # where the swing puts the second eighth
        (1.375, 0.75, 0.25, 1.0),
        (1.875, 0.75, 0.75, 1.0),
        (2.0, 0.5, 0.0, 2.0),  # the last beat is twice as long
        (3.0, 0.25, 2 / 3, 2.0),
    ],
)
def test_phase_is_of_the_beat_it_falls_in(time_s: float, swing: float, phase: float, beat_s: float) -> None:
    found = grid_phase(np.array([time_s]), np.array([0.0, 1.0, 2.0, 4.0]), swing)
    assert [float(value[0]) for value in found] == pytest.approx([phase, beat_s])


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_few_onsets_are_no_rhythm(count: int) -> None:
    few = at(np.arange(count) * 0.5)
    fit = grid_fit(few, beats_of(120))
    assert np.isnan([fit.lock, fit.share, fit.offset_ms]).all()
    assert np.isnan(context_lock(few, on_grid(120, EIGHTHS)))
    assert np.isnan(context_lock(on_grid(120, EIGHTHS), few))


def test_context_lock_is_a_correlation() -> None:
    rng = np.random.default_rng(3)
    one, other = (at(rng.uniform(0, LENGTH_S, 50)) for _ in range(2))
    late = Onsets(one.times_s + LATE_S, one.strengths, LENGTH_S + 1)
    assert context_lock(one, one) == pytest.approx(1)
    assert context_lock(one, other) == pytest.approx(context_lock(other, one))
    assert context_lock(one, one) > context_lock(one, late) > context_lock(one, other)


TIMES = st.lists(st.integers(0, 600), min_size=1, max_size=30, unique=True).map(lambda t: np.sort(t) * 0.25)


@settings(deadline=None, max_examples=40)
@given(estimated=TIMES, true=TIMES, shift_ms=st.integers(0, 69))
def test_f1_is_a_score(estimated: np.ndarray, true: np.ndarray, shift_ms: int) -> None:
    pytest.importorskip("mir_eval", reason="needs mir_eval: pip install -e '.[judge]'")
    common = len(np.intersect1d(estimated, true))
    assert beat_f1(estimated, true) == pytest.approx(2 * common / (len(estimated) + len(true)))
    assert beat_f1(true + shift_ms / 1000, true) == 1
    assert beat_f1(true + shift_ms / 1000, true, 0.035) == (shift_ms <= 35)


def test_f1_without_beats() -> None:
    pytest.importorskip("mir_eval", reason="needs mir_eval: pip install -e '.[judge]'")
    assert beat_f1(np.zeros(0), np.array([1.0, 2.0])) == 0
    assert np.isnan(beat_f1(np.array([1.0]), np.zeros(0)))


@pytest.mark.parametrize(
    ("beats_s", "swing", "says"),
    [
        (np.array([1.0]), 0.5, "two beats"),
        (np.array([1.0, 1.0]), 0.5, "rise"),
        (np.array([2.0, 1.0]), 0.5, "rise"),
        (np.array([0.0, np.nan]), 0.5, "rise"),
        (np.array([0.0, 1.0]), 1.0, "swing"),
    ],
    ids=["one", "twice", "backwards", "nan", "no swing"],
)
def test_what_is_no_grid_is_refused(beats_s: np.ndarray, swing: float, says: str) -> None:
    with pytest.raises(JudgeError, match=says):
        grid_fit(on_grid(120, EIGHTHS), beats_s, swing)


@pytest.mark.parametrize("tempo_bpm", [96, 140])
def test_the_tracker_finds_clicks(tempo_bpm: float) -> None:
    for package in ("madmom", "BeatNet", "torch", "mir_eval"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}: {INSTALL}")
    from anacrusis.benchmarks.judges.beats import beats

    grid = beats_of(tempo_bpm)[:-1]
    audio = np.zeros(round(LENGTH_S * 44100), np.float32)
    click = (np.random.default_rng(0).normal(0, 0.3, 2000) * np.exp(-np.arange(2000) / 300)).astype(np.float32)
    for time_s in grid[grid < LENGTH_S - 0.1]:
        audio[round(time_s * 44100) :][:2000] += click
    found = beats(audio)
    assert np.array_equal(found, beats(audio))  # a clip does not hear the one before
    assert beat_f1(found, grid[grid < LENGTH_S], 0.035) > 0.9
