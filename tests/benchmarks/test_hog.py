# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the hog's benchmark computes and draws, on made-up takes. No process, no timing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.benchmarks import hog
from anacrusis.benchmarks.hog import Burst, misses, record_of, returned_s, series_of, to_react_s
from anacrusis.performer.plan import Pace
from anacrusis.performer.take import LiveStep, PaceChange, Take

F, RATE, STEPS = 4096, 44_100, 40
BURST = Burst(10.0, 20.0)


def change(at_s: float, lead: int, follow: int = 1) -> PaceChange:
    return PaceChange(at_s, 1, 8 * F, lead * F, follow, "")


def a_take(*paces: PaceChange, late: tuple[int, ...] = (), shifted: int = 0) -> Take:
    """40 steps of 8 frames with a lead of 4; step 5 begins `shifted` samples off."""
    steps = []
    for k in range(1, STEPS + 1):
        curr = 8 * k * F
        start, sent_s = curr + 4 * F + (shifted if k == 5 else 0), curr / RATE
        length = 12 * F + 8 * k * F - start
        came = sent_s + 0.2
        step = LiveStep(k, curr, start, sent_s, (start - 882) / RATE, {"bass": (8, 8)}, came, came)
        step.length_samples, step.until_next_samples = length, 8 * F
        step.late_samples = 100 * (k in late)
        steps.append(step)
    audio = np.zeros(8 * F * STEPS, np.float32)
    pace = Pace(RATE, 64 * F, 0.125, 8 * F, 4 * F, 882)
    return Take(audio, audio[None], ("bass",), pace, None, tuple(steps), paces=paces)


LONGER, BACK = change(10.5, 9), (change(26.0, 8), change(28.0, 4))
TAKES: dict[str, tuple[Take, dict[str, Any], list[str]]] = {
    "as it should be": (
        a_take(LONGER, *BACK, late=(14, 15)),
        {"late": 2, "missed_during": 2, "to_react_s": 0.5, "returned_s": 8.0, "gap_samples": 0, "repeated_samples": 0},
        [],
    ),
    "never back": (a_take(LONGER, BACK[0]), {"returned_s": None}, ["back after None s"]),
    "back too late": (a_take(LONGER, change(51.0, 4)), {"returned_s": 31.0}, ["back after 31.0 s"]),
    "away again, later": (a_take(LONGER, *BACK, change(40.0, 9)), {"returned_s": 8.0}, []),
    "only later": (
        a_take(change(5.0, 9), change(8.0, 4), change(40.0, 9)),
        {"returned_s": 0.0, "to_react_s": None},
        ["the pace never changed with the hog"],
    ),
    "late too often": (a_take(LONGER, *BACK, late=(14, 15, 16)), {"late": 3}, ["3 steps late or dropped"]),
    "a gap": (a_take(LONGER, *BACK, shifted=7), {"gap_samples": 7, "repeated_samples": 0}, ["7 samples of gaps, 0"]),
    "a repeat": (
        a_take(LONGER, *BACK, shifted=-7),
        {"gap_samples": 0, "repeated_samples": 7},
        ["0 samples of gaps, 7"],
    ),
    "nothing happened": (a_take(), {"returned_s": 0.0, "to_react_s": None}, ["the pace never changed"]),
    "only told": (a_take(change(10.5, 9, follow=0)), {"to_react_s": None}, ["the pace never changed"]),
}


@pytest.mark.parametrize("name", TAKES)
def test_what_is_recorded_and_missed(name: str) -> None:
    take, expected, missed = TAKES[name]
    record = record_of(take, BURST, {"late": 1, "dropped": 0}, None)
    assert {key: record[key] for key in expected} == expected
    found = misses(record)
    assert len(found) == len(missed)
    assert all(one.startswith(begin) for one, begin in zip(found, missed, strict=True))
    assert hog.lines({**record, "hogs": 1})


def test_without_a_hog_nothing_is_known() -> None:
    nothing = Burst(None, None)
    assert (returned_s(a_take(LONGER), nothing), to_react_s(a_take(LONGER), nothing)) == (None, None)


def test_a_hog_that_is_stopped_is_gone() -> None:
    with hog.hog(1.0, 2.0, 1) as one:
        for music_s in (0.5, 1.5, 2.0, 3.5, 4.0):
            one.follow(music_s)
        assert one.burst == Burst(1.5, 3.5)
        assert one._running == []


@pytest.mark.parametrize(
    "wrong", [["--minutes", "0.5"], ["--hogs", "-1"], ["--stems", "9"], ["--hog-s", "0"], ["--clip", "absent.flac"]]
)
def test_bad_input_is_one_line(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert hog.main([*wrong, "--no-record"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("hog: ")


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'anacrusis[plot]'")
    from anacrusis.benchmarks.hog_plot import plot_hog

    take = a_take(LONGER, *BACK, late=(14, 15))
    about = {"pacing": True, "hogs": 1, "machine": "m", "threads": 1}
    plot_hog(tmp_path / "hog.png", {**record_of(take, BURST, None, 0.1), **about}, series_of(take))
    assert (tmp_path / "hog.png").stat().st_size > 10_000
