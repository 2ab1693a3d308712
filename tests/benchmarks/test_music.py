# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The ear on songs of clicks, through the bundle that copies: what is known exactly must score exactly."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.benchmarks import music
from anacrusis.benchmarks.music_clips import LATE_SAMPLES, Excerpt, MusicError, choose, excerpt, known, plain_anchors
from anacrusis.benchmarks.music_codec import round_trip
from anacrusis.benchmarks.music_hear import Memory, Sound
from anacrusis.benchmarks.music_live import noise_seed, parse_pace, players
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, Part

sys.path.insert(0, str(Path(__file__).parent))  # a spawned process finds it there as well

from music_fakes import PERIOD_SAMPLES, ClickEar, ClickTrack, click_song, click_tracks

CUT = Excerpt(start_samples=20_000, warm_up_samples=262_144, scored_samples=100_000)


# -- which songs, which seconds ------------------------------------------------------------------------------------


def test_fewer_songs_are_the_first_of_more() -> None:
    tracks = click_tracks(8)
    names = [track.name for track in choose(tracks, 8, 1000, STEMS, 3)]
    assert sorted(names) == [f"song{i}" for i in range(8)]
    assert [track.name for track in choose(tracks[::-1], 5, 1000, STEMS, 3)] == names[:5]
    assert [track.name for track in choose(tracks, 8, 1000, STEMS, 4)] != names


@pytest.mark.parametrize(
    ("count", "songs", "shortest_s", "message"),
    [(1, 40, 5.0, "at least 2"), (3, 1, 5.0, "at least 2"), (3, 40, 60.0, "0 of 3 songs last 60.0 s")],
)
def test_a_floor_needs_another_song(count: int, songs: int, shortest_s: float, message: str) -> None:
    with pytest.raises(MusicError, match=message):
        choose(click_tracks(count), songs, round(shortest_s * SAMPLE_RATE_HZ), STEMS, 1)


def test_a_song_without_the_stem_is_passed_over() -> None:
    tracks = click_tracks(3)
    tracks[1].song.parts["bass"] = Part(0, ())
    assert {track.name for track in choose(tracks, 9, 1000, ["bass"], 1)} == {"song0", "song2"}
    assert len(choose(tracks, 9, 1000, ["piano"], 1)) == 3


def test_the_excerpt_is_where_the_stem_plays() -> None:
    song = click_song("rests", 60.0, 0)
    for stem in STEMS:  # plays in its last third only
        song.parts[stem] = Part(0, tuple(n for n in song.parts[stem].notes if n.start_samples > 40 * SAMPLE_RATE_HZ))
    cut = excerpt(ClickTrack(song), 8 * SAMPLE_RATE_HZ, 1)
    assert cut.start_samples + cut.length_samples <= song.length_samples
    assert cut.scored_start_samples + cut.scored_samples > 45 * SAMPLE_RATE_HZ
    assert excerpt(ClickTrack(song), 8 * SAMPLE_RATE_HZ, 1) == cut


# -- anchors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", STEMS)
def test_anchors_are_what_they_say(stem: str) -> None:
    first, second = click_tracks(2)
    other_cut = Excerpt(5_000, 262_144, 100_000)
    anchors = plain_anchors(first, stem, CUT, second, other_cut)
    assert all(audio.shape == (100_000,) for audio in anchors.values())
    whole = first.stem(stem)
    start = CUT.scored_start_samples
    np.testing.assert_array_equal(anchors["ceiling"], whole[start : start + 100_000])
    np.testing.assert_array_equal(anchors["late"], whole[start - 1804 : start - 1804 + 100_000])
    np.testing.assert_array_equal(anchors["late"][LATE_SAMPLES:], anchors["ceiling"][:-LATE_SAMPLES])
    np.testing.assert_array_equal(anchors["floor"], second.stem(stem)[267_144:367_144])
    beside = STEMS[(STEMS.index(stem) + 1) % 4]
    np.testing.assert_array_equal(anchors["instrument"], first.stem(beside)[start : start + 100_000])


