# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Does a stem sit on the beat? Its onsets against the true beats and the context's onsets; beats against beats.

    grid lock      correlation of the stem's onsets with the metre (beats, eighths, sixteenths), each blurred by 40 ms
    context lock   the same with the context's onsets: needs no truth
    grid share     share of the onsets within 25 ms of a sixteenth, beyond chance: 1 all, 0 chance
    grid offset    how late the onsets are on the whole, ms against the sixteenths
    beat F1        a beat tracker's beats (beats.py) against the true beats, or the context's

The grid is that of the beats given, so a tempo that drifts is followed, and of the song's swing: the second eighth of a
beat is where the swing puts it, sixteenths halve the eighths. Onsets count by strength. Below eight of them there is no
score: NaN.

Which to trust: on songs of our own corpus both locks rank the true stem above the same 41 ms late above another song's,
on all four stems. A blur of 40 ms does that; of 20 ms, late falls to the level of another song. So does `share`: a stem
that is 41 ms late misses a sixteenth wherever it falls, while another song's is right now and then. It is the sharpest
between true and late, and no judge between late and another song. Beat F1 needs drums or bass alone; at 70 ms it hides
the 41 ms on drums, at 35 ms it does not. The offset is circular, and wraps beyond half a sixteenth. Slow attacks are
heard late, basses by 18 ms (onsets.py), in the truth as in the rest: compare with the true stem's score, not with 1.

Not covered: downbeats, groove beyond the sixteenth.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.judges.onsets import Audio, Onsets, onsets
from anacrusis.benchmarks.judges.packages import JudgeError, need

SIXTEENTHS: Final = 4  # a beat
METRE: Final = (1.0, 0.3, 0.7, 0.3)  # what a metre expects on a beat and on the sixteenths after it
NEAR_S: Final = 0.025
LEAST_ONSETS: Final = 8
TRAIN_STEP_S: Final = 0.005  # onset trains are compared on this raster,
BLUR_S: Final = 0.04  # each onset widened to a Gaussian of this deviation

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GridFit:
    """How onsets sit on a grid. lock: -1 to 1; share: below 1; offset_ms: positive is late. NaN below eight onsets."""

    lock: float
    share: float
    offset_ms: float


def grid_fit(stem: Audio | Onsets, beats_s: Times, swing: float = 0.5) -> GridFit:
    """The stem's onsets against the true beats.

    beats_s: rising, in seconds from the clip's start; those before and after the clip may be among them, and onsets
    outside the first and the last do not count. swing: where in a beat its second eighth falls, 0.5 straight.
    Raises JudgeError for fewer than two beats, beats that do not rise, or a swing outside 0 to 1.
    """
    grid = _beats(beats_s)
    if not 0 < swing < 1:
        raise JudgeError(f"swing is where in a beat its second eighth falls, within 0 and 1, not {swing}")
    heard = _heard(stem)
    inside = (heard.times_s >= grid[0]) & (heard.times_s < grid[-1])
    times, strengths = heard.times_s[inside], heard.strengths[inside]
    if len(times) < LEAST_ONSETS:
        return GridFit(float("nan"), float("nan"), float("nan"))
    points = _points(grid, swing)
    first, last = max(grid[0], 0.0), min(grid[-1], heard.length_s)
    metre = np.append(np.tile(METRE, len(grid) - 1), METRE[0])
    lock = _correlation(_train(times, np.sqrt(strengths), first, last), _train(points, metre, first, last))
    weights = strengths / strengths.sum()
    phase, beat_s = grid_phase(times, grid, swing)
    vector = (weights * np.exp(2j * np.pi * SIXTEENTHS * phase)).sum()
    offset_s = np.angle(vector) / (2 * np.pi * SIXTEENTHS) * (weights * beat_s).sum()
    return GridFit(lock, _share(times, weights, points), float(1000 * offset_s))


