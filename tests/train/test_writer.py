# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Songs as the writer makes them: valid, the same from a seed, split cleanly, and of parts that follow one another.

Not covered: how they sound.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.train import charts, theory
from anacrusis.train.humanise import Grid, perform, sway
from anacrusis.train.song import SAMPLE_RATE_HZ, SPLITS, STEMS, CorpusError, Note, Song
from anacrusis.train.styles.drums import FILLS
from anacrusis.train.styles.family import TICKS, VOICES, parse
from anacrusis.train.styles.plan import Hit
from anacrusis.train.writer import FAMILIES, write_song

NAMES = list(FAMILIES)
SEEDS = (1, 2, 3)
REGISTER = {"bass": (28, 55), "guitar": (40, 76), "piano": (36, 88)}
DRUM_KEYS = {*range(35, 52), 53, 54, 56, 69, 70, 75, 76}
PROGRAMS = {
    "bass": {32, 33, 34, 35, 36},
    "drums": {0, 8, 16, 24, 25, 32, 40},
    "guitar": {24, 25, 26, 27, 28, 29, 30},
    "piano": {0, 1, 2, 4, 5},
}
MARKS = {"drums": "xXgo", "bass": "12345678nax", "hand": "xXcdump123456", "low": "1583"}
family = pytest.mark.parametrize("name", NAMES)


@cache
def song(name: str, seed: int) -> Song:
    return write_song(seed, name, seconds=36.0)


def starts(notes: tuple[Note, ...]) -> np.ndarray:
    return np.array([note.start_samples for note in notes])


@family
def test_a_song_is_valid_and_whole(name: str) -> None:
    for seed in SEEDS:
        made = song(name, seed)
        made.validate()
        assert (made.name, made.family, made.seed, made.split) == (f"{name}-{seed}", name, seed, FAMILIES[name].split)
        assert 28.0 <= made.length_samples / SAMPLE_RATE_HZ <= 44.0
        assert set(made.parts) == set(STEMS)
        assert [c.start_samples for c in made.chords[1:]] == [c.end_samples for c in made.chords[:-1]]
        assert (made.chords[0].start_samples, made.chords[-1].end_samples) == (0, made.length_samples)
        assert all(c.start_samples < c.end_samples for c in made.chords)
        assert [b.number for b in made.beats] == [i % made.beats_per_bar + 1 for i in range(len(made.beats))]
        assert made.sections[-1].name == "end"
        assert Song.from_json(made.to_json()) == made


@family
def test_the_grid_is_exact(name: str) -> None:
    made = song(name, 1)
    at = np.array([beat.position_samples for beat in made.beats])
    ideal = at[0] + np.arange(len(at)) * 60.0 / made.tempo_bpm * SAMPLE_RATE_HZ
    assert np.abs(at - ideal).max() <= 1.0
    assert 0 <= at[0] <= 0.5 * SAMPLE_RATE_HZ
    downbeats = {beat.position_samples for beat in made.beats if beat.number == 1}
    assert {s.start_samples for s in made.sections} <= downbeats
    assert {c.start_samples for c in made.chords[1:]} <= set(at.tolist())


@family
def test_every_part_keeps_its_register_its_programs_and_one_note_a_pitch(name: str) -> None:
    for seed in SEEDS:
        for stem, part in song(name, seed).parts.items():
            assert part.program in PROGRAMS[stem]
            pitches = {note.pitch for note in part.notes}
            if stem == "drums":
                assert pitches <= DRUM_KEYS
            else:
                low, high = REGISTER[stem]
                assert low <= min(pitches) <= max(pitches) <= high
            ends: dict[int, int] = {}
            for note in part.notes:
                voice = 0 if stem == "bass" else note.pitch
                assert note.start_samples >= ends.get(voice, 0)
                ends[voice] = note.end_samples


