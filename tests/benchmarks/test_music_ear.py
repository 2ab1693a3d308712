# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The run's own ear on features made by hand: every measure has its score, and the truth is no distance from itself.

What the judges hear in sound is tested with the judges.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.benchmarks import music
from anacrusis.benchmarks.judges import packages
from anacrusis.benchmarks.music_clips import Known
from anacrusis.benchmarks.music_ear import MADE_BY, MEASURES, MusicEar
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, Chord

SECONDS = 12
needs_mir_eval = pytest.mark.skipif(
    importlib.util.find_spec("mir_eval") is None, reason="needs mir_eval: pip install -e '.[judge]'"
)


def known(stem: str) -> Known:
    chords = (Chord(0, 60 * SAMPLE_RATE_HZ, 0, "maj", 0),)
    beats_s = np.arange(-10, 40) * 0.5
    return Known("song", stem, 10 * SAMPLE_RATE_HZ, SECONDS * SAMPLE_RATE_HZ, chords, beats_s, 0.5)


def features(late_s: float = 0.0, root: int = 0, level_dbfs: float = -20.0) -> dict[str, Any]:
    """A C major chord, unless moved, on every half second, unless late."""
    at_s = np.arange(1, 2 * SECONDS - 1) * 0.5 + late_s
    chroma = np.zeros((13, 10 * SECONDS), np.float32)
    chroma[[root % 12, (root + 4) % 12, (root + 7) % 12, 12]] = 1.0
    onsets = np.stack([at_s, np.ones_like(at_s)])
    return {"chroma": chroma, "onsets": onsets, "beats": at_s, "level": np.array([level_dbfs, 0.1])}


def judged(stem: str, heard: dict[str, Any]) -> dict[str, float]:
    ear = MusicEar()
    only = {name: heard[name] for name in ear.needs(stem, "stem") if name in heard}
    return ear.judge(known(stem), only, features(), features())


@needs_mir_eval
@pytest.mark.parametrize("stem", STEMS)
def test_every_measure_of_a_stem_has_a_score_and_no_other(stem: str) -> None:
    scores = judged(stem, features())
    assert set(scores) == {measure.name for measure in MEASURES if stem in measure.stems}
    for measure in MEASURES:
        if measure.relative and stem in measure.stems:
            assert scores[measure.name] == 0.0
    if stem != "drums":
        assert scores["chord_cosine"] == pytest.approx(1.0)
        assert scores["context_cosine"] == pytest.approx(1.0)


@needs_mir_eval
@pytest.mark.parametrize(
    ("heard", "measure"),
    [
        pytest.param(features(root=6), "chord_cosine", id="another-key"),
        pytest.param(features(root=6), "context_cosine", id="another-key-than-the-context"),
        pytest.param(features(late_s=0.041), "grid_lock", id="late"),
        pytest.param(features(late_s=0.041), "context_lock", id="later-than-the-context"),
        pytest.param(features(late_s=0.041), "beat_f1_tight", id="late-beats"),
    ],
)
def test_what_is_wrong_scores_less(heard: dict[str, Any], measure: str) -> None:
    assert judged("bass", heard)[measure] < judged("bass", features())[measure] - 0.05


@needs_mir_eval
def test_lateness_and_level_are_distances() -> None:
    scores = judged("bass", features(late_s=0.041, level_dbfs=-26.0))
    assert scores["grid_offset_ms"] == pytest.approx(41.0, abs=0.5)
    assert scores["level_off_db"] == pytest.approx(6.0)
    assert scores["level_dbfs"] == pytest.approx(-26.0)


@pytest.mark.parametrize("stem", STEMS)
def test_every_feature_asked_for_says_what_it_depends_on(stem: str) -> None:
    ear = MusicEar()
    wanted = {*ear.needs(stem, "stem"), *ear.needs(stem, "context")}
    assert wanted <= set(MADE_BY)
    assert len({ear.identity(name) for name in wanted}) == len(wanted)


def test_a_missing_judge_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    assert music.main(["--corpus", str(tmp_path), "--anchors-only", "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "this judge needs madmom" in told
    assert told.count("\n") == 1
