# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Songs of others: charts as text and as chords, MIDI out of a WAD, which tunes are taken, what is said of the rest."""

from __future__ import annotations

import json
import shutil
import struct
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from anacrusis.benchmarks import outside
from anacrusis.benchmarks.outside_games import (
    SOURCES,
    STRETCH_SAMPLES,
    best_stretch,
    cut,
    game_songs,
    lumps,
    on_grid,
    stretch_of,
    tunes,
)
from anacrusis.benchmarks.outside_mma import CHARTS, SUFFIXES, Chart, bars_of, chords_of, mma_song, parse, score_text
from anacrusis.train.dataset import open_dataset
from anacrusis.train.midi import Score, write_midi
from anacrusis.train.song import QUALITIES, SAMPLE_RATE_HZ, STEMS, Beat, CorpusError, Note, Part, Song

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))

from tiny_soundfont import write_soundfont

mido = pytest.importorskip("mido", reason="MIDI files need mido: pip install 'anacrusis[train]'")

BEAT = SAMPLE_RATE_HZ // 2  # 120 beats a minute
PROGRAMS = {"bass": 33, "drums": 0, "guitar": 27, "piano": 0}
NO_MMA = pytest.mark.skipif(shutil.which("mma") is None, reason="MMA is not installed: apt install mma")


def song(beats: int = 160, stems: Sequence[str] = STEMS, late_samples: int = 0, beat_samples: int = BEAT) -> Song:
    """A note of each stem on every beat; the piano's pitches count them."""
    pitch = {"bass": 40, "drums": 36, "guitar": 60, "piano": 60}
    parts = {
        stem: Part(
            PROGRAMS[stem],
            tuple(
                Note(late_samples + i * beat_samples, late_samples + (i + 1) * beat_samples - 200, pitch[stem], 90)
                for i in range(beats)
            ),
        )
        for stem in stems
    }
    return Song(
        name="tune",
        split="test",
        family="midi",
        chart="tune",
        seed=0,
        tempo_bpm=60 * SAMPLE_RATE_HZ / beat_samples,
        beats_per_bar=4,
        swing=0.5,
        tonic=0,
        mode="unknown",
        length_samples=(beats + 2) * beat_samples,
        beats=tuple(Beat(i * beat_samples, i % 4 + 1) for i in range(beats)),
        chords=(),
        sections=(),
        parts=parts,
    )


def midi(tmp_path: Path, what: Song) -> bytes:
    file = tmp_path / "x.mid"
    write_midi(what, file)
    return file.read_bytes()


def wad(*entries: tuple[str, bytes]) -> bytes:
    body, directory = b"", b""
    for name, data in entries:
        directory += struct.pack("<ii8s", 12 + len(body), len(data), name.encode())
        body += data
    return struct.pack("<4sii", b"IWAD", len(entries), 12 + len(body)) + body + directory


def install(root: Path, *, freedoom: bytes, simutrans: Sequence[bytes] = (), openmsx: Sequence[bytes] = ()) -> None:
    """The packages' files below root."""
    games = root / "usr/share/games"
    for folder in ("doom", "simutrans/music", "openttd/baseset/openmsx"):
        (games / folder).mkdir(parents=True)
    (games / "doom/freedoom1.wad").write_bytes(freedoom)
    for folder, found in (("simutrans/music", simutrans), ("openttd/baseset/openmsx", openmsx)):
        for index, data in enumerate(found):
            (games / folder / f"tune{index}.mid").write_bytes(data)


# -- charts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "semitones", "moved"),
    [("C", 2, "D"), ("F#m7b5", 1, "Gm7b5"), ("Bbdim7", -1, "Adim7"), ("BM7", 1, "CM7"), ("Db9", -1, "C9")],
)
def test_a_chord_moves(text: str, semitones: int, moved: str) -> None:
    assert parse(text).moved(semitones).text == moved


@pytest.mark.parametrize("text", ["", "H", "Cfoo", "c", "7"])
def test_what_is_no_chord_is_refused(text: str) -> None:
    with pytest.raises(CorpusError, match="no chord"):
        parse(text)


