# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Chord symbols, skeletons and voicings, without a song. Not covered: how players use them (test_writer.py)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anacrusis.train import charts, theory
from anacrusis.train.song import QUALITIES, CorpusError
from anacrusis.train.theory import Symbol

CLASSES = st.integers(0, 11)
QUALITY = st.sampled_from(sorted(QUALITIES))
DEGREES = st.lists(CLASSES, min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("I", Symbol(0, "maj", 0)),
        ("ii7", Symbol(2, "min7", 2)),
        ("V7", Symbol(7, "7", 7)),
        ("bVII", Symbol(10, "maj", 10)),
        ("#ivo7", Symbol(6, "dim7", 6)),
        ("iim7b5", Symbol(2, "min7b5", 2)),
        ("I/3", Symbol(0, "maj", 4)),
        ("i/b7", Symbol(0, "min", 10)),
        ("V7sus4", Symbol(7, "7sus4", 7)),
        ("I+", Symbol(0, "aug", 0)),
    ],
)
def test_a_symbol_is_read(text: str, symbol: Symbol) -> None:
    assert theory.parse_symbol(text) == symbol


@pytest.mark.parametrize("text", ["", "H", "viii", "I/9", "Vsus", "bb7", "I V", "iI"])
def test_what_is_no_symbol_is_said_so(text: str) -> None:
    with pytest.raises(CorpusError, match="roman numeral"):
        theory.parse_symbol(text)


@pytest.mark.parametrize("flavour", charts.PROGRESSIONS)
def test_the_bank_can_be_read(flavour: str) -> None:
    for text in charts.PROGRESSIONS[flavour]:
        assert text[:3] in ("M: ", "m: ")
        assert len(charts.parse_phrase(text[3:])) in (2, 4, 8, 10, 12), text


@pytest.mark.parametrize(
    ("degrees", "skeleton"),
    [
        ([0, 7, 9, 5], (0, 7, 9, 5)),
        ([9, 5, 0, 7], (0, 7, 9, 5)),
        ([0, 0, 7, 7, 9, 9, 5, 5], (0, 7, 9, 5)),
        ([0, 5, 0, 5], (0, 5)),
        ([0, 7, 7, 0], (0, 7)),
        ([0, 0, 0], (0,)),
    ],
)
def test_a_skeleton_knows_only_the_loop_of_roots(degrees: list[int], skeleton: tuple[int, ...]) -> None:
    assert theory.root_skeleton(degrees) == skeleton


@given(DEGREES, st.integers(0, 11), st.integers(1, 3))
def test_a_skeleton_does_not_change_with_rotation_rate_or_repetition(degrees: list[int], by: int, times: int) -> None:
    by %= len(degrees)
    turned = degrees[by:] + degrees[:by]
    slower = [d for d in turned for _ in range(times)]
    assert theory.root_skeleton(slower * times) == theory.root_skeleton(degrees)


@given(CLASSES, QUALITY, st.integers(40, 60), st.sampled_from(("close", "drop2", "full", "octave")), st.integers(3, 5))
def test_a_voicing_is_the_chord_in_its_range(root: int, quality: str, low: int, shape: str, size: int) -> None:
    classes = theory.essential_tones(root, quality, size)
    chord = theory.voice(classes, (), low, low + 21, shape)
    after = theory.voice(classes, chord, low, low + 21, shape)
    for voicing in (chord, after):
        assert {p % 12 for p in voicing} == set(classes)
        assert low <= min(voicing) <= max(voicing) <= low + 21
        assert list(voicing) == sorted(set(voicing))


@given(CLASSES, CLASSES, QUALITY, QUALITY)
def test_a_voicing_moves_little(root: int, other: int, first: str, second: str) -> None:
    one = theory.voice(theory.essential_tones(root, first, 3), (), 50, 74, "close")
    two = theory.voice(theory.essential_tones(other, second, 3), one, 50, 74, "close")
    assert abs(sum(two) / len(two) - sum(one) / len(one)) <= 5.0


@given(CLASSES, QUALITY)
def test_a_grip_and_a_power_chord_stand_on_the_root(root: int, quality: str) -> None:
    grip = theory.barre(root, quality, 40, 70)
    tones = {(root + step) % 12 for step in QUALITIES[quality]}
    assert grip[0] % 12 == root
    assert {p % 12 for p in grip} <= tones
    assert 40 <= grip[0] <= 51
    assert max(grip) <= 70
    chord = theory.power(root, quality, 40)
    assert (chord[0] % 12, chord[-1] - chord[0]) == (root, 12)
    assert {p % 12 for p in chord} <= tones


@given(CLASSES, st.integers(24, 90))
def test_nearest_is_at_most_a_tritone_away(pitch_class: int, pitch: int) -> None:
    found = theory.nearest(pitch_class, pitch)
    assert found % 12 == pitch_class
    assert abs(found - pitch) <= 6


@given(CLASSES, QUALITY, st.sampled_from("3567"))
def test_a_chord_tone_is_of_the_chord(root: int, quality: str, step: str) -> None:
    assert (theory.chord_tone(root, quality, step) - root) % 12 in QUALITIES[quality]


@given(CLASSES, QUALITY, st.integers(2, 5))
def test_the_tones_that_tell_a_chord_keep_its_third(root: int, quality: str, count: int) -> None:
    tones = {(tone - root) % 12 for tone in theory.essential_tones(root, quality, count)}
    assert len(tones) <= count
    assert tones <= set(QUALITIES[quality])
    thirds = {3, 4} & set(QUALITIES[quality])
    assert thirds <= tones


@pytest.mark.parametrize(
    ("degree", "quality", "colour", "allowed"),
    [
        (0, "maj", "triad", {"maj"}),
        (7, "7", "triad", {"7"}),
        (0, "maj", "power", {"5"}),
        (2, "min7", "plain", {"min"}),
        (0, "maj", "suspended", {"maj", "sus2", "sus4"}),
        (7, "maj", "seventh", {"7", "maj7", "6"}),
        (2, "min", "extended", {"min7", "min9"}),
        (11, "dim7", "extended", {"dim7"}),
    ],
)
def test_a_colour_changes_the_quality_and_nothing_else(
    degree: int, quality: str, colour: str, allowed: set[str]
) -> None:
    chart = charts.Chart({"A": ((Symbol(degree, quality, 4),),) * 4})
    for seed in range(20):
        [phrase] = charts.coloured(chart, colour, np.random.default_rng(seed)).phrases.values()
        assert {s.quality for bar in phrase for s in bar} <= allowed
        assert len({s for bar in phrase for s in bar}) == 1
        assert phrase[0][0].degree == degree
        assert phrase[0][0].bass == 4
