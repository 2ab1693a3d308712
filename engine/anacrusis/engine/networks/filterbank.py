# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A fixed ear: what of the context a small model needs, without a trained encoder. Nothing here is learned.

Per frame of 4,096 samples, all of it from samples that are heard when the frame's last one is:

    tones   84   one a semitone, C1 to B7: log power of windowed complex sinusoids, long at the bottom (16,384 samples,
                 372 ms: a semitone at 65 Hz is 4 Hz), short at the top, where several a frame are averaged
    levels  64   8 bands in each of 8 hops of 512 samples: log power, for where the beat is (11.6 ms)
    heard    1   the mask itself, so that silence and the unheard differ

Silence is exactly 0, and so is what is masked. No sample after the frame is read: `encode_tail_samples` is 0, and the
newest whole frame can be used. What the longest windows want before the window's first frame is taken as silence.

Every filter is one product of blocks of the signal with a table, as 1 x 1 convolutions: the form every runtime has
(`stft.py`). Not covered: any rate but 44.1 kHz.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

SAMPLE_RATE_HZ: Final = 44100
FRAME_SAMPLES: Final = 4096
HOP_SAMPLES: Final = 512
LOWEST_MIDI: Final = 24
# Per octave from C1 up: length of its windows. Twice the length that separates semitones where a frame allows it.
OCTAVE_WINDOWS_SAMPLES: Final = (16384, 16384, 8192, 8192, 4096, 2048, 1024)
LEVEL_WINDOW_SAMPLES: Final = 1024
BANDS: Final = 8
TONES_A_BAND: Final = 4
LOWEST_LEVEL_HZ, HIGHEST_LEVEL_HZ = 45.0, 15000.0
# Power that is one unit of log1p before scaling: -60 dB below a sinusoid of full scale.
FLOOR: Final = 1e-6
SCALE: Final = 8.0  # a sinusoid at -20 dB gives about 1

TONES: Final = 12 * len(OCTAVE_WINDOWS_SAMPLES)
LEVELS: Final = BANDS * (FRAME_SAMPLES // HOP_SAMPLES)
CHANNELS: Final = TONES + LEVELS + 1


class Sinusoids(nn.Module):
    """audio [1, n] -> power [1, tones, n / hop]: windowed sinusoids of given frequencies, a Hann window each.

    Column i reads the `window_samples` up to sample hop * (i + 1); a sinusoid of amplitude 1 has power 1.
    """

    def __init__(self, frequencies_hz: NDArray[np.float64], window_samples: int, hop_samples: int) -> None:
        super().__init__()
        self.hop_samples, self.blocks = hop_samples, window_samples // hop_samples
        if window_samples % hop_samples:
            raise ValueError(f"a window of {window_samples} samples is no whole number of hops of {hop_samples}")
        n = np.arange(window_samples)
        window = np.hanning(window_samples + 1)[:-1]
        phase = 2 * np.pi * frequencies_hz[:, None] * n / SAMPLE_RATE_HZ
        # Rounded to float16, in which a bundle keeps it: 3 MB instead of 6.
        kernel = (np.concatenate([np.cos(phase), np.sin(phase)]) * window).astype(np.float16)
        self.gain = float((2 / window.sum()) ** 2)
        self.kernel: Tensor
        self.register_buffer("kernel", torch.from_numpy(kernel.astype(np.float32))[:, :, None])

    def forward(self, audio: Tensor) -> Tensor:
        blocks = audio.reshape(1, -1, self.hop_samples).transpose(1, 2)  # [1, hop, columns]
        columns = blocks.shape[2]
        padded = F.pad(blocks, (self.blocks - 1, 0))
        x = torch.cat([padded[:, :, i : i + columns] for i in range(self.blocks)], dim=1)  # [1, window, columns]
        re, im = F.conv1d(x, self.kernel).chunk(2, dim=1)
        return self.gain * (re * re + im * im)


class Filterbank(nn.Module):
    """audio [1, 4096 * frames], heard [1, 1, frames] of 0 and 1 -> [1, CHANNELS, frames] float32."""

    def __init__(self) -> None:
        super().__init__()
        octaves = []
        for octave, window in enumerate(OCTAVE_WINDOWS_SAMPLES):
            midi = LOWEST_MIDI + 12 * octave + np.arange(12)
            hop = min(window // 2, FRAME_SAMPLES)
            octaves.append(Sinusoids(440.0 * 2.0 ** ((midi - 69) / 12), window, hop))
        self.octaves = nn.ModuleList(octaves)
        levels_hz = np.geomspace(LOWEST_LEVEL_HZ, HIGHEST_LEVEL_HZ, BANDS * TONES_A_BAND)
        self.levels = Sinusoids(levels_hz, LEVEL_WINDOW_SAMPLES, HOP_SAMPLES)

    def forward(self, audio: Tensor, heard: Tensor) -> Tensor:
        frames = heard.shape[2]
        parts = []
        for octave in self.octaves:
            power = octave(audio)
            parts.append(power.reshape(1, 12, frames, -1).mean(3))
        bands = self.levels(audio).reshape(1, BANDS, TONES_A_BAND, frames, -1).mean(2)
        parts.append(bands.transpose(2, 3).reshape(1, LEVELS, frames))  # channel = band * 8 + hop
        power = torch.cat(parts, dim=1)
        features = torch.log1p(power * (1 / FLOOR)) * (1 / SCALE)
        return torch.cat([features, torch.ones_like(heard)], dim=1) * heard
