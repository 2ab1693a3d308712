# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""GroupNorm as each runtime takes it best. The state dict and the eager result are torch's own.

Exported float32 (ONNX Runtime): one group of the codec holds up to two million values, which its
InstanceNormalization adds up one after the other in float32 (latents of silence were off by 1.4e-3); two short
averages, over time and then over the rest, cost none. `short_sums` asks for them. The same form takes a `pause`: a
map without some of its silence, whose statistics are those of the whole.

Exported float16 (TensorRT): the op as it is fuses with SiLU into one kernel with float32 statistics, but every such
kernel needs its counters reset by another one before it. Written out in float32, a group that fits one thread block
becomes a single kernel without counters; a larger one would become four. `small` says that it fits: up to
SMALL_GROUP_VALUES (found with TensorRT-RTX 1.7.1 for SM89: 8,192 values fit, 16,384 do not).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anacrusis.engine.networks.pause import Pause

SMALL_GROUP_VALUES = 8192


class GroupNorm(nn.GroupNorm):
    """min(32, channels // 4) groups, at least one. Input [B, C, ...], any type; the result has the input's type."""

    def __init__(self, channels: int, eps: float, *, short_sums: bool = False, small: bool = False) -> None:
        super().__init__(max(min(32, channels // 4), 1), channels, eps=eps)
        self.short_sums, self.small = short_sums, small

    def forward(self, input: Tensor, pause: Pause | None = None) -> Tensor:
        if pause is not None:
            return self._over_time_first(input, pause)
        if torch.compiler.is_exporting():
            if input.dtype == torch.float32 and self.short_sums:
                return self._over_time_first(input)
            if input.dtype == torch.float16 and self.small:
                return self._in_one(input.float()).to(input.dtype)
        return super().forward(input)

    def _over_time_first(self, input: Tensor, pause: Pause | None = None) -> Tensor:
        batch, channels, *_, time = input.shape
        x = input.reshape(batch, self.num_groups, -1, time)
        mean = x.mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)
        if pause is not None:
            column = x.index_select(3, pause.column)
            mean = pause.average(mean, column.mean(dim=2, keepdim=True))
        x = x - mean
        variance = (x * x).mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)
        if pause is not None:
            column = column - mean
            variance = pause.average(variance, (column * column).mean(dim=2, keepdim=True))
        gain = torch.rsqrt(variance + self.eps) * self.weight.reshape(1, self.num_groups, -1, 1)
        axes = [1] * (input.dim() - 2)
        return x.reshape(input.shape) * gain.reshape(batch, channels, *axes) + self.bias.reshape(channels, *axes)

    def _in_one(self, input: Tensor) -> Tensor:
        x = input.reshape(input.shape[0], self.num_groups, -1)
        x = x - x.mean(dim=2, keepdim=True)
        x = x * torch.rsqrt((x * x).mean(dim=2, keepdim=True) + self.eps)
        shape = (-1, *[1] * (input.dim() - 2))
        return x.reshape(input.shape) * self.weight.float().reshape(shape) + self.bias.float().reshape(shape)
