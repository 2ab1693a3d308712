# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The loss on songs of styles unseen in training: the same windows, masks, noise levels and noise at every check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch

from anacrusis.engine.networks.starter import Starter
from anacrusis.train.song import STEMS
from anacrusis.train.starter.config import Training
from anacrusis.train.starter.losses import Case, Denoiser, dsm_loss, score_losses
from anacrusis.train.starter.windows import Piece, draw_batch

SIGMAS: Final = (0.2, 0.5, 1.0, 3.0, 10.0, 40.0)
SEED: Final = 12345


class Validation:
    """config.validation_windows windows, a quarter at a time, each at every noise level."""

    def __init__(self, pieces: Sequence[Piece], config: Training) -> None:
        size, batches = max(1, config.validation_windows // 4), min(4, config.validation_windows)
        rng = np.random.default_rng(SEED)
        self.config = config
        drawing = replace(config.drawing, whole=0.0)  # a live cycle's windows only
        self._cases = [Case.of(draw_batch(rng, pieces, size, drawing)) for _ in range(batches)]
        noises = [rng.standard_normal(case.target.shape, dtype=np.float32) for case in self._cases]
        self._noises = [torch.from_numpy(noise) for noise in noises]

    @property
    def fixed(self) -> tuple[list[Case], list[torch.Tensor]]:
        """The windows and their noise."""
        return self._cases, self._noises

    def __call__(self, network: Denoiser) -> dict[str, Any]:
        """loss: the mean over noise levels; sigmas, stems: it by either, the other averaged."""
        rows = []
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
            for sigma in SIGMAS:
                losses = [
                    dsm_loss(network, case, torch.full((len(noise),), sigma), noise, self.config.levels)
                    for case, noise in zip(self._cases, self._noises, strict=True)
                ]
                rows.append(torch.cat(losses).numpy())
            nats = self._nats(network)
        by_window = np.stack(rows)  # [sigmas, windows]
        stem = torch.cat([case.label for case in self._cases]).argmax(dim=1).numpy()
        names = STEMS if self._cases[0].label.shape[1] == len(STEMS) else map(str, range(int(stem.max()) + 1))
        return {
            "loss": round(float(by_window.mean()), 5),
            "sigmas": {f"{s:g}": round(float(row.mean()), 5) for s, row in zip(SIGMAS, by_window, strict=True)},
            "stems": {
                name: round(float(by_window[:, stem == i].mean()), 5)
                for i, name in enumerate(names)
                if (stem == i).any()
            },
            **({"nats": nats} if nats else {}),
        }

    def _nats(self, network: Denoiser) -> dict[str, float]:
        """A frame's, by noise level; nothing of a network without rows."""
        if not isinstance(network, Starter) or not network.config.rows:
            return {}
        found = {}
        for sigma in SIGMAS:
            nats = [
                score_losses(network, case, torch.full((len(noise),), sigma), noise, self.config.levels.sigma_data)[1]
                for case, noise in zip(self._cases, self._noises, strict=True)
            ]
            found[f"{sigma:g}"] = round(float(torch.cat(nats).mean()), 4)
        return found
