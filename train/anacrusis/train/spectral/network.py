# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""STFT magnitudes <-> 64 numbers a frame of 4096 samples: the trained part of the spectral codec.

    magnitude [B, 1024, 8 F] -> loudness (log) -> bands [B, 192, 8 F] -> patches [B, 1536, F] -> latent [B, 64, F]
    latent -> patches -> bands, smoothed over hops -> loudness of 1024 bins, and how far it may be off

Where the parameters lie: nearly all act once a frame (11 Hz), on patches of 8 hops; that is what makes 2 M of them
cheap enough for two cores. Beside each network runs one linear map, set to the principal components of the training
set's patches before training, so that training starts from the best linear codec instead of from noise.

No layer has a bias and every nonlinearity maps 0 to 0: silence is latent 0, and latent 0 is silence, exactly.

The second output is the scale of a Laplace distribution around the loudness. Where it is large, what sounds there
is noise (or was lost), and `phase.py` excites it with noise instead of a tone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BINS: Final = 1024
HOPS: Final = 8  # a frame of 4096 samples
SILENT: Final = 0.05  # root mean square of a frame's latent
LOUDEST: Final = 2.6  # a sine of full scale has 2.54


@dataclass(frozen=True, slots=True)
class SpectralConfig:
    """floor: the magnitude below which loudness turns from logarithmic to linear (a full-scale sine has 512)."""

    channels: int = 64
    bands: int = 192
    width: int = 256
    blocks: int = 1
    hop_blocks: int = 2
    floor: float = 0.02
    unit_nepers: float = 4.0  # loudness 1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def band_edges(bands: int) -> list[float]:
    """Centres in bins: one a bin as long as that is finer than equal ratios would be, then equal ratios up to 1023."""
    for single in range(bands - 1, 0, -1):
        ratio = ((BINS - 1) / single) ** (1.0 / (bands - 1 - single)) if single < bands - 1 else float("inf")
        if single * (ratio - 1.0) >= 1.0:
            continue
        return [*map(float, range(single + 1)), *(single * ratio**i for i in range(1, bands - single))]
    raise ValueError(f"{bands} bands are too few for {BINS} bins")


def band_matrices(bands: int) -> tuple[Tensor, Tensor]:
    """(average [bands, bins], interpolate [bins, bands]): triangles around the centres, and straight lines between."""
    centres = torch.tensor(band_edges(bands), dtype=torch.float64)
    bins = torch.arange(BINS, dtype=torch.float64)
    right = torch.searchsorted(centres, bins).clamp(1, bands - 1)
    share = ((bins - centres[right - 1]) / (centres[right] - centres[right - 1])).clamp(0, 1)
    interpolate = torch.zeros(BINS, bands, dtype=torch.float64)
    rows = torch.arange(BINS)
    interpolate[rows, right - 1] = 1 - share
    interpolate[rows, right] += share
    average = interpolate.T / interpolate.sum(0)[:, None]
    return average.float().contiguous(), interpolate.float().contiguous()


class Block(nn.Module):
    """Residual: a depthwise convolution over time, root-mean-square norm, a gated-by-itself hidden layer."""

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        self.up = nn.Conv1d(channels, hidden, 1, bias=False)
        self.down = nn.Conv1d(hidden, channels, 1, bias=False)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x)
        y = y * torch.rsqrt(y.square().mean(1, keepdim=True) + 1e-4)
        out: Tensor = x + self.down(F.silu(self.up(y)))
        return out


