# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The corpus command: the same seed gives the same bytes, whatever stopped it, and bad input is one line."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf

from anacrusis.train import corpus
from anacrusis.train.corpus import main, orders, pcm_sha256, write_corpus
from anacrusis.train.song import SAMPLE_RATE_HZ, SPLITS, STEMS, CorpusError, Song
from anacrusis.train.writer import FAMILIES as WRITTEN

from .tiny_soundfont import write_soundfont

pytest.importorskip("tinysoundfont", reason="needs tinysoundfont: pip install --no-deps -r train/renderer.txt")
FAMILIES = {"bossa": "test", "disco": "train", "pop": "train", "rock": "train", "waltz": "validation"}
# The songs' programs, all of which the tiny soundfont must have.
PRESETS = tuple((0, program) for program in range(40)) + tuple((128, kit) for kit in (0, 1, 8, 16, 24, 25, 32, 40, 48))


@pytest.fixture(scope="module")
def font(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_soundfont(tmp_path_factory.mktemp("font") / "tiny.sf2", PRESETS)


@pytest.fixture
def asked(font: Path) -> dict[str, Any]:
    """Three songs of eight seconds, in this process, without a bar."""
    return {"seed": 7, "songs": 3, "seconds": 8.0, "soundfont": font, "workers": 1, "progress": False}


def bytes_of(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_corpus_has_the_layout_it_promises(tmp_path: Path, asked: dict[str, Any]) -> None:
    write_corpus(tmp_path / "c", **asked, midi=True)
    record = json.loads((tmp_path / "c" / "corpus.json").read_text())
    assert len(record["songs"]) == 3
    assert (tmp_path / "c" / "NOTICE").read_text().count("Frank Wen") == 1
    for listed in record["songs"]:
        home = tmp_path / "c" / listed["split"] / listed["name"]
        song = Song.read(home / "song.json")
        assert (song.name, song.split, song.family) == (listed["name"], listed["split"], listed["family"])
        assert listed["hashes"]["song.json"] == hashlib.sha256((home / "song.json").read_bytes()).hexdigest()
        assert (home / "song.mid").is_file()
        for stem in STEMS:
            samples, rate_hz = sf.read(home / f"{stem}.flac", dtype="int16")
            assert (rate_hz, samples.shape) == (SAMPLE_RATE_HZ, (song.length_samples,))
            assert listed["hashes"][stem] == pcm_sha256(samples)
    assert record["hours"] == pytest.approx(
        sum(s["length_samples"] for s in record["songs"]) / SAMPLE_RATE_HZ / 3600, abs=1e-4
    )


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(tmp_path: Path, asked: dict[str, Any]) -> None:
    write_corpus(tmp_path / "one", **asked)
    write_corpus(tmp_path / "two", **{**asked, "workers": 2})
    write_corpus(tmp_path / "other", **{**asked, "seed": 8})
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    other = json.loads((tmp_path / "other" / "corpus.json").read_text())["songs"]
    mine = json.loads((tmp_path / "one" / "corpus.json").read_text())["songs"]
    assert not {s["hashes"]["bass"] for s in mine} & {s["hashes"]["bass"] for s in other}


@pytest.mark.parametrize("harm", ["stopped", "song gone", "stem cut", "stem changed", "hashes gone", "half a song"])
def test_a_run_goes_on_and_mends(harm: str, tmp_path: Path, asked: dict[str, Any]) -> None:
    whole = tmp_path / "c"
    write_corpus(whole, **asked)
    before = bytes_of(whole)
    homes = sorted(path.parent for path in whole.glob("*/*/song.json"))
    stamps = {home: (home / "bass.flac").stat().st_mtime_ns for home in homes}
    hurt, drums = homes[0], homes[0] / "drums.flac"
    (whole / "corpus.json").unlink()
    if harm == "song gone":
        shutil.rmtree(hurt)
    if harm == "stem cut":
        drums.write_bytes(drums.read_bytes()[:2000])
    if harm == "stem changed":
        shutil.copy(hurt / "bass.flac", drums)
    if harm == "hashes gone":
        (hurt / "hashes.json").unlink()
    if harm == "half a song":
        hurt.rename(hurt.with_name(hurt.name + ".part"))
    write_corpus(whole, **asked)
    assert bytes_of(whole) == before
    kept = [home for home, stamp in stamps.items() if (home / "bass.flac").stat().st_mtime_ns == stamp]
    assert len(kept) == (3 if harm == "stopped" else 2)


def test_a_larger_run_keeps_the_songs_that_are_there(tmp_path: Path, asked: dict[str, Any]) -> None:
    write_corpus(tmp_path / "c", **{**asked, "songs": 2})
    write_corpus(tmp_path / "c", **asked)
    write_corpus(tmp_path / "fresh", **asked)
    assert bytes_of(tmp_path / "c") == bytes_of(tmp_path / "fresh")


def test_hours_are_reached_by_the_last_song(tmp_path: Path, asked: dict[str, Any]) -> None:
    hours = 15 / 3600
    done = write_corpus(tmp_path / "c", **{**asked, "songs": None, "hours": hours})
    lengths = [song["length_samples"] / SAMPLE_RATE_HZ / 3600 for song in done["songs"]]
    assert sum(lengths[:-1]) < hours <= sum(lengths)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_has_only_its_families(split: str, tmp_path: Path, asked: dict[str, Any]) -> None:
    if not any(family.split == split for family in WRITTEN.values()):
        pytest.fail(f"no family is in the split {split}")
    done = write_corpus(tmp_path / "c", **{**asked, "songs": 1, "split": split})
    assert all(WRITTEN[song["family"]].split == song["split"] == split for song in done["songs"])


def test_orders_take_every_family_in_turn_and_a_prefix_stays() -> None:
    many = list(islice(orders(3, FAMILIES), 50))
    assert many[:20] == list(islice(orders(3, FAMILIES), 20))
    for begin in range(0, 50, 5):
        assert sorted(order.family for order in many[begin : begin + 5]) == sorted(FAMILIES)
    assert Counter(order.split for order in many) == {"train": 30, "test": 10, "validation": 10}
    assert all(FAMILIES[order.family] == order.split for order in many)
    assert len({order.seed for order in many}) == len({order.name for order in many}) == 50
    assert [o.family for o in many] != [o.family for o in islice(orders(4, FAMILIES), 50)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"songs": None}, "say how much"),
        ({"songs": 0}, "say how much"),
        ({"hours": 1.0}, "say how much"),
        ({"split": "dev"}, "unknown split"),
        ({"soundfont": Path("nowhere.sf2")}, "apt install"),
        ({"seed": 9}, "holds another corpus"),
        ({"seconds": 9.0}, "holds another corpus"),
        ({"split": "test"}, "holds another corpus"),
        ({"songs": 2}, "1 songs more"),
    ],
    ids=["nothing", "none", "both", "split", "soundfont", "seed", "seconds", "only a split", "smaller"],
)
def test_what_cannot_be_is_said(change: dict[str, Any], said: str, tmp_path: Path, asked: dict[str, Any]) -> None:
    write_corpus(tmp_path / "c", **asked)
    before = bytes_of(tmp_path / "c")
    with pytest.raises(CorpusError, match=said) as error:
        write_corpus(tmp_path / "c", **{**asked, **change})
    assert "\n" not in str(error.value)
    assert bytes_of(tmp_path / "c") == before


def test_force_throws_another_corpus_away_and_nothing_else(tmp_path: Path, asked: dict[str, Any]) -> None:
    write_corpus(tmp_path / "c", **asked)
    write_corpus(tmp_path / "c", **{**asked, "seed": 9, "songs": 1}, force=True)
    assert len(list((tmp_path / "c").glob("*/*/song.json"))) == 1
    stranger = tmp_path / "slakh" / "train" / "Track00001"
    stranger.mkdir(parents=True)
    with pytest.raises(CorpusError, match="no corpus of ours"):
        write_corpus(tmp_path / "slakh", **asked, force=True)
    assert stranger.is_dir()


def test_the_command_says_what_it_did_in_its_last_line(
    tmp_path: Path, font: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"--songs 1 --seed 2 --seconds 6 --workers 1 --soundfont {font} --out {tmp_path / 'c'}".split()
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["songs"], sum(said["per_split"].values()), said["seed"]) == (1, 1, 2)
    assert main([*words, "--seconds", "7"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_interrupting_is_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(corpus, "write_corpus", stop)
    assert main(["--songs", "1", "--seed", "2", "--out", str(tmp_path)]) == 130