def test_a_chart_is_one_thing_for_mma_and_for_the_judge() -> None:
    chart = Chart("x", "8Beat", 120, 0, "major", "C C Am,F G7")
    bars = bars_of(chart, 2)
    assert len(bars) % 4 == 0
    assert 50.0 <= len(bars) * 2.0 < 58.0
    lines = score_text(chart, bars, 7).splitlines()
    assert lines[:7] == ["RndSeed 7", "Tempo 120", "Groove 8Beat", "1 D", "2 D", "3 Bm / G /", "4 A7"]
    chords = list(chords_of(chart, bars))
    assert [(c.start_samples / SAMPLE_RATE_HZ, c.root, c.quality) for c in chords[:4]] == [
        (0.0, 2, "maj"),
        (4.0, 11, "min"),
        (5.0, 7, "maj"),
        (6.0, 9, "7"),
    ]
    assert all(a.end_samples == b.start_samples for a, b in pairwise(chords))
    assert chords[-1].end_samples == len(bars) * 2 * SAMPLE_RATE_HZ


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_every_chart_can_be_read_in_every_key(chart: Chart) -> None:
    assert set(SUFFIXES.values()) <= set(QUALITIES)
    for semitones in (-5, 0, 6):
        bars = bars_of(chart, semitones)
        assert {len(bar) for bar in bars} <= {1, 2}
        (first, *_) = chords_of(chart, bars)
        assert first.root == (parse(chart.bars.split()[0].split(",")[0]).root + semitones) % 12


def test_mma_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(CorpusError, match="apt install mma"):
        mma_song(CHARTS[0], 0, 1)


@NO_MMA
def test_mma_plays_the_chart_on_its_beats() -> None:
    found = mma_song(CHARTS[0], 0, 1)
    assert found == mma_song(CHARTS[0], 0, 1)
    assert found.seed != mma_song(CHARTS[0], 0, 2).seed
    found.validate()
    assert set(found.parts) == set(STEMS)
    assert on_grid(found.parts["drums"].notes, found.beats) > 0.9
    beat_samples = 60 * SAMPLE_RATE_HZ / found.tempo_bpm
    assert all(abs(beat.position_samples - i * beat_samples) < 100 for i, beat in enumerate(found.beats))
    for note in found.parts["guitar"].notes:
        at = note.start_samples + round(beat_samples / 4)
        (chord,) = [c for c in found.chords if c.start_samples <= at < c.end_samples]
        assert note.pitch % 12 in chord.pitch_classes


@NO_MMA
def test_a_groove_that_mma_does_not_know_is_one_line() -> None:
    with pytest.raises(CorpusError, match="does not play groove NoSuchGroove") as found:
        mma_song(replace(CHARTS[0], groove="NoSuchGroove"), 0, 1)
    assert "\n" not in str(found.value)


# -- games ---------------------------------------------------------------------------------------------------------


def test_only_midi_is_taken_from_a_wad() -> None:
    data = wad(("E1M1", b"map"), ("D_E1M1", b"MThd12"), ("D_MUS", b"MUS\x1a"), ("MARK", b""), ("D_E1M2", b"MThd34"))
    assert list(lumps(data, "x.wad")) == [("D_E1M1", b"MThd12"), ("D_E1M2", b"MThd34")]


@pytest.mark.parametrize(
    "data",
    [b"", b"IWAD", b"ZIP!" + bytes(8), struct.pack("<4sii", b"IWAD", 1, 12), struct.pack("<4sii", b"PWAD", -1, 0)],
    ids=["empty", "short", "other", "no directory", "negative"],
)
def test_what_is_no_wad_is_refused(data: bytes) -> None:
    with pytest.raises(CorpusError, match="not a WAD"):
        list(lumps(data, "x.wad"))


def test_the_same_bytes_twice_are_one_tune(tmp_path: Path) -> None:
    install(tmp_path, freedoom=wad(("D_A", b"MThd1"), ("D_B", b"MThd1"), ("D_C", b"MThd2")))
    assert [tune.name for tune in tunes(SOURCES[0], tmp_path)] == ["freedoom-freedoom1-d_a", "freedoom-freedoom1-d_c"]


