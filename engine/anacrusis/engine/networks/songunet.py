# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The accompaniment U-Net (an EDM "DDPM++" of 44 residual blocks over a latent of [frequency, frame]).

Split where inference splits: `conditioning` (noise level and label -> one bias per block, run once per
sampler table) and `denoise` (everything else, run once per evaluation). `forward` is both.

State-dict names are those of the released checkpoints. Two things are stored differently, and
`convert_state` makes the change: `qkv` rows are ordered q, k, v instead of interleaved per channel, and the
constant `resample_filter` buffers are dropped (average pooling and nearest upsampling equal them).

`fold` makes what a runtime need not do each time (export calls it); the result is the same to rounding.

Not covered: dropout (inactive in inference), augmentation labels, the two-time CTM variant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anacrusis.engine.networks.embedding import embedding_frequencies
from anacrusis.engine.networks.norm import SMALL_GROUP_VALUES, GroupNorm
from anacrusis.engine.networks.upsample import transposed_conv, transposed_kernel, upsample_conv

GROUP_NORM_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class SongUNetConfig:
    """Sizes. The released networks: model_channels 256, label_dim 4, the rest as here."""

    model_channels: int
    label_dim: int = 4
    resolution: int = 64  # of both axes: latent channels and window frames
    in_channels: int = 2
    out_channels: int = 1
    channel_mult: tuple[int, ...] = (1, 2, 2, 2)
    channel_mult_emb: int = 4
    num_blocks: int = 4
    attention_resolutions: tuple[int, ...] = (32, 16, 8)

    @property
    def emb_channels(self) -> int:
        return self.model_channels * self.channel_mult_emb


def group_norm(channels: int, resolution: int) -> GroupNorm:
    """For maps of resolution x resolution."""
    norm = GroupNorm(channels, GROUP_NORM_EPS)
    norm.small = channels // norm.num_groups * resolution**2 <= SMALL_GROUP_VALUES
    return norm


