# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The corpus check must see what is wrong: late audio, a wrong grid, a wrong chart. On audio synthesised here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anacrusis.benchmarks.corpus import Judged, checks, main, summary, table
from anacrusis.benchmarks.corpus_checks import (
    Alignment,
    ChordFit,
    alignment,
    beat_offset,
    chart_templates,
    chord_fit,
    note_onsets_s,
    rise_ms,
)
from anacrusis.train.song import QUALITIES, SAMPLE_RATE_HZ, STEMS, Beat, Chord, Note, Part, Song

Audio = NDArray[np.float32]
BEAT = round(60 / 110 * SAMPLE_RATE_HZ)
LENGTH = 20 * BEAT
CHART = ((0, "maj"), (9, "min7"), (5, "maj"), (7, "7"), (2, "min"))  # a bar each


def make_song() -> Song:
    """Five bars of 4/4: piano plays the chord on each beat, drums a stroke on each, and quieter between."""
    beats = tuple(Beat(at, i % 4 + 1) for i, at in enumerate(range(0, LENGTH, BEAT)))
    chords = tuple(Chord(4 * BEAT * i, 4 * BEAT * (i + 1), root, kind, root) for i, (root, kind) in enumerate(CHART))
    piano = tuple(
        Note(beat.position_samples, beat.position_samples + BEAT - 500, 48 + (chord.root + step) % 12, 80)
        for chord in chords
        for beat in beats[4 * chords.index(chord) : 4 * chords.index(chord) + 4]
        for step in sorted(QUALITIES[chord.quality])
    )
    strokes = tuple(Note(b.position_samples, b.position_samples + 2000, 36, 110) for b in beats)
    parts = {"piano": Part(0, tuple(sorted(piano))), "drums": Part(0, strokes)}
    return Song("x", "test", "rock", "c", 0, 110.0, 4, 0.5, 0, "major", LENGTH, beats, chords, (), parts)