@family
def test_guitar_and_piano_play_the_chords(name: str) -> None:
    inside = total = 0
    for seed in SEEDS:
        made = song(name, seed)
        edges = np.array([c.start_samples for c in made.chords])
        for stem in ("guitar", "piano"):
            for note in made.parts[stem].notes:
                middle = (note.start_samples + note.end_samples) // 2
                chord = made.chords[int(np.searchsorted(edges, middle, side="right")) - 1]
                length = note.end_samples - note.start_samples
                total += length
                inside += length * (note.pitch % 12 in chord.pitch_classes)
    assert inside / total >= 0.9


# These leave the downbeat free by nature: their root comes after it.
OFF_THE_BEAT = {"house": 0.5, "reggae": 0.5}


@family
def test_the_bass_is_on_the_root_where_chords_change(name: str) -> None:
    right = total = 0
    for seed in (*SEEDS, 4, 5):
        made = song(name, seed)
        notes = made.parts["bass"].notes
        at = starts(notes)
        for chord in made.chords[1:]:
            moment = chord.start_samples + round(0.1 * SAMPLE_RATE_HZ)
            i = int(np.searchsorted(at, moment, side="right")) - 1
            if i >= 0 and notes[i].end_samples > moment - round(0.06 * SAMPLE_RATE_HZ):
                total += 1
                right += notes[i].pitch % 12 == chord.bass
    assert total > 10
    assert right / total >= OFF_THE_BEAT.get(name, 0.7)


@family
def test_onsets_are_near_the_grid_and_not_on_it(name: str) -> None:
    made = song(name, 2)
    beats = np.array([beat.position_samples for beat in made.beats])
    near = 0.1 * 60.0 / made.tempo_bpm * SAMPLE_RATE_HZ
    for stem in STEMS:
        at = starts(made.parts[stem].notes)
        offsets = at - beats[np.abs(at[:, None] - beats).argmin(axis=1)]
        offsets = offsets[np.abs(offsets) < near] / SAMPLE_RATE_HZ
        assert len(offsets) > 5
        assert abs(np.median(offsets)) < 0.03
        assert 0.0005 < offsets.std() < 0.02


@pytest.mark.parametrize("name", [n for n in NAMES if FAMILIES[n].swing[0] > 0.53])
def test_swung_families_swing(name: str) -> None:
    found = []
    for seed in SEEDS:
        made = song(name, seed)
        unit = FAMILIES[name].swing_ticks / TICKS * 60.0 / made.tempo_bpm * SAMPLE_RATE_HZ
        inside = ((starts(made.parts["drums"].notes) - made.beats[0].position_samples) / unit) % 1.0
        off = inside[(inside > 0.42) & (inside < 0.76)]
        found.append(np.median(off) - made.swing)
    assert np.abs(found).max() < 0.08


@family
def test_parts_rest_and_return(name: str) -> None:
    """In some song of a family each of guitar and piano is silent for two bars, and none is silent all along."""
    rests = 0
    for seed in (*SEEDS, 4, 5, 6):
        made = song(name, seed)
        bar = made.beats_per_bar * 60.0 / made.tempo_bpm * SAMPLE_RATE_HZ
        for stem in STEMS:
            edges = np.array([0, *starts(made.parts[stem].notes), made.length_samples])
            rests += int((np.diff(edges) > 2.0 * bar).any())
            assert len(made.parts[stem].notes) >= 12, (seed, stem)
    assert rests >= 3


def bass_on_kick(bass: Song, drums: Song) -> float:
    kicks = np.array([n.start_samples for n in drums.parts["drums"].notes if n.pitch == VOICES["k"]])
    scale = bass.tempo_bpm / drums.tempo_bpm
    kicks = (kicks - drums.beats[0].position_samples) / scale + bass.beats[0].position_samples
    at = starts(bass.parts["bass"].notes)
    return float((np.abs(at[:, None] - kicks).min(axis=1) < 0.04 * SAMPLE_RATE_HZ).mean())


