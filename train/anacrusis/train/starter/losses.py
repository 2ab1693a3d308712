# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The loss of a denoiser: denoising score matching with EDM's preconditioning (Karras et al. 2022, section 5 and table
1).

Preconditioning is the engine's own (`sampler.Parametrisation`), with sigma_min of the consistency form as an option, so
what is trained is what is run. As in the sampler, frames that are kept are the source at this noise level, and only
what is generated counts.

A network that says how probable events are is also scored on that: the cross-entropy of each onset, end and carried
note, in nats. It has its minimum where the other loss has it, and says far more about what is rare.

Not covered: consistency distillation (`distil.py`: another target, the same estimate).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from anacrusis.engine.networks.starter import HOPS, Scores, Starter
from anacrusis.train.starter.windows import Batch

VELOCITY_WEIGHT = 4.0


class Denoiser(Protocol):
    """What training and sampling ask of a network (`engine.networks.starter.Starter`)."""

    def conditioning(self, c_noise: Tensor, label: Tensor) -> list[Tensor]: ...

    def estimate(
        self,
        u: Tensor,
        scalings: tuple[Tensor, Tensor, Tensor],
        kept: Tensor,
        keep: Tensor,
        context: Tensor,
        cond: list[Tensor],
    ) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Case:
    """A batch as tensors. target, source [B, C, W]; keep [B, 1, W]; context [B, E, W]; label [B, L]; events
    [B, W, 4, rows] uint8, or None."""

    target: Tensor
    source: Tensor
    keep: Tensor
    context: Tensor
    label: Tensor
    events: Tensor | None = None

    @classmethod
    def of(cls, batch: Batch) -> Case:
        """Shares the batch's memory."""
        arrays = (batch.target, batch.source, batch.keep, batch.context, batch.label, batch.events)
        return cls(*(torch.from_numpy(a) for a in arrays if a is not None))

    def to(self, device: torch.device) -> Case:
        """On another device."""
        tensors = (self.target, self.source, self.keep, self.context, self.label, self.events)
        return Case(*(tensor.to(device) for tensor in tensors if tensor is not None))


@dataclass(frozen=True, slots=True)
class Levels:
    """Noise levels in training: ln(sigma) is normal. sigma_data: root mean square of the target.

    most_weight: of the square error of a network that scores events, which has no skip that would make it small where
    there is little noise (Hang et al. 2023).
    """

    mean: float = 0.8
    deviation: float = 1.3
    sigma_data: float = 0.75
    most_weight: float = 5.0

    def draw(self, rng: np.random.Generator, size: int) -> Tensor:
        """[size]. Stratified over the batch: the same distribution, less noise in the gradient."""
        uniform = (rng.permutation(size) + rng.random(size)) / size
        normal = torch.special.ndtri(torch.from_numpy(np.clip(uniform, 1e-6, 1 - 1e-6)))
        return torch.exp(self.mean + self.deviation * normal).float()


