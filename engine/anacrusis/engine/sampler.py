# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A sampler is a table: one row per network evaluation (NFE), and a recipe for the noise of each injection.

With D the denoised estimate, M the keep mask (1 keep, 0 generate), S the kept source and n a pre-mixed noise,
every row does

    v  = cb * b + cu * u + cd * D(u; sigma)
    u' = M * S + (1 - M) * v + n   where the row injects, else v
    b' = u'                        where the row sets a new base, else b

on two float32 latents, u (the network's input) and b (the base of a two-evaluation step). The denoiser graph
takes one row as its input and does this itself, so one graph serves every sampler and no host arithmetic
stands between evaluations.

Sources: consistency multistep, Song et al. 2023 algorithm 1 with the inpainting of the paper (section 3.2);
DPM-2 (ancestral midpoint with resampling, RePaint-like), the paper's diffusion sampler; Heun, Karras et al.
2022 algorithm 2. Schedules: Karras et al. 2022 equation 5.

Not covered: classifier-free guidance (the models have none) and thresholding (the servers use none).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import BundleError

F32 = NDArray[np.float32]
SamplerName = Literal["consistency", "dpm2", "heun"]
ParametrisationName = Literal["consistency", "edm"]

# Columns of the `row` tensor that the denoise graph reads.
ROW_FIELDS = ("c_in", "c_skip", "c_out", "cb", "cu", "cd", "inject", "newbase")


@dataclass(frozen=True, slots=True)
class Parametrisation:
    """D(u; sigma) = c_skip * u + c_out * F(c_in * u, ln(sigma) / 4, label, context)."""

    name: ParametrisationName
    sigma_data: float = 1.0
    sigma_min: float = 0.0  # consistency only: D(u; sigma_min) = u

    def scalings(self, sigma: float) -> tuple[float, float, float]:
        """(c_in, c_skip, c_out) at one noise level, in double."""
        offset = self.sigma_min if self.name == "consistency" else 0.0
        data2, s = self.sigma_data**2, sigma - offset
        c_in = 1.0 / math.sqrt(sigma**2 + data2)
        return c_in, data2 / (s**2 + data2), s * self.sigma_data * c_in


@dataclass(frozen=True, slots=True)
class Mix:
    """One pre-mixed noise: n = M * sum(keep) + (1 - M) * sum(generate), terms being (draw index, scale)."""

    keep: tuple[tuple[int, float], ...] = ()
    generate: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One network evaluation. `mix` is present exactly where the row injects."""

    sigma: float
    cb: float
    cu: float
    cd: float
    newbase: bool
    mix: Mix | None = None


@dataclass(frozen=True, slots=True)
class SamplerTable:
    """rows: one per evaluation. initial: the noise of the first input, u = b = M * S + n. draws: how many
    standard normals of the latent's shape one cycle consumes, in the original's order."""

    name: SamplerName
    rows: tuple[Row, ...]
    initial: Mix
    draws: int

    @property
    def nfe(self) -> int:
        """Network evaluations per cycle and stem."""
        return len(self.rows)

    @property
    def mixes(self) -> tuple[Mix, ...]:
        """The initial noise, then that of each injecting row."""
        return (self.initial, *(row.mix for row in self.rows if row.mix is not None))

    def coefficients(self, parametrisation: Parametrisation) -> F32:
        """[nfe, 8] float32, columns as in ROW_FIELDS."""
        return np.array(
            [(*parametrisation.scalings(r.sigma), r.cb, r.cu, r.cd, r.mix is not None, r.newbase) for r in self.rows],
            np.float32,
        )

    def mix_noise(self, draws: Sequence[F32] | F32, keep: F32, out: F32) -> F32:
        """Fill out [len(mixes), *latent] float32 from draws [self.draws, *latent] and keep (broadcastable).

        Allocates only arrays of one latent's size. Any thread.
        """
        for target, mix in zip(out, self.mixes, strict=True):
            target[...] = 0.0
            for terms, mask in ((mix.keep, keep), (mix.generate, 1.0 - keep)):
                for index, scale in terms:
                    target += draws[index] * (np.float32(scale) * mask)
        return out


@dataclass(frozen=True, slots=True)
class SamplerConfig:
    """What a manifest says of its sampler. steps: sigmas of the schedule (consistency: evaluations)."""

    name: SamplerName
    steps: int
    sigma_min: float
    sigma_max: float
    rho: float
    resamples: int = 1

    def validate(self) -> None:
        """Raise BundleError where no table can be made."""
        least = 1 if self.name == "consistency" else 2
        if self.name not in ("consistency", "dpm2", "heun"):
            raise BundleError(f"unknown sampler {self.name!r}; this version knows consistency, dpm2 and heun")
        if not least <= self.steps <= 1000 or not 1 <= self.resamples <= 100:
            raise BundleError(f"sampler {self.name} cannot run {self.steps} steps x {self.resamples} resamples")
        if not 0.0 < self.sigma_min < self.sigma_max < math.inf or not self.rho > 0.0:
            raise BundleError(f"sampler needs 0 < sigma_min < sigma_max and rho > 0, not {self}")

    def table(self, steps: int | None = None) -> SamplerTable:
        """The table; `steps` overrides the manifest's. Raises BundleError for an impossible number."""
        config = self if steps is None else replace(self, steps=steps)
        config.validate()
        build = {"consistency": _consistency, "dpm2": _dpm2, "heun": _heun}[config.name]
        return build(config)


def karras_sigmas(n: int, sigma_min: float, sigma_max: float, rho: float) -> list[float]:
    """n noise levels from sigma_max down to sigma_min (Karras et al. 2022, equation 5), in double."""
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return [(high + i / max(n - 1, 1) * (low - high)) ** rho for i in range(n)]


def dpm2_levels(sigma: float, sigma_next: float) -> tuple[float, float, float, float]:
    """(up, down, mid, renoise) of one ancestral midpoint step with rho = 1."""
    up = sigma_next * math.sqrt(sigma**2 - sigma_next**2) / sigma
    down = sigma_next**2 / sigma
    return up, down, (sigma + down) / 2, math.sqrt(sigma**2 - sigma_next**2)


def _consistency(config: SamplerConfig) -> SamplerTable:
    # x = 80 eps; then per evaluation: paste the noised source, x = G(x; s_i), re-noise to s_{i+1}.
    sigmas = karras_sigmas(config.steps + 1, config.sigma_min, config.sigma_max, config.rho)[:-1]
    rows = []
    for i, sigma in enumerate(sigmas):
        mix = Mix()  # the last row pastes the clean source
        if i + 1 < config.steps:
            renoise = math.sqrt(sigmas[i + 1] ** 2 - config.sigma_min**2)
            mix = Mix(keep=((2 * i + 3, sigmas[i + 1]),), generate=((2 * i + 2, renoise),))
        rows.append(Row(sigma, cb=0.0, cu=0.0, cd=1.0, newbase=True, mix=mix))
    initial = Mix(keep=((1, sigmas[0]),), generate=((0, config.sigma_max),))
    return SamplerTable("consistency", tuple(rows), initial, draws=2 * config.steps)


def _dpm2(config: SamplerConfig) -> SamplerTable:
    # Draws: initial; then per interval: known region, step of each resample, re-noise between resamples.
    sigmas = karras_sigmas(config.steps, config.sigma_min, config.sigma_max, config.rho)
    intervals = list(itertools.pairwise(sigmas))
    per_interval = 2 * config.resamples
    rows: list[Row] = []
    for i, (sigma, sigma_next) in enumerate(intervals):
        up, down, mid, renoise = dpm2_levels(sigma, sigma_next)
        known = 1 + i * per_interval
        for r in range(config.resamples):
            step = known + 1 + 2 * r
            rows.append(Row(sigma, cb=0.0, cu=mid / sigma, cd=1 - mid / sigma, newbase=False))
            if r + 1 < config.resamples:  # again from this level
                mix = Mix(keep=((known, sigma),), generate=((step, up), (step + 1, renoise)))
            elif i + 1 < len(intervals):
                mix = Mix(keep=((known + per_interval, sigma_next),), generate=((step, up),))
            else:
                mix = Mix(generate=((step, up),))
            slope = (down - sigma) / mid
            rows.append(Row(mid, cb=1.0, cu=slope, cd=-slope, newbase=True, mix=mix))
    initial = Mix(keep=((1, sigmas[0]),), generate=((0, sigmas[0]),))
    return SamplerTable("dpm2", tuple(rows), initial, draws=1 + len(intervals) * per_interval)


def _heun(config: SamplerConfig) -> SamplerTable:
    # Deterministic EDM; the known region is noised afresh at each level.
    sigmas = karras_sigmas(config.steps, config.sigma_min, config.sigma_max, config.rho)
    rows: list[Row] = []
    for i, sigma in enumerate(sigmas):
        if i + 1 == len(sigmas):  # to sigma = 0: one Euler step, which is D
            rows.append(Row(sigma, cb=0.0, cu=0.0, cd=1.0, newbase=True, mix=Mix()))
            break
        low = sigmas[i + 1]
        rows.append(Row(sigma, cb=0.0, cu=low / sigma, cd=1 - low / sigma, newbase=False))
        half = (low - sigma) / (2 * low)
        mix = Mix(keep=((i + 2, low),))
        rows.append(Row(low, cb=0.5, cu=0.5 + half, cd=-half, newbase=True, mix=mix))
    initial = Mix(keep=((1, sigmas[0]),), generate=((0, sigmas[0]),))
    return SamplerTable("heun", tuple(rows), initial, draws=1 + len(sigmas))
