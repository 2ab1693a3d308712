# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Noise as a function of where it is used, never of what was drawn before it.

Philox 4x64 (Salmon et al. 2011) is keyed by (seed, stem) and addressed by (purpose, index), so a run is
reproducible bit for bit, every backend gets the same noise, and a frame decoded twice sounds the same.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_LATENT, _DECODER = 1, 2


class NoiseSource(Protocol):
    """Where standard normals come from. Both methods fill `out` and may be called from any one thread."""

    def latents(self, stem: int, cycle: int, out: F32) -> None:
        """Fill out [draws, C, frames]: the draws of one sampler run."""

    def frames(self, stem: int, first_frame: int, out: F32) -> None:
        """Fill out [n, *decoder_noise_shape]: decoder noise of frames first_frame, first_frame + 1, ..."""


class PhiloxNoise:
    """The engine's own source. Stateless; any thread."""

    def __init__(self, seed: int) -> None:
        self.seed = seed % 2**64

    def _fill(self, purpose: int, stem: int, index: int, out: F32) -> None:
        # As uint64: a list with an entry of 2^63 or more would pass through float64 and lose its low bits.
        counter = np.array([0, 0, index % 2**64, purpose], np.uint64)
        bits = np.random.Philox(counter=counter, key=np.array([self.seed, stem], np.uint64))
        np.random.Generator(bits).standard_normal(dtype=np.float32, out=out)

    def latents(self, stem: int, cycle: int, out: F32) -> None:
        self._fill(_LATENT, stem, cycle, out)

    def frames(self, stem: int, first_frame: int, out: F32) -> None:
        for i, frame in enumerate(out):
            self._fill(_DECODER, stem, first_frame + i, frame)
