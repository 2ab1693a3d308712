# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Placement over real UDP: through networks that copy, clicks land in the client's buffer with 0 samples of error.

The copying networks write what was heard 8 frames (32,768 samples) before; the clicks have that period, so a sample at
buffer frame p must be the signal's own at p.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .harness import Duo

FRAME, PERIOD, FADE = 4096, 8 * 4096, 882

_rng = np.random.default_rng(7)
CLICKS = np.zeros(PERIOD, np.float32)
CLICKS[_rng.choice(PERIOD, 60, replace=False)] = _rng.uniform(0.2, 1.0, 60)


def wrong_samples(copying: Path, silent: Any, *, steps_after: int = 4, **setting: Any) -> tuple[int, int]:
    """(wrong, checked) in the target's channel, over `steps_after` steps once a whole period was heard."""
    window, r = setting.get("window", 262144), setting.get("r", 0.25)
    s = int(window * r)
    lead = setting.get("lead")
    lead = int(setting.get("w", 1) * s) if lead is None else lead
    heard = PERIOD + 2 * FRAME + max(lead, 0) + 2 * s + FADE
    first = -(-heard // s)  # the first step whose reply is a copy throughout
    steps = first + steps_after
    frames = steps * s + max(lead, 0) + s
    with Duo(copying, frames, noise=silent) as duo:
        duo.buffer[:, 1] = CLICKS[np.arange(frames) % PERIOD]
        duo.load(**setting)
        for k in range(1, steps + 1):
            duo.step(k * s)
        assert duo.server.worker.settle(20.0)
        counters = duo.server.counters
        assert (counters.dropped, counters.concealed_context_samples, counters.answered) == (0, 0, steps)
        begin, end = first * s + lead, steps * s + lead + s
        begin = max(begin, 0)
        got, expected = duo.buffer[begin:end, 0], duo.buffer[begin:end, 1]
    # Where the client blends two equal clicks, float32 rounds; a sample placed one off is wrong by .2 or more.
    return int((np.abs(got - expected) > 1e-5).sum()), end - begin


@pytest.mark.parametrize("w", [-1, 0, 1])
@pytest.mark.parametrize("r", [0.25, 0.125, 0.0625, 1 / 64])
@pytest.mark.parametrize("window", [264600, 262144])
def test_every_click_lands_on_its_sample(copying: Path, silent: Any, window: int, r: float, w: int) -> None:
    wrong, checked = wrong_samples(copying, silent, window=window, r=r, w=w)
    assert wrong == 0
    assert checked > 4 * int(window * r)


@pytest.mark.parametrize(("window", "r"), [(262144, 0.25), (262144, 0.125), (262144, 1 / 64), (264600, 0.25)])
def test_a_lead_of_one_frame_through_the_extension(copying: Path, silent: Any, window: int, r: float) -> None:
    assert wrong_samples(copying, silent, window=window, r=r, lead=FRAME)[0] == 0


def test_several_stems_land_alike(copying: Path, silent: Any) -> None:
    s = 65536
    with Duo(copying, 8 * s, noise=silent) as duo:
        duo.buffer[:, 3] = CLICKS[np.arange(8 * s) % PERIOD]
        duo.load(flags=(1, 1, 1, 0))
        for k in range(1, 7):
            duo.step(k * s)
        for stem in range(3):
            np.testing.assert_allclose(duo.buffer[5 * s : 8 * s, stem], duo.buffer[5 * s : 8 * s, 3], atol=1e-5)


def test_the_upstream_cycle_is_late_by_what_was_measured(copying: Path, silent: Any) -> None:
    """The ruler can tell: the original's arithmetic puts the same clicks 1,804 samples late at r = .25."""
    s = 66150
    with Duo(copying, 10 * s, noise=silent, compat="upstream") as duo:
        duo.buffer[:, 1] = CLICKS[np.arange(10 * s) % PERIOD]
        duo.load(window=264600)
        for k in range(1, 9):
            duo.step(k * s)
        begin = 8 * s + FADE
        got, expected = duo.buffer[begin : begin + PERIOD, 0], duo.buffer[begin : begin + PERIOD, 1]
    correlation = np.fft.irfft(np.fft.rfft(got) * np.conj(np.fft.rfft(expected)))
    assert correlation.argmax() == 1804
