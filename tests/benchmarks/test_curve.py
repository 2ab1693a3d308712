# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The curve: which players, what a short lead is worth on scores that are known, and the command on songs of clicks."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.benchmarks import curve, curve_plot
from anacrusis.benchmarks.curve import curve_players, paces
from anacrusis.benchmarks.curve_report import points, sentences, stems_of, worth_table, worths
from anacrusis.benchmarks.music_clips import MusicError
from anacrusis.benchmarks.music_live import Player
from anacrusis.benchmarks.music_work import Heard

sys.path.insert(0, str(Path(__file__).parent))

from music_fakes import ClickEar, click_tracks

NAN = math.nan


def player(lead: int, step: int = 16) -> Player:
    return Player(f"cd {step}:{lead}", "cd", Path("cd"), "hash", 4096, step, lead)


def heard_of(scores: Mapping[str, list[float]], measure: str = "grid_lock") -> list[Heard]:
    """scores[signal]: of bass and of drums alike, a song each; floor 0 and ceiling 1 where they are not given."""
    songs = len(next(iter(scores.values())))
    both = {"floor": [0.0] * songs, "ceiling": [1.0] * songs, "late": [0.4] * songs, **scores}
    return [
        Heard(f"song{i}", stem, {name: {measure: column[i]} for name, column in both.items()})
        for i in range(songs)
        for stem in ("bass", "drums")
    ]


def record_of(heard: list[Heard], playing: list[Player]) -> dict[str, Any]:
    return {
        "shown": {"harmony": "context_cosine", "rhythm": "grid_lock"},
        "worths": worths(heard, playing, ["bass", "drums"]),
        "points": points(heard, playing, ["bass", "drums"]),
    }


# -- players -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([1], [(1, -1), (1, 0), (1, 1)], id="a frame is a step"),
        pytest.param([4], [(4, -4), (4, 0), (4, 1), (4, 4)], id="four"),
        pytest.param([1, 16], [(1, -1), (1, 0), (1, 1), (16, -16), (16, 0), (16, 1), (16, 16)], id="two steps"),
    ],
)
def test_paces_are_every_lead_once(steps: list[int], expected: list[tuple[int, int]]) -> None:
    assert paces(steps) == expected


def test_a_player_for_each_pace_and_number_of_evaluations(copying: Path) -> None:
    playing = curve_players(copying, None, ["bass"], backend="onnxruntime")
    assert len(playing) == 2 * (3 + 4 + 4)
    assert {nfe for _, nfe in playing} == {1, 2}
    assert len({one.label for one, _ in playing}) == len(playing)
    assert {one.sampler_steps for one, nfe in playing if nfe == 1} == {1}
    leads = sorted({one.net_look_ahead_s for one, _ in playing if one.step_frames == 16})
    assert [round(lead, 3) for lead in leads] == [-1.486, 0.0, 0.093, 1.486]


def test_the_same_bundle_twice_is_refused(copying: Path) -> None:
    with pytest.raises(MusicError, match="leave it out"):
        curve_players(copying, copying, ["bass"], backend="onnxruntime")


# -- the worth of a short lead -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "long", "worth", "real", "said"),
    [
        pytest.param([0.7, 0.8, 0.6, 0.7, 0.7], [0.5] * 5, 0.2, True, "is better", id="better"),
        pytest.param([0.4, 0.3, 0.2, 0.3, 0.3], [0.5] * 5, -0.2, True, "is worse", id="worse"),
        pytest.param([0.7, 0.2, 0.5, 0.5, 0.5], [0.5] * 5, -0.02, False, "Not real", id="either way"),
        pytest.param([0.5, 0.6, NAN, 0.5, 0.5], [0.3, 0.4, 0.6, 0.3, 0.3], 0.04, False, "Not real", id="silence"),
        pytest.param([0.7] * 4, [0.5] * 4, 0.2, False, "nothing is said", id="four songs"),
    ],
)
def test_a_worth_is_real_where_its_interval_leaves_out_0(
    short: list[float], long: list[float], worth: float, real: bool, said: str
) -> None:
    playing = [player(-16), player(0), player(1), player(16)]
    zeros = [0.0] * len(short)
    heard = heard_of({"cd 16:-16": zeros, "cd 16:0": zeros, "cd 16:1": short, "cd 16:16": long})
    record = record_of(heard, playing)
    (one,) = [each for each in record["worths"] if each["measure"] == "grid_lock"]
    assert one["worth"][0] == pytest.approx(worth, abs=1e-4)
    assert one["real"] is real
    assert (one["short_lead_s"], one["long_lead_s"]) == (0.0929, 1.4861)
    (line,) = [line for line in sentences(record) if "rhythm" in line]
    assert said in line
    assert len(worth_table(record)) == 2 + len(record["worths"])


