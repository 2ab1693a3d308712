# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The comparison of codecs: its figures on clips whose answer is known, its records with codecs that change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.train.song import Note, Part

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("librosa", reason="needs the judge extra")
from anacrusis.benchmarks import codec, codec_timing  # noqa: E402
from anacrusis.benchmarks import codec_scores as scores  # noqa: E402
from anacrusis.benchmarks.codec_subjects import (  # noqa: E402
    FRAME_SAMPLES,
    LEAD_FRAMES,
    Clip,
    CodecMissingError,
    Graph,
    clips_of,
    open_subjects,
)

RATE = 44100
TONE = (0.2 * np.sin(2 * np.pi * 220 * np.arange(RATE) / RATE)).astype(np.float32)
HISS = (0.02 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)


def plucks(times_samples: list[int], length: int, hz: float = 220.0) -> np.ndarray:
    audio = np.zeros(length, np.float32)
    sound = np.sin(2 * np.pi * hz * np.arange(8000) / RATE) * np.exp(-np.arange(8000) / 2000) * 0.5
    for at in times_samples:
        audio[at : at + 8000] += sound[: max(0, length - at)].astype(np.float32)
    return audio


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (TONE, np.inf),
        (-4 * TONE, np.inf),
        (TONE + HISS * np.float32(np.linalg.norm(TONE) / np.linalg.norm(HISS)), 0.0),
        (TONE + HISS * np.float32(0.1 * np.linalg.norm(TONE) / np.linalg.norm(HISS)), 20.0),
        (0 * TONE, np.nan),
    ],
    ids=["same", "scaled", "as much noise", "a tenth", "silent"],
)
def test_si_sdr(made: np.ndarray, expected: float) -> None:
    assert scores.si_sdr_db(TONE, made) == pytest.approx(expected, abs=0.3, nan_ok=True)


@pytest.mark.parametrize("distance", [scores.stft_distance, scores.mel_distance, scores.log_spectral_db])
def test_a_distance_is_zero_for_the_same_and_grows(distance: Any) -> None:
    assert distance(TONE, TONE) == 0
    assert 0 < distance(TONE, TONE + 0.1 * HISS) < distance(TONE, TONE + HISS)


def test_twice_as_loud_is_six_decibels_of_log_spectrum() -> None:
    noise = HISS * 5
    assert scores.log_spectral_db(noise, 2 * noise) == pytest.approx(6.02, abs=0.05)


@pytest.mark.parametrize(
    ("semitones", "low", "high"), [(0, 0.999, 1.001), (12, 0.9, 1.001), (1, -0.5, 0.5), (6, -0.5, 0.5)]
)
def test_chroma_knows_the_pitch_class(semitones: int, low: float, high: float) -> None:
    other = plucks([0, 12000, 24000], RATE, 220.0 * 2 ** (semitones / 12))
    assert low <= scores.chroma_cosine(plucks([0, 12000, 24000], RATE), other) <= high


@pytest.mark.parametrize(
    ("times", "kept"),
    [([], []), ([0.0, 0.01, 0.02, 0.04], [0.0, 0.04]), ([0.5, 0.1], [0.1, 0.5]), ([0, 0.03, 0.0601], [0, 0.0601])],
    ids=range(4),
)
def test_a_strum_is_one_onset(times: list[float], kept: list[float]) -> None:
    assert scores.merged(np.array(times)).tolist() == pytest.approx(kept)


@pytest.mark.parametrize(
    ("truth", "found", "f1"),
    [
        ([], [], 1.0),
        ([1.0], [], 0.0),
        ([1.0, 2.0], [1.02, 2.02], 1.0),
        ([1.0, 2.0], [1.03], 0.0),
        ([1.0, 1.04], [1.02], 2 / 3),
        ([1.0], [0.99, 1.01], 2 / 3),
    ],
    ids=range(6),
)
def test_match_f1(truth: list[float], found: list[float], f1: float) -> None:
    assert scores.match_f1(np.array(truth), np.array(found), 0.025) == pytest.approx(f1)


TIMES = st.lists(st.integers(0, 30), max_size=6, unique=True).map(sorted)


@settings(deadline=None, max_examples=60)
@given(TIMES, TIMES)
def test_no_matching_is_larger(truth: list[int], found: list[int]) -> None:
    """Against every matching there is."""

    def best(i: int, free: frozenset[int]) -> int:
        if i == len(truth):
            return 0
        return max([best(i + 1, free), *(1 + best(i + 1, free - {x}) for x in free if abs(x - truth[i]) <= 2)])

    f1 = scores.match_f1(np.array(truth), np.array(found), 2)
    total = len(truth) + len(found)
    assert f1 == pytest.approx(2 * best(0, frozenset(found)) / total if total else 1.0)


@pytest.mark.parametrize(
    ("found", "f1"),
    [([(0.0, 3), (1.0, 5)], 1.0), ([(0.0, 3), (1.0, 4)], 0.5), ([(0.0, 3)], 2 / 3), ([], 0.0)],
    ids=["both", "wrong row", "one", "none"],
)
def test_note_f1_wants_the_row(found: list[tuple[float, int]], f1: float) -> None:
    assert scores.note_f1([(0.0, 3), (1.0, 5)], found, 0.025) == pytest.approx(f1)


