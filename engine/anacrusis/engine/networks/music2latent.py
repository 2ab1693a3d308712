# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The Music2Latent codec's networks: encoder, latent pyramid, and the one-step denoising decoder.

Written from a description of the network; no upstream code. Its published weights are CC BY-NC 4.0 and stay
outside this repository. State-dict names are those of the published file; two-dimensional attention
matrices keep the torch MultiheadAttention layout (q, k, v in order).

Spectra are [B, 2, 1024, L], latents [B, 64, n] with L = 8 n. Everything is per channel (mono rows).

Not covered: chunking beyond 60 s, and the decoder at any step count but one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anacrusis.engine.networks.embedding import embedding_frequencies

GROUP_NORM_EPS = 1e-5
SIGMA_MIN, SIGMA_MAX, SIGMA_DATA = 0.002, 80.0, 0.5
LATENT_RESCALE = 0.06
FREQUENCY_DOWN = 4  # between levels 0 and 1 only the frequency axis is resampled
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


class GroupNorm(nn.GroupNorm):
    """GroupNorm whose exported form averages over time first and over channels and frequencies then.

    One group of this codec holds up to two million values. ONNX Runtime's InstanceNormalization adds them up one
    after the other in float32, which costs three digits (latents of silence were off by 1.4e-3); two short
    averages cost none. Eager torch accumulates well by itself.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not torch.compiler.is_exporting() or input.dtype != torch.float32:
            return super().forward(input)
        batch, channels, *_, time = input.shape
        x = input.reshape(batch, self.num_groups, -1, time)
        x = x - x.mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)
        variance = (x * x).mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)
        gain = torch.rsqrt(variance + self.eps) * self.weight.reshape(1, self.num_groups, -1, 1)
        axes = [1] * (input.dim() - 2)
        return x.reshape(input.shape) * gain.reshape(batch, channels, *axes) + self.bias.reshape(channels, *axes)


def group_norm(channels: int) -> GroupNorm:
    """min(32, channels // 4) groups, at least one."""
    return GroupNorm(max(min(channels // 4, 32), 1), channels, eps=GROUP_NORM_EPS)


class FrequencyAttention(nn.Module):
    """x [B, C, freq, time] -> the same. Each time frame attends over its frequencies; none over time."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.mha = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, freq, time = x.shape
        # Both projections as 1 x 1 convolutions: the weights are used as they are stored.
        qkv = F.conv2d(self.norm(x), self.mha.in_proj_weight[:, :, None, None], self.mha.in_proj_bias)
        qkv = qkv.reshape(batch, 3, self.heads, channels // self.heads, freq, time)
        q, k, v = qkv.permute(1, 0, 5, 2, 4, 3).unbind(0)  # each [B, time, heads, freq, C / heads]
        logits = torch.matmul(q, k.transpose(-1, -2)) * math.sqrt(self.heads / channels)
        h = torch.matmul(torch.softmax(logits, dim=-1), v)
        h = h.permute(0, 2, 4, 3, 1).reshape(batch, channels, freq, time)
        return x + F.conv2d(h, self.mha.out_proj.weight[:, :, None, None], self.mha.out_proj.bias)


class ResBlock(nn.Module):
    """Residual block over [B, C, freq, time] (or [B, C, time] with `dims=1`), optionally time-conditioned."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        cond_channels: int = 0,
        heads: int = 0,
        dims: int = 2,
    ) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv1d
        self.conv1 = conv(in_channels, out_channels, 3, padding=1)
        self.conv2 = conv(out_channels, out_channels, 3, padding=1)
        self.res_conv = conv(in_channels, out_channels, 1) if in_channels != out_channels else None
        self.norm1 = group_norm(in_channels)
        self.norm2 = group_norm(out_channels)
        self.proj_emb = nn.Linear(cond_channels, out_channels) if cond_channels else None
        self.att = FrequencyAttention(out_channels, heads) if heads else None
        self.dims = dims

    def forward(self, x: Tensor, emb: Tensor | None = None) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        if self.proj_emb is not None and emb is not None:
            h = h + self.proj_emb(emb).reshape(emb.shape[0], -1, *[1] * self.dims)
        h = self.conv2(F.silu(self.norm2(h)))
        h = h + (self.res_conv(x) if self.res_conv is not None else x)
        out: Tensor = self.att(h) if self.att is not None else h
        return out


class Down(nn.Module):
    """Strided convolution `c`; the encoder's has a GroupNorm before it."""

    def __init__(self, in_channels: int, out_channels: int, *, frequency_only: bool, norm: bool) -> None:
        super().__init__()
        self.norm = group_norm(in_channels) if norm else None
        if frequency_only:
            self.c = nn.Conv2d(in_channels, out_channels, (5, 1), stride=(FREQUENCY_DOWN, 1), padding=(2, 0))
        else:
            self.c = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c(self.norm(x) if self.norm is not None else x)
        return out


class Up(nn.Module):
    """Nearest upsampling, then convolution `c`."""

    def __init__(self, in_channels: int, out_channels: int, *, frequency_only: bool) -> None:
        super().__init__()
        self.scale = (float(FREQUENCY_DOWN), 1.0) if frequency_only else (2.0, 2.0)
        kernel, padding = ((5, 1), (2, 0)) if frequency_only else ((3, 3), (1, 1))
        self.c = nn.Conv2d(in_channels, out_channels, kernel, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c(F.interpolate(x, scale_factor=self.scale, mode="nearest"))
        return out


class FrequencyGain(nn.Module):
    """One learnt factor per frequency bin."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 1, bins, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def _heads(config: Music2LatentConfig, level: int) -> int:
    return config.heads if level in config.attention_levels else 0


class Encoder(nn.Module):
    """Spectrum [B, 2, 1024, 8 n] -> latent [B, 64, n], about unit size."""

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
                nn.Conv1d(c[-1] * config.bottleneck_bins, width, 1),
                *(ResBlock(width, width, dims=1) for _ in range(config.bottleneck_blocks)),
            ]
        )
        self.norm_out = group_norm(width)
        self.conv_out = nn.Conv1d(width, config.latent_channels, 1)

    def forward(self, spectrum: Tensor) -> Tensor:
        x = self.gain(self.conv_inp(spectrum))
        for layer in self.down_layers:
            x = layer(x)
        x = self.prenorm_1d_to_2d(x)
        x = x.reshape(x.shape[0], x.shape[1] * x.shape[2], x.shape[3])  # index c * freq + f
        for layer in self.bottleneck_layers:
            x = layer(x)
        x = torch.tanh(self.conv_out(F.silu(self.norm_out(x))))
        return x * (1 / LATENT_RESCALE)


class Pyramid(nn.Module):
    """Rescaled latent [B, 64, n] -> features per level, finest first: [B, C_i, F_i, L_i]."""

    def __init__(self, config: Music2LatentConfig) -> None:
        super().__init__()
        c = config.channels
        width = config.bottleneck_channels
        self.bins = config.bottleneck_bins
        self.conv_inp = nn.Conv1d(config.latent_channels, width, 1)
        self.bottleneck_layers = nn.ModuleList(ResBlock(width, width, dims=1) for _ in range(config.bottleneck_blocks))
        self.conv_out_bottleneck = nn.Conv1d(width, c[-1] * self.bins, 1)
        self.up_layers = nn.ModuleList()
        for level in reversed(range(len(c))):
            self.up_layers.append(ResBlock(c[level], c[level], heads=_heads(config, level)))
            if level:
                self.up_layers.append(Up(c[level], c[level - 1], frequency_only=level == 1))

    def forward(self, latent: Tensor) -> list[Tensor]:
        x = self.conv_inp(latent)
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
            layers.append(ResBlock(channels, channels, cond_channels=config.cond_channels, heads=_heads(config, level)))

    def embedding(self, sigma: Tensor) -> Tensor:
        """sigma [B] -> [sin, cos] of ln(sigma) / 4, [B, cond]."""
        phase = (torch.log(sigma) * 0.25)[:, None] * self.frequencies
        return torch.cat([phase.sin(), phase.cos()], dim=1)

    def denoise(self, latent: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """Consistency output: rescaled latent [B, 64, n], x [B, 2, 1024, 8 n], sigma [1] -> as x."""
        data2 = SIGMA_DATA**2
        c_in = torch.rsqrt(sigma**2 + data2)
        c_skip = data2 / ((sigma - SIGMA_MIN) ** 2 + data2)
        c_out = SIGMA_DATA * (sigma - SIGMA_MIN) * c_in
        embedding = self.embedding(sigma)
        return c_skip * x + c_out * self._net(self.decoder(latent), c_in * x, embedding)

    def _net(self, pyramid: list[Tensor], x: Tensor, embedding: Tensor) -> Tensor:
        emb = self.emb_proj(embedding)
        x = self.conv_inp(x) * (1 + self.scale_inp(embedding))[:, None, :, None]
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
        x = F.silu(self.norm_out(x)) * (1 + self.scale_out(embedding))[:, None, :, None]
        out: Tensor = self.conv_out(x)
        return out

    def decode(self, latent: Tensor, noise: Tensor) -> Tensor:
        """latent [B, 64, n], noise [B, 2, 1024, 8 n] standard normal -> spectrum as noise (one step)."""
        sigma = torch.full((1,), SIGMA_MAX, dtype=noise.dtype, device=noise.device)
        return self.denoise(latent * LATENT_RESCALE, noise * SIGMA_MAX, sigma)


def infer_config(shapes: Mapping[str, tuple[int, ...]]) -> Music2LatentConfig:
    """Sizes from the shapes of the published file's tensors. Raises KeyError by name."""
    return Music2LatentConfig(
        base_channels=shapes["conv_inp.weight"][0],
        bottleneck_channels=shapes["encoder.bottleneck_layers.0.weight"][0],
        cond_channels=shapes["emb_proj.0.weight"][1],
        latent_channels=shapes["encoder.conv_out.weight"][0],
        bins=shapes["encoder.gain.scale"][2],
    )
