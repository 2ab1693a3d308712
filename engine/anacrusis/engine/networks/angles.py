# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Cosines and sines of evenly spaced angles, made in a graph from a small table: sinusoids need not be stored.

An angle is a coarse step's and a fine step's, and

    cos(a + b) = cos a cos b - sin a sin b        sin(a + b) = sin a cos b + cos a sin b

so 2 sqrt(n) places are enough for n, to float32's rounding (a product in float32 of n and a frequency would be off by
up to 1e-4 of a turn). A runtime that folds constants does this once, when it opens the graph.

Not covered: keeping an exporter from doing it, and storing the result: give it one table of more than 8,192 numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Angles:
    """turns [n]: of each sinusoid, from one sample to the next. samples: how many; a multiple of `fine`."""

    turns: NDArray[np.float64]
    samples: int

    @property
    def fine(self) -> int:
        """Samples of a coarse step, a power of 2."""
        return int(2 ** math.ceil(math.log2(self.samples) / 2))

    @property
    def coarse(self) -> int:
        """Coarse steps. Raises ValueError where they are no whole number."""
        if self.samples % self.fine:
            raise ValueError(f"{self.samples} samples are no whole number of steps of {self.fine}")
        return self.samples // self.fine

    @property
    def size(self) -> int:
        """Numbers in its table."""
        return len(self.turns) * (4 * self.coarse + 2 * self.fine)

    def table(self) -> NDArray[np.float32]:
        """[size]: of each coarse step cos, -sin and sin, cos; of each fine one cos and sin."""
        cos, sin = self._on_circle(np.arange(self.coarse) * self.fine)
        coarse = np.stack([cos, -sin, sin, cos])
        fine = np.stack(self._on_circle(np.arange(self.fine)))
        return np.concatenate([coarse.ravel(), fine.ravel()]).astype(np.float32)

    def _on_circle(self, at: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        angle = 2 * np.pi * (self.turns[:, None] * at % 1.0)
        return np.cos(angle), np.sin(angle)

    def waves(self, table: Tensor) -> Tensor:
        """Its table -> [2, n, samples] float32: cosines and sines."""
        rows, middle = len(self.turns), 4 * len(self.turns) * self.coarse
        coarse = table[:middle].reshape(2, 2, rows, self.coarse, 1)
        fine = table[middle:].reshape(2, rows, 1, self.fine)
        return (coarse * fine).sum(dim=1).flatten(2)