def test_the_worth_is_paired_by_song() -> None:
    """Songs differ by far more than the leads do; each lead's interval is wide, the difference's is not."""
    long = [0.1, 0.5, 0.9, 0.3, 0.7]
    heard = heard_of({"cd 16:1": [score + 0.02 for score in long], "cd 16:16": long})
    record = record_of(heard, [player(1), player(16)])
    (one,) = [each for each in record["worths"] if each["measure"] == "grid_lock"]
    assert one["real"]
    assert one["worth"][:3] == pytest.approx([0.02, 0.02, 0.02])
    (judge,) = [each for each in record["points"] if each["measure"] == "grid_lock"]
    value, low, high, songs = judge["made"]["cd 16:16"]
    assert high - low > 0.3
    assert songs == 5
    assert judge["share"]["cd 16:16"][0] == pytest.approx(value)


def test_a_step_of_one_frame_has_no_shorter_lead() -> None:
    heard = heard_of({"cd 1:1": [0.5, 0.5], "cd 1:0": [0.5, 0.5]})
    assert worths(heard, [player(1, 1), player(0, 1)], ["bass", "drums"]) == []


@pytest.mark.parametrize(
    ("panel", "stems", "expected"),
    [
        ("harmony", ["drums", "piano"], ("piano",)),
        ("rhythm", ["drums", "piano"], ("drums",)),
        ("rhythm", ["piano"], ()),
    ],
)
def test_a_panel_takes_the_stems_that_it_judges(panel: str, stems: list[str], expected: tuple[str, ...]) -> None:
    assert stems_of(panel, stems) == expected


# -- the command ---------------------------------------------------------------------------------------------------


class CurveEar(ClickEar):
    """Scores of clicks by the names that the curve asks for."""

    __slots__ = ()

    def judge(self, known: Any, heard: Any, context: Any, truth: Any) -> dict[str, float]:
        clicks, true = heard["clicks"], truth["clicks"]
        score = float(np.isin(clicks, true).mean()) if len(clicks) else NAN
        return dict.fromkeys(("context_cosine", "chord_cosine", "grid_lock", "context_lock", "beat_f1"), score)


def run(tmp_path: Path, bundle: Path, *arguments: str) -> int:
    asked = ["--corpus", str(tmp_path), "--bundle", str(bundle), "--out", str(tmp_path / "out"), "--seconds", "2"]
    one = ["--jobs", "1", "--songs", "2", "--stem", "bass", "--backend", "onnxruntime"]
    return curve.main([*asked, *one, *arguments], ear=CurveEar(), tracks=lambda path, split: click_tracks(3, 9.0))


def test_a_curve_is_drawn_and_drawn_again(tmp_path: Path, copying: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, copying, "--steps", "16", "--nfe", "2") == 0
    printed = capsys.readouterr()
    assert "4 players, 48 cycles, 96 evaluations" in printed.err
    line = printed.out.splitlines()[-1]
    record = json.loads(line)
    assert [one["net_look_ahead_s"] for one in record["players"]] == [-1.4861, 0.0, 0.0929, 1.4861]
    assert {one["nfe"] for one in record["players"]} == {2}
    assert {one["measure"] for one in record["points"]} == {name for names in curve.JUDGES.values() for name in names}
    assert len(record["worths"]) == 5
    out = tmp_path / "out"
    assert "of harmony" in (out / "curve.md").read_text()
    picture = (out / "curve.png").read_bytes()
    assert len(picture) > 10_000
    (tmp_path / "kept.jsonl").write_text(line + "\n")
    again = tmp_path / "again.png"
    assert curve_plot.main([str(tmp_path / "kept.jsonl"), "--out", str(again)]) == 0
    assert again.read_bytes() == picture
    assert run(tmp_path, copying, "--steps", "16", "--nfe", "2") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["features_computed"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--stem", "oboe"), "unknown stem 'oboe'", id="stem"),
        pytest.param(("--steps", "60"), "heard frame", id="step"),
        pytest.param(("--nfe", "0"), "", id="nfe"),
        pytest.param(("--bundle", "nowhere"), "not a bundle", id="bundle"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, copying: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert run(tmp_path, copying, *arguments) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.startswith("curve: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "content", [None, "", '{"benchmark":"music"}\n', "{broken\n"], ids=["none", "empty", "other", "broken"]
)
def test_no_record_to_draw_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None) -> None:
    file = tmp_path / "curve.jsonl"
    if content is not None:
        file.write_text(content)
    assert curve_plot.main([str(file), "--out", str(tmp_path / "a.png")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
