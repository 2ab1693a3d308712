# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One frame of roll to C numbers and back, no frame knowing its neighbours.

Frame-local on purpose: a frame decoded a second time with more neighbours is the same, so latents are masked, kept
and inpainted by whole frames without a seam.

    encode    z = W x / rms               x: a row carried over from before; per hop and row onset, velocity, end
    decode    logits = f(z) - f(0) - margin     f: an MLP whose last layer the eight hops share, and a linear path

The encoder is linear in x, and x is sparse: what happens, not what lasts. So the latent of notes on several rows is
the sum of their latents, and a mean of latents is the latent of the mean roll, which is what a denoiser estimates
while it is still in doubt. Silence is zero both ways, exactly: W 0 = 0, and at z = 0 every logit is -margin, below
every gate.

Gates are hard: an onset is there in full or not at all, but for a thin band of doubt, so that small errors of a latent
stay unheard. Not covered: sound (`playback.py`), training (`fit.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from anacrusis.train.codec.rows import HOPS_PER_FRAME

EVENTS: Final = 3  # per hop and row: onset there, its velocity, an end
OUTPUTS: Final = 3  # per hop and row: onset, velocity, hold
SILENT_LOGIT: Final = -4.0
# Below this a note is not heard beside others, and the writer writes none.
LEAST_GAIN: Final = 0.04
# From certainly not to certainly: this many units of logit.
GATE_WIDTH: Final = 1.0
# At the start of training velocities weigh less than places; the linear path finds onsets as a matched filter does.
FIRST_VELOCITY_SCALE, FIRST_MATCH = 0.3, 1.5


@dataclass(frozen=True, slots=True)
class AutoencoderConfig:
    """channels: of the latent. width, hop_width: of the decoder."""

    rows: int
    channels: int = 64
    width: int = 512
    hop_width: int = 96


class FrameAutoencoder(nn.Module):
    """Roll frames <-> latents. `rms` [C]: what a channel is divided by, its root mean square over sounding frames."""

    rms: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        cells = HOPS_PER_FRAME * config.rows
        self.code = nn.Linear(cells * EVENTS + config.rows, config.channels, bias=False)
        self.register_buffer("rms", torch.ones(config.channels))
        self.match = nn.Linear(config.channels, cells * OUTPUTS, bias=False)
        self.enter = nn.Linear(config.channels, config.width)
        self.mix = nn.Linear(config.width, config.width)
        self.spread = nn.Linear(config.width, HOPS_PER_FRAME * config.hop_width)
        self.head = nn.Linear(config.hop_width, OUTPUTS * config.rows)
        with torch.no_grad():
            self.code.weight.normal_(0.0, config.channels**-0.5)
            self.code.weight[:, cells : 2 * cells] *= FIRST_VELOCITY_SCALE
            self.match.weight.zero_()
            onsets = self.match.weight.view(HOPS_PER_FRAME, OUTPUTS, config.rows, config.channels)[:, 0]
            onsets.copy_(FIRST_MATCH * self.code.weight[:, :cells].T.reshape(onsets.shape))

    def features(self, roll: Tensor) -> Tensor:
        """Roll [n, 8, rows, 2] -> x [n, 3 * 8 * rows + rows]: onsets, velocities, ends, what is carried over.

        A row that is held at the frame's first hop and not struck there was struck before. An end lies in the first
        hop without hold.
        """
        velocity, hold = roll[..., 0], roll[..., 1]
        onset = (velocity > 0).to(roll.dtype)
        ends = torch.clamp(hold[:, :-1] - hold[:, 1:], min=0.0)
        ends = torch.cat([torch.zeros_like(ends[:, :1]), ends], dim=1)
        carried = hold[:, 0] * (1 - onset[:, 0])
        return torch.cat([onset.flatten(1), velocity.flatten(1), ends.flatten(1), carried], dim=1)

    def encode_raw(self, roll: Tensor) -> Tensor:
        """Roll [n, 8, rows, 2] -> [n, C], before the division by `rms`."""
        z: Tensor = self.code(self.features(roll))
        return z

    def encode(self, roll: Tensor) -> Tensor:
        """Roll [n, 8, rows, 2] -> latent [n, C]."""
        return self.encode_raw(roll) / self.rms

    def _expand(self, z: Tensor) -> Tensor:
        """[n, C] -> [n, 8, 3 * rows]."""
        h = nn.functional.silu(self.enter(z))
        h = h + nn.functional.silu(self.mix(h))
        h = nn.functional.silu(self.spread(h)).reshape(-1, HOPS_PER_FRAME, self.config.hop_width)
        out: Tensor = self.head(h) + self.match(z).reshape(-1, HOPS_PER_FRAME, OUTPUTS * self.config.rows)
        return out

    def logits(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latent [n, C] -> onset logit, velocity, hold logit, each [n, 8, rows]."""
        # f(z) - f(0) need not be 0 to the last bit at z = 0 (a matrix product may sum a lone row in another order);
        # the margin is a million times what that leaves.
        out = self._expand(z) - self._expand(torch.zeros_like(z[:1]))
        out = out.reshape(-1, HOPS_PER_FRAME, OUTPUTS, self.config.rows)
        return out[..., 0, :] + SILENT_LOGIT, out[..., 1, :], out[..., 2, :] + SILENT_LOGIT

    def gates(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Latent [n, C] -> gain (0, or up to 1) and hold (0 to 1), each [n, 8, rows]: what is played."""
        onset, velocity, hold = self.logits(z)
        gain = torch.clamp(onset / GATE_WIDTH + 0.5, 0.0, 1.0) * torch.clamp(velocity, LEAST_GAIN, 1.0)
        return gain, torch.clamp(hold / GATE_WIDTH + 0.5, 0.0, 1.0)

    def roll(self, z: Tensor) -> Tensor:
        """Latent [n, C] -> roll [n, 8, rows, 2], hard: what a score counts."""
        onset, velocity, hold = self.logits(z)
        gain = (onset > 0) * torch.clamp(velocity, LEAST_GAIN, 1.0)
        return torch.stack([gain, (hold > 0).to(gain.dtype)], dim=-1)
