# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What each training step is given, from (seed, process, step) alone, so that a run can go on anywhere.

On one core windows are drawn where they are used (5 ms for 32). A GPU is faster than that: `stream` then draws ahead in
processes of its own, and gives the same windows in the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from anacrusis.train.starter.config import Training
from anacrusis.train.starter.losses import Case
from anacrusis.train.starter.windows import Piece, draw_batch


@dataclass(frozen=True, slots=True)
class Drawn:
    """A batch, its noise levels [B] and noise [B, C, W]. start, steps [B]: of a distillation."""

    case: Case
    sigma: Tensor
    noise: Tensor
    start: Tensor | None = None
    steps: Tensor | None = None

    def to(self, device: torch.device) -> Drawn:
        """On another device; itself where it is there already."""
        moved = (None if t is None else t.to(device) for t in (self.start, self.steps))
        return Drawn(self.case.to(device), self.sigma.to(device), self.noise.to(device), *moved)


class Draws(Dataset[Drawn]):
    """Step -> `Drawn`, of one process of a run."""

    def __init__(self, pieces: Sequence[Piece], config: Training, rank: int = 0) -> None:
        self.pieces, self.config, self.rank = pieces, config, rank

    def __getitem__(self, step: int) -> Drawn:
        config = self.config
        rng = np.random.default_rng(np.random.SeedSequence([config.seed, 7, self.rank, step]))
        case = Case.of(draw_batch(rng, self.pieces, config.batch, config.drawing))
        how, levels = config.distillation, config.levels
        if config.method == "distillation":  # its score matching is asked at other levels
            levels = replace(levels, mean=how.dsm_mean, deviation=how.dsm_deviation)
        sigma = levels.draw(rng, config.batch)
        noise = torch.from_numpy(rng.standard_normal(case.target.shape, dtype=np.float32))
        extra = how.draw(rng, config.batch) if config.method == "distillation" else ()
        return Drawn(case, sigma, noise, *extra)

    def stream(self, step: int, workers: int = 0) -> Iterator[Drawn]:
        """From a step on, for ever. workers: processes that draw ahead; 0: this one, when asked."""
        if workers == 0:
            return map(self.__getitem__, itertools.count(step))
        steps = range(step, step + 1_000_000_000)
        return iter(DataLoader(self, batch_size=None, sampler=steps, num_workers=workers, prefetch_factor=4))
