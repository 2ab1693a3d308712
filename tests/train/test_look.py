# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The picture of a song: its spectrogram's numbers, that it is drawn, and what cannot be drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from anacrusis.train.look import FLOOR_DB, HIGHEST_HZ, HOP_SAMPLES, LOWEST_HZ, ROWS, chord_name, log_spectrogram, main
from anacrusis.train.song import SAMPLE_RATE_HZ

from .tiny_soundfont import tiny_song

PNG = b"\x89PNG"


@pytest.fixture
def track(tmp_path: Path) -> Path:
    home = tmp_path / "tiny"
    home.mkdir()
    song = tiny_song(seconds=3.0)
    (home / "song.json").write_text(song.to_json())
    sf.write(home / "bass.flac", 0.1 * np.random.default_rng(0).standard_normal(song.length_samples), SAMPLE_RATE_HZ)
    return home


@pytest.mark.parametrize("hz", [60.0, 440.0, 3000.0, 12000.0])
@pytest.mark.parametrize("amplitude", [1.0, 0.01])
def test_a_sine_is_at_its_row_and_level(hz: float, amplitude: float) -> None:
    tone = amplitude * np.sin(2 * np.pi * hz * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
    column = log_spectrogram(tone.astype(np.float32))[:, 40]
    row = ROWS * np.log(hz / LOWEST_HZ) / np.log(HIGHEST_HZ / LOWEST_HZ)
    assert abs(int(column.argmax()) + 0.5 - row) < 6 if hz < 100 else abs(int(column.argmax()) + 0.5 - row) < 2
    assert column.max() == pytest.approx(20 * np.log10(amplitude), abs=2.0)


def test_frames_are_centred_on_their_samples() -> None:
    click = np.zeros(SAMPLE_RATE_HZ, np.float32)
    click[40 * HOP_SAMPLES] = 1.0
    assert log_spectrogram(click).max(axis=0).argmax() == 40


def test_silence_is_the_floor() -> None:
    assert (log_spectrogram(np.zeros(10000, np.float32)) == FLOOR_DB).all()


@pytest.mark.parametrize(
    ("root", "quality", "bass", "name"),
    [(0, "maj", 0, "C"), (9, "min7", 9, "Am7"), (7, "maj", 11, "G/B"), (10, "7", 10, "B♭7"), (2, "7sus4", 2, "D7sus4")],
)
def test_chords_are_named_as_musicians_write_them(root: int, quality: str, bass: int, name: str) -> None:
    assert chord_name(root, quality, bass) == name


def test_a_song_is_drawn(track: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'anacrusis[plot]'")
    out = tmp_path / "new" / "song.png"
    assert main([str(track), "--out", str(out), "--start", "0.5", "--seconds", "1"]) == 0
    assert out.read_bytes().startswith(PNG)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["picture"] == str(out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "--out", "a.png"], "neither song.json nor metadata.yaml"),
        (["tiny", "--out", "a.png", "--start", "99"], "has nothing from 99 s on"),
        (["tiny", "--out", "a.png", "--seconds", "0"], "has nothing"),
        (["tiny", "--out", "tiny/song.json/a.png"], "cannot write"),
        (["tiny", "--out", "a.nothing"], "cannot write"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    words: list[str],
    said: str,
    track: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'anacrusis[plot]'")
    monkeypatch.chdir(track.parent)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
