# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""How small a step and how short a lead: pure functions on numbers that somebody measured. No clock, no socket.

The paper (arXiv 2604.07612) calls a step ratio r real-time where a cycle d(r) = d_compute + c·r is over before the
step it answers has been played, d(r) < 1000·T·r with T in seconds; so the smallest is r* = d_compute / (1000·T - c).
Here the transfer has a floor as well, which adds to d_compute (0 gives the paper's formula), and *frame-aligned* means
the next whole number of the window's frames.

Its lead is w steps. Ours is a number of its own: l* is the smallest lead that a cycle, its transfer and the client's
jitter meet. A lead counts from the newest sample heard to the reply's first; the player's crossfade into it begins F
samples earlier, and that is the deadline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """y = floor + slope·x; both at least 0. residual: the largest distance of a point from it."""

    floor: float
    slope: float
    residual: float


@dataclass(frozen=True, slots=True)
class Lead:
    """The same lead three times. frames: rounded up; what lies between costs no context frame."""

    samples: int
    frames: int
    ms: float


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """Least squares, held to floor >= 0 and slope >= 0 (more takes no less time). One point: a floor."""
    n = len(xs)
    mean_x, mean_y = sum(xs) / n, sum(ys) / n
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = 0.0 if spread == 0 else sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    slope = max(slope, 0.0)
    floor = mean_y - slope * mean_x
    if floor < 0:  # then through the origin
        floor, slope = 0.0, max(sum(x * y for x, y in zip(xs, ys, strict=True)) / sum(x * x for x in xs), 0.0)
    residual = max(abs(y - floor - slope * x) for x, y in zip(xs, ys, strict=True))
    return Line(floor, slope, residual)


def smallest_ratio(compute_ms: float, window_s: float, c_ms: float, floor_ms: float = 0.0) -> float | None:
    """r* = (d_compute + floor) / (1000·T - c): the paper's, with floor_ms 0. None where no r <= 1 is real-time.

    compute_ms: encode, sample and decode. window_s: T. c_ms: milliseconds of transfer per unit of r.
    """
    left_ms = 1000.0 * window_s - c_ms
    if left_ms <= 0:
        return None
    ratio = (compute_ms + floor_ms) / left_ms
    return ratio if ratio <= 1 else None


def aligned_frames(ratio: float, window_frames: int) -> int:
    """The smallest whole number of frames, at least 1, whose share of the window is at least `ratio`."""
    return max(math.ceil(round(ratio * window_frames, 9)), 1)


def crossing_ratio(ratios: Sequence[float], cycles_ms: Sequence[float], window_s: float) -> float | None:
    """The smallest r at which the measured d(r) meets 1000·T·r; straight between points, level before the first.

    ratios: rising. None where no point lies below the line. What lies beyond it is not asked: d(r) may cross again.
    """
    before: tuple[float, float] | None = None
    for r, d in zip(ratios, cycles_ms, strict=True):
        room = 1000.0 * window_s * r - d
        if room > 0:
            if before is None:
                return d / (1000.0 * window_s)
            r0, room0 = before
            return r0 + (r - r0) * (-room0) / (room - room0)
        before = (r, room)
    return None


def smallest_lead(bound_ms: float, rate_hz: int, fade_samples: int, frame_samples: int) -> Lead:
    """The smallest whole number of samples l with bound_ms < l - F, where bound_ms is compute, transfer and jitter."""
    samples = fade_samples + math.floor(bound_ms * rate_hz / 1000.0) + 1
    return Lead(samples, -(-samples // frame_samples), 1000.0 * samples / rate_hz)


def keeps_up(compute_bound_ms: float, step_samples: int, rate_hz: int) -> bool:
    """Whether a cycle is over before the next begins: compute < s."""
    return compute_bound_ms < 1000.0 * step_samples / rate_hz
