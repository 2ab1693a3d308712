# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded notes in ten or twelve bits a sample: what a bundle can carry and the ear cannot tell from float16.

A block of 32 samples has its own peak, so the noise follows the note as it dies away: it stays about 61 dB below the
level around it in ten bits, 73 dB in twelve (in 8 bits 49 dB; float16: 74 dB, for 1.5 times the bytes of ten).

    x = peak (base (high - 128) + digit) / (128 base)     high: a byte; digit: 0 to base - 1, several in a byte

base is 4 or 16, peaks are float16. The bytes are unsigned: TensorRT takes signed ones for quantised weights, which have
operators of their own, and refuses to build. The sum is made of a graph's own operators on constants: a runtime that
folds constants does it once, when it opens the graph, and then has the float32 table it would have had otherwise.

Not covered: entropy coding, prediction; neither is a graph's work.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BLOCK_SAMPLES: Final = 32
# float16's least normal number: what is quieter than this share of full scale is stored as if it were as loud.
LEAST_PEAK: Final = 2.0**-14


class PackedNotes(nn.Module):
    """forward: -> [hops, hop samples] float32, row after row.

    Buffers: high uint8 [blocks, 32]; low uint8 [blocks, bytes], whose digit i of byte k is of sample bytes * i + k;
    peak float32 [blocks, 1] in float16's steps.
    """

    high: Tensor
    low: Tensor
    peak: Tensor
    table: Tensor

    def __init__(self, notes: NDArray[np.float32], low_bits: int = 2) -> None:
        """notes: [hops, hop samples], whole blocks. low_bits: 2 or 4, beyond 8. Raises ValueError for others."""
        super().__init__()
        if low_bits not in (2, 4):
            raise ValueError(f"low_bits is {low_bits}; it must be 2 or 4")
        self.hop_samples, self.base, self.digits = notes.shape[1], 2**low_bits, 8 // low_bits
        self.steps = 128 * self.base  # from 0 to the peak
        blocks = notes.reshape(-1, BLOCK_SAMPLES).astype(np.float64)
        peak = _rounded_up(np.abs(blocks).max(axis=1, keepdims=True) * (self.steps / (self.steps - 1)))
        steps = np.clip(np.rint(blocks / peak * self.steps), -self.steps, self.steps - 1).astype(np.int64)
        digits = (steps % self.base).reshape(len(blocks), self.digits, -1)
        low = (digits * self.base ** np.arange(self.digits)[:, None]).sum(axis=1)
        self.register_buffer("high", torch.from_numpy((steps // self.base + 128).astype(np.uint8)))
        self.register_buffer("low", torch.from_numpy(low.astype(np.uint8)))
        self.register_buffer("peak", torch.from_numpy(peak.astype(np.float32)))
        self.register_buffer("table", self.unpacked(), persistent=False)

    def forward(self) -> Tensor:
        """See the class. Unpacked once, but in a graph that is being exported."""
        return self.unpacked() if torch.compiler.is_exporting() else self.table

    def unpacked(self) -> Tensor:
        """As `forward`, from the packed buffers."""
        tails = [self.low.float()]  # the byte, and what its first digits leave of it
        for _ in range(1, self.digits):
            tails.append(torch.floor(tails[-1] * (1 / self.base)))
        digits = [tail - self.base * after for tail, after in itertools.pairwise(tails)]
        steps = (self.high.float() - 128) * self.base + torch.cat([*digits, tails[-1]], dim=1)
        notes: Tensor = steps * (self.peak * (1 / self.steps))
        return notes.reshape(-1, self.hop_samples)


def _rounded_up(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """To float16's next normal number."""
    narrow = np.maximum(values, LEAST_PEAK).astype(np.float16)
    return np.where(narrow < values, np.nextafter(narrow, np.float16(np.inf)), narrow).astype(np.float64)
