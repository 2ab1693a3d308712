# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""MIDI: a song goes out and comes back, tempo maps are honoured, and no file of others' makes a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anacrusis.train.midi import by_family, merge_notes, read_score, song_of, write_midi
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, Beat, CorpusError, Note

from .tiny_soundfont import tiny_song

mido = pytest.importorskip("mido", reason="needs mido: pip install 'anacrusis[train]'")
TICKS = 480
SECOND = SAMPLE_RATE_HZ


def save(path: Path, *tracks: Sequence[Any], ticks: int = TICKS, kind: int = 1) -> Path:
    file = mido.MidiFile(type=kind, ticks_per_beat=ticks)
    file.tracks += [mido.MidiTrack(track) for track in tracks]
    file.save(path)
    return path


def on(note: int, time: int = 0, channel: int = 0, velocity: int = 90) -> Any:
    return mido.Message("note_on", note=note, velocity=velocity, channel=channel, time=time)


def off(note: int, time: int, channel: int = 0) -> Any:
    return mido.Message("note_off", note=note, channel=channel, time=time)


def program(number: int, channel: int) -> Any:
    return mido.Message("program_change", program=number, channel=channel)


def tempo(bpm: float, time: int = 0) -> Any:
    return mido.MetaMessage("set_tempo", tempo=round(60e6 / bpm), time=time)


def metre(numerator: int, denominator: int, time: int = 0) -> Any:
    return mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator, time=time)


def pickup(beats: tuple[Beat, ...]) -> tuple[Beat, ...]:
    return tuple(replace(b, number=(b.number + 1) % 4 + 1) for b in beats)


@pytest.mark.parametrize("shift", [0, 1, 4410], ids=["on time", "a sample late", "late"])
@pytest.mark.parametrize("renumber", [tuple, pickup], ids=["downbeat", "pickup"])
def test_a_song_comes_back_as_it_went(tmp_path: Path, shift: int, renumber: Any) -> None:
    song = tiny_song(seconds=6.0)
    first = song.beats[0].position_samples
    moved = renumber(tuple(replace(b, position_samples=b.position_samples - first + shift) for b in song.beats))
    song = replace(song, beats=moved)
    write_midi(song, tmp_path / "a.mid")
    back = song_of(read_score(tmp_path / "a.mid"), "a")
    for stem in STEMS:
        assert back.parts[stem].program == song.parts[stem].program
        for one, other in zip(back.parts[stem].notes, song.parts[stem].notes, strict=True):
            assert (one.pitch, one.velocity) == (other.pitch, other.velocity)
            assert one.start_samples == pytest.approx(other.start_samples, abs=3)
            assert one.end_samples == pytest.approx(other.end_samples, abs=3)
    mine = {b.number: b.position_samples for b in song.beats}
    for number in (1, 2, 3, 4):  # a bar before the first downbeat is numbered anew
        assert any(b.number == number and abs(b.position_samples - mine[number]) <= 23 for b in back.beats)
    assert back.tempo_bpm == pytest.approx(120.0, abs=0.01)
    back.validate()


def test_beats_that_drift_are_followed(tmp_path: Path) -> None:
    song = tiny_song(seconds=20.0)
    places = [4000]
    while places[-1] < song.length_samples - 2 * SECOND:
        places.append(round(places[-1] + 20000 + 2000 * (len(places) % 3)))
    song = replace(song, beats=tuple(Beat(at, i % 4 + 1) for i, at in enumerate(places)))
    write_midi(song, tmp_path / "a.mid")
    read = [b.position_samples for b in read_score(tmp_path / "a.mid").beats]
    assert all(min(abs(at - other) for other in read) <= 25 for at in places if at <= read[-1])


def test_the_tempo_map_is_honoured(tmp_path: Path) -> None:
    """A beat at 120, a beat at 60, then 240: seconds 0, 0.5, 1.5, 1.75. The map is on another track than the notes."""
    head = [tempo(120), tempo(60, TICKS), tempo(240, TICKS)]
    notes = [message for i in range(4) for message in (on(60 + i), off(60 + i, TICKS))]
    score = read_score(save(tmp_path / "a.mid", head, notes))
    starts = [n.start_samples / SECOND for n in score.voices[0].notes]
    assert starts == pytest.approx([0.0, 0.5, 1.5, 1.75], abs=1e-4)
    assert [round(b.position_samples / SECOND, 3) for b in score.beats][:4] == [0.0, 0.5, 1.5, 1.75]


@pytest.mark.parametrize(
    ("numerator", "denominator", "numbers", "second_beat_s"),
    [
        (4, 4, [1, 2, 3, 4, 1], 0.5),
        (3, 4, [1, 2, 3, 1, 2], 0.5),
        (2, 2, [1, 2, 1, 2, 1], 1.0),
        (6, 8, [1, 2, 1, 2, 1], 0.75),
        (12, 8, [1, 2, 3, 4, 1], 0.75),
        (3, 8, [1, 2, 3, 1, 2], 0.25),
        (5, 8, [1, 2, 3, 4, 5], 0.25),
    ],
)
def test_beats_of_a_metre(
    numerator: int, denominator: int, numbers: list[int], second_beat_s: float, tmp_path: Path
) -> None:
    score = read_score(save(tmp_path / "a.mid", [metre(numerator, denominator), on(60), off(60, TICKS * 12)]))
    assert [b.number for b in score.beats][:5] == numbers
    assert score.beats[1].position_samples == pytest.approx(second_beat_s * SECOND, abs=1)
    assert score.beats_per_bar == max(numbers)


