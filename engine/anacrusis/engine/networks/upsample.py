# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Nearest upsampling followed by a convolution, as one transposed convolution.

A 3 x 3 kernel on a map repeated 2 x 2 reads each value up to nine times through at most four different places, so
four taps a phase do the work of nine (a 5 x 1 kernel after a fourfold repeat: two taps instead of five). The
transposed convolution with the kernel summed over the repeats is exactly that; borders included.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def transposed_kernel(weight: Tensor, scale: tuple[int, int]) -> Tensor:
    """weight [C_out, C_in, kh, kw], odd kh and kw -> [C_in, C_out, kh + sh - 1, kw + sw - 1], same type.

    Summed in double: the sums of a kernel's taps are what a float16 engine then rounds once.
    """
    flipped = weight.detach().double().flip(2, 3)
    rows, columns = scale
    total = torch.zeros(())
    for row in range(rows):
        for column in range(columns):
            total = total + F.pad(flipped, (column, columns - 1 - column, row, rows - 1 - row))
    return total.transpose(0, 1).contiguous().to(weight.dtype)


def upsample_conv(x: Tensor, weight: Tensor, bias: Tensor | None, scale: tuple[int, int]) -> Tensor:
    """x [B, C_in, H, W] -> [B, C_out, H * sh, W * sw]: nearest upsampling, then the convolution, zero padded."""
    x = F.interpolate(x, scale_factor=(float(scale[0]), float(scale[1])), mode="nearest")
    return F.conv2d(x, weight, bias, padding=(weight.shape[2] // 2, weight.shape[3] // 2))


def transposed_conv(x: Tensor, kernel: Tensor, bias: Tensor | None, scale: tuple[int, int]) -> Tensor:
    """`upsample_conv` with the kernel that `transposed_kernel` made."""
    padding = ((kernel.shape[2] - scale[0]) // 2, (kernel.shape[3] - scale[1]) // 2)
    return F.conv_transpose2d(x, kernel, bias, stride=scale, padding=padding)
