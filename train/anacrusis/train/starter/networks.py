# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the same training trains: the starter, or the released models' U-Net (257 M parameters at 256 channels).

The U-Net sees the noisy latent and the context as two channels of one picture, and nothing of what is kept but what
the sampler pastes. Its context is Music2Latent's (`latents.py`), one channel more than the bundle's: the last one says
what was heard, which the U-Net is not shown: what was not heard is 0, as in a cycle.

Its weights begin as EDM's do (Karras et al. 2022, "DDPM++": Xavier's uniform, biases 0, and what ends a residual branch
a hundred thousandth of that), so that a new network says nothing and every level of noise begins with the same loss;
or as a released checkpoint (`released`). Not covered: dropout, which the original had (0.1).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from anacrusis.engine.networks.songunet import Block, SongUNet, SongUNetConfig
from anacrusis.engine.networks.starter import Starter
from anacrusis.export.load import load_unet
from anacrusis.train.song import CorpusError
from anacrusis.train.starter.config import Training

ENDS_A_BRANCH = 1e-5
ATTENDS = math.sqrt(0.2)


class Accompanist(nn.Module):
    """SongUNet as a `losses.Denoiser`: latents [B, 64, 64], context [1 or B, 65, 64] as windows have it."""

    def __init__(self, config: SongUNetConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = SongUNet(config)
        begin(self.unet)

    def conditioning(self, c_noise: Tensor, label: Tensor) -> list[Tensor]:
        """c_noise [B], label [B, L] -> a bias a block, [B, C]."""
        return self.unet.conditioning(c_noise, label)

    def estimate(
        self,
        u: Tensor,
        scalings: tuple[Tensor, Tensor, Tensor],
        kept: Tensor,
        keep: Tensor,
        context: Tensor,
        cond: list[Tensor],
    ) -> Tensor:
        """D(u; sigma) [B, 64, 64], float32: `stages.DenoiseStage.estimate`. kept, keep: not looked at."""
        c_in, c_skip, c_out = scalings
        raw = self.unet.denoise((c_in * u)[:, None], context[:, None, :-1], cond)
        return c_skip * u + c_out * raw[:, 0].float()


Network = Starter | Accompanist


def network_of(config: Training) -> Network:
    """A new network, from torch's global seed."""
    return Accompanist(config.unet) if config.kind == "songunet" else Starter(config.network)


@torch.no_grad()
def begin(unet: SongUNet) -> None:
    """EDM's first weights."""
    for module in unet.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    ends = [module for module in list(unet.dec.values())[-1:] if isinstance(module, nn.Conv2d)]
    for module in unet.modules():
        if isinstance(module, Block):
            ends.append(module.conv1)
            if module.attention:
                ends.append(module.proj)
                module.qkv.weight *= ATTENDS
    for end in ends:
        end.weight *= ENDS_A_BRANCH


def released(network: Network, path: Path) -> None:
    """Take the U-Net of a checkpoint in the released layout for first weights.

    Raises CorpusError for a network of another kind or size, CheckpointError for a file that holds no such U-Net.
    """
    if not isinstance(network, Accompanist):
        raise CorpusError("--init takes a released checkpoint, whose U-Net only a config with kind = 'songunet' has")
    _, unet, _ = load_unet(path)
    ours, theirs = network.config, unet.config
    if ours != theirs:
        raise CorpusError(f"{path} has a U-Net of {theirs}, the config of {ours}; give the same sizes under [unet]")
    network.unet.load_state_dict(unet.state_dict())
