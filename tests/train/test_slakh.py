# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Slakh2100's layout, on tracks made here in it: classes to stems, official split, notes, and harmed folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from anacrusis.engine.errors import AnacrusisError
from anacrusis.train.dataset import open_dataset
from anacrusis.train.midi import write_midi
from anacrusis.train.song import SAMPLE_RATE_HZ, CorpusError

from .tiny_soundfont import tiny_song

yaml = pytest.importorskip("yaml", reason="needs PyYAML: pip install 'anacrusis[train]'")
pytest.importorskip("mido", reason="needs mido: pip install 'anacrusis[train]'")

LENGTH = 2 * SAMPLE_RATE_HZ
# key: (class, is_drum, audio_rendered, midi_saved, the part of the tiny song that its MIDI has)
STEMS = {
    "S00": ("Guitar", False, True, True, "guitar"),
    "S01": ("Drums", True, True, True, "drums"),
    "S02": ("Strings (continued)", False, True, True, "guitar"),
    "S03": ("Guitar", False, True, True, "piano"),
    "S04": ("Bass", False, True, True, "bass"),
    "S05": ("Guitar", False, False, True, "bass"),
    "S06": ("Piano", False, True, False, "piano"),
}


def level(key: str) -> float:
    """Each file is a constant, so that a sum tells which files are in it."""
    return (1 << int(key[1:])) / 128


