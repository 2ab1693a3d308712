# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Which pitch classes fit what is heard: a head that knows no key.

Music in another key is the same music, but a network that sees semitones as channels must learn each key by itself.
Here a frame's token says only where in time to listen (attention over what was heard) and which intervals to want (a
weight an interval, for low, middle and high tones); the scores of the twelve classes follow by rotation. So what is
learned of a root and its third holds for all twelve roots at once.

Not covered: the register of a note, and what the stem itself played; the network's other outputs add those.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anacrusis.engine.networks.filterbank import TONES

CLASSES = 12
# Octaves of the filterbank from C1 up that are heard together: where basses are, where chords are, above.
REGISTERS = ((0, 2), (2, 4), (4, 6))
HEADS, KEY_WIDTH = 4, 16
CHROMA_GAIN = 4.0
# Of the sum over heads, registers and intervals, so that it learns as fast as one output of a layer, not a hundred.
FIT_GAIN = 1 / 96
DEAF = -1e4


def chroma(context: Tensor) -> Tensor:
    """context [B, 149, W] of `filterbank.py`, masked -> [B, W, 3 * 12]: by register, less the mean of the classes."""
    batch, _, frames = context.shape
    tones = context[:, :TONES].reshape(batch, TONES // CLASSES, CLASSES, frames)
    parts = [tones[:, low:high].mean(dim=1) for low, high in REGISTERS]
    classes = torch.stack(parts, dim=1)  # [B, 3, 12, W]
    classes = CHROMA_GAIN * (classes - classes.mean(dim=2, keepdim=True))
    return classes.reshape(batch, len(REGISTERS) * CLASSES, frames).transpose(1, 2)


class Harmony(nn.Module):
    """tokens [B, W, width], context [1 or B, E, W] -> [B, W, 12]: how much better each pitch class fits."""

    def __init__(self, width: int, window_frames: int) -> None:
        super().__init__()
        self.look = nn.Linear(width, 2 * HEADS * KEY_WIDTH)
        self.bias = nn.Parameter(torch.zeros(HEADS, 2 * window_frames - 1))
        self.intervals = nn.Linear(width, HEADS * len(REGISTERS) * CLASSES)
        nn.init.zeros_(self.intervals.weight)
        nn.init.zeros_(self.intervals.bias)
        frames, classes = torch.arange(window_frames), torch.arange(CLASSES)
        self.distance: Tensor
        self.turned: Tensor
        self.register_buffer("distance", frames[None, :] - frames[:, None] + window_frames - 1, persistent=False)
        # [class, interval] -> the class so much above it
        self.register_buffer("turned", ((classes[:, None] + classes) % CLASSES).reshape(-1), persistent=False)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        batch, frames, _ = tokens.shape
        parts = self.look(tokens).reshape(batch, frames, 2, HEADS, KEY_WIDTH).permute(2, 0, 3, 1, 4)
        logits = parts[0] @ parts[1].transpose(-1, -2) * KEY_WIDTH**-0.5 + self.bias[:, self.distance]
        logits = logits.float() + DEAF * (1 - context[:, None, -1:])
        heard = logits.softmax(-1) @ chroma(context)[:, None]  # [B, heads, W, 36]
        heard = heard.transpose(1, 2).reshape(batch, frames, HEADS * len(REGISTERS), CLASSES)
        wanted = self.intervals(tokens).reshape(batch, frames, HEADS * len(REGISTERS), CLASSES)
        turned = heard[..., self.turned].reshape(batch, frames, HEADS * len(REGISTERS), CLASSES, CLASSES)
        fit: Tensor = FIT_GAIN * (turned * wanted[:, :, :, None]).sum(dim=(2, 4)).float()
        return fit