def test_truths_are_counted_from_the_scored_region() -> None:
    (track, _) = click_tracks(2)
    truths = known(track, "bass", CUT)
    audio = track.stem("bass", CUT.scored_start_samples, CUT.scored_samples)
    np.testing.assert_array_equal(np.round(truths.beats_inside_s * SAMPLE_RATE_HZ), np.flatnonzero(audio))
    assert truths.beats_s[0] < 0 < truths.beats_inside_s[0]
    assert truths.start_samples == 282_144


@pytest.mark.parametrize("count", [0, 2])
def test_a_bundle_s_codec_needs_one_bundle(count: int, tiny: Path) -> None:
    assert round_trip("none", [tiny] * count) is None
    with pytest.raises(MusicError, match="exactly one --bundle"):
        round_trip("bundle", [tiny] * count)


def test_no_weights_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MusicError, match="no weights of the note-roll codec"):
        round_trip("roll", [], weights=tmp_path / "none")


def test_a_bundle_s_round_trip_is_the_signal_where_the_networks_copy(copying: Path) -> None:
    track = click_tracks(1, 20.0)[0]
    codec = round_trip("bundle", [copying], "onnxruntime")
    assert codec is not None
    cut = Excerpt(20_001, 262_144, 400_000)
    np.testing.assert_array_equal(
        codec.through(track, "drums", cut), track.stem("drums", cut.scored_start_samples, cut.scored_samples)
    )


# -- players -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pace"), [("16:16", (16, 16)), ("4:1", (4, 1)), ("16:-16", (16, -16)), ("16", None), ("a:1", None)]
)
def test_a_pace_is_step_and_lead(text: str, pace: tuple[int, int] | None) -> None:
    if pace is None:
        with pytest.raises(MusicError, match="STEP:LEAD"):
            parse_pace(text)
    else:
        assert parse_pace(text) == pace


def test_net_look_ahead_is_the_lead(copying: Path) -> None:
    found = players([copying], [(16, 16), (16, -16), (4, 0), (4, 0)], ["bass"])
    assert [round(player.net_look_ahead_s, 3) for player in found] == [1.486, -1.486, 0.0]
    assert [round(player.mean_ahead_s, 3) for player in found] == [2.229, -0.743, 0.186]
    assert len({player.label for player in found}) == 3


@pytest.mark.parametrize(
    ("paces", "stems", "message"),
    [
        ([(16, 60)], ["bass"], "leaves no heard frame"),
        ([(16, -17)], ["bass"], "lowest lead"),
        ([(4, 4)], ["oboe"], "oboe"),
    ],
)
def test_what_cannot_play_is_refused_at_once(
    copying: Path, paces: list[tuple[int, int]], stems: list[str], message: str
) -> None:
    from anacrusis.engine.errors import AnacrusisError

    with pytest.raises(AnacrusisError, match=message):
        players([copying], paces, stems)


def test_noise_is_another_for_every_song_and_seed() -> None:
    assert len({noise_seed(song, seed) for song in ("a", "b") for seed in (1, 2)}) == 4


# -- memory --------------------------------------------------------------------------------------------------------


def test_nothing_is_heard_or_made_twice_unless_it_changed(tmp_path: Path) -> None:
    made: list[str] = []

    def sound(place: int, recipe: str | None) -> Sound:
        def make() -> Any:
            made.append(recipe or "plain")
            audio = np.zeros(50, np.float32)
            audio[place] = 1
            return audio

        return Sound(make, recipe)

    def clicks(ear: ClickEar, what: Sound, **options: Any) -> tuple[int, int]:
        memory = Memory(ear, tmp_path, **options)
        return int(memory.features(what, ("clicks",))["clicks"][0]), memory.computed

    assert clicks(ClickEar(), sound(7, "live")) == (7, 1)
    assert clicks(ClickEar(), sound(7, "live")) == (7, 0)
    assert made == ["live"]
    assert clicks(ClickEar(), sound(7, None)) == (7, 0)  # the same samples by another way
    assert clicks(ClickEar("2"), sound(7, "live")) == (7, 1)  # another judge
    assert clicks(ClickEar(), sound(8, None)) == (8, 1)
    assert clicks(ClickEar(), sound(9, "live"), fresh=True) == (9, 1)
    for file in (tmp_path / "features").iterdir():
        file.write_bytes(file.read_bytes()[:20])  # cut off
    assert clicks(ClickEar(), sound(8, None)) == (8, 1)


