# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The sinusoidal noise-level embedding that both networks use."""

from __future__ import annotations

import torch
from torch import Tensor


def embedding_frequencies(count: int) -> Tensor:
    """[count] float32, 1e-4 ** (k / (count - 1)). On the CPU even while a network is built on the meta device."""
    steps = torch.arange(count, dtype=torch.float32, device="cpu")
    return (1 / 10000) ** (steps / max(count - 1, 1))
