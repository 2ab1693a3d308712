# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The demo clip is what its clip.json says it is."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "clip"
CLIP = json.loads((FOLDER / "clip.json").read_text(encoding="utf-8"))
RATE = CLIP["sample_rate_hz"]


def pcm(name: str) -> np.ndarray:
    samples, rate = sf.read(FOLDER / f"{name}.flac", dtype="int16")
    assert rate == RATE
    return samples


def onsets_s(audio: np.ndarray, hop: int = 128) -> np.ndarray:
    """Where the high-passed level jumps by more than 6 dB over the 12 ms before, first frame of each jump."""
    bright = np.diff(np.concatenate([np.zeros(5 * hop + 1), audio / 32768.0]))
    frames = bright[: len(bright) // hop * hop].reshape(-1, hop)
    level_db = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-9)
    before = np.max([level_db[i : len(level_db) - 5 + i] for i in range(1, 5)], axis=0)
    jumps = np.flatnonzero(level_db[5:] > before + 6)
    first = jumps[np.diff(jumps, prepend=-100) > 10]
    return first * hop / RATE


@pytest.mark.parametrize("name", CLIP["stems"])
def test_stem_is_as_declared(name: str) -> None:
    samples = pcm(name)
    assert samples.shape == (CLIP["samples"],)
    assert hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest() == CLIP["sha256_int16_le"][name]


def test_length_is_whole_bars() -> None:
    beats = CLIP["bars"] * int(CLIP["time_signature"].split("/")[0])
    assert CLIP["samples"] * CLIP["bpm"] == beats * 60 * RATE
    assert CLIP["beats_s"] == pytest.approx(np.arange(beats) * 60 / CLIP["bpm"])
    assert len(CLIP["chords"]) == CLIP["bars"]


def test_band_is_drums_guitar_piano() -> None:
    assert CLIP["band"] == ["drums", "guitar", "piano"]
    total = sum(pcm(name).astype(int) for name in CLIP["band"])
    assert np.abs(total - pcm("band")).max() <= 2  # three roundings of half a step, and the band's own


def test_full_mix_peak() -> None:
    mix = sum(pcm(name).astype(int) for name in CLIP["stems"])
    assert 20 * np.log10(np.abs(mix).max() / 32768) == pytest.approx(CLIP["peak_dbfs"], abs=0.5)


def test_no_stem_clips_or_falls_silent_for_a_bar() -> None:
    for name in CLIP["stems"]:
        bars = pcm(name).astype(int).reshape(CLIP["bars"], -1)
        assert np.abs(bars).max() < 32767
        assert 20 * np.log10(np.sqrt(np.mean(bars**2, axis=1)) / 32768).min() > -40


def test_drums_strike_on_the_beats() -> None:
    found = onsets_s(pcm("drums"))
    beats = np.array(CLIP["beats_s"])
    assert np.abs(found[None, :] - beats[:, None]).min(axis=1).max() < 0.015
    # Nor is that by chance: every onset found lies on a sixteenth.
    sixteenth = 15 / CLIP["bpm"]
    assert np.abs(found - sixteenth * np.round(found / sixteenth)).max() < 0.015