# -- end to end ----------------------------------------------------------------------------------------------------


def judge(tmp_path: Path, *arguments: str, count: int = 4, seconds: float = 14.0) -> tuple[int, Path]:
    tracks = click_tracks(count, seconds)
    out = tmp_path / "out"
    asked = ["--corpus", str(tmp_path), "--seconds", "2", "--codec", "none", "--out", str(out), *arguments]
    code = music.main(asked, ear=ClickEar(), tracks=lambda path, split: tracks)
    return code, out


def test_a_bundle_that_copies_scores_the_ceiling(
    tmp_path: Path, copying: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It repeats what it heard 8 frames before: the context's clicks, a quarter of which lie where the stem's would."""
    paces = ("--pace", "16:8", "--pace", "16:-16")
    one = ("--jobs", "1", "--stem", "bass", "--backend", "onnxruntime")  # auto would load torch to look at it
    arguments = ("--bundle", str(copying), *one, *paces, "--check")
    code, out = judge(tmp_path, *arguments, count=2, seconds=9.0)
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 0
    assert said["songs"] == 2
    assert said["players"][0]["net_look_ahead_s"] == pytest.approx(8 * 4096 / 44100, abs=1e-4)
    assert said["corpus"] == tmp_path.name
    rows = {row["measure"]: row for row in said["rows"]}
    assert rows["exact"]["values"]["ceiling"][0] == 1.0
    assert rows["exact"]["values"]["late"][0] == 0.0
    assert rows["near"]["values"]["late"][0] == 1.0
    assert "cannot tell late from ceiling" in rows["near"]["verdict"]
    # Every click that it wrote lies on one of the context's, 8,192 samples from the nearest of the bass.
    for player in said["players"]:
        assert rows["exact"]["values"][player["label"]][0] == 0.0
        assert rows["density"]["values"][player["label"]][0] > 0
        assert rows["exact"]["normalised"][player["label"]][0] == 0.0
        assert rows["density"]["normalised"] == {}
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * (3 + 2)
    assert {line["of"] != line["song"] for line in lines if line["signal"] == "floor"} == {True}
    assert (out / "report.md").read_text().count("\n") > 10
    assert (out / "anchors.png").stat().st_size > 10_000
    assert (out / "look-ahead.png").stat().st_size > 10_000

    assert judge(tmp_path, *arguments, count=2, seconds=9.0)[0] == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["features_computed"] > 0 == again["features_computed"]  # heard before, bundle and anchors alike
    assert again["rows"] == said["rows"]


def test_two_processes_give_what_one_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for jobs in ("1", "2"):
        code, _ = judge(tmp_path / jobs, "--anchors-only", "--jobs", jobs, "--stem", "bass", "piano", count=4)
        assert code == 0
        found.append(json.loads(capsys.readouterr().out.splitlines()[-1])["rows"])
    assert found[0] == found[1]
    assert {row["measure"] for row in found[0]} == {"exact", "near", "density", "density_off", "fad"}
    assert PERIOD_SAMPLES == 8 * 4096


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((), "give --bundle B, or --anchors-only", id="nothing"),
        pytest.param(("--anchors-only", "--stem", "oboe"), "unknown stem 'oboe'", id="stem"),
        pytest.param(("--anchors-only", "--songs", "1"), "at least 2", id="songs"),
        pytest.param(("--anchors-only", "--seconds", "60"), "fewer seconds", id="seconds"),
        pytest.param(("--anchors-only", "--jobs", "0"), "--jobs", id="jobs"),
        pytest.param(("--bundle", "nowhere"), "not a bundle", id="bundle"),
        pytest.param(("--anchors-only", "--codec", "bundle"), "exactly one --bundle", id="codec"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert judge(tmp_path, *arguments)[0] == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_no_corpus_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--corpus", str(tmp_path / "none"), "--anchors-only", "--codec", "none", "--out", str(tmp_path)]
    assert music.main(where, ear=ClickEar()) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_an_interruption_keeps_what_was_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(music, "distances_all", interrupted)
    code, out = judge(tmp_path, "--anchors-only", "--jobs", "1", "--stem", "bass", count=2)
    assert code == 130
    assert "is kept" in capsys.readouterr().err
    assert any((out / "heard" / "features").iterdir())
