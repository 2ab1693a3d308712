# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Notes to roll and back: what is kept exactly, what is moved, and what a score counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.train.codec.roll import HOLD, ONSET, by_frame, to_notes, to_roll
from anacrusis.train.codec.rows import BASS, DRUMS, GROUPS, GUITAR, HOP_SAMPLES, PIANO, Group, Rows
from anacrusis.train.codec.scores import score
from anacrusis.train.song import Note

HOPS = 64


@st.composite
def songs_on_the_grid(draw: st.DrawFn) -> tuple[Group, tuple[Note, ...]]:
    """Notes that a roll can say: on hops, on rows, none overlapping another of its row."""
    group = draw(st.sampled_from(GROUPS))
    notes = []
    for pitch in draw(st.lists(st.sampled_from(group.pitches), max_size=5, unique=True)):
        edges = sorted(draw(st.lists(st.integers(0, HOPS), min_size=2, max_size=8, unique=True)))
        for start, end in zip(edges[::2], edges[1::2], strict=False):
            stop = start + 1 if group.rings else end
            velocity = draw(st.integers(1, 127))
            notes.append(Note(start * HOP_SAMPLES, stop * HOP_SAMPLES, pitch, velocity))
    return group, tuple(sorted(notes))


@given(songs_on_the_grid())
def test_what_lies_on_the_grid_comes_back_the_same(case: tuple[Group, tuple[Note, ...]]) -> None:
    group, notes = case
    assert to_notes(to_roll(notes, group, HOPS), group) == notes


@given(
    st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 9_000), st.integers(36, 88)), max_size=12),
    st.integers(0, 4 * HOP_SAMPLES),
)
@settings(max_examples=50)
def test_starts_move_by_at_most_half_a_hop(raw: list[tuple[int, int, int]], origin: int) -> None:
    notes = [Note(start, start + length, pitch, 80) for start, length, pitch in raw]
    found = to_notes(to_roll(notes, PIANO, HOPS, origin), PIANO, origin)
    for note in found:
        near = [n for n in notes if n.pitch == note.pitch and abs(n.start_samples - note.start_samples) <= 256]
        assert near, f"{note} comes from nowhere"
    for pitch, heard in {n.pitch: n for n in notes if n.start_samples >= origin + 256}.items():
        assert any(f.pitch == pitch and abs(f.start_samples - heard.start_samples) <= 256 for f in found)


def test_a_note_from_before_is_held_and_not_struck() -> None:
    roll = to_roll([Note(0, 10 * HOP_SAMPLES, 60, 100)], PIANO, 16, start_samples=4 * HOP_SAMPLES)
    assert roll[:, :, ONSET].sum() == 0
    assert roll[:, 60 - 36, HOLD].tolist() == [1.0] * 6 + [0.0] * 10


def test_of_two_on_one_cell_the_louder_is_kept() -> None:
    roll = to_roll([Note(0, 2000, 40, 30), Note(10, 900, 40, 90)], BASS, 8)
    assert roll[0, 12, ONSET] == np.float32(90 / 127)


def test_a_struck_again_key_ends_its_first_note() -> None:
    first, again = Note(0, 5 * HOP_SAMPLES, 50, 64), Note(3 * HOP_SAMPLES, 8 * HOP_SAMPLES, 50, 64)
    found = to_notes(to_roll([first, again], GUITAR, 16), GUITAR)
    assert [(n.start_samples // HOP_SAMPLES, n.end_samples // HOP_SAMPLES) for n in found] == [(0, 3), (3, 8)]


@pytest.mark.parametrize(
    ("group", "pitch", "row_pitch"),
    [
        pytest.param(BASS, 28, 28, id="lowest"),
        pytest.param(BASS, 27, 39, id="under"),
        pytest.param(BASS, 10, 34, id="far_under"),
        pytest.param(BASS, 56, 44, id="over"),
        pytest.param(PIANO, 108, 84, id="far_over"),
        pytest.param(GUITAR, 76, 76, id="highest"),
        pytest.param(DRUMS, 35, 36, id="other_kick"),
        pytest.param(DRUMS, 44, 42, id="pedal_hat"),
        pytest.param(DRUMS, 57, 49, id="other_crash"),
        pytest.param(DRUMS, 27, 75, id="unknown_drum"),
    ],
)
def test_every_pitch_has_a_row(group: Group, pitch: int, row_pitch: int) -> None:
    assert group.pitches[group.row_of(pitch)] == row_pitch


def test_rows_lie_one_after_another() -> None:
    rows = Rows()
    spans = [rows.span(group.stem) for group in rows.groups]
    assert [s.stop - s.start for s in spans] == [28, 16, 37, 53]
    assert [s.start for s in spans] == [0, 28, 44, 81]
    assert len(rows) == 134


def test_a_broken_frame_is_filled_up() -> None:
    assert by_frame(np.ones((9, 3, 2), np.float32)).shape == (2, 8, 3, 2)
    assert by_frame(np.ones((9, 3, 2), np.float32)).sum() == 9 * 6


@pytest.mark.parametrize(
    ("found", "f1", "exact"),
    [
        pytest.param([(4, 60), (20, 64)], 1.0, 1.0, id="same"),
        pytest.param([(5, 60), (19, 64)], 1.0, 0.0, id="a_hop_off"),
        pytest.param([(6, 60), (20, 64)], 0.5, 0.5, id="two_hops_off"),
        pytest.param([(4, 61), (20, 64)], 0.5, 0.5, id="wrong_pitch"),
        pytest.param([(4, 60)], 2 / 3, 2 / 3, id="missed"),
        pytest.param([(4, 60), (5, 60), (20, 64)], 0.8, 0.8, id="twice"),
        pytest.param([], 0.0, 0.0, id="silent"),
    ],
)
def test_f1_counts_notes(found: list[tuple[int, int]], f1: float, exact: float) -> None:
    truth, other = (
        to_roll([Note(t * HOP_SAMPLES, (t + 2) * HOP_SAMPLES, p, 80) for t, p in notes], PIANO, 32)
        for notes in ([(4, 60), (20, 64)], found)
    )
    result = score(truth, other)
    assert result.notes == 2
    assert result.f1 == pytest.approx(f1)
    assert result.exact_f1 == pytest.approx(exact)
