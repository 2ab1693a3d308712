# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The four stages of a bundle as torch modules: what `export` traces and the torch backend runs.

    encode   audio [1, 4096 * frames + 1536], heard [1, 1, window]             -> latent [1, C, window]
    embed    sigma [stems], label [stems, L]                                   -> cond_00 ... [stems, C_k]
    denoise  u, b, source, noise [stems, C, frames], context [1, C, frames],
             keep [1, 1, frames], row [8], cond_00 ...                         -> u_next, b_next
    decode   latent [stems, C, frames], noise [stems, frames, 2, 1024, 8]      -> audio [stems, 4096 * frames + 1536]

`compute` is the type of the networks inside, and of the `cond` tensors between embed and denoise; everything else
enters and leaves as float32. Transforms, embedding, sampler state and its affine row stay float32 inside too (a
float16 state costs 33 to 70 dB).

Of a window that ends in silence, encode may be given less: the first `frames` whole frames and the tail, of which all
but what was heard is silence, `silent_frames` at least. Only where it was made for that (`shortens`); frames = window
otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anacrusis.engine.networks.music2latent import FRAMES_PER_LATENT, Music2Latent
from anacrusis.engine.networks.songunet import SongUNet
from anacrusis.engine.networks.stft import InverseStft, Stft


class EncodeStage(nn.Module):
    """heard is 1 for a frame whose audio was heard, 0 for one whose latent is masked. shortens: takes fewer frames."""

    def __init__(self, codec: Music2Latent, compute: torch.dtype = torch.float32, *, shortens: bool = False) -> None:
        super().__init__()
        self.codec, self.compute, self.shortens = codec, compute, shortens
        self.stft = Stft()

    def forward(self, audio: Tensor, heard: Tensor) -> Tensor:
        window = heard.shape[-1] if self.shortens else None
        latent: Tensor = self.codec.encoder(self.stft(audio).to(self.compute), window)
        return latent.float() * heard


class EmbedStage(nn.Module):
    """Run once per table row and stem set, so no embedding work is left in a cycle. The network stays float32."""

    def __init__(self, unet: SongUNet, compute: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.unet, self.compute = unet, compute

    def forward(self, sigma: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        biases = self.unet.conditioning(torch.log(sigma) * 0.25, label)
        return tuple(bias.to(self.compute) for bias in biases)


class DenoiseStage(nn.Module):
    """One evaluation and its affine row (`engine/sampler.py` gives the fields of `row` and the formula)."""

    def __init__(self, unet: SongUNet, compute: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.unet, self.compute = unet, compute

    def estimate(self, u: Tensor, context: Tensor, row: Tensor, cond: list[Tensor]) -> Tensor:
        """The denoised estimate D(u; sigma), float32."""
        scaled = (row[0] * u)[:, None].to(self.compute)
        raw = self.unet.denoise(scaled, context[:, None].to(self.compute), cond)
        return row[1] * u + row[2] * raw[:, 0].float()

    def estimate_of(
        self, u: Tensor, source: Tensor, keep: Tensor, context: Tensor, row: Tensor, cond: list[Tensor]
    ) -> Tensor:
        """The estimate of a network that may see what is kept; this one does not."""
        return self.estimate(u, context, row, cond)

    def forward(
        self,
        u: Tensor,
        b: Tensor,
        source: Tensor,
        noise: Tensor,
        context: Tensor,
        keep: Tensor,
        row: Tensor,
        cond: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        v = row[3] * b + row[4] * u + row[5] * self.estimate_of(u, source, keep, context, row, cond)
        # inject and newbase are exactly 0 or 1, so these sums select.
        kept = row[6] * keep
        u_next = kept * source + (1 - kept) * v + row[6] * noise
        b_next = row[7] * u_next + (1 - row[7]) * b
        return u_next, b_next


class DecodeStage(nn.Module):
    """noise is standard normal, one [2, 1024, 8] per frame, so that it can follow the absolute frame."""

    def __init__(self, codec: Music2Latent, compute: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.codec, self.compute = codec, compute
        self.istft = InverseStft()

    def forward(self, latent: Tensor, noise: Tensor) -> Tensor:
        stems, frames, planes, bins, columns = noise.shape
        noise = noise.permute(0, 2, 3, 1, 4).reshape(stems, planes, bins, frames * columns)
        audio: Tensor = self.istft(self.codec.decode(latent, noise, self.compute))
        return audio


@dataclass(frozen=True, slots=True)
class Networks:
    """Both networks of a bundle, in inference mode."""

    unet: SongUNet
    codec: Music2Latent

    def state(self) -> dict[str, Tensor]:
        """Every tensor under the name it has in `weights.safetensors`."""
        return {
            f"{part}.{name}": tensor
            for part, module in (("unet", self.unet), ("codec", self.codec))
            for name, tensor in module.state_dict().items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Strict: every name, every shape. Raises RuntimeError naming what differs."""
        for part, module in (("unet", self.unet), ("codec", self.codec)):
            own = {n.removeprefix(f"{part}."): t for n, t in tensors.items() if n.startswith(f"{part}.")}
            module.load_state_dict(own)

    @property
    def decoder_noise_shape(self) -> tuple[int, int, int]:
        config = self.codec.config
        return config.data_channels, config.bins, FRAMES_PER_LATENT
