# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The level across a step boundary, as the stock client writes it: a steady tone stays steady.

The client blends each reply in over 882 samples. Native replies carry no ramp of their own, so one coherent tone keeps
its level; the original's replies fade in once more, and the sum dips by 2.5 dB (here by more: it also sends the ends of
its decode, where networks that copy are silent).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .harness import Duo

TONE_PERIOD = 512  # samples: 86 Hz; a whole number of them in the 8 frames that the networks copy
TONE = (0.5 + 0.4 * np.sin(2 * np.pi * np.arange(TONE_PERIOD) / TONE_PERIOD)).astype(np.float32)


def levels_db(signal: np.ndarray) -> np.ndarray:
    """Mean level over one period, sliding: constant for a steady tone, whatever its phase."""
    mean = np.convolve(signal.astype(np.float64), np.full(TONE_PERIOD, 1 / TONE_PERIOD), "valid")
    return 20 * np.log10(np.maximum(mean, 1e-9) / 0.5)


@pytest.mark.parametrize(
    ("compat", "window", "lowest", "highest"),
    [("native", 262144, -0.1, 0.1), ("native", 264600, -0.1, 0.1), ("upstream", 264600, -20.0, -2.4)],
)
def test_level_across_step_boundaries(
    copying: Path, silent: Any, compat: str, window: int, lowest: float, highest: float
) -> None:
    s = window // 4
    with Duo(copying, 9 * s, noise=silent, compat=compat) as duo:
        duo.buffer[:, 2] = TONE[np.arange(9 * s) % TONE_PERIOD]
        duo.load(window=window)
        for k in range(1, 8):
            duo.step(k * s)
        around = [levels_db(duo.buffer[boundary - 2882 : boundary + 2000, 0]) for boundary in (6 * s, 7 * s)]
    assert lowest <= np.min(around) <= highest
    assert compat == "upstream" or np.max(around) <= 0.1
