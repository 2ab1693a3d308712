# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""How close we must come to a golden array: every tolerance with its source, and the verdict on one array.

"README" is the golden set's, section "How to check, and what accuracy to expect".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from anacrusis.benchmarks.parity_golden import Array, GoldenArrays

# What an error may grow with. "fixed": nothing. "peak": the array's largest magnitude, if above 1; "rows": the same
# for each entry of the first axis. "element": each value's own magnitude. "differs": not an error but a distance,
# which must be at least the limit.
Scale = Literal["fixed", "peak", "rows", "element", "differs"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest error allowed, and (if given) the largest root mean square. `floor` joins an "element" limit."""

    max_abs: float
    rms: float | None = None
    scale: Scale = "fixed"
    floor: float = 0.0

    def limits(self, reference: Array) -> Array:
        """The allowed error, broadcastable to `reference`."""
        magnitude = np.abs(reference.astype(np.float64))
        if self.scale == "element":
            return self.floor + self.max_abs * magnitude
        if self.scale == "peak" and magnitude.size:
            return np.asarray(self.max_abs * max(1.0, float(magnitude.max())))
        if self.scale == "rows" and magnitude.size:
            peak: Array = magnitude.max(axis=tuple(range(1, magnitude.ndim)), keepdims=True)
            return self.max_abs * np.maximum(1.0, peak)
        return np.asarray(self.max_abs)


ILL_CONDITIONED = "ill-conditioned"

# Every tolerance, by the quantity it is for.
TOLERANCES: dict[str, Tolerance] = {
    # README: "Suggested float32 limits: 1e-4 for networks and samplers".
    "block": Tolerance(1e-4),
    "network output": Tolerance(1e-4),
    "network tap": Tolerance(1e-4),
    "denoised": Tolerance(1e-4),
    "sampler output": Tolerance(1e-4),
    # The same limit, relative where noise of sigma 50 makes the state itself that large.
    "sampler trace": Tolerance(1e-4, scale="rows"),
    # "as float32 computed by the original code": rho = 9 amplifies the rounding of a level (6e-8) up to twentyfold.
    "schedule": Tolerance(2e-6, scale="element", floor=1e-9),
    # The original takes sigma_down as a difference of float32 squares: 4.4604e-7 where 4.4664e-7 is exact.
    "step constant": Tolerance(1e-5, scale="element", floor=1e-9),
    # README: "2e-3 for encoder latents (1e-4 rms)".
    "latent": Tolerance(2e-3, rms=1e-4),
    # Taps lie before the encoder's output, so its limit, relative where features are larger than latents.
    "encoder tap": Tolerance(2e-3, scale="peak"),
    # |X|^.65 amplifies float32 rounding in near-silent bins: a plain float32 FFT is 1.9e-4 from float64 here.
    "stft": Tolerance(2e-3),
    # Sums over those bins: a float64 FFT is 8e-6 from them.
    "stft sum": Tolerance(1e-4, scale="element"),
    # README: "1e-4 for decoder audio".
    "audio": Tolerance(1e-4),
    # The decoder's inside, by the same limit; spectra relative to their largest value.
    "decoder tap": Tolerance(1e-4),
    "spectrum": Tolerance(1e-4, scale="peak"),
    # A few float32 operations (7e-8 each) on the way to three scalars.
    "scalar": Tolerance(1e-6, scale="element"),
    # README: "3e-2 max / 3e-3 rms for end-to-end latents, 1e-3 for end-to-end audio". Context latents too: "Near-silent
    # context buffers (case C, first cycles) amplify float32 rounding in the encoder ..., hence the wider end-to-end
    # limits".
    "cycle latent": Tolerance(3e-2, rms=3e-3),
    "cycle audio": Tolerance(1e-3),
    # README: "server cycles with the golden context latent fed in: 8e-5", so the limits of the stages themselves.
    "golden context, latent": Tolerance(1e-3, rms=1e-4),
    "golden context, audio": Tolerance(1e-4),
    # Not these numbers but `widened`, only where a limit above was missed.
    ILL_CONDITIONED: Tolerance(0.0),
    # Sums of up to 264,600 float32 magnitudes: rounding of the terms only.
    "abs sum": Tolerance(1e-5, scale="element", floor=1e-9),
    # Integers, labels and text: the error counts entries that differ.
    "exact": Tolerance(0.5),
    # Another network's output is whole units away; 100 times the limit for networks cannot be rounding.
    "other network": Tolerance(1e-2, scale="differs"),
}


# Relative error of a float32 FFT of 2,048 points, root mean square over a frame's bins: one unit in the last place.
# Measured against float64 on the golden signals: 1.3e-7 for torch's, which made the set.
FLOAT32_FFT = 2.0**-23
# Seeds of that rounding, and how much further than the worst of them we may land: the set's transform and ours round
# independently, and single draws were seen to differ by a factor of 4.
DRAWS = (0, 1)
WIDENED = 5.0


def widened(pairs: Iterable[tuple[Array, Array]]) -> Tolerance:
    """WIDENED times the worst distance within pairs (exact, rounded) of one quantity; 0 without pairs."""
    errors = [np.abs(a.astype(np.float64) - b.astype(np.float64)) for a, b in pairs]
    worst = max((float(error.max()) for error in errors), default=0.0)
    worst_rms = max((float(np.sqrt(np.mean(error**2))) for error in errors), default=0.0)
    return Tolerance(WIDENED * worst, rms=WIDENED * worst_rms)


@dataclass(frozen=True, slots=True)
class Check:
    """One golden array against ours. limit: what max_abs was held to where it came closest; ratio: error / limit.

    ratio is infinite for a wrong shape and for values that are not finite. rms is None for exact quantities.
    """

    stage: str
    backend: str
    quantity: str
    array: str
    max_abs: float
    rms: float
    limit: float
    rms_limit: float | None
    ratio: float

    @property
    def passed(self) -> bool:
        return self.ratio <= 1.0


def compare(
    stage: str, backend: str, quantity: str, array: str, got: ArrayLike, want: Array, tolerance: Tolerance
) -> Check:
    """The verdict on one array. Any thread."""
    have, rms_limit = np.asarray(got), tolerance.rms

    def verdict(max_abs: float, rms: float, limit: float, ratio: float) -> Check:
        return Check(stage, backend, quantity, array, max_abs, rms, limit, rms_limit, ratio)

    failed = verdict(math.inf, math.inf, tolerance.max_abs, math.inf)
    if have.shape != want.shape:
        return failed
    if quantity == "exact":
        differing = float((have != want).sum())
        return verdict(differing, 0.0, tolerance.max_abs, differing / tolerance.max_abs)
    error = np.abs(have.astype(np.float64) - want.astype(np.float64))
    if not error.size or not np.isfinite(error).all():
        return failed
    max_abs, rms = float(error.max()), float(np.sqrt(np.mean(error**2)))
    if tolerance.scale == "differs":
        return verdict(max_abs, rms, tolerance.max_abs, tolerance.max_abs / max_abs if max_abs else math.inf)
    limits = np.broadcast_to(tolerance.limits(want), error.shape)
    # A limit of 0 (a relative one where the reference is 0) allows no error.
    ratios = np.divide(error, limits, out=np.where(error > 0, np.inf, 0.0), where=limits > 0)
    worst = int(ratios.argmax())
    ratio = float(ratios.flat[worst])
    if rms_limit is not None:
        ratio = max(ratio, rms / rms_limit if rms_limit else math.inf)
    return verdict(max_abs, rms, float(limits.flat[worst]), ratio)


class Recorder:
    """Collects the verdicts of one stage on one backend."""

    def __init__(self, stage: str, backend: str, add: Callable[[Check], None]) -> None:
        self._stage, self._backend, self._add = stage, backend, add

    def check(self, quantity: str, arrays: GoldenArrays, name: str, got: ArrayLike) -> None:
        """Hold `got` to an array of the set."""
        self.record(quantity, f"{arrays.name}:{name}", got, arrays[name])

    def record(
        self, quantity: str, label: str, got: ArrayLike, want: ArrayLike, tolerance: Tolerance | None = None
    ) -> None:
        """Hold `got` to what the set says, with the quantity's tolerance unless one is given."""
        self._add(self._compared(quantity, label, got, want, tolerance))

    def conditioned(
        self, quantity: str, arrays: GoldenArrays, name: str, got: ArrayLike, tolerance: Callable[[], Tolerance]
    ) -> None:
        """As `check`, but what misses its limit is held to `tolerance()` where that is wider, and listed apart."""
        base, label, want = TOLERANCES[quantity], f"{arrays.name}:{name}", arrays[name]
        if self._compared(quantity, label, got, want, base).passed:
            self.record(quantity, label, got, want)
            return
        measured = tolerance()
        wider = Tolerance(max(base.max_abs, measured.max_abs), rms=max(base.rms or 0.0, measured.rms or 0.0))
        excused = self._compared(quantity, label, got, want, wider).passed
        self.record(ILL_CONDITIONED if excused else quantity, label, got, want, wider)

    def _compared(
        self, quantity: str, label: str, got: ArrayLike, want: ArrayLike, tolerance: Tolerance | None
    ) -> Check:
        chosen = TOLERANCES[quantity] if tolerance is None else tolerance
        return compare(self._stage, self._backend, quantity, label, got, np.asarray(want), chosen)