@pytest.mark.parametrize(
    ("what", "taken"),
    [
        pytest.param(song(), True, id="fits"),
        pytest.param(song(stems=("bass", "drums", "piano")), False, id="no guitar"),
        pytest.param(song(beats=60), False, id="short"),
        pytest.param(song(late_samples=BEAT // 8), False, id="off its grid"),
        pytest.param(song(beat_samples=SAMPLE_RATE_HZ // 4, beats=300), False, id="240 BPM"),
        pytest.param(replace(song(), beats_per_bar=5), False, id="five beats"),
    ],
)
def test_a_tune_is_taken_where_its_beats_can_be_trusted(tmp_path: Path, what: Song, taken: bool) -> None:
    install(tmp_path, freedoom=wad(("D_A", midi(tmp_path, what))))
    (tune,) = tunes(SOURCES[0], tmp_path)
    found = stretch_of(tune)
    assert (found is not None) is taken
    if found is not None:
        found.validate()
        assert found.length_samples == STRETCH_SAMPLES
        assert found.beats[0] == Beat(0, 1)
        assert all(part.notes[0].start_samples == 0 for part in found.parts.values())


def test_the_stretch_is_where_the_stem_that_rests_plays() -> None:
    whole = song()
    late = tuple(note for note in whole.parts["piano"].notes if note.start_samples >= 41 * BEAT)
    parts = {**whole.parts, "piano": Part(0, late)}
    score = Score((), whole.beats, 120.0, 4, whole.length_samples)
    first, fewest = best_stretch(parts, score)
    assert first == 44 * BEAT  # the first downbeat from which it plays on every beat
    assert fewest in (36, 37)  # of 110 beats, in thirds


def test_a_cut_keeps_what_begins_inside() -> None:
    whole = song()
    found = cut(whole, 8 * BEAT + 100, 4 * BEAT)
    assert [beat.number for beat in found.beats] == [2, 3, 4, 1]
    assert [note.start_samples for note in found.parts["bass"].notes] == [i * BEAT - 100 for i in range(1, 5)]
    assert found.parts["bass"].notes[-1].end_samples == 4 * BEAT
    found.validate()


def test_a_cut_leaves_notes_in_order() -> None:
    """Of two that begin together the shorter comes first; cut to one length, the lower."""
    notes = (Note(100, 5000, 70, 80), Note(100, 6000, 60, 80))
    found = cut(replace(song(), parts={"piano": Part(0, notes)}), 0, 4000)
    assert [note.pitch for note in found.parts["piano"].notes] == [60, 70]
    found.validate()


@pytest.mark.parametrize(
    ("late_samples", "share"),
    [(0, 1.0), (BEAT // 4, 1.0), (BEAT // 3, 1.0), (BEAT // 2 + 400, 1.0), (BEAT // 8, 0.0), (-BEAT // 8, 0.0)],
)
def test_the_grid_has_sixteenths_and_triplets(late_samples: int, share: float) -> None:
    beats = song().beats
    notes = [
        Note(beat.position_samples + late_samples, beat.position_samples + late_samples + 9, 40, 9)
        for beat in beats[1:-1]
    ]
    assert on_grid(notes, beats) == share


def test_sources_take_turns_and_broken_files_are_passed_over(tmp_path: Path) -> None:
    tune = [midi(tmp_path, song(beats=160 + i)) for i in range(5)]
    root = tmp_path / "root"
    install(
        root, freedoom=wad(("D_A", tune[0]), ("D_B", b"MThdbroken")), simutrans=tune[1:4], openmsx=[b"no midi", tune[4]]
    )
    found = game_songs(4, 1, root)
    assert [one.family for one in found] == ["freedoom", "simutrans", "openmsx", "simutrans"]
    assert found == game_songs(4, 1, root)
    assert {one.name for one in game_songs(2, 1, root)} <= {one.name for one in found}
    assert all(by in STEMS for one in found for by in one.parts)
    assert [one.family for one in game_songs(3, 1, root, lambda one: one.family != "openmsx")] == [
        "freedoom",
        "simutrans",
        "simutrans",
    ]
    with pytest.raises(CorpusError, match="have 5 songs"):
        game_songs(9, 1, root)


def test_an_impossible_key_signature_is_passed_over(tmp_path: Path) -> None:
    data = midi(tmp_path, song())
    at = data.index(b"\xff\x58\x04")  # a time signature: of the same length as this key signature and a text
    broken = data[:at] + b"\xff\x59\x02\x01\xff\x00\xff" + data[at + 7 :]
    install(tmp_path, freedoom=wad(("D_A", broken)))
    assert stretch_of(tunes(SOURCES[0], tmp_path)[0]) is None


@pytest.mark.parametrize(
    ("every", "trusted"), [pytest.param(1, True, id="the beats"), pytest.param(4, False, id="a quarter of them")]
)
def test_a_song_whose_beats_are_not_heard_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, every: int, trusted: bool
) -> None:
    pytest.importorskip("mir_eval", reason="pip install 'anacrusis[judge]'")
    what = song(beats=80)
    heard_s = np.array([beat.position_samples for beat in what.beats[::every]]) / SAMPLE_RATE_HZ

    class Silence:
        def stem(self, part: Part, stem: str, length_samples: int) -> np.ndarray:
            assert (part, stem) == (what.parts["drums"], "drums")
            return np.zeros(length_samples, np.float32)

    monkeypatch.setattr(outside, "Renderer", Silence)
    monkeypatch.setattr(outside, "beats", lambda audio: heard_s)
    judge = outside.HeardBeats()
    assert judge(what) is trusted
    assert list(judge.passed_over) == ([] if trusted else ["tune"])


# -- the command ---------------------------------------------------------------------------------------------------


def test_every_missing_package_is_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert outside.main(["--out", str(tmp_path / "out")], root=tmp_path) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "apt install mma; " in told
    assert "apt install freedoom simutrans-data openttd-openmsx" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("plan", "force", "message"),
    [
        pytest.param(None, True, "not empty", id="a stranger"),
        pytest.param({"seed": 1}, True, "other songs", id="our writer's corpus"),
        pytest.param({"kind": "outside", "seed": 2}, False, "--force", id="another seed"),
        pytest.param({"kind": "outside", "seed": 2}, True, None, id="forced"),
        pytest.param({"kind": "outside", "seed": 1}, False, None, id="the same"),
    ],
)
def test_a_folder_is_claimed_once(
    tmp_path: Path, plan: dict[str, object] | None, force: bool, message: str | None
) -> None:
    name = "stranger.txt" if plan is None else "plan.json"
    (tmp_path / name).write_text(json.dumps(plan, sort_keys=True) + "\n")
    wanted = {"kind": "outside", "seed": 1}
    if message is None:
        outside.claim(tmp_path, wanted, force)
        assert json.loads((tmp_path / "plan.json").read_text()) == wanted
    else:
        with pytest.raises(CorpusError, match=message):
            outside.claim(tmp_path, wanted, force)


def test_what_is_written_is_what_the_ear_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tinysoundfont", reason="pip install --no-deps -r train/renderer.txt")
    presets = ((0, 0), (0, 27), (0, 33), (128, 0))
    monkeypatch.setenv("ANACRUSIS_SOUNDFONT", str(write_soundfont(tmp_path / "tiny.sf2", presets)))
    songs = [replace(song(beats=8), name=name, family=name) for name in ("mma-a", "openmsx-b")]
    record = outside.write_outside(tmp_path / "out", songs, {"seed": 1, "count": 2}, {"openmsx-c": 0.4})
    tracks = open_dataset(tmp_path / "out", "test")
    assert [track.song for track in tracks] == songs
    assert [track.length_samples for track in tracks] == [one.length_samples for one in songs]
    assert all(tracks[0].stem(stem).any() for stem in STEMS)
    assert record["kind"] == "outside"
    assert record["passed_over_beat_f1"] == {"openmsx-c": 0.4}
    assert "simutrans-data" in (tmp_path / "out" / "NOTICE").read_text()
