# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Consistency distillation: a student that says at once what the teacher arrives at in many evaluations.

    x_n    a song's latent at one of a few fixed noise levels
    x_m    where the teacher's ODE goes from there in a random number of Euler steps over those levels
    target what the student's own average says of x_m; at the last level, what the teacher says
    loss   the student's answer to x_n against the target, and a share of denoising score matching

(Song et al. 2023, section 4, with steps of random length and the score matching term of Kim et al. 2024.) Networks that
score events are compared by them: the cross-entropy beyond what the target itself leaves open, in nats. Score matching
is asked at low noise only, where a mean and a sample are the same thing.

Not covered: two-time students, adversarial terms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from anacrusis.engine.networks.starter import Scores, Starter
from anacrusis.engine.sampler import karras_sigmas
from anacrusis.train.song import STEMS
from anacrusis.train.starter.guidance import Guided, further
from anacrusis.train.starter.losses import (
    VELOCITY_WEIGHT,
    Case,
    Denoiser,
    Levels,
    Made,
    estimate,
    event_loss,
    noised,
    own_events,
    scores_of,
    weight_of,
)

EPSILON: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Distillation:
    """scales: noise levels, from sigma_max to sigma_min as the sampler's. most_steps: of the teacher, in one draw.

    top, middle: shares of draws that start at the levels the student will be run at, the first one and the one nearest
    to middle_sigma; the rest is even. target_average: decay of the average that gives targets. dsm_*: score matching:
    weight, share of the windows that are asked, their ln(sigma). guidance: of the teacher (`guidance.py`), 1 for
    none; guidance_shift and a stem's own of stem_shifts together are taken off its onsets.
    """

    scales: int = 13
    sigma_min: float = 0.1
    sigma_max: float = 40.0
    rho: float = 7.0
    most_steps: int = 6
    top: float = 0.3
    middle: float = 0.2
    middle_sigma: float = 1.4
    target_average: float = 0.999
    dsm_weight: float = 0.7
    dsm_share: float = 0.25
    dsm_mean: float = -0.4
    dsm_deviation: float = 0.8
    guidance: float = 1.0
    guidance_shift: float = 0.0
    stem_shifts: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)

    def validate(self) -> None:
        """Raise ValueError where a value cannot be."""
        if not (self.scales >= 2 and 0 < self.sigma_min < self.sigma_max and self.rho > 0):
            raise ValueError(f"distillation needs two scales at least, from sigma_max down to sigma_min: {self}")
        if not (1 <= self.most_steps < self.scales and self.top + self.middle <= 1 and 0 < self.target_average < 1):
            raise ValueError(f"most_steps must be 1 to scales - 1, shares at most 1, target_average 0 to 1: {self}")
        if len(self.stem_shifts) != len(STEMS):
            raise ValueError(f"stem_shifts must be {len(STEMS)} numbers: {self}")
        if not 0 <= self.dsm_share <= 1 or self.dsm_weight < 0 or self.dsm_deviation <= 0 or self.guidance < 0:
            raise ValueError(f"dsm_share must be 0 to 1, dsm_weight, dsm_deviation, guidance not below 0: {self}")

    @property
    def sigmas(self) -> list[float]:
        return karras_sigmas(self.scales, self.sigma_min, self.sigma_max, self.rho)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
        """(level to start at [size], steps of the teacher [size])."""
        last = self.scales - 1
        middle = int(np.argmin(np.abs(np.log(self.sigmas[:-1]) - np.log(self.middle_sigma))))
        kind = rng.random(size)
        start = rng.integers(0, last, size)
        start = np.where(kind < self.top, 0, np.where(kind < self.top + self.middle, middle, start))
        steps = 1 + (rng.random(size) * np.minimum(self.most_steps, last - start)).astype(np.int64)
        return torch.from_numpy(start), torch.from_numpy(steps)


@dataclass(frozen=True, slots=True)
class Said:
    """An answer in the frames to be made. latent [n, C]; scores of a network with rows."""

    latent: Tensor
    scores: Scores | None


def said(net: Denoiser, u: Tensor, sigma: Tensor, case: Case, made: Made, sigma_data: float) -> Said:
    """What a network answers to u [B, C, W] at sigma [B]."""
    if isinstance(net, Guided):
        deaf = replace(case, context=torch.zeros_like(case.context))
        told, alone = (scores_of(net.network, u, sigma, c, made, sigma_data) for c in (case, deaf))
        scores = further(told, alone, net.weight, net.shift_of(case.label)[made.window])
        return Said(net.network.latent(scores), scores)
    if isinstance(net, Starter) and net.config.rows:
        scores = scores_of(net, u, sigma, case, made, sigma_data)
        return Said(net.latent(scores), scores)
    latent = estimate(net, u, sigma, case, sigma_data).transpose(1, 2).flatten(0, 1)[made.which]
    return Said(latent, None)


