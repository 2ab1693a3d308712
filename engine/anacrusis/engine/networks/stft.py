# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""STFT and inverse STFT as two small products each, in forms every runtime parses (no DFT op).

A transform of N = 2048 points is factored as 32 x 64 (Cooley and Tukey 1965): two products with the 32- and
64-point bases around one multiplication by twiddles. That is a tenth of the arithmetic of a dense
2048 x 2048 basis and 100 KB of constants instead of 16 MB. The products are 1 x 1 convolutions: the factor that is
summed is the channel, time stays last, and TensorRT-RTX has no float32 matrix product for Turing but has this.
Everything stays float32, whatever the network's precision: the powers span 90 dB.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-12  # |X|^2 below this is silence; 0 maps to 0 without a division by it
COARSE, FINE = 32, 64  # N = COARSE * FINE


def _basis(rows: int, columns: int, period: int, sign: float) -> Tensor:
    """exp(sign * 2 pi i * row * column / period) as [2, rows, columns] (real, imaginary), float32."""
    product = np.outer(np.arange(rows), np.arange(columns)) % period
    angle = sign * 2 * np.pi * product / period
    return torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32))


def _complex_matrix(basis: Tensor) -> Tensor:
    """[2, in, out] -> real [2 out, 2 in] that maps a column [re, im] to [re, im]."""
    re, im = basis[0].T, basis[1].T
    return torch.cat([torch.cat([re, -im], 1), torch.cat([im, re], 1)], 0)


class _Transform(nn.Module):
    def __init__(self, hop_samples: int, n_fft: int, scale: float, power: float) -> None:
        super().__init__()
        if n_fft != COARSE * FINE or n_fft % hop_samples:
            raise ValueError(f"n_fft must be {COARSE * FINE} and a multiple of the hop, not {n_fft}, {hop_samples}")
        self.hop_samples, self.n_fft, self.scale, self.power = hop_samples, n_fft, scale, power
        self.blocks = n_fft // hop_samples
        # Computed in float32, as the original's is: rounded from double it differs in the last place, and nearly
        # silent bins show it.
        window = torch.hann_window(n_fft, dtype=torch.float32, device="cpu")
        self.window: Tensor
        self.register_buffer("window", window, persistent=False)

    def _constant(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.contiguous(), persistent=False)

    def _kernel(self, name: str, matrix: Tensor) -> None:
        """matrix [out, in] as the kernel of a 1 x 1 convolution."""
        self._constant(name, matrix[:, :, None, None])

    @staticmethod
    def turn(y: Tensor, twiddle: Tensor) -> Tensor:
        """y [B, 2p, b, L] (real above imaginary) times twiddle [2, p, b, 1] -> [B, 2b, p, L]."""
        re, im = y.chunk(2, dim=1)
        cos, sin = twiddle[0], twiddle[1]
        parts = (re * cos - im * sin, re * sin + im * cos)
        return torch.cat([part.transpose(1, 2) for part in parts], dim=1)

    @staticmethod
    def compress(re: Tensor, im: Tensor, exponent: float) -> Tensor:
        """|z|^exponent * z / |z| as a real gain |z|^(exponent - 1), 0 at 0."""
        power = re * re + im * im
        gain = torch.pow(power.clamp_min(EPS * EPS), (exponent - 1) / 2)
        return torch.where(power > EPS * EPS, gain, torch.zeros_like(gain))


