# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Seeded, untrained networks of the released topology, so that everything runs where no checkpoint is.

Every tensor is drawn from a counter-based generator keyed by (seed, its name): the same on every machine, in
any order. No output is zero-initialised (the originals' own initialisers would make most of a parity test
trivial). They sound like noise; that is the point of saying so in the licence line.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from anacrusis.engine.networks.music2latent import Music2Latent, Music2LatentConfig
from anacrusis.engine.networks.songunet import SongUNet, SongUNetConfig
from anacrusis.engine.networks.stages import Networks

Size = Literal["tiny", "full"]

SIZES: dict[str, tuple[SongUNetConfig, Music2LatentConfig]] = {
    "tiny": (
        SongUNetConfig(model_channels=16),
        Music2LatentConfig(base_channels=8, bottleneck_channels=64, cond_channels=32),
    ),
    "full": (SongUNetConfig(model_channels=256), Music2LatentConfig()),
}

# Gain of a layer's weights where it is not 1, by the end of its name. The codec's residual branches and
# conditioning are damped so that forty blocks in a row stay of unit size; its output is set to a
# quiet but audible level.
GAINS = {
    "codec.conv_out": 1.5,
    "codec.encoder.conv_out": 0.08,
    "conv2": 0.7,
    "mha.out_proj": 0.7,
    "proj_emb": 0.5,
    "scale_inp.4": 0.5,
    "scale_out.4": 0.5,
}


def empty_networks(size: Size) -> Networks:
    """The networks of one size, ready for inference, whatever their weights."""
    unet, codec = SIZES[size]
    return Networks(SongUNet(unet).eval(), Music2Latent(codec).eval())


def seeded_networks(size: Size, seed: int, *, round_to: torch.dtype | None = None) -> Networks:
    """The networks of one size, ready for inference. round_to: round every weight to this type's grid."""
    networks = empty_networks(size)
    norms = {
        f"{part}.{name}"
        for part, module in (("unet", networks.unet), ("codec", networks.codec))
        for name, child in module.named_modules()
        if isinstance(child, nn.GroupNorm)
    }
    with torch.no_grad():
        for name, tensor in networks.state().items():
            value = _draw(name, tensor, seed, is_norm=name.rpartition(".")[0] in norms)
            tensor.copy_(value.to(round_to).float() if round_to is not None else value)
    return networks


def _draw(name: str, like: Tensor, seed: int, *, is_norm: bool) -> Tensor:
    key = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16], "little")
    generator = np.random.Generator(np.random.Philox(key=key))
    normal = torch.from_numpy(generator.standard_normal(tuple(like.shape), dtype=np.float32))
    module, _, leaf = name.rpartition(".")
    if leaf == "scale":  # gain of a frequency bin
        return 1 + 0.2 * normal
    if is_norm and leaf == "weight":
        return 1 + 0.15 * normal
    in_codec = name.startswith("codec.")
    gains = [g for end, g in GAINS.items() if in_codec and (module.endswith("." + end) or module == end)]
    gain = gains[0] if gains else 1.0
    if like.dim() < 2:
        return 0.1 * gain * normal
    fan_in = like.shape[1:].numel()
    drawn: Tensor = normal * (gain / fan_in**0.5)
    return drawn
