# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The fixed ear as a bundle carries it: its sinusoids are made in the graph (`angles.py`), 0.2 MB for 2.8.

One sinusoid more, of one turn a window, gives the Hann window. The kernels are then rounded to float16 as
`filterbank.py` rounds them: the same features, but where a rounding falls the other way (5e-5 of a feature at most).

Not covered: running it in torch, where it would make its kernels anew every time: use `Filterbank`.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from anacrusis.engine.networks.angles import Angles
from anacrusis.engine.networks.filterbank import (
    BANDS,
    HIGHEST_LEVEL_HZ,
    LOWEST_LEVEL_HZ,
    LOWEST_MIDI,
    OCTAVE_WINDOWS_SAMPLES,
    SAMPLE_RATE_HZ,
    TONES_A_BAND,
    Filterbank,
    Sinusoids,
)


class ComputedFilterbank(nn.Module):
    """As `Filterbank`, to be exported. Buffer `angles` [50,432] float32: all sinusoids' tables, one after the other."""

    angles: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.plain = Filterbank()  # what uses the kernels; its own are not kept
        hz = {
            f"octaves.{octave}": 440.0 * 2.0 ** ((LOWEST_MIDI + 12 * octave + np.arange(12) - 69) / 12)
            for octave in range(len(OCTAVE_WINDOWS_SAMPLES))
        }
        hz["levels"] = np.geomspace(LOWEST_LEVEL_HZ, HIGHEST_LEVEL_HZ, BANDS * TONES_A_BAND)
        self._parts: dict[str, Angles] = {}
        for name, frequencies_hz in hz.items():
            sinusoids = self.plain.get_submodule(name)
            assert isinstance(sinusoids, Sinusoids)
            window_samples = sinusoids.blocks * sinusoids.hop_samples
            self._parts[name] = Angles(np.append(frequencies_hz / SAMPLE_RATE_HZ, 1 / window_samples), window_samples)
            sinusoids.register_buffer("kernel", torch.zeros(0), persistent=False)
        tables = np.concatenate([part.table() for part in self._parts.values()])
        self.register_buffer("angles", torch.from_numpy(tables))

    def kernels(self) -> dict[str, Tensor]:
        """By their names in `Filterbank`: [2 * tones, window, 1] float32, in float16's steps."""
        made, start = {}, 0
        for name, part in self._parts.items():
            waves = part.waves(self.angles[start : start + part.size])
            kernel = waves[:, :-1] * (0.5 - 0.5 * waves[:1, -1:])
            made[f"{name}.kernel"] = kernel.half().float().reshape(-1, part.samples, 1)
            start += part.size
        return made

    def forward(self, audio: Tensor, heard: Tensor) -> Tensor:
        """See `Filterbank`."""
        return cast(Tensor, functional_call(self.plain, self.kernels(), (audio, heard)))