def test_the_bass_follows_its_own_kick_more_than_another_song_s() -> None:
    """Shares of bass notes with a kick: of the song itself, and of another of its family at its tempo."""
    more = {}
    for name in NAMES:
        songs = [song(name, seed) for seed in range(1, 7)]
        own = np.mean([bass_on_kick(one, one) for one in songs])
        other = np.mean([bass_on_kick(one, two) for one, two in zip(songs, songs[1:] + songs[:1], strict=True)])
        more[name] = own - other
    assert np.mean(list(more.values())) > 0.06
    assert min(more[name] for name in ("heavy", "hiphop", "rnb", "soul")) > 0.1


def test_families_are_many_and_split() -> None:
    assert len(NAMES) >= 28
    by_split = {split: [f for f in FAMILIES.values() if f.split == split] for split in SPLITS}
    assert 0.6 <= len(by_split["train"]) / len(NAMES) <= 0.8
    assert len(by_split["validation"]) >= 3
    assert len(by_split["test"]) >= 5
    for split in SPLITS:
        assert {f.beats_per_bar for f in by_split[split]} == {3, 4}
    assert any(f.swing[0] > 0.53 for f in by_split["test"])
    assert min(f.tempo_bpm[0] for f in FAMILIES.values()) == 70
    assert max(f.tempo_bpm[1] for f in FAMILIES.values()) == 160
    assert all(f.modes and set(f.modes) <= set(theory.MODES) for f in FAMILIES.values())


def test_no_phrase_of_a_split_is_heard_in_another() -> None:
    """Over eight songs a family; as degrees and qualities, and even as the bare loop of roots."""
    texts: dict[str, set[str]] = {split: set() for split in SPLITS}
    loops: dict[str, set[tuple[int, ...]]] = {split: set() for split in SPLITS}
    for name in NAMES:
        for seed in range(100, 108):
            made = write_song(seed, name, seconds=5.0)
            for phrase in made.chart.split("; "):
                text = phrase.split("=")[1]
                texts[made.split].add(text)
                degrees = [int(s.split(":")[0]) for bar in text.split() for s in bar.split(",")]
                loops[made.split].add(theory.root_skeleton(degrees))
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not texts[one] & texts[other]
        assert not loops[one] & loops[other]
    assert {split: len(found) > 20 for split, found in texts.items()} == dict.fromkeys(SPLITS, True)


def test_the_chart_is_what_the_chords_are() -> None:
    made = song("pop", 1)
    played = {s for phrase in made.about["played"].split("; ") for s in phrase.split("=")[1].replace(",", " ").split()}
    for chord in made.chords[:-1]:
        degree, bass = (chord.root - made.tonic) % 12, (chord.bass - made.tonic) % 12
        assert theory.Symbol(degree, chord.quality, bass).text() in played


def test_keys_modes_tempi_and_metres_vary() -> None:
    songs = [song(name, seed) for name in NAMES for seed in SEEDS]
    assert {s.tonic for s in songs} == set(range(12))
    assert len({s.mode for s in songs}) >= 5
    assert {mode for family in FAMILIES.values() for mode in family.modes} == set(theory.MODES)
    assert {s.beats_per_bar for s in songs} == {3, 4}
    for made in songs:
        low, high = FAMILIES[made.family].tempo_bpm
        assert low <= made.tempo_bpm <= high
    assert len({part.program for s in songs for stem, part in s.parts.items() if stem != "drums"}) >= 14


CODE = """
import hashlib
from anacrusis.train.writer import write_song
for name in ("pop", "swing", "son"):
    print(hashlib.sha256(write_song(7, name, seconds=30.0).to_json().encode()).hexdigest())
"""


def test_a_seed_is_a_song_in_every_process() -> None:
    here = [
        hashlib.sha256(write_song(7, name, seconds=30.0).to_json().encode()).hexdigest()
        for name in ("pop", "swing", "son")
    ]
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "99"},
    )
    assert done.stdout.split() == here
    assert write_song(7, "pop", seconds=30.0).to_json() != write_song(8, "pop", seconds=30.0).to_json()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 2**40), st.floats(5.0, 120.0))
