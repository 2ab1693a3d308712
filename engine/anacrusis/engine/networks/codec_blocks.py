# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the Music2Latent networks are made of. Maps are [B, C, freq, time].

Each `fold` makes constants that export wants in the graph; the state dict and the result stay as they are. What takes
a `pause` computes a map without some of its silence (`pause.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anacrusis.engine.networks.norm import GroupNorm
from anacrusis.engine.networks.pause import Pause
from anacrusis.engine.networks.upsample import transposed_conv, transposed_kernel, upsample_conv

GROUP_NORM_EPS = 1e-5
FREQUENCY_DOWN = 4  # between levels 0 and 1 only the frequency axis is resampled


def group_norm(channels: int, *, small: bool = False) -> GroupNorm:
    """small: of the deepest maps, where a group of a step's decode fits one thread block."""
    return GroupNorm(channels, GROUP_NORM_EPS, short_sums=True, small=small)


class TimeConv(nn.Conv1d):
    """A convolution over time. Folded, it takes [B, C, 1, time] and is one of a plane, which engines fuse better."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, padding: int = 0) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=padding)
        self.plane: Tensor | None
        self.register_buffer("plane", None, persistent=False)

    def fold(self) -> None:
        self.plane = self.weight.detach()[:, :, None]

    def forward(self, input: Tensor) -> Tensor:
        if self.plane is None:
            return super().forward(input)
        return F.conv2d(input, self.plane, self.bias, padding=(0, self.kernel_size[0] // 2))


class FrequencyAttention(nn.Module):
    """x [B, C, freq, time] -> the same. Each time frame attends over its frequencies; none over time."""

    def __init__(self, channels: int, heads: int, *, small: bool) -> None:
        super().__init__()
        self.norm = group_norm(channels, small=small)
        self.mha = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.heads = heads
        self.qkv_plane: Tensor | None
        self.out_plane: Tensor | None
        self.register_buffer("qkv_plane", None, persistent=False)
        self.register_buffer("out_plane", None, persistent=False)

    def fold(self) -> None:
        """Both projections as kernels that are constants of the graph, not reshapes of constants."""
        self.qkv_plane = self.mha.in_proj_weight.detach()[:, :, None, None]
        self.out_plane = self.mha.out_proj.weight.detach()[:, :, None, None]

    def forward(self, x: Tensor, pause: Pause | None = None) -> Tensor:
        batch, channels, freq, time = x.shape
        # Both projections as 1 x 1 convolutions: the weights are used as they are stored.
        into = self.mha.in_proj_weight[:, :, None, None] if self.qkv_plane is None else self.qkv_plane
        out_of = self.mha.out_proj.weight[:, :, None, None] if self.out_plane is None else self.out_plane
        qkv = F.conv2d(self.norm(x, pause), into, self.mha.in_proj_bias)
        qkv = qkv.reshape(batch, 3, self.heads, channels // self.heads, freq, time)
        q, k, v = qkv.permute(1, 0, 5, 2, 4, 3).unbind(0)  # each [B, time, heads, freq, C / heads]
        logits = torch.matmul(q * math.sqrt(self.heads / channels), k.transpose(-1, -2))
        h = torch.matmul(torch.softmax(logits, dim=-1), v)
        h = h.permute(0, 2, 4, 3, 1).reshape(batch, channels, freq, time)
        return x + F.conv2d(h, out_of, self.mha.out_proj.bias)


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
        small: bool = False,
    ) -> None:
        super().__init__()
        conv: Callable[..., nn.Conv1d | nn.Conv2d] = nn.Conv2d if dims == 2 else TimeConv
        self.conv1 = conv(in_channels, out_channels, 3, padding=1)
        self.conv2 = conv(out_channels, out_channels, 3, padding=1)
        self.res_conv = conv(in_channels, out_channels, 1) if in_channels != out_channels else None
        self.norm1 = group_norm(in_channels, small=small)
        self.norm2 = group_norm(out_channels, small=small)
        self.proj_emb = nn.Linear(cond_channels, out_channels) if cond_channels else None
        self.att = FrequencyAttention(out_channels, heads, small=small) if heads else None
        self.dims = dims
        self.conv1_bias: Tensor | None
        self.register_buffer("conv1_bias", None, persistent=False)

    def fold_embedding(self, emb: Tensor) -> None:
        """The embedding [1, cond] of the one noise level there is joins conv1's bias."""
        assert self.proj_emb is not None
        assert self.conv1.bias is not None
        self.conv1_bias = (self.conv1.bias + self.proj_emb(emb)[0]).detach()

    def forward(self, x: Tensor, emb: Tensor | None = None, pause: Pause | None = None) -> Tensor:
        h = F.silu(self.norm1(x, pause))
        if self.conv1_bias is not None:
            h = F.conv2d(h, self.conv1.weight, self.conv1_bias, padding=1)
        else:
            h = self.conv1(h)
            if self.proj_emb is not None and emb is not None:
                h = h + self.proj_emb(emb).reshape(emb.shape[0], -1, *[1] * self.dims)
        h = self.conv2(F.silu(self.norm2(h, pause)))
        h = h + (self.res_conv(x) if self.res_conv is not None else x)
        out: Tensor = self.att(h, pause) if self.att is not None else h
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

    def forward(self, x: Tensor, pause: Pause | None = None) -> Tensor:
        out: Tensor = self.c(self.norm(x, pause) if self.norm is not None else x)
        return out


class Up(nn.Module):
    """Nearest upsampling, then convolution `c`; folded, one transposed convolution."""

    def __init__(self, in_channels: int, out_channels: int, *, frequency_only: bool) -> None:
        super().__init__()
        self.scale = (FREQUENCY_DOWN, 1) if frequency_only else (2, 2)
        kernel, padding = ((5, 1), (2, 0)) if frequency_only else ((3, 3), (1, 1))
        self.c = nn.Conv2d(in_channels, out_channels, kernel, padding=padding)
        self.transposed: Tensor | None
        self.register_buffer("transposed", None, persistent=False)

    def fold(self) -> None:
        self.transposed = transposed_kernel(self.c.weight, self.scale)

    def forward(self, x: Tensor) -> Tensor:
        if self.transposed is not None:
            return transposed_conv(x, self.transposed, self.c.bias, self.scale)
        return upsample_conv(x, self.c.weight, self.c.bias, self.scale)


class FrequencyGain(nn.Module):
    """One learnt factor per frequency bin."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 1, bins, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale
