# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Parity of the noise schedules, the denoised estimates and whole sampler runs.

Runs are named by what they vary: `..._r16of64` (16 columns of 64 are generated), `..._steps4`, `..._rho9`. What a
name does not say is as the released servers have it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from anacrusis.benchmarks.parity_compare import Recorder
from anacrusis.benchmarks.parity_golden import F32, Array, Golden, GoldenArrays
from anacrusis.benchmarks.parity_runners import KIND_OF, Runner, Workbench
from anacrusis.engine.sampler import Parametrisation, SamplerConfig, SamplerTable, dpm2_levels, karras_sigmas

SCHEDULES, DENOISERS = "schedules.npz", "denoisers.npz"
SAMPLERS = {tag: f"sampler_{tag}.npz" for tag in KIND_OF}

# The original diffusion server draws one latent before its sampler does; it has no influence on the result.
IDLE_DRAWS = {"diff": 1, "cd": 0}


def check_schedules(golden: Golden, recorder: Recorder) -> None:
    """Noise levels and step constants. The original appends sigma_min and an unused 0 to its levels."""
    from anacrusis.export.export import KINDS

    arrays = golden.arrays(SCHEDULES)
    for name in arrays:
        tag = name.partition("_")[0]
        if tag not in KIND_OF:
            continue
        config = _named(name, KINDS[KIND_OF[tag]][1])
        if name.endswith("_up_down_mid_renoise"):
            sigmas = karras_sigmas(arrays[name].shape[0] + 1, config.sigma_min, config.sigma_max, config.rho)
            recorder.check("step constant", arrays, name, [dpm2_levels(*pair) for pair in pairwise(sigmas)])
        elif "_sigmas" in name:
            if config.name == "dpm2":  # its name says no steps
                config = replace(config, steps=arrays[name].shape[0] - 1)
            # A row that sets no new base is the first of a two-evaluation step; the other is at the midpoint.
            rows = [row for row in config.table().rows if config.name == "consistency" or not row.newbase]
            levels = list(dict.fromkeys(row.sigma for row in rows))
            recorder.check("schedule", arrays, name, [*levels, config.sigma_min, 0.0])


def _named(name: str, config: SamplerConfig) -> SamplerConfig:
    """The sampler that a run's or schedule's name asks for."""
    steps, rho = re.search(r"_steps(\d+)", name), re.search(r"_rho(\d+)", name)
    if steps:
        config = replace(config, steps=int(steps[1]))
    return replace(config, rho=float(rho[1])) if rho else config


@dataclass(frozen=True, slots=True)
class Sampling:
    """The `embed` and `denoise` stages of one model, run row by row as a backend does."""

    runner: Runner
    tag: str
    parametrisation: Parametrisation

    def estimate(self, u: F32, context: F32, sigma: float, label: F32) -> F32:
        """D(u; sigma): a row that hands the estimate on. u, context [1, C, frames], label [1, stems]."""
        row = np.array([*self.parametrisation.scalings(sigma), 0, 0, 1, 0, 1], np.float32)
        return self._denoise(u, u, u, u, context, np.zeros((1, 1, u.shape[-1]), np.float32), row, sigma, label)[0]

    def run(
        self, table: SamplerTable, source: F32, keep: F32, context: F32, draws: F32, label: F32
    ) -> tuple[F32, list[F32]]:
        """(result, the network's input before each row)."""
        noise = np.zeros((len(table.mixes), *source.shape), np.float32)
        injected = iter(table.mix_noise(draws, keep, noise)[1:])
        u = b = keep * source + noise[0]
        inputs: list[F32] = []
        for row, coefficients in zip(table.rows, table.coefficients(self.parametrisation), strict=True):
            inputs.append(u)
            n = next(injected) if row.mix is not None else np.zeros_like(u)
            u, b = self._denoise(u, b, source, n, context, keep, coefficients, row.sigma, label)
        return u, inputs

    def _denoise(
        self, u: F32, b: F32, source: F32, noise: F32, context: F32, keep: F32, row: F32, sigma: float, label: F32
    ) -> tuple[F32, F32]:
        cond = self.runner.stage(self.tag, "embed")(np.array([sigma], np.float32), label)
        u, b = self.runner.stage(self.tag, "denoise")(u, b, source, noise, context, keep, row, *cond)
        return u, b


def check_denoisers(golden: Golden, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    """D(x sqrt(1 + sigma^2); sigma) of both parametrisations. x is of unit variance at every level."""
    arrays = golden.arrays(DENOISERS)
    x, context, label = arrays["x"][:, 0], arrays["mixture"][:, 0], arrays["class_labels"]
    for tag in KIND_OF:
        sampling = Sampling(runner, tag, bench.manifest(tag).parametrisation)
        got = [
            sampling.estimate((x * np.sqrt(1 + sigma**2)).astype(np.float32), context, sigma, label)
            for sigma in arrays[f"{tag}_sigmas"].astype(np.float64).tolist()
        ]
        recorder.check("denoised", arrays, f"{tag}_denoised", np.stack(got))


def check_samplers(golden: Golden, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    """Every run's result and number of draws; of a traced run, what the network was given and what it estimated."""
    for tag, file in SAMPLERS.items():
        arrays, manifest = golden.arrays(file), bench.manifest(tag)
        sampling = Sampling(runner, tag, manifest.parametrisation)
        noises = np.stack([arrays[name][0] for name in sorted(n for n in arrays if re.fullmatch(r"noise_\d+", n))])
        source, whole_context = arrays["generated_latent"][:, 0], arrays["context_latent"][:, 0]
        for run in arrays.groups("out"):
            table = _named(run, manifest.sampler).table()
            used = IDLE_DRAWS[tag] + table.draws
            context = whole_context.copy()
            context[..., arrays.number(f"{run}/context_zero_from") :] = 0.0
            label = np.eye(len(manifest.stems), dtype=np.float32)[[arrays.number(f"{run}/stem")]]
            keep = np.ones((1, 1, source.shape[-1]), np.float32)
            keep[..., _kept_columns(run, source, arrays) :] = 0.0
            got, inputs = sampling.run(table, source, keep, context, noises[IDLE_DRAWS[tag] : used], label)
            recorder.check("sampler output", arrays, f"{run}/out", got[:, None])
            if f"{run}/n_draws" in arrays:
                recorder.check("exact", arrays, f"{run}/n_draws", used)
            if "trace_key" in arrays and str(arrays["trace_key"]) == run:
                sigmas = [row.sigma for row in table.rows]
                recorder.check("schedule", arrays, "trace_sigma", sigmas)
                recorder.check("sampler trace", arrays, "trace_x", np.stack(inputs))
                estimates = [sampling.estimate(u, context, s, label) for u, s in zip(inputs, sigmas, strict=True)]
                recorder.check("sampler trace", arrays, "trace_denoised", np.stack(estimates))


def _kept_columns(run: str, source: Array, arrays: GoldenArrays) -> int:
    """Columns before the generated ones: from the run's name, else up to where the result leaves the source."""
    named = re.search(r"r(\d+)of(\d+)", run)
    if named:
        return int(source.shape[-1] - source.shape[-1] * int(named[1]) // int(named[2]))
    same = (arrays[f"{run}/out"][:, 0] == source).all(axis=(0, 1))
    return int(same.argmin())