def test_any_length_and_seed_makes_a_song(name: str, seed: int, seconds: float) -> None:
    made = write_song(seed, name, seconds=seconds, name="x")
    made.validate()
    assert made.name == "x"
    bar_s = made.beats_per_bar * 60.0 / made.tempo_bpm
    assert abs(made.length_samples / SAMPLE_RATE_HZ - seconds) <= 3.0 * bar_s + 1.0


@pytest.mark.parametrize(
    ("seed", "name", "seconds", "says"),
    [
        (0, "polka", 60.0, "families are pop"),
        (-1, "pop", 60.0, "seeds from 0"),
        (0, "pop", 1.0, "5 s or more"),
        (0, "pop", float("nan"), "5 s or more"),
    ],
)
def test_what_cannot_be_written_is_said(seed: int, name: str, seconds: float, says: str) -> None:
    with pytest.raises(CorpusError, match=says):
        write_song(seed, name, seconds=seconds)


@family
def test_the_patterns_are_in_the_notation(name: str) -> None:
    style = FAMILIES[name]
    beats = style.beats_per_bar
    assert style.fills in FILLS
    for groove in (*style.quiet, *style.loud):
        assert groove.bars(beats)
        for row in groove.rows:
            assert {s.mark for bar in parse(row[1:], beats) for s in bar} <= set(MARKS["drums"])
    lines = [(line, "bass") for line in style.bass]
    lines += [(row, kind) for c in (*style.guitar, *style.piano) for row, kind in ((c.hand, "hand"), (c.low, "low"))]
    for text, kind in lines:
        if text and text not in ("@lock", "@walk", "@kick", "@bass"):
            assert {s.mark for bar in parse(text, beats) for s in bar} <= set(MARKS[kind])


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("1---....", [(0, 24, "1")]),
        ("1.5-|--a-", [(0, 12, "1"), (24, 24, "5"), (24, 24, "a")]),
        ("x..x..x..x..", [(0, 4, "x"), (12, 4, "x"), (24, 4, "x"), (36, 4, "x")]),
    ],
)
def test_a_pattern_is_read(text: str, steps: list[tuple[int, int, str]]) -> None:
    assert [tuple(step) for bar in parse(text, 4) for step in bar] == steps


def test_a_bar_that_does_not_divide_is_said() -> None:
    with pytest.raises(CorpusError, match="does not divide 4 beats"):
        parse("x.x.x", 4)


HITS = st.lists(
    st.builds(
        Hit,
        st.integers(0, 200),
        st.integers(1, 60),
        st.integers(40, 44),
        st.floats(0.0, 1.2, allow_subnormal=False),
        st.floats(0, 25, allow_subnormal=False),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(HITS, st.floats(70, 160), st.floats(0.5, 0.67), st.booleans(), st.integers(0, 9))
def test_what_is_performed_never_overlaps(
    hits: list[Hit], tempo_bpm: float, swing: float, legato: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    grid = Grid(tempo_bpm, 0.2, swing)
    notes = perform(hits, grid, sway(20, 3.0, rng), place_ms=3.0, jitter_ms=5.0, legato=legato, rng=rng)
    assert list(notes) == sorted(notes)
    ends: dict[int, int] = {}
    for note in notes:
        lane = 0 if legato else note.pitch
        assert ends.get(lane, 0) <= note.start_samples < note.end_samples
        assert 1 <= note.velocity <= 127
        ends[lane] = note.end_samples


@given(st.floats(0.5, 0.67), st.sampled_from((6, 12)))
def test_swing_moves_only_what_lies_between(swing: float, unit: int) -> None:
    grid = Grid(120.0, 0.1, swing, unit)
    ticks = np.arange(-12.0, 60.0, unit)
    assert np.allclose(grid.seconds(ticks), 0.1 + ticks / TICKS * 0.5)
    half = grid.seconds(ticks + unit / 2) - grid.seconds(ticks)
    assert np.allclose(half, swing * unit / TICKS * 0.5)


def test_phrases_of_each_split_exist_in_the_bank() -> None:
    found = {charts.split_of(charts.parse_phrase(text[3:])) for bank in charts.PROGRESSIONS.values() for text in bank}
    assert found == set(SPLITS)
