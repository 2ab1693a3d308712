# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The table against the samplers as the papers write them, on a toy denoiser in double precision."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from anacrusis.engine.errors import BundleError
from anacrusis.engine.sampler import (
    ROW_FIELDS,
    Mix,
    Parametrisation,
    SamplerConfig,
    SamplerTable,
    karras_sigmas,
)

F64 = NDArray[np.float64]
SHAPE = (3, 8)
CD = SamplerConfig("consistency", steps=2, sigma_min=1e-4, sigma_max=80.0, rho=7.0)
DPM2 = SamplerConfig("dpm2", steps=5, sigma_min=1e-4, sigma_max=50.0, rho=9.0, resamples=2)
HEUN = SamplerConfig("heun", steps=4, sigma_min=1e-2, sigma_max=50.0, rho=7.0)


def denoise(u: F64, sigma: float) -> F64:
    """Stands for D(u; sigma): smooth, and different at every level."""
    return np.tanh(u / (1 + sigma)) + 0.1 * math.sin(sigma)


def run_table(table: SamplerTable, source: F64, keep: F64, draws: F64) -> F64:
    """The rows as the denoise graph runs them."""

    def mixed(mix: Mix) -> F64:
        parts = [sum((draws[i] * scale for i, scale in terms), np.zeros(SHAPE)) for terms in (mix.keep, mix.generate)]
        return keep * parts[0] + (1 - keep) * parts[1]

    u = b = keep * source + mixed(table.initial)
    for row in table.rows:
        v = row.cb * b + row.cu * u + row.cd * denoise(u, row.sigma)
        u = keep * source + (1 - keep) * v + mixed(row.mix) if row.mix is not None else v
        b = u if row.newbase else b
    return u


def consistency(source: F64, keep: F64, eps: Iterator[F64], config: SamplerConfig) -> F64:
    """Multistep consistency with inpainting, literally."""
    sigmas = karras_sigmas(config.steps + 1, config.sigma_min, config.sigma_max, config.rho)
    x = config.sigma_max * next(eps)
    for i in range(config.steps):
        x = keep * (source + sigmas[i] * next(eps)) + (1 - keep) * x
        x = denoise(x, sigmas[i])
        if i < config.steps - 1:
            x = x + math.sqrt(sigmas[i + 1] ** 2 - config.sigma_min**2) * next(eps)
    return keep * source + (1 - keep) * x


def dpm2(source: F64, keep: F64, eps: Iterator[F64], config: SamplerConfig) -> F64:
    """Ancestral midpoint with resampling and inpainting, literally."""
    sigmas = karras_sigmas(config.steps, config.sigma_min, config.sigma_max, config.rho)
    x = sigmas[0] * next(eps)
    for s, t in itertools.pairwise(sigmas):
        up = math.sqrt(t**2 * (s**2 - t**2) / s**2)
        down = math.sqrt(t**2 - up**2)
        mid = (s + down) / 2
        known = source + s * next(eps)
        for r in range(config.resamples):
            x = np.where(keep > 0, known, x)
            d = (x - denoise(x, s)) / s
            xm = x + d * (mid - s)
            dm = (xm - denoise(xm, mid)) / mid
            x = x + dm * (down - s) + up * next(eps)
            if r + 1 < config.resamples:
                x = x + math.sqrt(s**2 - t**2) * next(eps)
    return np.where(keep > 0, source, x)


def heun(source: F64, keep: F64, eps: Iterator[F64], config: SamplerConfig) -> F64:
    """Karras et al. 2022, algorithm 1 (deterministic), with the known region noised at each level."""
    sigmas = karras_sigmas(config.steps, config.sigma_min, config.sigma_max, config.rho)
    x = sigmas[0] * next(eps)
    for i, s in enumerate(sigmas):
        x = keep * (source + s * next(eps)) + (1 - keep) * x
        t = sigmas[i + 1] if i + 1 < len(sigmas) else 0.0
        d = (x - denoise(x, s)) / s
        xe = x + (t - s) * d
        x = xe if t == 0 else x + (t - s) * (0.5 * d + 0.5 * (xe - denoise(xe, t)) / t)
    return keep * source + (1 - keep) * x


