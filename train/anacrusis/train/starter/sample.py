# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The engine's sampler tables and live cycle, on latents alone, for many songs at once: what training looks at.

`run_table` is `engine/sampler.py`'s formula in torch. `write` is a live cycle on the grid of frames: at each step the
window ends lead + step beyond what was heard, and what was written before is kept. No audio, no codec: a second of
music for a song costs what the network costs.

Not covered: paces off the grid of frames, ends of windows that are shorter than a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anacrusis.engine.sampler import Parametrisation, SamplerConfig, SamplerTable
from anacrusis.train.starter.losses import Denoiser
from anacrusis.train.starter.windows import Piece

F32 = NDArray[np.float32]
# At sigma 0.1 the codec hears no difference; above 40 a latent of size 0.75 is noise.
TEACHER = SamplerConfig("heun", steps=8, sigma_min=0.1, sigma_max=40.0, rho=7.0)
# sigma_min only says where the second evaluation is: at 1.4, where notes are half decided.
STUDENT = SamplerConfig("consistency", steps=2, sigma_min=0.002, sigma_max=40.0, rho=7.0)


@dataclass(frozen=True, slots=True)
class Voice:
    """A network and how it is run."""

    network: Denoiser
    parametrisation: Parametrisation
    table: SamplerTable

    @classmethod
    def of(cls, network: Denoiser, sigma_data: float, method: str, steps: int | None = None) -> Voice:
        """As a bundle of that training is run; steps: noise levels, of a student evaluations. Raises BundleError."""
        sampler = STUDENT if method == "distillation" else TEACHER
        return cls(network, Parametrisation("edm", sigma_data), sampler.table(steps))


def run_table(
    voice: Voice, source: Tensor, keep: Tensor, context: Tensor, label: Tensor, rng: np.random.Generator
) -> Tensor:
    """source [B, C, W], keep [B, 1, W] -> [B, C, W]: where kept the source, elsewhere what the network writes."""
    table, batch = voice.table, source.shape[0]
    coefficients = voice.table.coefficients(voice.parametrisation)
    draws = rng.standard_normal((table.draws, *source.shape), dtype=np.float32)
    mixes = np.empty((len(table.mixes), *source.shape), np.float32)
    noises = iter(torch.from_numpy(table.mix_noise(draws, keep.numpy(), mixes)))
    kept = source * keep
    u = b = kept + next(noises)
    for row, (c_in, c_skip, c_out, cb, cu, cd, inject, newbase) in zip(table.rows, coefficients.tolist(), strict=True):
        cond = voice.network.conditioning(torch.full((batch,), float(np.log(row.sigma) / 4)), label)
        scalings = (torch.tensor(c_in), torch.tensor(c_skip), torch.tensor(c_out))
        d = voice.network.estimate(u, scalings, kept, keep, context, cond).float()
        v = cb * b + cu * u + cd * d
        u = kept + (1 - keep) * v + next(noises) if inject else v
        b = u if newbase else b
    result: Tensor = u
    return result


@dataclass(frozen=True, slots=True)
class Job:
    """Write one stem of a piece, from a frame on. heard: who plays, a bit a stem."""

    piece: Piece
    stem: int
    start_frame: int
    heard: int


def write(
    voice: Voice,
    jobs: Sequence[Job],
    *,
    step_frames: int,
    lead_frames: int,
    cycles: int,
    window_frames: int = 64,
    from_silence: bool = False,
    seed: int = 0,
    chunk: int = 64,
) -> F32:
    """[jobs, C, cycles * step_frames]: what is written from each job's start_frame on.

    The first step begins at start_frame, so `now` is lead_frames before it. from_silence: nothing was written before;
    otherwise the song's own stem was. Same seed, same jobs, same chunk: the same latents.
    """
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        parts = [
            _write(voice, jobs[i : i + chunk], step_frames, lead_frames, cycles, window_frames, from_silence, seed + i)
            for i in range(0, len(jobs), chunk)
        ]
    return np.concatenate(parts)


def _write(
    voice: Voice, jobs: Sequence[Job], step: int, lead: int, cycles: int, window: int, from_silence: bool, seed: int
) -> F32:
    rng = np.random.default_rng(seed)
    stems, channels, _ = jobs[0].piece.latents.shape
    history = np.zeros((len(jobs), channels, window + cycles * step), np.float32)  # [..., window] is start_frame
    label = torch.zeros(len(jobs), stems)
    for row, job in enumerate(jobs):
        label[row, job.stem] = 1.0
        if not from_silence:
            history[row, :, :window] = _stretch(job.piece.latents[job.stem], job.start_frame - window, job.start_frame)
    keep = torch.ones(len(jobs), 1, window)
    keep[..., window - step :] = 0.0
    unheard = max(0, min(lead + step, window))
    for cycle in range(cycles):
        end = window + (cycle + 1) * step
        source = torch.from_numpy(history[:, :, end - window : end].copy())
        contexts = []
        for job in jobs:
            right = job.start_frame + (cycle + 1) * step
            features = _stretch(job.piece.contexts[job.heard], right - window, right)
            features[-1] = 1.0
            features[:, window - unheard :] = 0.0
            contexts.append(features)
        made = run_table(voice, source, keep, torch.from_numpy(np.stack(contexts)), label, rng)
        history[:, :, end - step : end] = made[:, :, window - step :].numpy()
    return history[:, :, window:]


def _stretch(array: NDArray[np.float16], start: int, stop: int) -> F32:
    """[..., stop - start] of an array that is silent before and after itself."""
    out = np.zeros((*array.shape[:-1], stop - start), np.float32)
    first, last = max(start, 0), min(stop, array.shape[-1])
    if last > first:
        out[..., first - start : last - start] = array[..., first:last]
    return out
