# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a sampler holds between two evaluations, on the host, and a table of one row: pure arithmetic on arrays.

The formulas are those of `engine/sampler.py`; a live cycle has them inside the denoise graph. They are needed here
because a row is measured from the oracle's state, and no pipeline says what its state was.

Not covered: several stems.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.bundle import Manifest
from anacrusis.engine.noise import NoiseSource
from anacrusis.engine.sampler import Mix, Row, SamplerTable

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class State:
    """A window's masks and noises. keep [frames]; source [C, frames]; noise [mixes, C, frames], pre-mixed."""

    heard_frames: int
    keep: F32
    source: F32
    noise: F32

    def begin(self) -> F32:
        """u = b before the first row."""
        out: F32 = self.keep * self.source + self.noise[0]
        return out


def first_state(
    manifest: Manifest, table: SamplerTable, noise: NoiseSource, draw: int, heard_frames: int, generated: int
) -> State:
    """The masks of a cycle that generates the last `generated` frames; its noises; a source of zeros."""
    window = manifest.geometry.window_frames
    keep = np.zeros(window, np.float32)
    keep[: window - generated] = 1.0
    shape = (manifest.latent_channels, window)
    draws = np.zeros((table.draws, *shape), np.float32)
    noise.latents(0, draw, draws)
    mixed = np.zeros((len(table.mixes), *shape), np.float32)
    return State(heard_frames, keep, np.zeros(shape, np.float32), table.mix_noise(draws, keep, mixed))


def one_row(table: SamplerTable, index: int) -> SamplerTable:
    """A table whose result is the estimate D of row `index`: v = D, nothing injected."""
    row = replace(table.rows[index], cb=0.0, cu=0.0, cd=1.0, newbase=True, mix=None)
    return SamplerTable(table.name, (row,), Mix(), draws=0)


def advance(row: Row, u: F32, b: F32, estimate: F32, state: State, noise: F32 | None) -> tuple[F32, F32]:
    """(u, b) before the next row. noise: the row's own where it injects, else None."""
    v = np.float32(row.cb) * b + np.float32(row.cu) * u + np.float32(row.cd) * estimate
    after = v if noise is None else state.keep * state.source + (1 - state.keep) * v + noise
    return after, after if row.newbase else b
