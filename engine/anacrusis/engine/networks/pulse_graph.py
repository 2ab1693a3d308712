# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The starter's denoise stage as a bundle carries it: the pulse's waves are made in the graph (`angles.py`).

Not covered: running it in torch, where it would make its waves anew every time: use `StarterDenoise`.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from anacrusis.engine.networks.angles import Angles
from anacrusis.engine.networks.pulse import HOP_S, HOPS, LOWEST_PULSE_HZ, OCTAVES, RATES_AN_OCTAVE
from anacrusis.engine.networks.starter import StarterDenoise


class ComputedPulse(nn.Module):
    """As the stage it is made of, whose network has a pulse. Buffer `angles`: of `Pulse.waves`."""

    angles: Tensor

    def __init__(self, stage: StarterDenoise) -> None:
        super().__init__()
        self.stage = stage
        rates_hz = LOWEST_PULSE_HZ * 2.0 ** (np.arange(OCTAVES * RATES_AN_OCTAVE) / RATES_AN_OCTAVE)
        self._angles = Angles(rates_hz * HOP_S, stage.network.config.window_frames * HOPS)
        self.register_buffer("angles", torch.from_numpy(self._angles.table()))

    def waves(self) -> Tensor:
        """[8 W, 2 * rates] float32."""
        return self._angles.waves(self.angles).flatten(0, 1).T

    def forward(
        self,
        u: Tensor,
        b: Tensor,
        source: Tensor,
        noise: Tensor,
        context: Tensor,
        keep: Tensor,
        row: Tensor,
        cond: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """See `StarterDenoise`."""
        given = (u, b, source, noise, context, keep, row, cond)
        made = functional_call(self.stage, {"network.pulse.waves": self.waves()}, given)
        return cast(tuple[Tensor, Tensor], made)
