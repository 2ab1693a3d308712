# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Classifier-free guidance (Ho and Salimans 2022) of a network that scores events: two answers, with and without what
the others play, and further in the direction in which the context moved it.

    score = without + weight * (with - without)        weight 1: the network as it is

Taken in logits, where an event stays an event. Without a context less is played, so beyond it more is: `shifts` are
taken off the onsets' logits, one a stem, to be chosen so that as much is played as in the songs. An evaluation then
runs the network twice: a teacher is guided while it is distilled, and its student says the guided answer at once. A
bundle may have both runs in its graph (`GuidedEmbed`, `GuidedDenoise`).

Not covered: networks without rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from anacrusis.engine.networks.starter import Scores, Starter, StarterDenoise, StarterEmbed


@dataclass(frozen=True, slots=True)
class Guided:
    """A denoiser, as `losses.Denoiser` asks. shifts: one for every stem, or one for all."""

    network: Starter
    weight: float
    shifts: tuple[float, ...] = (0.0,)

    def shift_of(self, label: Tensor) -> Tensor:
        """label [B, stems] -> [B]."""
        return label @ torch.tensor(self.shifts, device=label.device).expand(label.shape[1])

    def conditioning(self, c_noise: Tensor, label: Tensor) -> list[Tensor]:
        """The network's own, and what is taken off the onsets [B]."""
        return [*self.network.conditioning(c_noise, label), self.shift_of(label)]

    def estimate(
        self,
        u: Tensor,
        scalings: tuple[Tensor, Tensor, Tensor],
        kept: Tensor,
        keep: Tensor,
        context: Tensor,
        cond: list[Tensor],
    ) -> Tensor:
        """D(u; sigma) [B, C, W], float32."""
        net, (*cond, shift) = self.network, cond
        told, alone = (
            net.frame_scores(net.tokens(scalings[0] * u, kept, keep, c, cond), c, cond)
            for c in (context, torch.zeros_like(context))
        )
        shift = shift.repeat_interleave(u.shape[2])
        flat = net.latent(further(told, alone, self.weight, shift))
        return flat.reshape(u.shape[0], u.shape[2], -1).transpose(1, 2)


def further(told: Scores, alone: Scores, weight: float, shift: Tensor) -> Scores:
    """told: with the context, alone: without, n frames each. Velocities are the first one's. shift [n]: off the
    onsets."""

    def mix(a: Tensor, b: Tensor) -> Tensor:
        return b + weight * (a - b)

    onset = mix(told.onset, alone.onset) - shift[:, None, None]
    return Scores(onset, mix(told.end, alone.end), mix(told.carried, alone.carried), told.velocity)


class GuidedEmbed(StarterEmbed):
    """The contract's `embed`, with one tensor more: what is taken off the onsets [stems]."""

    def __init__(self, who: Guided) -> None:
        super().__init__(who.network)
        self.who = who

    def forward(self, sigma: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.who.conditioning(torch.log(sigma) * 0.25, label))


class GuidedDenoise(StarterDenoise):
    """The contract's `denoise`: one guided evaluation and its affine row."""

    def __init__(self, who: Guided) -> None:
        super().__init__(who.network)
        self.who = who

    def estimate_of(
        self, u: Tensor, source: Tensor, keep: Tensor, context: Tensor, row: Tensor, cond: list[Tensor]
    ) -> Tensor:
        """As `StarterDenoise`."""
        return self.who.estimate(u, (row[0], row[1], row[2]), source * keep, keep, context, cond)