class PositionalEmbedding(nn.Module):
    """c_noise [B] -> [cos..., sin...] [B, channels] with frequencies 1e4^-(k / (channels / 2 - 1))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", embedding_frequencies(channels // 2), persistent=False)
        self.frequencies: Tensor

    def forward(self, c_noise: Tensor) -> Tensor:
        phase = c_noise[:, None] * self.frequencies
        return torch.cat([phase.cos(), phase.sin()], dim=1)


class Block(nn.Module):
    """Residual block: x [B, C_in, H, W], bias [B, C_out] -> [B, C_out, H', W']. resolution: H', which is W'.

    The bias joins after conv0: `bias_of(emb)` = affine(emb) + conv0.bias, folded because both are constant
    while a table runs.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        emb_channels: int,
        resolution: int,
        *,
        up: bool = False,
        down: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.up, self.down, self.attention = up, down, attention
        self.norm0 = group_norm(in_channels, resolution // 2 if up else resolution * 2 if down else resolution)
        self.conv0 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.affine = nn.Linear(emb_channels, out_channels)
        self.norm1 = group_norm(out_channels, resolution)
        self.conv1 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels or up or down:
            self.skip: nn.Conv2d | None = nn.Conv2d(in_channels, out_channels, 1)
        else:
            self.skip = None
        if attention:
            self.norm2 = group_norm(out_channels, resolution)
            self.qkv = nn.Conv2d(out_channels, 3 * out_channels, 1)
            self.proj = nn.Conv2d(out_channels, out_channels, 1)
        self.conv0_transposed: Tensor | None
        self.register_buffer("conv0_transposed", None, persistent=False)

    def fold(self) -> None:
        """Upsampling and conv0 become one transposed convolution: 4 taps of 9, and no map of four times the size."""
        if self.up:
            self.conv0_transposed = transposed_kernel(self.conv0.weight, (2, 2))

    def bias_of(self, emb: Tensor) -> Tensor:
        """emb [B, E] -> [B, C_out]."""
        assert self.conv0.bias is not None
        folded: Tensor = self.affine(emb) + self.conv0.bias
        return folded

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        h = F.silu(self.norm0(x))
        if self.down:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        h = self._conv0(h) + bias[:, :, None, None]
        h = self.conv1(F.silu(self.norm1(h)))
        x = self.skip(x) if self.skip is not None else x
        if self.up:  # a 1 x 1 convolution and a repetition commute
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        h = (h + x) * math.sqrt(0.5)
        if self.attention:
            h = (self.proj(self.attend(self.norm2(h))) + h) * math.sqrt(0.5)
        out: Tensor = h
        return out

    def _conv0(self, h: Tensor) -> Tensor:
        if self.conv0_transposed is not None:
            return transposed_conv(h, self.conv0_transposed, None, (2, 2))
        if self.up:
            return upsample_conv(h, self.conv0.weight, None, (2, 2))
        return F.conv2d(h, self.conv0.weight, None, padding=1)

    def attend(self, x: Tensor) -> Tensor:
        """One head as wide as the block, over all positions.

        Tokens first: in the channels-last memory of a GPU engine all of it but one copy is free. q is scaled before
        the product, so that no logit of a float16 engine leaves its range.
        """
        batch, channels, height, width = x.shape
        tokens = self.qkv(x).reshape(batch, 3 * channels, height * width).transpose(1, 2)
        q, k, v = tokens.chunk(3, dim=2)
        weights = torch.softmax(torch.matmul(q * (1 / math.sqrt(channels)), k.transpose(1, 2)), dim=-1)
        return torch.matmul(weights, v).transpose(1, 2).reshape(batch, channels, height, width)


class SongUNet(nn.Module):
    """F = net(x, c_noise, label, context). x, context [B, 1, 64, 64]; c_noise [B]; label [B, label_dim]."""

    def __init__(self, config: SongUNetConfig) -> None:
        super().__init__()
        self.config = config
        emb = config.emb_channels
        self.map_noise = PositionalEmbedding(config.model_channels)
        self.map_label = nn.Linear(config.label_dim, config.model_channels)
        self.map_layer0 = nn.Linear(config.model_channels, emb)
        self.map_layer1 = nn.Linear(emb, emb)

        resolutions = [config.resolution >> level for level in range(len(config.channel_mult))]
        self.enc = nn.ModuleDict()
        channels, skips = config.in_channels, []
        for level, (res, mult) in enumerate(zip(resolutions, config.channel_mult, strict=True)):
            attention = res in config.attention_resolutions
            if level == 0:
                self.enc[f"{res}x{res}_conv"] = nn.Conv2d(channels, config.model_channels, 3, padding=1)
                channels = config.model_channels
            else:
                self.enc[f"{res}x{res}_down"] = Block(channels, channels, emb, res, down=True)
            skips.append(channels)
            for index in range(config.num_blocks):
                out = config.model_channels * mult
                self.enc[f"{res}x{res}_block{index}"] = Block(channels, out, emb, res, attention=attention)
                channels = out
                skips.append(channels)
        self.dec = nn.ModuleDict()
        for level, (res, mult) in reversed(list(enumerate(zip(resolutions, config.channel_mult, strict=True)))):
            if level == len(resolutions) - 1:
                self.dec[f"{res}x{res}_in0"] = Block(channels, channels, emb, res, attention=True)
                self.dec[f"{res}x{res}_in1"] = Block(channels, channels, emb, res)
            else:
                self.dec[f"{res}x{res}_up"] = Block(channels, channels, emb, res, up=True)
            for index in range(config.num_blocks + 1):
                out = config.model_channels * mult
                attention = index == config.num_blocks and res in config.attention_resolutions
                self.dec[f"{res}x{res}_block{index}"] = Block(
                    channels + skips.pop(), out, emb, res, attention=attention
                )
                channels = out
        res = config.resolution
        self.dec[f"{res}x{res}_aux_norm"] = group_norm(channels, res)
        self.dec[f"{res}x{res}_aux_conv"] = nn.Conv2d(channels, config.out_channels, 3, padding=1)

    def blocks(self) -> dict[str, Block]:
        """The residual blocks by name, in the order they run."""
        return {
            f"{side}.{name}": module
            for side, modules in (("enc", self.enc), ("dec", self.dec))
            for name, module in modules.items()
            if isinstance(module, Block)
        }

    def fold(self) -> None:
        """Make what is constant while the weights are. The state dict stays as it is."""
        for block in self.blocks().values():
            block.fold()

    def conditioning(self, c_noise: Tensor, label: Tensor) -> list[Tensor]:
        """c_noise [B], label [B, label_dim] -> one [B, C_out] per block, in the order they run."""
        cosines, sines = self.map_noise(c_noise).chunk(2, dim=1)
        emb = torch.cat([sines, cosines], dim=1)
        emb = emb + self.map_label(label * math.sqrt(self.config.label_dim))
        emb = F.silu(self.map_layer0(emb))
        emb = F.silu(self.map_layer1(emb))
        return [block.bias_of(emb) for block in self.blocks().values()]

    def denoise(self, x: Tensor, context: Tensor, biases: list[Tensor]) -> Tensor:
        """x [B, 1, 64, 64], context [1 or B, 1, 64, 64] -> [B, 1, 64, 64]. One context serves a batch of stems."""
        remaining = iter(biases)
        skips: list[Tensor] = []
        h = x
        for module in self.enc.values():
            if isinstance(module, Block):
                h = module(h, next(remaining))
            else:
                assert isinstance(module, nn.Conv2d)
                h = module(torch.cat([x, context.expand(x.shape[0], -1, -1, -1)], dim=1))
            skips.append(h)
        norm, conv = list(self.dec.values())[-2:]
        for name, module in self.dec.items():
            if isinstance(module, Block):
                if "_block" in name:
                    h = torch.cat([h, skips.pop()], dim=1)
                h = module(h, next(remaining))
        out: Tensor = conv(F.silu(norm(h)))
        return out

    def forward(self, x: Tensor, c_noise: Tensor, label: Tensor, context: Tensor) -> Tensor:
        return self.denoise(x, context, self.conditioning(c_noise, label))


def infer_config(shapes: Mapping[str, tuple[int, ...]]) -> SongUNetConfig:
    """Sizes from the shapes of a checkpoint's tensors (names without prefix). Raises KeyError by name."""
    channels = shapes["enc.64x64_conv.weight"][0]
    return SongUNetConfig(
        model_channels=channels,
        label_dim=shapes["map_label.weight"][1],
        channel_mult_emb=max(shapes["map_layer0.weight"][0] // channels, 1),
    )


def convert_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Original tensors -> ours: q, k, v rows contiguous; constant resample filters dropped."""
    out = {}
    for name, tensor in state.items():
        if name.endswith("resample_filter"):
            continue
        if ".qkv." in f".{name}":  # row 3 c + {0, 1, 2} -> {0, 1, 2} * C + c
            tensor = tensor.reshape(-1, 3, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)
        out[name] = tensor
    return out