def guided(teacher: Denoiser, config: Distillation) -> Denoiser:
    """The teacher, further away from what it says without a context."""
    shifts = tuple(config.guidance_shift + own for own in config.stem_shifts)
    plain = config.guidance == 1.0 and not any(shifts)
    if plain or not isinstance(teacher, Starter) or not teacher.config.rows:
        return teacher
    return Guided(teacher, config.guidance, shifts)


def put(u: Tensor, made: Made, values: Tensor) -> Tensor:
    """u [B, C, W] with values [n, C] in the frames to be made."""
    flat = u.transpose(1, 2).flatten(0, 1).clone()
    flat[made.which] = values
    return flat.reshape(u.shape[0], u.shape[2], -1).transpose(1, 2)


def rows(case: Case, index: Tensor) -> Case:
    """Some windows of a case."""
    tensors = (case.target, case.source, case.keep, case.context, case.label, case.events)
    return Case(*(tensor[index] for tensor in tensors if tensor is not None))


@torch.no_grad()
def solve(
    teacher: Denoiser,
    u: Tensor,
    case: Case,
    noise: Tensor,
    sigmas: Tensor,
    start: Tensor,
    steps: Tensor,
    levels: Levels,
) -> Tensor:
    """u [B, C, W] at sigmas[start] -> where the ODE is at sigmas[start + steps], by Euler's steps. What is kept stays
    the source, at the noise of the level."""
    u, at = u.clone(), start.clone()
    for _ in range(int(steps.max())):
        index = torch.nonzero(at < start + steps)[:, 0]
        part = rows(case, index)
        made, sigma, after = Made.of(part.keep), sigmas[at[index]], sigmas[at[index] + 1]
        now = u[index]
        answer = said(teacher, now, sigma, part, made, levels.sigma_data).latent
        flat = now.transpose(1, 2).flatten(0, 1)[made.which]
        ratio = (after / sigma)[made.window][:, None]
        new = put(part.source + after[:, None, None] * noise[index], made, answer + ratio * (flat - answer))
        u[index] = new
        at[index] += 1
    return u


def apart(student: Said, target: Said) -> Tensor:
    """[n] nats: the cross-entropy of the student's events under the target's, beyond the target's own; 0 where there
    are none."""
    if student.scores is None or target.scores is None:
        return torch.zeros(len(student.latent), device=student.latent.device)
    found = torch.zeros(len(student.latent), device=student.latent.device)
    onsets = torch.zeros_like(found)
    for name in ("onset", "end", "carried"):
        logits, aim = getattr(student.scores, name), torch.sigmoid(getattr(target.scores, name))
        own = F.binary_cross_entropy(aim.clamp(EPSILON, 1 - EPSILON), aim, reduction="none")
        nats = F.binary_cross_entropy_with_logits(logits, aim, reduction="none") - own
        found = found + nats.flatten(1).sum(dim=1)
        if name == "onset":
            onsets = aim.amax(dim=1)
    velocity = torch.sigmoid(student.scores.velocity) - torch.sigmoid(target.scores.velocity)
    return found + VELOCITY_WEIGHT * (onsets * velocity.square()).sum(dim=1)


@dataclass(frozen=True, slots=True)
class Weights:
    """Of events (nats) and of the latent's square error, and the most a noise level weighs in the latter."""

    event: float
    square: float
    most: float


def _weighed(student: Said, target: Said, sigma: Tensor, made: Made, levels: Levels, weights: Weights) -> Tensor:
    size = len(sigma)
    square = made.mean((student.latent - target.latent).square().mean(dim=1), size)
    by_level = weight_of(sigma, levels.sigma_data).clamp(max=weights.most)
    return weights.event * made.mean(apart(student, target), size) + weights.square * by_level * square


