# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Where another rung took over: which steps lie before and after, in the report, its line and its picture."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from anacrusis.performer.live_plot import SWITCH, plot_take
from anacrusis.performer.live_report import report, summary
from anacrusis.performer.plan import Pace
from anacrusis.performer.take import LiveStep, RungChange, Take
from anacrusis.server.wire.extension import StepStatus

S, STEPS = 4096, 9


def a_take(*rungs: RungChange, said: bool = True) -> Take:
    """Nine steps; batch k took k ms in all."""
    steps = []
    for k in range(1, STEPS + 1):
        status = StepStatus(k, 1, 2, 0.5, 0.0, float(k), 0.0, 0.0, 9.0, 0, 0, 0, 0, 0) if said else None
        at_s = k * S / 44100
        arrived = at_s + 0.001
        chunks = {"bass": (1, 1)}
        steps.append(LiveStep(k, k * S, k * S + S, at_s, at_s + 0.07, chunks, arrived, arrived, status=status))
    pace = Pace(44100, 262144, S / 262144, S, S, 882)
    audio = np.zeros((STEPS + 1) * S, np.float32)
    return Take(audio, audio[None], ("bass",), pace, None, tuple(steps), rungs=rungs)


PREPARING = RungChange(0.1, "preparing", "torch", 1, "opening")
BEFORE_THE_MUSIC = RungChange(-0.2, "playing", "torch", -1, "after onnxruntime")
TAKES = {
    "none": ((PREPARING, RungChange(0.2, "refused", "torch", 2, "no card")), []),
    "before the music": ((BEFORE_THE_MUSIC,), []),
    "once": ((PREPARING, RungChange(0.4, "playing", "torch", 4, "")), [("torch", 4, (1, 4), (5, 9))]),
    "before the first step": ((RungChange(0.05, "playing", "torch", -1, ""),), [("torch", -1, None, (1, 9))]),
    "there and back": (
        (RungChange(0.2, "playing", "torch", 2, ""), RungChange(0.5, "playing", "onnxruntime", 5, "torch failed")),
        [("torch", 2, (1, 2), (3, 5)), ("onnxruntime", 5, (3, 5), (6, 9))],
    ),
    "after the last step": ((RungChange(0.9, "playing", "torch", 9, ""),), [("torch", 9, (1, 9), None)]),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKES)
def test_which_steps_lie_where(name: str) -> None:
    rungs, expected = TAKES[name]
    result = report(a_take(*rungs))
    assert [change["state"] for change in result["rungs"]] == [change.state for change in rungs]
    found = []
    for switch in result["switches"]:
        sides = [
            switch[side] and (switch[side]["steps"], switch[side]["total_ms"]["max"]) for side in ("before", "after")
        ]
        found.append((switch["rung"], switch["after_batch"], *sides))
    spans = [
        (rung, batch, *(span and (span[1] - span[0] + 1, span[1]) for span in sides))
        for rung, batch, *sides in expected
    ]
    assert found == spans


def test_the_line_names_it() -> None:
    rungs, _ = TAKES["once"]
    assert summary(a_take(*rungs)).endswith(
        "; torch took over after batch 4, at 0.4 s, a step took p50 2 ms before and 7 after"
    )
    assert summary(a_take(*rungs, said=False)).endswith("; torch took over after batch 4, at 0.4 s")
    assert "took over" not in summary(a_take(PREPARING))


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib: pip install 'anacrusis[plot]'"
)
def test_the_picture_has_a_line_there(tmp_path: Path) -> None:
    pictures = {}
    for name in ("none", "once", "there and back"):
        path = tmp_path / f"{name}.svg"
        plot_take(path, a_take(*TAKES[name][0]), "a take")
        pictures[name] = path.read_text().count(f"stroke: {SWITCH}")
    assert pictures == {"none": 0, "once": 4, "there and back": 8}  # context, stem, arrivals, stages