def make_track(home: Path, *, seed: int = 1, rate_hz: int = SAMPLE_RATE_HZ) -> Path:
    """A track folder. Every stem is a constant of 2 s; MIDI after the table."""
    song = tiny_song(seed=seed)
    (home / "stems").mkdir(parents=True)
    (home / "MIDI").mkdir()
    described: dict[str, Any] = {}
    for key, (inst_class, is_drum, rendered, saved, part) in STEMS.items():
        described[key] = {
            "audio_rendered": rendered,
            "inst_class": inst_class,
            "integrated_loudness": -20.0,
            "is_drum": is_drum,
            "midi_program_name": "any",
            "midi_saved": saved,
            "plugin_name": "none.nkm",
            "program_num": 128 if is_drum else song.parts[part].program,
        }
        if rendered:
            samples = np.full(2 * rate_hz, level(key), np.float32)
            sf.write(home / "stems" / f"{key}.flac", samples, rate_hz, subtype="PCM_24")
        if saved:
            write_midi(replace(song, parts={part: song.parts[part]}), home / "MIDI" / f"{key}.mid")
    write_midi(song, home / "all_src.mid")
    sf.write(home / "mix.flac", np.zeros(LENGTH), rate_hz)
    metadata = {"UUID": f"uuid-{seed}", "audio_dir": "stems", "midi_dir": "MIDI", "stems": described}
    (home / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    return home


@pytest.fixture(scope="module")
def slakh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "slakh2100"
    for seed, (split, name) in enumerate(
        [("train", "Track00002"), ("validation", "Track01501"), ("test", "Track01876"), ("omitted", "Track00049")]
    ):
        make_track(folder / split / name, seed=seed)
    return folder


def test_the_split_is_the_official_one_and_omitted_is_left_out(slakh: Path) -> None:
    assert [(t.split, t.name) for t in open_dataset(slakh)] == [
        ("train", "Track00002"),
        ("validation", "Track01501"),
        ("test", "Track01876"),
    ]
    assert [t.name for t in open_dataset(slakh / "test")] == ["Track01876"]
    assert open_dataset(slakh / "validation")[0].split == "validation"


@pytest.mark.parametrize(
    ("stem", "keys"), [("guitar", ["S00", "S03"]), ("drums", ["S01"]), ("bass", ["S04"]), ("piano", ["S06"])]
)
def test_files_of_a_class_are_summed_and_unrendered_ones_left_out(slakh: Path, stem: str, keys: list[str]) -> None:
    track = open_dataset(slakh, "train")[0]
    assert np.allclose(track.stem(stem, 1000, 500), sum(map(level, keys)), atol=1e-5)
    rest = sum(level(key) for key in ("S00", "S03", "S01", "S04", "S06") if key not in keys)
    assert np.allclose(track.context(stem, 1000, 500), rest, atol=1e-5)


def test_the_song_has_the_notes_of_saved_midi_and_the_beats(slakh: Path) -> None:
    track = open_dataset(slakh, "train")[0]
    truth, song = tiny_song(seed=0), track.song
    assert set(song.parts) == {"guitar", "drums", "bass"}  # the piano's MIDI was not saved
    assert song.parts["drums"].program == 0
    both = sorted((*truth.parts["guitar"].notes, *truth.parts["piano"].notes))
    assert [n.pitch for n in song.parts["guitar"].notes] == [n.pitch for n in both]
    assert [n.pitch for n in song.parts["bass"].notes] == [n.pitch for n in truth.parts["bass"].notes]
    places = [b.position_samples for b in song.beats]
    assert all(min(abs(b.position_samples - p) for p in places) <= 23 for b in truth.beats)
    assert (song.name, song.split, song.chart, song.chords) == ("Track00002", "train", "uuid-0", ())
    assert song.length_samples == track.length_samples == LENGTH


def test_other_rates_are_converted(tmp_path: Path) -> None:
    make_track(tmp_path / "slakh" / "test" / "Track00001", rate_hz=16000)
    track = open_dataset(tmp_path / "slakh")[0]
    assert track.length_samples == LENGTH
    assert np.allclose(track.stem("bass", 20000, 2000), level("S04"), atol=2e-3)


def test_without_all_src_beats_come_from_a_stem(tmp_path: Path) -> None:
    home = make_track(tmp_path / "Track00001")
    wanted = open_dataset(tmp_path)[0].song.beats
    (home / "all_src.mid").unlink()
    beats = open_dataset(tmp_path)[0].song.beats
    assert beats == wanted[: len(beats)]
    assert len(beats) >= 3


def set_metadata(home: Path, change: Callable[[dict[str, Any]], object]) -> None:
    metadata = yaml.safe_load((home / "metadata.yaml").read_text())
    change(metadata)
    (home / "metadata.yaml").write_text(yaml.safe_dump(metadata))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda h: (h / "metadata.yaml").write_text("{a: [b"), "metadata.yaml"),
        (lambda h: (h / "metadata.yaml").write_text("- 1"), "is no table"),
        (lambda h: (h / "metadata.yaml").write_bytes(b"\xff\xff"), "metadata.yaml"),
        (lambda h: set_metadata(h, lambda m: m.pop("stems")), "lists no stems"),
        (lambda h: set_metadata(h, lambda m: m["stems"].update(S00=3)), "is not described"),
        (lambda h: set_metadata(h, lambda m: m["stems"].update({"../x": m["stems"]["S00"]})), "is not described"),
        (lambda h: (h / "stems" / "S04.flac").unlink(), "S04.flac is missing"),
        (lambda h: (h / "stems" / "S04.flac").write_bytes(b"x"), "S04.flac"),
        (lambda h: (h / "MIDI" / "S04.mid").unlink(), "S04.mid"),
        (lambda h: (h / "MIDI" / "S04.mid").write_bytes(b"x"), "S04.mid"),
        (lambda h: (h / "all_src.mid").write_bytes(b"x"), "all_src.mid"),
    ],
    ids=[
        "cut",
        "list",
        "bytes",
        "no stems",
        "a number",
        "outside",
        "no audio",
        "bad audio",
        "no midi",
        "bad midi",
        "all",
    ],
)
def test_a_harmed_track_is_an_error_of_one_line(harm: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    harm(make_track(tmp_path / "Track00001"))
    with pytest.raises(AnacrusisError, match=said.replace(".", r"\.")) as error:
        _ = [track.song for track in open_dataset(tmp_path)]
    assert "\n" not in str(error.value)


def test_a_track_without_our_classes_is_left_out(tmp_path: Path) -> None:
    home = make_track(tmp_path / "Track00001")
    set_metadata(home, lambda m: [about.update(inst_class="Organ") for about in m["stems"].values()])
    with pytest.raises(CorpusError, match="neither"):
        open_dataset(tmp_path)