def distillation_loss(
    student: Denoiser,
    average: Denoiser,
    teacher: Denoiser,
    case: Case,
    noise: Tensor,
    start: Tensor,
    steps: Tensor,
    dsm_sigma: Tensor,
    config: Distillation,
    levels: Levels,
    weights: Weights,
) -> Tensor:
    """[B]. Windows beyond dsm_share have no score matching, the others the more."""
    sigmas = torch.tensor(config.sigmas, dtype=torch.float32, device=noise.device)
    sigma, end = sigmas[start], start + steps
    u = noised(case, sigma, noise)
    made, teacher = Made.of(case.keep), guided(teacher, config)
    with torch.no_grad():
        x = solve(teacher, u, case, noise, sigmas, start, steps, levels)
        target = _target(average, teacher, x, sigmas[end], end == config.scales - 1, case, made, levels)
    loss = _weighed(said(student, u, sigma, case, made, levels.sigma_data), target, sigma, made, levels, weights)
    asked = round(config.dsm_share * len(start))
    if asked and config.dsm_weight:
        part, level = rows(case, torch.arange(asked, device=noise.device)), dsm_sigma[:asked]
        of_part = Made.of(part.keep)
        answer = said(student, noised(part, level, noise[:asked]), level, part, of_part, levels.sigma_data)
        truth = part.target.transpose(1, 2).flatten(0, 1)[of_part.which]
        square = of_part.mean((answer.latent - truth).square().mean(dim=1), asked)
        matching = weights.square * weight_of(level, levels.sigma_data).clamp(max=weights.most) * square
        if answer.scores is not None and isinstance(student, Starter):
            nats = event_loss(answer.scores, own_events(student, part, of_part))
            matching = matching + weights.event * of_part.mean(nats, asked)
        scale = config.dsm_weight * len(start) / asked
        loss = loss + F.pad(scale * matching, (0, len(start) - asked))
    return loss


def _target(
    average: Denoiser,
    teacher: Denoiser,
    x: Tensor,
    sigma: Tensor,
    arrived: Tensor,
    case: Case,
    made: Made,
    levels: Levels,
) -> Said:
    """The average's answer, and the teacher's for windows that arrived at the last level."""
    found = said(average, x, sigma, case, made, levels.sigma_data)
    index = torch.nonzero(arrived)[:, 0]
    if not len(index):
        return found
    part = rows(case, index)
    own = said(teacher, x[index], sigma[index], part, Made.of(part.keep), levels.sigma_data)
    here = arrived[made.window]

    def join(a: Tensor, b: Tensor) -> Tensor:
        a[here] = b
        return a

    latent = join(found.latent, own.latent)
    if found.scores is None or own.scores is None:
        return Said(latent, None)
    pairs: dict[str, Any] = {
        name: join(getattr(found.scores, name), getattr(own.scores, name))
        for name in ("onset", "end", "carried", "velocity")
    }
    return Said(latent, Scores(**pairs))


class Check:
    """On songs of styles unseen in training: how far one evaluation is from where the teacher's whole ODE arrives."""

    def __init__(
        self, teacher: Denoiser, cases: list[Case], noises: list[Tensor], config: Distillation, levels: Levels
    ) -> None:
        self.config, self.levels, teacher = config, levels, guided(teacher, config)
        self._cases, self._noises = cases, noises
        sigmas = torch.tensor(config.sigmas)
        last = config.scales - 1
        middle = int(np.argmin(np.abs(np.log(config.sigmas[:-1]) - np.log(config.middle_sigma))))
        self._starts = (0, middle)
        self._aims: list[list[Said]] = []
        for start in self._starts:
            row = []
            for case, noise in zip(cases, noises, strict=True):
                size = len(noise)
                begin = torch.full((size,), start)
                u = noised(case, sigmas[begin], noise)
                x = solve(teacher, u, case, noise, sigmas, begin, torch.full((size,), last - start), levels)
                with torch.no_grad():
                    end = torch.full((size,), config.sigma_min)
                    row.append(said(teacher, x, end, case, Made.of(case.keep), levels.sigma_data))
            self._aims.append(row)

    @torch.no_grad()
    def __call__(self, student: Denoiser) -> dict[str, Any]:
        """As `validate.Validation`: loss, and it by noise level and stem."""
        by_level = []
        for start, aims in zip(self._starts, self._aims, strict=True):
            losses = []
            for case, noise, aim in zip(self._cases, self._noises, aims, strict=True):
                sigma = torch.full((len(noise),), self.config.sigmas[start])
                made = Made.of(case.keep)
                answer = said(student, noised(case, sigma, noise), sigma, case, made, self.levels.sigma_data)
                square = (answer.latent - aim.latent).square().mean(dim=1)
                losses.append(made.mean(apart(answer, aim) if answer.scores else square, len(sigma)))
            by_level.append(torch.cat(losses).numpy())
        by_window = np.stack(by_level)
        stem = torch.cat([case.label for case in self._cases]).argmax(dim=1).numpy()
        return {
            "loss": round(float(by_window.mean()), 5),
            "sigmas": {
                f"{self.config.sigmas[s]:.3g}": round(float(row.mean()), 5)
                for s, row in zip(self._starts, by_window, strict=True)
            },
            "stems": {
                name: round(float(by_window[:, stem == i].mean()), 5)
                for i, name in enumerate(STEMS)
                if (stem == i).any()
            },
        }
