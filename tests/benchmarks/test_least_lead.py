# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Which pace `bench lead` plays, and what it makes of the runs. Not covered: playing (`soak.play`, as in a soak)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anacrusis.benchmarks import least_lead, soak
from anacrusis.benchmarks.least_lead_plot import plot_least_lead
from anacrusis.engine.errors import AnacrusisError

from ..calib.made import calibration  # noqa: TID252 (tests are no package to import from)

Capture = pytest.CaptureFixture[str]
FADE_SAMPLES = 882


@pytest.mark.parametrize(
    ("cycles_ms", "lead", "pace"),
    [
        ({1: 20.0, 4: 25.0}, 1.0, (4096, 1 + 882 + FADE_SAMPLES)),  # 20 ms are 882 samples: the bound must be within
        ({1: 20.0, 4: 25.0}, 0.5, (4096, 882)),
        ({1: 20.0, 4: 25.0}, "auto", (4096, 4096)),
        ({1: 80.0, 4: 85.0}, "auto", (4096, 8192)),  # 80 ms and the fade are more than a frame
        ({1: 120.0, 4: 130.0}, 1.0, (4 * 4096, 1 + 5733 + FADE_SAMPLES)),  # a step of one frame does not keep up
    ],
)
def test_the_smallest_step_that_keeps_up_and_its_lead(
    cycles_ms: dict[int, float], lead: least_lead.Lead, pace: tuple[int, int]
) -> None:
    assert least_lead.pace_of(calibration(cycles_ms), lead) == pace


def test_no_step_that_keeps_up_is_said() -> None:
    with pytest.raises(AnacrusisError, match="no step"):
        least_lead.pace_of(calibration({1: 500.0}), 1.0)


@pytest.mark.parametrize(
    ("lead", "late", "dropped", "said"),
    [
        ("auto", 0, 0, []),
        ("auto", 6, 0, []),
        ("auto", 6, 1, ["hopeful"]),
        (1.0, 0, 0, []),
        (1.0, 6, 0, []),  # of 3,229 steps at a 99.9th percentile
        (1.0, 7, 0, ["hopeful"]),
        (1.0, 6, 1, ["hopeful"]),
        (0.5, 9, 0, []),
        (0.5, 0, 0, ["timid"]),
        (0.8, 0, 0, []),  # between them nothing is claimed
        (0.8, 3, 0, []),
    ],
)
def test_what_speaks_against_a_lead(lead: least_lead.Lead, late: int, dropped: int, said: list[str]) -> None:
    record = {"lead_is": lead, "late": late, "dropped": dropped, "steps": 3229, "calibration": {"quantile": 0.999}}
    found = least_lead.misses([record])
    assert [text.split(":")[0] for text in found] == said


@pytest.mark.parametrize("text", ["", "0", "-1", "inf", "nan", "whole"])
def test_a_lead_that_is_none_is_refused(text: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="2"):
        least_lead.main([f"--lead={text}", "--no-record"])
    assert "--lead" in capsys.readouterr().err


def test_what_is_kept_of_a_calibration_is_json_and_has_each_step_s_lead() -> None:
    told = least_lead.summary_of(calibration({1: 20.0, 4: 25.0}, transfer_ms=1.0))
    assert [(one["step_frames"], one["real_time"]) for one in told["steps"]] == [(1, True), (4, True)]
    assert told["steps"][0]["least_lead_ms"] == pytest.approx(21.0 + 20.0, abs=0.1)
    assert told["aligned_frames"] == 1
    json.dumps(told)


def played(monkeypatch: pytest.MonkeyPatch, late: dict[int, int]) -> list[tuple[int, int, float]]:
    """Replace the playing; late: steps late by lead in samples. Returns what was asked to be played."""
    asked: list[tuple[int, int, float]] = []

    def play(options: Any, plan: Any) -> Any:
        asked.append((plan.step_samples, plan.lead_samples, plan.seconds))
        return SimpleNamespace(take=SimpleNamespace(complete=True, steps=()), lead=plan.lead_samples)

    def record_of(run: Any) -> dict[str, Any]:
        names = ("dropped", "concealed", "p50_ms", "p99_ms", "max_ms", "deadline_ms")
        return {**dict.fromkeys(names, 0), "steps": 40, "late": late[run.lead], "lead_samples": run.lead}

    monkeypatch.setattr(soak, "play", play)
    monkeypatch.setattr(soak, "record_of", record_of)
    monkeypatch.setattr(soak, "lines", lambda record: [])
    monkeypatch.setattr(soak, "series_of", lambda run: {"round_trip_ms": [3.0, None, 1.0]})
    monkeypatch.setattr(least_lead, "calibrated", lambda options: calibration({1: 20.0}))
    return asked


@pytest.mark.parametrize(("late", "code"), [((0, 0, 5), 0), ((1, 0, 5), 1), ((0, 9, 9), 1), ((0, 0, 0), 1)])
def test_both_are_played_recorded_and_judged(
    late: tuple[int, int, int], code: int, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    asked = played(monkeypatch, {4096: late[0], 1765: late[1], 882: late[2]})
    out = tmp_path / "lead.jsonl"
    assert least_lead.main(["--bundle", str(tiny), "--minutes", "2", "--out", str(out)]) == code
    assert asked == [(4096, 4096, 120.0), (4096, 1765, 120.0), (4096, 882, 60.0)]
    records = [json.loads(line) for line in out.read_text().splitlines()]
    told = [(r["lead_is"], r["late"], r["round_trips_ms"]) for r in records]
    assert told == [(lead, n, [1.0, 3.0]) for lead, n in zip(("auto", 1.0, 0.5), late, strict=True)]
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["missed"]) == code


def test_without_a_calibration_it_says_what_to_run(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("ANACRUSIS_CACHE", str(tmp_path))
    assert least_lead.main(["--bundle", str(tiny), "--no-record"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run `anacrusis calibrate" in line


def test_it_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one = {"machine": "m", "threads": 1, "bundle": "b", "step_ms": 93.0, "steps": 3, "late": 0, "deadline_ms": 37.0}
    records = [{**one, "lead_is": 1.0, "round_trips_ms": [1.0, 2.0]}, {**one, "lead_is": 0.5, "round_trips_ms": []}]
    plot_least_lead(tmp_path / "l.png", records)
    assert (tmp_path / "l.png").stat().st_size > 1000