def to_patches(bands: Tensor) -> Tensor:
    """[B, bands, 8 F] -> [B, 8 bands, F]."""
    batch, count, hops = bands.shape
    return bands.reshape(batch, count, hops // HOPS, HOPS).transpose(2, 3).reshape(batch, count * HOPS, hops // HOPS)


def from_patches(patches: Tensor) -> Tensor:
    """The inverse of `to_patches`."""
    batch, rows, frames = patches.shape
    return patches.reshape(batch, rows // HOPS, HOPS, frames).transpose(2, 3).reshape(batch, rows // HOPS, -1)


class SpectralNetwork(nn.Module):
    """See the module. `encode`: magnitudes -> latent; `decode`: latent -> (loudness, scale), both [B, 1024, 8 F]."""

    def __init__(self, config: SpectralConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SpectralConfig()
        rows = config.bands * HOPS
        average, interpolate = band_matrices(config.bands)
        self.average: Tensor
        self.spread: Tensor
        self.scale: Tensor
        self.register_buffer("average", average[:, :, None], persistent=False)
        self.register_buffer("spread", interpolate[:, :, None], persistent=False)
        self.register_buffer("scale", torch.ones(config.channels))  # standard deviation of each channel over music

        self.linear_in = nn.Conv1d(rows, config.channels, 1, bias=False)
        self.inward = nn.Sequential(
            nn.Conv1d(rows, config.width, 1, bias=False),
            *(Block(config.width, 2 * config.width, 3) for _ in range(config.blocks)),
            nn.Conv1d(config.width, config.channels, 1, bias=False),
        )
        self.linear_out = nn.Conv1d(config.channels, rows, 1, bias=False)
        self.outward = nn.Sequential(
            nn.Conv1d(config.channels, config.width, 1, bias=False),
            *(Block(config.width, 2 * config.width, 5) for _ in range(config.blocks)),
            nn.SiLU(),
        )
        self.bands = nn.Conv1d(config.width, rows, 1, bias=False)
        self.smooth = nn.Sequential(*(Block(config.bands, config.bands, 5) for _ in range(config.hop_blocks)))
        self.comb = nn.Conv1d(config.width, BINS, 1, bias=False)
        self.doubt = nn.Conv1d(config.bands, config.bands, 1, bias=False)
        with torch.no_grad():
            for last in (self.inward[-1], self.bands, self.comb, self.doubt):
                assert isinstance(last, nn.Conv1d)
                nn.init.zeros_(last.weight)

    def set_components(self, components: Tensor, deviation: Tensor) -> None:
        """Make the linear maps a whitening projection. components [rows, channels], orthonormal columns."""
        with torch.no_grad():
            self.linear_in.weight.copy_((components / deviation).T[:, :, None])
            self.linear_out.weight.copy_((components * deviation)[:, :, None])

    def loudness(self, magnitude: Tensor) -> Tensor:
        return torch.log1p(magnitude * (1.0 / self.config.floor)) * (1.0 / self.config.unit_nepers)

    def magnitude(self, loudness: Tensor) -> Tensor:
        """The inverse of `loudness`; below 0 is 0. Louder than any sound is cut off, so nothing overflows."""
        return torch.expm1(loudness.clamp(0.0, LOUDEST) * self.config.unit_nepers) * self.config.floor

    def patches(self, loudness: Tensor) -> Tensor:
        """Loudness of 1024 bins [B, 1024, 8 F] -> patches of bands [B, 8 bands, F]."""
        return to_patches(F.conv1d(loudness, self.average))

    def encode(self, magnitude: Tensor) -> Tensor:
        """[B, 1024, 8 F] -> [B, channels, F], of about unit variance over music."""
        patches = self.patches(self.loudness(magnitude))
        latent: Tensor = (self.linear_in(patches) + self.inward(patches)) / self.scale[:, None]
        return latent

    def decode(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """[B, channels, F] -> loudness and its Laplace scale (of loudness as well), [B, 1024, 8 F]."""
        # The norms inside make much of little. A latent weaker than the noise it was trained with is silence.
        sounds = ((latent.square().mean(1, keepdim=True).sqrt() - SILENT) * (1.0 / SILENT)).clamp(0.0, 1.0)
        latent = latent * sounds * self.scale[:, None]
        hidden = self.outward(latent)
        bands = self.smooth(from_patches(self.linear_out(latent) + self.bands(hidden)))
        scale = F.softplus(F.conv1d(self.doubt(bands), self.spread) - 3.0) + 1e-3
        # Partials stand closer than bands and hold longer than a frame: a gain for each bin, the same for 8 hops.
        comb = self.comb(hidden)[..., None].expand(-1, -1, -1, HOPS).flatten(2)
        loudness, gain = F.conv1d(bands, self.spread), 1.0 + comb
        if not self.training:  # a loudness below 0 is silence; times a gain below 0 it would be a burst
            loudness, gain = loudness.clamp_min(0.0), gain.clamp_min(0.0)
        return loudness * gain * sounds[..., None].expand(-1, -1, -1, HOPS).flatten(2), scale

    def share(self, scale: Tensor, least: float = 0.08, full: float = 0.2) -> Tensor:
        """How much of a bin is noise, 0 to 1. The log of a Rayleigh variable is 0.5 nepers off its median (mean)."""
        return ((scale - least) / (full - least)).clamp(0.0, 1.0)