def grid_phase(times_s: Times, beats_s: Times, swing: float = 0.5) -> tuple[Times, Times]:
    """Times [k] within the beats -> phase in the beat [k], 0 to 1, the second eighth at 0.5, and beat lengths [k]."""
    index = np.clip(np.searchsorted(beats_s, times_s, side="right") - 1, 0, len(beats_s) - 2)
    beat_s = beats_s[index + 1] - beats_s[index]
    part = (times_s - beats_s[index]) / beat_s
    early = part < swing
    return np.where(early, part * 0.5 / swing, 0.5 + (part - swing) * 0.5 / (1 - swing)), beat_s


def context_lock(stem: Audio | Onsets, context: Audio | Onsets) -> float:
    """Correlation of two clips' onset trains, -1 to 1, about 0 for strangers; NaN where either has under eight onsets.

    Both clips start at the same instant; the longer is cut.
    """
    one, other = _heard(stem), _heard(context)
    length_s = min(one.length_s, other.length_s)
    trains = []
    for heard in (one, other):
        inside = heard.times_s < length_s
        if inside.sum() < LEAST_ONSETS:
            return float("nan")
        trains.append(_train(heard.times_s[inside], np.sqrt(heard.strengths[inside]), 0.0, length_s))
    return _correlation(*trains)


def beat_f1(estimated_s: Times, true_s: Times, tolerance_s: float = 0.07) -> float:
    """F1 of estimated beats, each matched with one true beat at most, within the tolerance; NaN without truth.

    A tracker's tolerance of 70 ms hides a stem that is 41 ms late; 35 ms does not. By mir_eval. Raises JudgeError where
    mir_eval is not installed, or times do not rise.
    """
    estimated, true = _rising(estimated_s), _rising(true_s)
    if not len(true):
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no beats is a score of 0, not a warning
        return float(need("mir_eval.beat").f_measure(true, estimated, f_measure_threshold=tolerance_s))


def _points(grid: Times, swing: float) -> Times:
    """Every sixteenth from the first beat to the last: [4 (beats - 1) + 1]."""
    parts = np.array([0, swing / 2, swing, (1 + swing) / 2])
    return np.append((grid[:-1, None] + np.diff(grid)[:, None] * parts).ravel(), grid[-1])


def _share(times: Times, weights: Times, points: Times) -> float:
    """(hits - chance) / (1 - chance): chance is the share of time that lies within 25 ms of a sixteenth."""
    after = np.clip(np.searchsorted(points, times), 1, len(points) - 1)
    distance = np.minimum(np.abs(times - points[after - 1]), np.abs(times - points[after]))
    chance = np.minimum(np.diff(points), 2 * NEAR_S).sum() / (points[-1] - points[0])
    hits = weights[distance <= NEAR_S].sum()
    return float((hits - chance) / (1 - chance)) if chance < 1 else float("nan")


def _train(times: Times, weights: Times, first_s: float, last_s: float) -> Times:
    """A Gaussian at each time, as high as its weight, without their mean: a value each 5 ms from first_s to last_s.

    Callers give the root of the flux for onsets, so that one crash is not the whole clip.
    """
    count = max(int(np.ceil((last_s - first_s) / TRAIN_STEP_S)), 1)
    at = np.floor((times - first_s) / TRAIN_STEP_S).astype(np.intp)
    inside = (at >= 0) & (at < count)
    train = np.zeros(count)
    np.add.at(train, at[inside], weights[inside])
    steps = round(4 * BLUR_S / TRAIN_STEP_S)
    blur = np.exp(-0.5 * (np.arange(-steps, steps + 1) * TRAIN_STEP_S / BLUR_S) ** 2)
    blurred = np.convolve(train, blur)[steps:][:count]
    return np.asarray(blurred - blurred.mean(), np.float64)


def _correlation(one: Times, other: Times) -> float:
    """Of two trains; NaN where one has no shape at all."""
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / lengths) if lengths > 0 else float("nan")


def _heard(audio: Audio | Onsets) -> Onsets:
    return audio if isinstance(audio, Onsets) else onsets(audio)


def _beats(beats_s: Times) -> Times:
    grid = _rising(beats_s)
    if len(grid) < 2:
        raise JudgeError(f"a grid needs two beats or more, not {len(grid)}")
    return grid


def _rising(times_s: Times) -> Times:
    times = np.asarray(times_s, np.float64)
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise JudgeError("times must be one list of finite seconds that rise")
    return times