class Passing:
    """The latent is the audio itself, 4096 numbers a frame, moved by some samples."""

    taper_frames = 4

    def __init__(self, name: str, late_samples: int = 0) -> None:
        self.name, self.late_samples, self.about = name, late_samples, dict[str, Any](late=late_samples)

    def latent(self, clip: Clip) -> np.ndarray:
        return np.roll(clip.heard, self.late_samples).reshape(-1, FRAME_SAMPLES).T.copy()

    def decode(self, latent: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(latent.T).reshape(-1)

    def notes(self, clip: Clip, latent: np.ndarray) -> tuple[list[tuple[float, int]], list[tuple[float, int]]] | None:
        return (clip.note_times, clip.note_times[:1]) if self.late_samples else None

    def graphs(self, decode_frames: int) -> dict[str, Graph]:
        graphs = {"decode": Graph(torch.nn.ReLU(), (torch.zeros(1, 4, decode_frames),))}
        return graphs if self.late_samples else {"encode": Graph(torch.nn.ReLU(), (torch.zeros(1, 8),)), **graphs}


STARTS = [3000, 16000, 31000, 45000, 58000, 75000]


@pytest.fixture(scope="module")
def clip() -> Clip:
    frames = 24
    lead = LEAD_FRAMES * FRAME_SAMPLES
    heard = np.concatenate([np.zeros(lead, np.float32), plucks(STARTS, frames * FRAME_SAMPLES)])
    part = Part(0, tuple(Note(lead + at, lead + at + 4000, 57, 90) for at in STARTS))
    return Clip("song", "guitar", lead, frames, heard, part)


def test_what_passes_through_scores_as_the_truth_and_what_is_late_does_not(clip: Clip) -> None:
    subjects = [Passing("same"), Passing("late", 1800)]
    records, made = codec.compare([clip], subjects, fad=False, progress=False)
    truth, same, late = records
    assert [r["codec"] for r in records] == ["truth", "same", "late"]
    assert truth["onset_f1_25ms"] == same["onset_f1_25ms"] == pytest.approx(1.0)
    assert late["onset_f1_25ms"] < 0.3 < late["onset_f1_50ms"]
    assert same["stft_distance"] == 0
    assert same["seam_db"] == 120
    assert same["level_db"] == 0
    assert truth["stft_distance"] is None
    assert same["note_f1_25ms"] is None
    assert late["note_f1_25ms"] == pytest.approx(2 / 7, abs=1e-3)
    assert np.array_equal(made[0]["same"], clip.audio)
    lines = codec.table(records)
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1


def test_means_pass_over_what_is_not_a_number() -> None:
    found = codec.means([{"si_sdr_db": np.nan}, {"si_sdr_db": 2.0}, {"si_sdr_db": np.inf}])
    assert found["si_sdr_db"] == 2.0
    assert found["fad"] is None


@pytest.mark.parametrize(("taper", "frames"), [(0, 17), (4, 21), (20, 37)])
def test_a_step_decodes_its_taper_and_the_crossfade(taper: int, frames: int) -> None:
    assert codec_timing.decode_frames(taper) in (frames, frames + 1)


def test_a_stage_that_cannot_be_timed_is_said_and_fails_the_check() -> None:
    pytest.importorskip("onnxscript", reason="needs the export extra")
    whole, half = codec_timing.measure([Passing("whole"), Passing("half", 1)], threads=1, repeats=2)
    assert whole["missing"] == []
    assert half["missing"] == ["encode"]
    assert whole["rtf"].keys() == {"p50", "p95", "p99"}
    assert whole["encode_ms"]["n"] == 2
    assert len(codec.timing_table([whole, half])) == 4


class Song:
    parts = {"bass": Part(33, ()), "drums": Part(0, ())}  # noqa: RUF012


class Track:
    name, length_samples, song = "t", 100 * FRAME_SAMPLES, Song()

    def stem(self, name: str, start: int, length: int) -> np.ndarray:
        return np.full(length, 0.1 if name == "bass" else 0.0, np.float32)


def test_clips_begin_on_frames_and_leave_silent_stems_out() -> None:
    clips = clips_of(Track(), 2.0, np.random.default_rng(3))
    assert [c.stem for c in clips] == ["bass"]
    assert clips[0].start_samples % FRAME_SAMPLES == 0
    assert len(clips[0].audio) == clips[0].frames * FRAME_SAMPLES == 22 * FRAME_SAMPLES
    assert clips[0].start_samples + len(clips[0].audio) <= Track.length_samples


def test_no_codec_at_all_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CodecMissingError, match=r"roll.*; no spectral codec"):
        open_subjects(tmp_path / "roll.safetensors", tmp_path / "spectral.safetensors", None)


def test_a_folder_that_is_no_corpus_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert codec.main(["--corpus", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_sounds_and_the_picture_are_written(clip: Clip, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    codec.write_sounds(tmp_path, [clip], [{"same": clip.audio}])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["codec.png", "guitar-same.wav", "guitar-truth.wav"]


def test_a_record_is_json(clip: Clip) -> None:
    records, _ = codec.compare([clip], [Passing("same")], fad=False, progress=False)
    assert json.loads(json.dumps(records)) == records
