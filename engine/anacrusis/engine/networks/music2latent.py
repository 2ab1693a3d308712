# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The Music2Latent codec's networks: encoder, latent pyramid, and the one-step denoising decoder.

Written from a description of the network; no upstream code. Its published weights are CC BY-NC 4.0 and stay
outside this repository. State-dict names are those of the published file; two-dimensional attention
matrices keep the torch MultiheadAttention layout (q, k, v in order).

Spectra are [B, 2, 1024, L], latents [B, 64, n] with L = 8 n. Everything is per channel (mono rows).

`fold` makes what a runtime need not do each time (export calls it); the result is the same to rounding.

Not covered: chunking beyond 60 s, and the decoder at any step count but one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anacrusis.engine.networks.codec_blocks import (
    FREQUENCY_DOWN,
    Down,
    FrequencyAttention,
    FrequencyGain,
    ResBlock,
    TimeConv,
    Up,
    group_norm,
)
from anacrusis.engine.networks.embedding import embedding_frequencies
from anacrusis.engine.networks.pause import Pause, margins_frames

SIGMA_MIN, SIGMA_MAX, SIGMA_DATA = 0.002, 80.0, 0.5
LATENT_RESCALE = 0.06
FRAMES_PER_LATENT = 8

# Evaluated without a time embedding, so these tensors of the published file take no part.
DEAD_NAMES = tuple(f"decoder.bottleneck_layers.{i}.proj_emb.{p}" for i in range(4) for p in ("weight", "bias"))


@dataclass(frozen=True, slots=True)
class Music2LatentConfig:
    """Sizes. The published codec: 64, 512, 256, the rest as here."""

    base_channels: int = 64
    bottleneck_channels: int = 512
    cond_channels: int = 256
    latent_channels: int = 64
    bins: int = 1024
    data_channels: int = 2
    multipliers: tuple[int, ...] = (1, 2, 4, 4, 4)
    attention_levels: tuple[int, ...] = (2, 3, 4)
    heads: int = 4
    bottleneck_blocks: int = 4
    layers_per_level: int = 2  # denoising net; encoder and pyramid have one

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(self.base_channels * m for m in self.multipliers)

    @property
    def bottleneck_bins(self) -> int:
        return self.bins // FREQUENCY_DOWN >> (len(self.multipliers) - 2)


def _heads(config: Music2LatentConfig, level: int) -> int:
    return config.heads if level in config.attention_levels else 0