def sound(part: Part, _stem: str = "", length: int = LENGTH, *, late_s: float = 0.0) -> Audio:
    """Decaying tones at the notes' pitches, so much late."""
    audio = np.zeros(length + SAMPLE_RATE_HZ, np.float32)
    time = np.arange(SAMPLE_RATE_HZ // 3) / SAMPLE_RATE_HZ
    for note in part.notes:
        hz = 440 * 2 ** ((note.pitch - 69) / 12)
        tone = note.velocity / 1270 * np.exp(-9 * time) * sum(np.sin(2 * np.pi * k * hz * time) / k for k in (1, 2, 3))
        at = note.start_samples + round(late_s * SAMPLE_RATE_HZ)
        audio[at : at + tone.size] += tone.astype(np.float32)
    return audio[:length]


SONG = make_song()
SILENCE = np.zeros(LENGTH, np.float32)


@pytest.mark.parametrize("late_s", [0.0, 0.04, 0.06])
@pytest.mark.parametrize("stem", ["piano", "drums"])
def test_late_audio_is_seen(stem: str, late_s: float) -> None:
    found = alignment(SONG, stem, sound(SONG.parts[stem], late_s=late_s))
    assert found.onsets == 20
    assert found.lag_ms == pytest.approx(late_s * 1e3, abs=15)
    assert found.contrast > 5
    assert found.hit_rate > 0.9 > 0.1 > found.by_chance
    assert (found.within_25_ms > 0.9) == (late_s < 0.02)


@pytest.mark.parametrize(
    "audio", [SILENCE, sound(Part(0, tuple(Note(3777 * i, 3777 * i + 99, 40 + i % 30, 90) for i in range(120))))]
)
def test_audio_of_other_notes_is_seen(audio: Audio) -> None:
    found = alignment(SONG, "piano", audio)
    assert found.contrast < 3
    assert found.hit_rate < 0.6


def test_a_stem_without_notes_has_no_alignment() -> None:
    found = alignment(SONG, "bass", SILENCE)
    assert found.onsets == 0
    assert np.isnan(found.contrast)


@pytest.mark.parametrize(
    ("starts_ms", "velocities", "expected_ms"),
    [
        ([0, 10, 25, 500], [80] * 4, [(0, 25), (500, 500)]),
        ([0, 30, 60, 90], [80] * 4, [(0, 90)]),
        ([0, 100, 200], [80, 20, 80], [(0, 0), (200, 200)]),
        ([0, 10], [20, 80], [(0, 10)]),
        ([], [], []),
    ],
    ids=["strum", "chain", "ghost", "loud in a group", "none"],
)
def test_notes_that_begin_together_are_one_onset(
    starts_ms: list[int], velocities: list[int], expected_ms: list[tuple[int, int]]
) -> None:
    notes = tuple(
        Note(at * 441 // 10, at * 441 // 10 + 9, 60 + i, v)
        for i, (at, v) in enumerate(zip(starts_ms, velocities, strict=True))
    )
    found = note_onsets_s(replace(SONG, parts={"piano": Part(0, notes)}), "piano")
    assert [(round(a * 1e3), round(b * 1e3)) for a, b in found] == expected_ms


@pytest.mark.parametrize("share", [-0.4, -0.25, 0.0, 0.1, 0.5])
def test_a_grid_that_is_off_is_seen(share: float) -> None:
    moved = tuple(replace(b, position_samples=b.position_samples - round(share * BEAT)) for b in SONG.beats)
    ms, found = beat_offset(replace(SONG, beats=moved), [sound(SONG.parts["drums"])])
    assert found == pytest.approx(share, abs=0.03)
    assert ms == pytest.approx(found * 60e3 / 110)


@pytest.mark.parametrize(
    ("quality", "bass", "expected"),
    [("maj", 2, {2, 6, 9}), ("min7", 2, {2, 5, 9, 0}), ("maj", 0, {0, 2, 6, 9}), ("5", 2, {2, 9})],
)
def test_a_template_holds_the_pitch_classes_where_the_chord_is(quality: str, bass: int, expected: set[int]) -> None:
    templates = chart_templates((Chord(2048, 6144, 2, quality, bass),), 5)
    assert [set(np.flatnonzero(column)) for column in templates.T] == [set(), expected, expected, set(), set()]
    assert np.array_equal(chart_templates((Chord(2048, 6144, 2, quality, bass),), 5, 2048)[:, 1:], templates[:, :-1])


def fourier_chroma(audio: Audio) -> NDArray[np.float64]:
    """Energy of each pitch class from 60 to 1,000 Hz: enough for these tones, and librosa takes seconds to load."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, 4096), 8192)[::2048]
    power = np.abs(np.fft.rfft(frames * np.hanning(8192), axis=1)) ** 2
    hz = np.fft.rfftfreq(8192, 1 / SAMPLE_RATE_HZ)
    use = (hz > 60) & (hz < 1000)
    classes = np.round(12 * np.log2(hz[use] / 440) + 69).astype(int) % 12
    return np.array([np.sqrt(power[:, use][:, classes == k].sum(axis=1)) for k in range(12)])


@pytest.fixture(scope="module")
def fit() -> ChordFit:
    return chord_fit(SONG, SILENCE, SILENCE, sound(SONG.parts["piano"]), fourier_chroma)


def test_the_right_chart_fits_best(fit: ChordFit) -> None:
    assert fit.best_key == 0
    assert fit.declared > 0.5 > fit.other_keys
    assert fit.declared > fit.moved + 0.2
    assert fit.moves == 1.0
    assert fit.beat_margin > 0


@pytest.mark.parametrize("wrong", ["key", "half a beat", "a bar"])
def test_a_wrong_chart_is_seen(wrong: str) -> None:
    later = {"key": 0, "half a beat": BEAT // 2, "a bar": 4 * BEAT}[wrong]
    chords = tuple(
        replace(
            c,
            root=(c.root + 5 * (wrong == "key")) % 12,
            start_samples=c.start_samples + later,
            end_samples=c.end_samples + later,
        )
        for c in SONG.chords
    )
    found = chord_fit(replace(SONG, chords=chords), SILENCE, SILENCE, sound(SONG.parts["piano"]), fourier_chroma)
    assert {"key": found.best_key != 0, "half a beat": found.beat_margin < 0, "a bar": found.moved > found.declared}[
        wrong
    ]


@pytest.mark.parametrize("late_s", [0.0, 0.02])
def test_what_a_program_takes_to_rise_is_measured(late_s: float) -> None:
    def render(part: Part, stem: str, length: int) -> Audio:
        return sound(part, stem, length, late_s=late_s)

    assert rise_ms(render, SONG, "piano") == pytest.approx((late_s * 1e3, late_s * 1e3), abs=8)


FITS = ChordFit(declared=0.6, other_keys=0.2, best_key=0, moved=0.3, moves=0.9, beat_margin=0.05)
ALIGNED = Alignment(50, 10.0, 12.0, 9.0, 0.95, 0.9, 0.05)
RIGHT = Judged("a", "rock", dict.fromkeys(STEMS, ALIGNED), dict.fromkeys(STEMS, (5.0, 10.0)), 5.0, 0.01, FITS, 0.8)
CORPUS = {"clipped_samples": 0}


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, None),
        ({"stems": {**RIGHT.stems, "bass": replace(ALIGNED, lag_ms=21.0)}}, "stems are aligned"),
        ({"stems": {**RIGHT.stems, "bass": replace(ALIGNED, contrast=3.0)}}, "stems are aligned"),
        ({"stems": {**RIGHT.stems, "bass": replace(ALIGNED, onsets=0)}}, "stems sound"),
        ({"beat_ms": 100.0, "beat_share": 0.2}, "beats are as declared"),
        ({"beat_ms": 250.0, "beat_share": 0.5}, None),
        ({"beat_ms": 250.0, "beat_share": 0.5, "chords": replace(FITS, beat_margin=-0.01)}, "beats are as declared"),
        ({"chords": replace(FITS, other_keys=0.7)}, "chords are as declared"),
        ({"chords": replace(FITS, moved=0.7)}, "chords are as declared"),
        ({"chords": replace(FITS, moved=0.7, moves=0.1)}, None),
        ({"chords": replace(FITS, declared=float("nan"))}, "chords are as declared"),
    ],
    ids=["right", "late", "faint", "silent", "grid", "off-beat", "chords too", "key", "bar", "one chord", "none"],
)
def test_one_wrong_song_among_three_is_a_miss(change: dict[str, Any], missed: str | None) -> None:
    judged = [RIGHT, RIGHT, replace(RIGHT, **change)]
    passed = checks(judged, CORPUS, True, 100.0)
    assert [name for name, one in passed.items() if not one] == ([missed] if missed else [])
    assert len(table(judged)) == 5
    assert summary(judged)["beats"]["on"] >= 2


def test_accents_off_the_beat_in_most_songs_are_a_miss() -> None:
    off = replace(RIGHT, beat_ms=250.0, beat_share=0.5)
    assert not checks([RIGHT, off, off], CORPUS, True, 100.0)["beats are as declared"]


@pytest.mark.parametrize(
    ("corpus", "same", "hour_s", "missed"),
    [
        ({"clipped_samples": 3}, True, 100.0, "nothing clips"),
        (CORPUS, False, 100.0, "the same seed gives the same hashes"),
        (CORPUS, True, 301.0, "an hour in under five minutes"),
    ],
)
def test_the_corpus_s_own_checks(corpus: dict[str, int], same: bool, hour_s: float, missed: str) -> None:
    passed = checks([RIGHT], corpus, same, hour_s)
    assert [name for name, one in passed.items() if not one] == [missed]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--soundfont", "nowhere.sf2"], "apt install fluid-soundfont-gm"),
        (["--songs", "0"], "say how much"),
    ],
)
def test_bad_input_is_one_line(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("outcome", [True, False])
def test_the_exit_status_says_whether_all_passed(
    outcome: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer: Callable[[Any], Any] = lambda options: ({"benchmark": "corpus"}, outcome)  # noqa: E731
    monkeypatch.setattr("anacrusis.benchmarks.corpus.run", answer)
    assert main([]) == (0 if outcome else 1)
    assert capsys.readouterr().out.startswith('{"records":1,"file":null')