def test_voices_become_parts_by_program_family(tmp_path: Path) -> None:
    played = {0: 33, 1: 27, 2: 5, 3: 48, 9: 8}  # bass, guitar, piano, strings (nobody's), drums
    tracks = [[program(p, c), on(60, channel=c), off(60, TICKS, c)] for c, p in played.items()]
    second_guitar = [program(30, 4), on(60, 10, 4), off(60, TICKS, 4), on(61, 0, 4), off(61, TICKS, 4)]
    parts = by_family(read_score(save(tmp_path / "a.mid", *tracks, second_guitar)))
    assert {stem: part.program for stem, part in parts.items()} == {"bass": 33, "guitar": 30, "piano": 5, "drums": 8}
    assert [n.pitch for n in parts["guitar"].notes] == [60, 60, 61]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([on(60), on(60, 100), off(60, 100), off(60, 100)], [(0, 100), (100, 300)]),
        ([on(60), on(60, 480, velocity=0)], [(0, 480)]),
        ([on(60), on(61, 10), off(61, 10)], [(0, 20), (10, 20)]),
        ([off(60, 10), on(60), off(60, 0)], [(10, None)]),
    ],
    ids=["struck again", "velocity 0 ends", "never ended", "no length"],
)
def test_notes_begin_and_end(messages: list[Any], expected: list[tuple[int, int | None]], tmp_path: Path) -> None:
    notes = read_score(save(tmp_path / "a.mid", messages)).voices[0].notes
    tick = SECOND / 2 / TICKS
    for note, (start, end) in zip(notes, expected, strict=True):
        assert note.start_samples == pytest.approx(start * tick, abs=1)
        last = note.start_samples + 1 if end is None else end * tick
        assert note.end_samples == pytest.approx(last, abs=1)


# A whole file whose only event is a key signature of one sharp, neither major nor minor.
NO_KEY = b"MThd\0\0\0\6\0\0\0\1\1\xe0" + b"MTrk\0\0\0\x0a" + b"\0\xff\x59\2\1\xff" + b"\0\xff\x2f\0"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: None, "cannot read"),
        (lambda f: f.write_bytes(b""), "cannot read"),
        (lambda f: f.write_bytes(b"RIFFxxxx"), "cannot read"),
        (lambda f: f.write_bytes(NO_KEY), "cannot read"),
        (lambda f: save(f, [on(60), off(60, 10)], kind=2), "type 2"),
        (lambda f: save(f, [on(60), off(60, 10)], ticks=-6400), "SMPTE"),
        (lambda f: save(f, [tempo(4), on(60), off(60, 268_435_455)], ticks=1), "hours long"),
        (lambda f: save(f, [tempo(4e6), on(60), off(60, 1_000_000)], ticks=1), "its metre is broken"),
    ],
    ids=["missing", "empty", "no midi", "no key", "type 2", "smpte", "endless", "too many beats"],
)
def test_a_bad_file_is_an_error_of_one_line(make: Any, said: str, tmp_path: Path) -> None:
    make(tmp_path / "bad.mid")
    with pytest.raises(CorpusError, match=said) as error:
        read_score(tmp_path / "bad.mid")
    assert "\n" not in str(error.value)
    assert "bad.mid" in str(error.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_broken_bytes_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    good = tmp_path / "good.mid"
    if not good.exists():
        write_midi(tiny_song(seconds=1.5), good)
    body = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    bad = tmp_path / "bad.mid"
    bad.write_bytes(body[: data.draw(st.integers(0, len(body)))])
    try:
        song = song_of(read_score(bad), "bad")
    except CorpusError:
        return
    song.validate()


NOTES = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 100), st.integers(60, 62), st.integers(1, 127)))


@given(NOTES, NOTES, st.integers(1, 350))
def test_merged_notes_never_overlap_and_keep_every_onset(
    a: list[tuple[int, int, int, int]], b: list[tuple[int, int, int, int]], length: int
) -> None:
    lines = [[Note(start, start + hold, pitch, velocity) for start, hold, pitch, velocity in line] for line in (a, b)]
    merged = merge_notes(*lines, length_samples=length)
    assert list(merged) == sorted(merged)
    onsets = {(n.start_samples, n.pitch) for line in lines for n in line if n.start_samples < length}
    assert {(n.start_samples, n.pitch) for n in merged} == onsets
    for pitch in (60, 61, 62):
        line = [n for n in merged if n.pitch == pitch]
        assert all(n.start_samples < n.end_samples <= length for n in line)
        assert all(first.end_samples <= then.start_samples for first, then in pairwise(line))