@pytest.mark.parametrize(
    ("config", "literally", "nfe", "draws", "tensors"),
    [
        (CD, consistency, 2, 4, 3),
        (SamplerConfig("consistency", 1, 1e-4, 80.0, 7.0), consistency, 1, 2, 2),
        (SamplerConfig("consistency", 4, 1e-4, 80.0, 9.0), consistency, 4, 8, 5),
        (DPM2, dpm2, 16, 17, 9),
        (SamplerConfig("dpm2", 3, 1e-2, 20.0, 7.0, resamples=1), dpm2, 4, 5, 3),
        (SamplerConfig("dpm2", 4, 1e-3, 20.0, 7.0, resamples=3), dpm2, 18, 19, 10),
        (HEUN, heun, 7, 5, 5),
    ],
)
def test_table_equals_the_sampler_as_written(
    config: SamplerConfig, literally: Callable[..., F64], nfe: int, draws: int, tensors: int
) -> None:
    table = config.table()
    assert (table.nfe, table.draws, len(table.mixes)) == (nfe, draws, tensors)
    rng = np.random.default_rng(3)
    source, eps = rng.standard_normal(SHAPE), rng.standard_normal((table.draws, *SHAPE))
    for keep in (np.zeros(SHAPE), np.repeat([[1.0] * 5 + [0.0] * 3], 3, axis=0), np.ones(SHAPE)):
        order = iter(eps)
        want = literally(source, keep, order, config)
        assert next(order, None) is None, "the table says another number of draws"
        np.testing.assert_allclose(run_table(table, source, keep, eps), want, rtol=1e-9, atol=1e-9)


def test_mix_noise_is_the_recipe_in_float32() -> None:
    table = DPM2.table()
    rng = np.random.default_rng(4)
    draws = rng.standard_normal((table.draws, 2, 4, 6)).astype(np.float32)
    keep = np.array([1, 1, 1, 0, 0, 0], np.float32)[None, None]
    out = table.mix_noise(draws, keep, np.full((len(table.mixes), 2, 4, 6), np.nan, np.float32))
    for got, mix in zip(out, table.mixes, strict=True):
        for terms, columns in ((mix.keep, slice(0, 3)), (mix.generate, slice(3, 6))):
            want = sum((draws[i].astype(np.float64) * s for i, s in terms), np.zeros((2, 4, 6)))
            np.testing.assert_allclose(got[..., columns], want[..., columns], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("parametrisation", "sigma", "c_skip", "c_out"),
    [
        (Parametrisation("edm"), 1.0, 0.5, 0.5**0.5),
        (Parametrisation("edm"), 50.0, 1 / 2501, 50 / 2501**0.5),
        (Parametrisation("consistency", sigma_min=1e-4), 1e-4, 1.0, 0.0),  # the boundary condition, exactly
        (Parametrisation("consistency", sigma_min=1e-4), 80.0, 1 / (79.9999**2 + 1), 79.9999 / 6401**0.5),
    ],
)
def test_scalings(parametrisation: Parametrisation, sigma: float, c_skip: float, c_out: float) -> None:
    c_in, skip, out = parametrisation.scalings(sigma)
    assert (c_in, skip, out) == pytest.approx((1 / math.sqrt(sigma**2 + 1), c_skip, c_out), rel=1e-12)


def test_coefficients_have_the_columns_the_graph_reads() -> None:
    rows = DPM2.table().coefficients(Parametrisation("edm"))
    assert rows.shape == (16, len(ROW_FIELDS))
    assert rows.dtype == np.float32
    assert rows[:, ROW_FIELDS.index("inject")].tolist() == [0, 1] * 8
    assert rows[:, ROW_FIELDS.index("newbase")].tolist() == [0, 1] * 8


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (SamplerConfig("euler", 2, 1e-4, 80.0, 7.0), "unknown sampler"),  # type: ignore[arg-type]
        (SamplerConfig("consistency", 0, 1e-4, 80.0, 7.0), "cannot run 0 steps"),
        (SamplerConfig("dpm2", 1, 1e-4, 80.0, 7.0), "cannot run 1 steps"),
        (SamplerConfig("dpm2", 5, 1e-4, 80.0, 7.0, resamples=0), "0 resamples"),
        (SamplerConfig("consistency", 2, 80.0, 1e-4, 7.0), "sigma_min < sigma_max"),
        (SamplerConfig("consistency", 2, 1e-4, 80.0, 0.0), "rho > 0"),
    ],
)
def test_impossible_samplers(config: SamplerConfig, says: str) -> None:
    with pytest.raises(BundleError, match=says):
        config.table()
