# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Looking at a demo: chords by name, notes from audio, figures that tell the true bass from another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from anacrusis.benchmarks.demo_look import Chart, classes_of, figures, main, notes_of, read
from anacrusis.engine.paths import SHIPPED_CLIP

RATE = 44_100
pytest.importorskip("librosa", reason="pitches need librosa: pip install 'anacrusis[judge]'")


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("Dm9", {2, 5, 9, 0, 4}),
        ("Bbmaj7", {10, 2, 5, 9}),
        ("Cadd9", {0, 4, 7, 2}),
        ("A7", {9, 1, 4, 7}),
    ],
)
def test_chords_by_name(name: str, classes: set[int]) -> None:
    assert classes_of(name) == classes


def plucked(pitches: list[int], note_s: float) -> np.ndarray:
    """Each pitch for so long, decaying, with three partials."""
    t = np.arange(round(note_s * RATE)) / RATE
    hertz = [440 * 2 ** ((p - 69) / 12) for p in pitches]
    tones = [sum(np.sin(2 * np.pi * h * k * t) / k for k in (1, 2, 3)) * np.exp(-4 * t) for h in hertz]
    return (0.2 * np.concatenate(tones)).astype(np.float32)


def test_notes_of_a_line() -> None:
    found = notes_of(np.pad(plucked([38, 45, 41, 43], 0.6), (RATE // 2, 0)))
    assert [pitch for _, _, pitch in found] == [38, 45, 41, 43]
    assert [begin for begin, _, _ in found] == pytest.approx([0.5, 1.1, 1.7, 2.3], abs=0.03)


def test_the_true_bass_is_in_key_and_on_the_grid_and_a_line_in_another_key_is_not() -> None:
    chart = Chart.of_clip()
    true = read(SHIPPED_CLIP / "bass.flac")[: 12 * RATE]
    other = plucked([37, 42, 44, 49] * 7, 0.43)[: 12 * RATE]
    good, bad = (figures(audio, notes_of(audio), chart) for audio in (true, other))
    assert good["in_key"] > 0.95
    assert good["in_chord"] > 0.9
    assert bad["in_key"] < 0.3
    assert good["grid_lock"] > bad["grid_lock"] + 0.1


def test_a_demo_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, audio in (("mix", plucked([38, 45], 0.5)), ("bass", plucked([38, 38], 0.5))):
        soundfile.write(tmp_path / f"{name}.wav", audio, RATE)
    assert main([str(tmp_path), "--png", str(tmp_path / "look.png")]) == 0
    assert (tmp_path / "look.png").stat().st_size > 10_000
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["written"]["notes"] == 2


def test_no_demo_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "run anacrusis demo" in capsys.readouterr().err