def scalings(sigma: Tensor, sigma_data: float, sigma_min: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """(c_in, c_skip, c_out), each [B, 1, 1]; sigma_min 0 for EDM. The formulas of `sampler.Parametrisation`."""
    s = (sigma - sigma_min)[:, None, None]
    c_in = torch.rsqrt(sigma[:, None, None] ** 2 + sigma_data**2)
    return c_in, sigma_data**2 / (s**2 + sigma_data**2), s * sigma_data * c_in


def estimate(net: Denoiser, u: Tensor, sigma: Tensor, case: Case, sigma_data: float, sigma_min: float = 0.0) -> Tensor:
    """D(u; sigma) [B, C, W], float32."""
    cond = net.conditioning(torch.log(sigma) / 4, case.label)
    of_sigma = scalings(sigma, sigma_data, sigma_min)
    return net.estimate(u, of_sigma, case.source * case.keep, case.keep, case.context, cond).float()


def noised(case: Case, sigma: Tensor, noise: Tensor) -> Tensor:
    """What the sampler would feed at this level: the target where it is generated, the source where it is kept."""
    return torch.where(case.keep > 0, case.source, case.target) + sigma[:, None, None] * noise


def dsm_loss(net: Denoiser, case: Case, sigma: Tensor, noise: Tensor, levels: Levels) -> Tensor:
    """[B], 1 where the network says nothing. Mean over channels and generated frames, weighted 1 / c_out^2."""
    error = (estimate(net, noised(case, sigma, noise), sigma, case, levels.sigma_data) - case.target).square()
    made = 1 - case.keep
    mean = (error * made).sum((1, 2)) / (made.sum((1, 2)) * error.shape[1])
    return mean * weight_of(sigma, levels.sigma_data)


def weight_of(sigma: Tensor, sigma_data: float) -> Tensor:
    """[B]: 1 / c_out^2, EDM's, by which a network that says nothing has the same loss at every level."""
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


@dataclass(frozen=True, slots=True)
class Made:
    """The frames that a case generates, n of them: which [n] (window * W + frame), window [n], share [n] of their
    window's mean."""

    which: Tensor
    window: Tensor
    share: Tensor

    @classmethod
    def of(cls, keep: Tensor) -> Made:
        """keep [B, 1, W]."""
        batch, _, frames = keep.shape
        which = torch.nonzero(keep.reshape(-1) == 0)[:, 0]
        window = which // frames
        count = torch.bincount(window, minlength=batch)
        return cls(which, window, 1 / count[window])

    def mean(self, values: Tensor, windows: int) -> Tensor:
        """Values [n] -> their mean in each window [windows]."""
        return torch.zeros(windows, device=values.device).index_add(0, self.window, values * self.share)


def scores_of(net: Starter, u: Tensor, sigma: Tensor, case: Case, made: Made, sigma_data: float) -> Scores:
    """What may happen in the frames to be made; of others the network's head says nothing here."""
    cond = net.conditioning(torch.log(sigma) / 4, case.label)
    c_in, _, _ = scalings(sigma, sigma_data)
    tokens = net.tokens(c_in * u, case.source * case.keep, case.keep, case.context, cond)
    fits = net.fits(tokens, case.context, cond[-1])
    return net.scores(tokens.flatten(0, 1)[made.which], fits.flatten(0, 1)[made.which], cond[-1][made.window])


def score_losses(net: Starter, case: Case, sigma: Tensor, noise: Tensor, sigma_data: float) -> tuple[Tensor, Tensor]:
    """(mean square error of the latent [B], nats a frame [B]) of a network with rows, over generated frames."""
    made, size = Made.of(case.keep), len(sigma)
    scores = scores_of(net, noised(case, sigma, noise), sigma, case, made, sigma_data)
    target = case.target.transpose(1, 2).flatten(0, 1)[made.which]
    error = (net.latent(scores) - target).square().mean(dim=1)
    return made.mean(error, size), made.mean(event_loss(scores, own_events(net, case, made)), size)


def own_events(net: Starter, case: Case, made: Made) -> Tensor:
    """uint8 [n, 4, rows]: those of the stem that is written."""
    if case.events is None:
        raise ValueError("these pieces have no events; train a network with rows = 0 on them")
    own = (case.label @ net.rows_of).to(torch.uint8)
    return case.events.flatten(0, 1)[made.which] * own[made.window][:, None]


def bits(planes: Tensor) -> Tensor:
    """uint8 [n, rows] -> float [n, 8, rows], a bit a hop."""
    places = torch.arange(HOPS, dtype=torch.uint8, device=planes.device)
    return ((planes[:, None] >> places[:, None]) & 1).float()


def event_loss(scores: Scores, events: Tensor) -> Tensor:
    """events [n, 4, rows] uint8 -> [n] nats a frame; velocities as a square, times VELOCITY_WEIGHT."""
    onset, velocity, end, carried = bits(events[:, 0]), events[:, 1].float() / 255, bits(events[:, 2]), events[:, 3]
    nats = F.binary_cross_entropy_with_logits(scores.onset, onset, reduction="none").sum((1, 2))
    nats = nats + F.binary_cross_entropy_with_logits(scores.end, end, reduction="none").sum((1, 2))
    nats = nats + F.binary_cross_entropy_with_logits(scores.carried, carried.float(), reduction="none").sum(1)
    played = (events[:, 0] > 0).float()
    return nats + VELOCITY_WEIGHT * (played * (torch.sigmoid(scores.velocity) - velocity).square()).sum(1)
