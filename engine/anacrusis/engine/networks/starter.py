# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The starter's denoiser: a small transformer over the window's frames, that fits a cycle on two CPU cores.

A frame is a token: the noisy latent, the kept latent and where it is kept, and the encoded context. Sigma and stem come
in as shifts, scales and gates of every block (adaLN, Peebles and Xie 2023, section 3.2), all of them made by `embed`,
once per table row, from one narrow vector. Attention has a learned bias by distance, so that what repeats a bar later
is found wherever in the window it lies; a depthwise convolution sees the neighbours.

The network sees the kept source without noise, beside the pasted one that the sampler makes: with one or two
evaluations the past would else be lost in noise of sigma 80. And it sees the beat (`pulse.py`), which is hard to learn
from frames that are longer than an onset.

What it says of latents that are a linear code of events (`rows` above 0) is the probability of each event: D(u; sigma)
is the mean of what the latent may be, and the mean of a linear code is the code of the means. The same estimate as
EDM's, exactly; but a network that is sure gives a latent that is some notes' own, not something between. Without rows
it is EDM's c_skip u + c_out F.

Not covered: classifier-free guidance; any length but the window it was made for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anacrusis.engine.networks.harmony import CLASSES, Harmony
from anacrusis.engine.networks.pulse import Pulse
from anacrusis.engine.networks.stages import DenoiseStage

# Angles per unit of ln(sigma) / 4: from a slow turn over all noise levels to a fine one.
LOWEST_BAND, HIGHEST_BAND = 0.5, 30.0
# Features of the context are 0 to 1.4 with a deviation of about 0.3; latents, scaled, have one of 1.
CONTEXT_GAIN = 3.0
HOPS = 8  # of a frame, in which an event may be
# Per hop and row an onset and its velocity and an end; per row what is carried over from the frame before.
EVENTS = 3
RARE = -6.0  # logit of an event of which nothing is known yet
NEVER = -100.0


@dataclass(frozen=True, slots=True)
class StarterConfig:
    """latent_channels C, context_channels E, window_frames W, label_dim L: the bundle's contract. width: of a token.

    conditioning: width of the vector that sigma and stem become. heads divide width. rows: of the note roll that the
    latents are a code of, 0 for latents of another kind. pulse: the context is the filterbank's, and has a beat;
    harmony: and pitch classes, by which rows are scored.
    """

    latent_channels: int = 64
    context_channels: int = 149
    window_frames: int = 64
    label_dim: int = 4
    width: int = 192
    blocks: int = 6
    heads: int = 6
    conditioning: int = 96
    noise_bands: int = 32
    rows: int = 134
    pulse: bool = True
    harmony: bool = True

    def validate(self) -> None:
        """Raise ValueError where no network can be made."""
        if min(self.latent_channels, self.context_channels, self.window_frames, self.label_dim, self.blocks) < 1:
            raise ValueError(f"a starter needs at least one of each: {self}")
        if self.heads < 1 or self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")

    @property
    def inputs(self) -> int:
        """Channels of a token before the first layer."""
        return 2 * self.latent_channels + self.context_channels + 1 + (Pulse.channels if self.pulse else 0)

    @property
    def cells(self) -> int:
        """Numbers of a frame of roll, of which a latent is the code."""
        return (EVENTS * HOPS + 1) * self.rows