class Stft(_Transform):
    """audio [B, 512 (L + 3)] -> compressed spectrum [B, 2, 1024, L] (real, imaginary; Nyquist dropped).

    Frame f reads samples [512 f, 512 f + 2048): no centring, no padding. y = scale * |X|^power * X / |X|.
    """

    def __init__(self, hop_samples: int = 512, n_fft: int = 2048, scale: float = 0.34, power: float = 0.65):
        super().__init__(hop_samples, n_fft, scale, power)
        # n = FINE * a + b, k = p + COARSE * q: sum over a, twiddle, sum over b. Only q < FINE / 2 is kept.
        first = _basis(COARSE, COARSE, COARSE, -1.0)  # [2, a, p]
        twiddle = _basis(FINE, COARSE, n_fft, -1.0)  # [2, b, p]
        second = _basis(FINE, FINE // 2, FINE, -1.0)  # [2, b, q]
        self.first: Tensor
        self.twiddle: Tensor
        self.second: Tensor
        self._kernel("first", torch.cat([first[0].T, first[1].T], 0))  # [2p, a]
        self._constant("twiddle", twiddle.transpose(1, 2)[..., None])  # [2, p, b, 1]
        self._kernel("second", _complex_matrix(second))  # [2q, 2b]

    def forward(self, audio: Tensor) -> Tensor:
        batch = audio.shape[0]
        blocks = audio.reshape(batch, -1, self.hop_samples).transpose(1, 2)  # [B, 512, L + 3]
        frames = blocks.shape[2] - self.blocks + 1
        x = torch.cat([blocks[:, :, i : i + frames] for i in range(self.blocks)], dim=1)  # [B, 2048, L]
        x = (x * self.window[:, None]).reshape(batch, COARSE, FINE, frames)  # [B, a, b, L]
        y = self.turn(F.conv2d(x, self.first), self.twiddle)  # [B, 2b, p, L]
        y = F.conv2d(y, self.second).reshape(batch, 2, self.n_fft // 2, frames)  # k = COARSE * q + p
        return y * (self.scale * self.compress(y[:, 0], y[:, 1], self.power))[:, None]


class InverseStft(_Transform):
    """Compressed spectrum [B, 2, 1024, L] -> audio [B, 2048 + 512 (L - 1)], clamped to [-1, 1].

    The first and last 1,536 samples have incomplete overlap and are left attenuated, as in the original.
    """

    def __init__(self, hop_samples: int = 512, n_fft: int = 2048, scale: float = 0.34, power: float = 0.65):
        super().__init__(hop_samples, n_fft, scale, power)
        # k = COARSE * a + b, n = p + FINE * q: sum over a, twiddle, sum over b; real part only.
        first = _basis(n_fft // 2 // COARSE, FINE, FINE, 1.0)  # [2, a, p]
        twiddle = _basis(COARSE, FINE, n_fft, 1.0)  # [2, b, p]
        second = _basis(COARSE, COARSE, COARSE, 1.0)  # [2, b, q]
        self.first: Tensor
        self.twiddle: Tensor
        self.second: Tensor
        self.weight: Tensor
        self.gain: Tensor
        self._kernel("first", _complex_matrix(first))  # [2p, 2a]
        self._constant("twiddle", twiddle.transpose(1, 2)[..., None])  # [2, p, b, 1]
        self._kernel("second", torch.cat([second[0].T, -second[1].T], 1))  # [q, 2b]
        weight = torch.full((n_fft // 2,), 2.0 / n_fft)  # the other half of the spectrum is its mirror
        weight[0] = 1.0 / n_fft
        self._constant("weight", weight[:, None])
        overlap = self.window.reshape(self.blocks, hop_samples).double().square().sum(0).repeat(self.blocks)
        self._constant("gain", (self.window.double() / overlap).float())

    def forward(self, spectrum: Tensor) -> Tensor:
        batch, _, _, frames = spectrum.shape
        z = spectrum * (1.0 / self.scale)
        z = z * (self.compress(z[:, 0], z[:, 1], 1 / self.power) * self.weight)[:, None]
        y = F.conv2d(z.reshape(batch, -1, COARSE, frames), self.first)  # channels [2, a] -> [B, 2p, b, L]
        x = F.conv2d(self.turn(y, self.twiddle), self.second)  # [B, q, p, L]
        x = x.reshape(batch, self.n_fft, frames) * self.gain[:, None]  # n = FINE * q + p
        # Overlap-add: block i of frame f lands on hop f + i.
        total = None
        for i in range(self.blocks):
            part = x[:, i * self.hop_samples : (i + 1) * self.hop_samples]
            part = F.pad(part, (i, self.blocks - 1 - i))
            total = part if total is None else total + part
        assert total is not None
        return total.transpose(1, 2).reshape(batch, -1).clamp(-1.0, 1.0)
