# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The headline's arithmetic on scores that are known, and its command on songs of clicks."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anacrusis.benchmarks import headline
from anacrusis.benchmarks.headline import TARGETS, outcome, outcomes, table
from anacrusis.benchmarks.music_columns import column, songs_of
from anacrusis.benchmarks.music_work import Heard
from anacrusis.train.song import STEMS

sys.path.insert(0, str(Path(__file__).parent))

from music_fakes import ClickEar, click_tracks

NAN = math.nan
HARMONY, BEATS = TARGETS


def heard_of(stem: str, measure: str, **signals: Sequence[float]) -> list[Heard]:
    """signals[name]: a score a song."""
    count = len(next(iter(signals.values())))
    return [
        Heard(f"song{i}", stem, {name: {measure: scores[i]} for name, scores in signals.items()}) for i in range(count)
    ]


# -- columns -------------------------------------------------------------------------------------------------------


def test_silence_counts_as_chance_where_the_true_stem_has_a_score() -> None:
    heard = heard_of("bass", "m", ceiling=[0.8, 0.6, NAN], made=[0.4, NAN, NAN])
    found = column(heard, ["bass"], "m", "made")
    np.testing.assert_array_equal(found.scores, [0.4, 0.0, NAN])
    assert found.unanswered == 1
    assert column(heard, ["bass"], "m", "ceiling").unanswered == 0


def test_a_mean_over_stems_needs_all_of_them() -> None:
    bass = heard_of("bass", "m", ceiling=[1.0, 1.0, NAN], made=[0.5, NAN, NAN])
    piano = heard_of("piano", "m", ceiling=[1.0, 1.0, 1.0], made=[0.1, 0.3, 0.2])
    heard = [piece for pair in zip(bass, piano, strict=True) for piece in pair]
    assert songs_of(heard) == ["song0", "song1", "song2"]
    found = column(heard, ["bass", "piano"], "m", "made")
    np.testing.assert_allclose(found.scores, [0.3, 0.15, NAN])
    assert found.unanswered == 1


# -- outcomes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "made", "floor", "ceiling", "value", "met", "said"),
    [
        pytest.param(HARMONY, [0.5, 0.5], [0.0, 0.0], [0.8, 0.8], 0.625, True, "met", id="above"),
        pytest.param(HARMONY, [0.2, 0.6], [0.0, 0.0], [0.8, 0.8], 0.5, True, "reaches below", id="just"),
        pytest.param(HARMONY, [0.3, 0.3], [0.0, 0.0], [0.8, 0.8], 0.375, False, "missed by 0.125", id="below"),
        pytest.param(HARMONY, [0.5, NAN], [0.0, 0.0], [1.0, 1.0], 0.25, False, "missed by 0.250", id="one silent"),
        pytest.param(HARMONY, [-0.1, -0.1], [0.0, 0.0], [0.8, 0.8], -0.125, False, "missed by 0.625", id="another key"),
        pytest.param(BEATS, [0.81, 0.81], [0.3, 0.3], [0.9, 0.9], 0.9, True, "met", id="beats"),
        pytest.param(BEATS, [0.6, 0.3], [0.3, 0.3], [0.9, 0.9], 0.5, False, "missed by 0.300", id="beats below"),
        pytest.param(BEATS, [NAN, NAN], [NAN, NAN], [NAN, NAN], NAN, False, "no song", id="nothing"),
    ],
)
def test_a_target_is_met_or_missed_by_so_much(
    target: Any, made: list[float], floor: list[float], ceiling: list[float], value: float, met: bool, said: str
) -> None:
    heard = heard_of("bass", target.measure, ceiling=ceiling, floor=floor, player=made)
    found = outcome(heard, target, "bass", "player")
    assert found.figure.value == pytest.approx(value, nan_ok=True)
    assert found.met is met
    assert said in found.verdict
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["met"] is met


@given(st.lists(st.tuples(st.integers(10, 100), st.integers(-10, 5)), min_size=2, max_size=8))
def test_the_true_stem_is_all_of_the_way_and_another_song_s_none(anchors: list[tuple[int, int]]) -> None:
    ceiling, floor = ([pair[i] / 100 for pair in anchors] for i in range(2))
    heard = heard_of("piano", "context_cosine", ceiling=ceiling, floor=floor)
    assert outcome(heard, HARMONY, "piano", "ceiling").figure.value == pytest.approx(1.0)
    assert outcome(heard, HARMONY, "piano", "floor").figure.value == pytest.approx(0.0, abs=1e-9)


def test_targets_are_those_of_the_stems_listened_to() -> None:
    heard = heard_of("bass", "beat_f1", ceiling=[0.9], floor=[0.2], player=[0.8])
    assert [(row.target.measure, row.stem) for row in outcomes(heard, ["bass"], "player")] == [
        ("context_cosine", "bass"),
        ("beat_f1", "bass"),
    ]
    assert len(outcomes(heard, STEMS, "player")) == 5
    assert table(outcomes(heard, ["bass"], "player"))[3].count("of the true stem's") == 1


# -- the command ---------------------------------------------------------------------------------------------------


class TargetEar(ClickEar):
    """Says of any clicks what the true stem would score; of none, nothing."""

    __slots__ = ()

    def judge(self, known: Any, heard: Any, context: Any, truth: Any) -> dict[str, float]:
        clicks, true = heard["clicks"], truth["clicks"]
        score = float(np.isin(clicks, true).mean()) if len(clicks) else NAN
        return {"context_cosine": score, "beat_f1": score}


def run(tmp_path: Path, bundle: Path, *arguments: str) -> int:
    asked = ["--corpus", str(tmp_path), "--bundle", str(bundle), "--out", str(tmp_path / "out"), "--seconds", "2"]
    one = ["--jobs", "1", "--songs", "2", "--backend", "onnxruntime"]
    return headline.main([*asked, *one, *arguments], ear=TargetEar(), tracks=lambda path, split: click_tracks(3, 9.0))


def test_a_bundle_that_misses_is_said_to(tmp_path: Path, copying: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It repeats the others' clicks, none of which is the bass's."""
    assert run(tmp_path, copying, "--stem", "bass") == 1
    printed = capsys.readouterr()
    record = json.loads(printed.out.splitlines()[-1])
    assert record["benchmark"] == "headline"
    assert record["met"] is False
    assert [row["value"][0] for row in record["targets"]] == [0.0, 0.0]
    (player,) = record["players"]
    assert (player["step_frames"], player["lead_frames"]) == (8, 8)  # r = .125 of 64 frames, w = 1
    assert "missed by 0.500" in printed.err
    assert "missed by 0.800" in (tmp_path / "out" / "headline.md").read_text()
    assert (tmp_path / "out" / "scores.jsonl").read_text().count("\n") == 2 * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--stem", "oboe"), "unknown stem 'oboe'", id="stem"),
        pytest.param(("--songs", "1"), "at least 2", id="songs"),
        pytest.param(("--seconds", "60"), "fewer seconds", id="seconds"),
        pytest.param(("--bundle", "nowhere"), "not a bundle", id="bundle"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, copying: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert run(tmp_path, copying, *arguments) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.startswith("headline: ")
    assert told.count("\n") == 1