class Block(nn.Module):
    """x [B, W, width], cond [B, 6 * width] -> [B, W, width]."""

    def __init__(self, config: StarterConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(config.heads, 2 * config.window_frames - 1))
        self.near = nn.Conv1d(width, width, 3, padding=1, groups=width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        at = torch.arange(config.window_frames)
        self.distance: Tensor
        self.register_buffer("distance", at[None, :] - at[:, None] + config.window_frames - 1, persistent=False)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = cond[:, None].chunk(6, dim=-1)
        batch, frames, width = x.shape
        h = self.norm1(x) * (1 + scale1) + shift1
        q, k, v = self.qkv(h).reshape(batch, frames, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5 + self.bias[:, self.distance]
        h = (logits.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(batch, frames, width)
        x = x + gate1 * self.proj(h)
        h = self.norm2(x) * (1 + scale2) + shift2
        h = h + self.near(h.transpose(1, 2)).transpose(1, 2)
        out: Tensor = x + gate2 * self.down(F.gelu(self.up(h), approximate="tanh"))
        return out


@dataclass(frozen=True, slots=True)
class Scores:
    """What may happen in n frames. onset, end: logits [n, 8, rows]; carried, velocity: logits [n, rows]."""

    onset: Tensor
    end: Tensor
    carried: Tensor
    velocity: Tensor


class Starter(nn.Module):
    """D(u; sigma, label | source, keep, context): all of a denoiser but the sampler around it (`sampler.py`).

    code [cells, C], rows_of [L, rows], classes_of [12, rows] (buffers, from the codec): an event's latent, which rows a
    stem plays, and of which pitch class a row is (none of a drum's).
    """

    def __init__(self, config: StarterConfig) -> None:
        super().__init__()
        config.validate()
        self.config = config
        width, narrow, rows = config.width, config.conditioning, config.rows
        bands = torch.exp(torch.linspace(math.log(LOWEST_BAND), math.log(HIGHEST_BAND), config.noise_bands))
        self.bands: Tensor
        self.register_buffer("bands", bands, persistent=False)
        self.pulse = Pulse(config.window_frames) if config.pulse else None
        self.of_sigma = nn.Linear(2 * config.noise_bands, narrow)
        self.of_label = nn.Linear(config.label_dim, narrow, bias=False)
        self.mix = nn.Linear(narrow, narrow)
        self.modulations = nn.ModuleList(nn.Linear(narrow, 6 * width) for _ in range(config.blocks))
        self.last_modulation = nn.Linear(narrow, 2 * width)
        self.first = nn.Conv1d(config.inputs, width, 3, padding=1)
        self.place = nn.Parameter(0.02 * torch.randn(config.window_frames, width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.last = nn.Linear(width, (2 * HOPS + 2) * rows or config.latent_channels)
        for layer in (*self.modulations, self.last_modulation, self.last):
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.code: Tensor
        self.rows_of: Tensor
        self.classes_of: Tensor
        self.harmony = Harmony(width, config.window_frames) if rows and config.harmony else None
        if rows:
            nn.init.constant_(self.last.bias[: (2 * HOPS + 1) * rows], RARE)
            self.register_buffer("code", torch.zeros(config.cells, config.latent_channels))
            self.register_buffer("rows_of", torch.ones(config.label_dim, rows))
            self.register_buffer("classes_of", torch.zeros(CLASSES, rows))

    def conditioning(self, c_noise: Tensor, label: Tensor) -> list[Tensor]:
        """c_noise = ln(sigma) / 4 [B], label [B, L] -> a tensor a block, [B, 6 width], and the last [B, 2 width].

        With rows one more, [B, rows]: 0, or what makes a row that is not the stem's impossible.
        """
        angle = c_noise[:, None] * self.bands
        e = self.of_sigma(torch.cat([angle.sin(), angle.cos()], dim=1)) + self.of_label(label)
        e = F.silu(self.mix(F.silu(e)))
        cond = [layer(e) for layer in (*self.modulations, self.last_modulation)]
        return [*cond, NEVER * (1 - label @ self.rows_of)] if self.config.rows else cond

    def tokens(self, scaled: Tensor, kept: Tensor, keep: Tensor, context: Tensor, cond: list[Tensor]) -> Tensor:
        """scaled = c_in u, kept [B, C, W], keep [1 or B, 1, W], context [1 or B, E, W] -> [B, W, width]."""
        batch, blocks = scaled.shape[0], len(self.blocks)
        heard = CONTEXT_GAIN * context
        if self.pulse is not None:
            heard = torch.cat([heard, self.pulse(context)], dim=1)
        seen = torch.cat([scaled, kept, keep.expand(batch, -1, -1), heard.expand(batch, -1, -1)], dim=1)
        x = self.first(seen).transpose(1, 2) + self.place
        for block, c in zip(self.blocks, cond, strict=False):
            x = block(x, c)
        shift, scale = cond[blocks][:, None].chunk(2, dim=-1)
        out: Tensor = self.norm(x) * (1 + scale) + shift
        return out

    def fits(self, tokens: Tensor, context: Tensor, never: Tensor) -> Tensor:
        """tokens [B, W, width], context, never [B, rows] (the last of `conditioning`) -> [B, W, rows], to be added to
        onsets: how well a row's pitch class fits what is heard, or that it is not the stem's."""
        fit = never[:, None].expand(-1, tokens.shape[1], -1)
        return fit if self.harmony is None else fit + self.harmony(tokens, context) @ self.classes_of

    def scores(self, tokens: Tensor, fits: Tensor, never: Tensor) -> Scores:
        """tokens [n, width], fits, never [n, rows] -> what may happen in those frames."""
        rows = self.config.rows
        out = self.last(tokens).float()
        onset, end = (x.reshape(-1, HOPS, rows) for x in out[:, : 2 * HOPS * rows].chunk(2, dim=1))
        carried, velocity = out[:, 2 * HOPS * rows :].chunk(2, dim=1)
        return Scores(onset + fits[:, None], end + never[:, None], carried + never, velocity)

    def onset_bias(self) -> Tensor:
        """[8, rows], a view: what every onset's logit has of the last layer's bias."""
        rows = self.config.rows
        return self.last.bias.detach()[: HOPS * rows].reshape(HOPS, rows)

    def latent(self, scores: Scores) -> Tensor:
        """The mean of the latent [n, C] of frames in which events are so probable."""
        onset, velocity = torch.sigmoid(scores.onset), torch.sigmoid(scores.velocity)
        parts = [x.flatten(1) for x in (onset, onset * velocity[:, None], torch.sigmoid(scores.end))]
        out: Tensor = torch.cat([*parts, torch.sigmoid(scores.carried)], dim=1) @ self.code
        return out.float()

    def estimate(
        self,
        u: Tensor,
        scalings: tuple[Tensor, Tensor, Tensor],
        kept: Tensor,
        keep: Tensor,
        context: Tensor,
        cond: list[Tensor],
    ) -> Tensor:
        """D(u; sigma) [B, C, W], float32. scalings: c_in, c_skip, c_out, of which rows only want the first."""
        c_in, c_skip, c_out = scalings
        tokens = self.tokens(c_in * u, kept, keep, context, cond)
        if not self.config.rows:
            plain: Tensor = c_skip * u + c_out * self.last(tokens).float().transpose(1, 2)
            return plain
        flat = self.latent(self.frame_scores(tokens, context, cond))
        return flat.reshape(tokens.shape[0], tokens.shape[1], -1).transpose(1, 2)

    def frame_scores(self, tokens: Tensor, context: Tensor, cond: list[Tensor]) -> Scores:
        """tokens [B, W, width] -> what may happen in all B W frames."""
        batch, frames, width = tokens.shape
        fits, never = (
            x.reshape(batch * frames, -1)
            for x in (self.fits(tokens, context, cond[-1]), cond[-1][:, None].expand(-1, frames, -1))
        )
        return self.scores(tokens.reshape(batch * frames, width), fits, never)


class StarterEmbed(nn.Module):
    """The contract's `embed`: sigma [stems], label [stems, L] -> cond_00 ... Run once per table row and stem set."""

    def __init__(self, network: Starter) -> None:
        super().__init__()
        self.network = network

    def forward(self, sigma: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.conditioning(torch.log(sigma) * 0.25, label))


class StarterDenoise(DenoiseStage):
    """The contract's `denoise`: one evaluation and its affine row."""

    def __init__(self, network: Starter) -> None:
        nn.Module.__init__(self)
        self.network = network

    def estimate_of(
        self, u: Tensor, source: Tensor, keep: Tensor, context: Tensor, row: Tensor, cond: list[Tensor]
    ) -> Tensor:
        """D(u; sigma), float32; the network sees what is kept of the source."""
        return self.network.estimate(u, (row[0], row[1], row[2]), source * keep, keep, context, cond)