class Encoder(nn.Module):
    """Spectrum [B, 2, 1024, 8 n] -> latent [B, 64, n], about unit size.

    window: latent frames to make, where it is more than n: the spectrum's last `silent_frames` must then be silence,
    and the missing ones are silence too. The result is that of the whole spectrum, to rounding.
    """

    def __init__(self, config: Music2LatentConfig) -> None:
        super().__init__()
        c = config.channels
        self.gain = FrequencyGain(config.bins)
        self.conv_inp = nn.Conv2d(config.data_channels, c[0], 3, padding=1)
        self.down_layers = nn.ModuleList()
        previous = c[0]
        for level, channels in enumerate(c):
            self.down_layers.append(ResBlock(previous, channels, heads=_heads(config, level)))
            if level + 1 < len(c):
                self.down_layers.append(Down(channels, channels, frequency_only=level == 0, norm=True))
            previous = channels
        self.prenorm_1d_to_2d = group_norm(c[-1])
        width = config.bottleneck_channels
        self.bottleneck_layers = nn.ModuleList(
            [
                TimeConv(c[-1] * config.bottleneck_bins, width, 1),
                *(ResBlock(width, width, dims=1, small=True) for _ in range(config.bottleneck_blocks)),
            ]
        )
        self.norm_out = group_norm(width, small=True)
        self.conv_out = TimeConv(width, config.latent_channels, 1)

    def margins_frames(self) -> tuple[int, int]:
        """How many frames of a silent end see, in some map, what was before it, and how many the edge."""
        along_time = [layer for layer in (self.conv_inp, *self.down_layers.modules()) if isinstance(layer, nn.Conv2d)]
        return margins_frames(((conv.kernel_size[1], conv.stride[1]) for conv in along_time), FRAMES_PER_LATENT)

    @property
    def silent_frames(self) -> int:
        """The fewest that a silent end must keep: its margins, and a frame to stand for those left out."""
        return sum(self.margins_frames()) + 1

    def forward(self, spectrum: Tensor, window: int | None = None) -> Tensor:
        pause = None
        if window is not None:
            pause = Pause.before(self.margins_frames()[1], spectrum.shape[-1] // FRAMES_PER_LATENT, window)
        columns = FRAMES_PER_LATENT
        x = self.gain(self.conv_inp(spectrum))
        for layer in self.down_layers:
            wide = None if pause is None else pause.widened(columns)
            x = layer(x, pause=wide)
            if isinstance(layer, Down):
                columns //= layer.c.stride[1]
        x = self.prenorm_1d_to_2d(x, pause)
        plane = [1] if self.conv_out.plane is not None else []
        x = x.reshape(x.shape[0], x.shape[1] * x.shape[2], *plane, x.shape[3])  # index c * freq + f
        if pause is not None:
            x = pause.put_back(x)
        for layer in self.bottleneck_layers:
            x = layer(x)
        x = torch.tanh(self.conv_out(F.silu(self.norm_out(x))))
        return x.reshape(x.shape[0], x.shape[1], x.shape[-1]) * (1 / LATENT_RESCALE)


class Pyramid(nn.Module):
    """Rescaled latent [B, 64, n] -> features per level, finest first: [B, C_i, F_i, L_i]."""

    def __init__(self, config: Music2LatentConfig) -> None:
        super().__init__()
        c = config.channels
        width = config.bottleneck_channels
        self.bins = config.bottleneck_bins
        self.conv_inp = TimeConv(config.latent_channels, width, 1)
        self.bottleneck_layers = nn.ModuleList(
            ResBlock(width, width, dims=1, small=True) for _ in range(config.bottleneck_blocks)
        )
        self.conv_out_bottleneck = TimeConv(width, c[-1] * self.bins, 1)
        self.up_layers = nn.ModuleList()
        for level in reversed(range(len(c))):
            deepest = level + 1 == len(c)
            self.up_layers.append(ResBlock(c[level], c[level], heads=_heads(config, level), small=deepest))
            if level:
                self.up_layers.append(Up(c[level], c[level - 1], frequency_only=level == 1))

    def forward(self, latent: Tensor) -> list[Tensor]:
        x = self.conv_inp(latent if self.conv_inp.plane is None else latent[:, :, None])
        for layer in self.bottleneck_layers:
            x = layer(x)
        x = self.conv_out_bottleneck(x)
        # Index f * C + c here, though the encoder packs c * F + f: the layouts differ in the original.
        x = x.reshape(x.shape[0], self.bins, -1, x.shape[-1]).transpose(1, 2)
        features: list[Tensor] = []
        for layer in self.up_layers:
            x = layer(x)
            if isinstance(layer, ResBlock):
                features.insert(0, x)
        return features


class Music2Latent(nn.Module):
    """All of the codec but the transforms. `encoder` and `decoder` (the pyramid) are sub-modules."""

    def __init__(self, config: Music2LatentConfig) -> None:
        super().__init__()
        self.config = config
        c, cond = config.channels, config.cond_channels
        self.encoder = Encoder(config)
        self.decoder = Pyramid(config)
        self.register_buffer("frequencies", embedding_frequencies(cond // 2), persistent=False)
        self.frequencies: Tensor
        self.gains: Tensor | None  # [in or out, 1, bins]
        self.register_buffer("gains", None, persistent=False)
        self.emb_proj = nn.Sequential(nn.Linear(cond, cond), nn.SiLU(), nn.Linear(cond, cond), nn.SiLU())
        self.scale_inp = self._gain_mlp(cond, config.bins)
        self.scale_out = self._gain_mlp(cond, config.bins)
        self.conv_inp = nn.Conv2d(config.data_channels, c[0], 3, padding=1)
        self.conv_decoded = nn.Conv2d(c[0], c[0], 1)
        self.norm_out = group_norm(c[0])
        self.conv_out = nn.Conv2d(c[0], config.data_channels, 3, padding=1)
        self.down_layers = nn.ModuleList()
        self.up_layers = nn.ModuleList()
        levels = range(len(c))
        for level in levels:
            self._level(self.down_layers, level)
            if level + 1 < len(c):
                down = Down(c[level], c[level + 1], frequency_only=level == 0, norm=False)
                self.down_layers.append(down)
        for level in reversed(levels):
            self._level(self.up_layers, level)
            if level:
                self.up_layers.append(Up(c[level], c[level - 1], frequency_only=level == 1))

    @staticmethod
    def _gain_mlp(cond: int, bins: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(cond, cond), nn.SiLU(), nn.Linear(cond, cond), nn.SiLU(), nn.Linear(cond, bins))

    def _level(self, layers: nn.ModuleList, level: int) -> None:
        config, channels = self.config, self.config.channels[level]
        for _ in range(config.layers_per_level):
            layers.append(nn.Conv2d(channels, channels, 1))
            block = ResBlock(
                channels,
                channels,
                cond_channels=config.cond_channels,
                heads=_heads(config, level),
                small=level + 1 == len(config.channels),
            )
            layers.append(block)

    def embedding(self, sigma: Tensor) -> Tensor:
        """sigma [B] -> [sin, cos] of ln(sigma) / 4, [B, cond]."""
        phase = (torch.log(sigma) * 0.25)[:, None] * self.frequencies
        return torch.cat([phase.sin(), phase.cos()], dim=1)

    @torch.no_grad()
    def fold(self) -> None:
        """Make what is constant while the weights are, the decoder's conditioning above all.

        `denoise` is then for SIGMA_MAX only. The state dict stays as it is.
        """
        for module in self.modules():
            if isinstance(module, TimeConv | FrequencyAttention | Up):
                module.fold()
        embedding = self.embedding(torch.full((1,), SIGMA_MAX))
        emb = self.emb_proj(embedding)
        for layer in (*self.down_layers, *self.up_layers):
            if isinstance(layer, ResBlock):
                layer.fold_embedding(emb)
        self.gains = torch.stack([1 + self.scale_inp(embedding), 1 + self.scale_out(embedding)])

    def denoise(self, latent: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """Consistency output: rescaled latent [B, 64, n], x [B, 2, 1024, 8 n], sigma [1] -> as x."""
        c_in, c_skip, c_out = scalings(sigma)
        return c_skip * x + c_out * self._net(self.decoder(latent), c_in * x, self.embedding(sigma))

    def _net(self, pyramid: list[Tensor], x: Tensor, embedding: Tensor) -> Tensor:
        gain_in, gain_out = 1 + self.scale_inp(embedding), 1 + self.scale_out(embedding)
        return self._levels(pyramid, x, gain_in, gain_out, self.emb_proj(embedding))

    def _levels(
        self, pyramid: list[Tensor], x: Tensor, gain_in: Tensor, gain_out: Tensor, emb: Tensor | None
    ) -> Tensor:
        x = self.conv_inp(x) * gain_in[:, None, :, None]
        skips: list[Tensor] = []
        level = 0
        for layer in self.down_layers:
            if isinstance(layer, nn.Conv2d):
                x = (x + layer(pyramid[level])) * math.sqrt(1 / 2)
            elif isinstance(layer, ResBlock):
                x = layer(x, emb)
                skips.append(x)
            else:
                x = layer(x)
                level += 1
        for layer in self.up_layers:
            if isinstance(layer, nn.Conv2d):
                x = (x + skips.pop() + layer(pyramid[level])) * math.sqrt(1 / 3)
            elif isinstance(layer, ResBlock):
                x = layer(x, emb)
            else:
                x = layer(x)
                level -= 1
        x = (x + self.conv_decoded(pyramid[0])) * math.sqrt(1 / 2)
        x = F.silu(self.norm_out(x)) * gain_out[:, None, :, None]
        out: Tensor = self.conv_out(x)
        return out

    def decode(self, latent: Tensor, noise: Tensor, compute: torch.dtype = torch.float32) -> Tensor:
        """latent [B, 64, n], noise [B, 2, 1024, 8 n] standard normal -> spectrum as noise (one step), float32.

        The networks run in `compute`; the noise enters them at unit size and their output is scaled in float32.
        """
        c_in, c_skip, c_out = (float(c) for c in scalings(torch.tensor(SIGMA_MAX, dtype=torch.float64)))
        pyramid = self.decoder((latent * LATENT_RESCALE).to(compute))
        x = (noise * (c_in * SIGMA_MAX)).to(compute)
        if self.gains is not None:
            raw = self._levels(pyramid, x, self.gains[0], self.gains[1], None)
        else:
            sigma = torch.full((1,), SIGMA_MAX, device=noise.device)
            raw = self._net(pyramid, x, self.embedding(sigma).to(compute))
        return c_skip * SIGMA_MAX * noise + c_out * raw.float()


def scalings(sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(c_in, c_skip, c_out) at a noise level."""
    data2 = SIGMA_DATA**2
    c_in = torch.rsqrt(sigma**2 + data2)
    return c_in, data2 / ((sigma - SIGMA_MIN) ** 2 + data2), SIGMA_DATA * (sigma - SIGMA_MIN) * c_in


def infer_config(shapes: Mapping[str, tuple[int, ...]]) -> Music2LatentConfig:
    """Sizes from the shapes of the published file's tensors. Raises KeyError by name."""
    return Music2LatentConfig(
        base_channels=shapes["conv_inp.weight"][0],
        bottleneck_channels=shapes["encoder.bottleneck_layers.0.weight"][0],
        cond_channels=shapes["emb_proj.0.weight"][1],
        latent_channels=shapes["encoder.conv_out.weight"][0],
        bins=shapes["encoder.gain.scale"][2],
    )
