# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Classifier-free guidance (Ho and Salimans 2022) of a network that scores events: two answers, with and without what
the others play, and further in the direction in which the context moved it.

    score = without + weight * (with - without)        weight 1: the network as it is

Taken in logits, where an event stays an event. Without a context less is played, so beyond it more is: `shift` is taken
off the onsets' logits, to be chosen so that as much is played as in the songs. It costs two evaluations, so a live
cycle does not do it: a teacher is guided while it is distilled, and the student says the guided answer at once.

Not covered: networks without rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from anacrusis.engine.networks.starter import Scores, Starter


@dataclass(frozen=True, slots=True)
class Guided:
    """A denoiser, as `losses.Denoiser` asks."""

    network: Starter
    weight: float
    shift: float = 0.0

    def conditioning(self, c_noise: Tensor, label: Tensor) -> list[Tensor]:
        return self.network.conditioning(c_noise, label)

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
        net = self.network
        told, alone = (
            net.frame_scores(net.tokens(scalings[0] * u, kept, keep, c, cond), c, cond)
            for c in (context, torch.zeros_like(context))
        )
        flat = net.latent(further(told, alone, self.weight, self.shift))
        return flat.reshape(u.shape[0], u.shape[2], -1).transpose(1, 2)


def further(told: Scores, alone: Scores, weight: float, shift: float = 0.0) -> Scores:
    """told: with the context, alone: without. Velocities are the first one's. shift: off the onsets."""

    def mix(a: Tensor, b: Tensor) -> Tensor:
        return b + weight * (a - b)

    return Scores(
        mix(told.onset, alone.onset) - shift, mix(told.end, alone.end), mix(told.carried, alone.carried), told.velocity
    )
