# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The beat of what was heard, carried on into what was not: fixed, nothing in it is learned.

A frame of 93 ms holds eight hops, and a beat is no whole number of either; a small network learns to count that only
slowly. So it is counted here: the filterbank's levels give an onset strength per hop; its Fourier transform over the
window, four octaves of pulse rates, each sharpened to its strongest rates, gives a cosine and a sine per octave that go
on through the whole window (the predominant local pulse of Grosche and Mueller 2011, made to look ahead).

Not covered: metre (the window holds one to three bars), tempo that changes inside the window.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from anacrusis.engine.networks.filterbank import BANDS, FRAME_SAMPLES, HOP_SAMPLES, LEVELS, SAMPLE_RATE_HZ, TONES

HOPS = FRAME_SAMPLES // HOP_SAMPLES
HOP_S = HOP_SAMPLES / SAMPLE_RATE_HZ
LOWEST_PULSE_HZ = 0.58  # half of 70 a minute
OCTAVES, RATES_AN_OCTAVE = 4, 48
SHARPNESS = 4  # powers of power: how much the strongest rate of an octave counts above the others
TINY = 1e-6


class Pulse(nn.Module):
    """context [B, 149, W] of `filterbank.py`, masked -> [B, channels, W].

    Per octave the cosine and the sine at each hop of a frame, -1 to 1; then per octave the root of the share of the
    onsets' power that its strongest rate explains.
    """

    channels: ClassVar[int] = OCTAVES * (2 * HOPS + 1)

    def __init__(self, window_frames: int) -> None:
        super().__init__()
        rates_hz = LOWEST_PULSE_HZ * 2.0 ** (
            torch.arange(OCTAVES * RATES_AN_OCTAVE, dtype=torch.float64) / RATES_AN_OCTAVE
        )
        t = torch.arange(window_frames * HOPS, dtype=torch.float64) * HOP_S
        angle = 2 * math.pi * t[:, None] * rates_hz
        self.waves: Tensor
        self.register_buffer("waves", torch.cat([angle.cos(), angle.sin()], dim=1).float(), persistent=False)

    def onsets(self, context: Tensor) -> Tensor:
        """[B, 8 W]: how much louder each hop is than the one before, over all bands; zero mean over what was heard."""
        batch, _, frames = context.shape
        levels = context[:, TONES : TONES + LEVELS].reshape(batch, BANDS, HOPS, frames)
        levels = levels.transpose(2, 3).reshape(batch, BANDS, frames * HOPS)
        heard = context[:, -1, :, None].expand(-1, -1, HOPS).reshape(batch, frames * HOPS)
        both = heard[:, 1:] * heard[:, :-1]
        rise = torch.relu(levels[:, :, 1:] - levels[:, :, :-1]).mean(dim=1) * both
        mean = rise.sum(dim=1, keepdim=True) / (both.sum(dim=1, keepdim=True) + TINY)
        rise = (rise - mean) * both
        return torch.cat([torch.zeros_like(rise[:, :1]), rise], dim=1)

    def forward(self, context: Tensor) -> Tensor:
        batch, _, frames = context.shape
        onsets = self.onsets(context)
        re, im = (onsets @ self.waves).reshape(batch, 2, OCTAVES, RATES_AN_OCTAVE).unbind(1)
        power = re * re + im * im
        total = (onsets * onsets).sum(dim=1)[:, None, None] * (context[:, -1].sum(dim=1)[:, None, None] * HOPS / 2)
        share = power / (total + TINY)
        loud = (share / (share.amax(dim=2, keepdim=True) + TINY)) ** SHARPNESS
        # Not the root of power + TINY^2: the exporter takes 1e-12 for 0, and silence would be 0 / 0.
        weight = loud / ((loud.sum(dim=2, keepdim=True) + TINY) * (torch.sqrt(power) + TINY))
        a, b = (weight * re)[:, :, None], (weight * im)[:, :, None]  # [B, octaves, 1, rates]
        cos, sin = self.waves.reshape(frames * HOPS, 2, OCTAVES, RATES_AN_OCTAVE).permute(1, 2, 3, 0)
        along = torch.cat([a @ cos + b @ sin, a @ sin - b @ cos], dim=2)  # [B, octaves, 2, 8 W]
        along = along.reshape(batch, OCTAVES * 2, frames, HOPS).transpose(2, 3).reshape(batch, -1, frames)
        sure = torch.sqrt(share.amax(dim=2))[:, :, None].expand(-1, -1, frames)
        return torch.cat([along, sure], dim=1)
