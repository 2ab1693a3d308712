# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A codec small enough to test with: a few rows, notes of a fifth of a second, random weights that play something."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from anacrusis.train.codec.autoencoder import AutoencoderConfig, FrameAutoencoder
from anacrusis.train.codec.codec import RollCodec
from anacrusis.train.codec.notes import thinned
from anacrusis.train.codec.playback import Bank
from anacrusis.train.codec.rows import HOP_SAMPLES, Group, Rows

if TYPE_CHECKING:
    from anacrusis.export.graphs import StageSpec

TOYS = {
    "bass": Group("bass", (28, 29, 30)),
    "drums": Group("drums", (36, 42, 46), rings=True),
    "guitar": Group("guitar", (60, 61, 62, 63)),
}
TOY_HOPS = 14


def toy_banks(voices: int = 24) -> tuple[Bank, ...]:
    """A decaying cosine a row: it starts at its loudest sample."""
    banks = []
    for stem, divisor in (("bass", 4), ("drums", 1), ("guitar", 2)):
        group = TOYS[stem]
        at = np.arange((TOY_HOPS + 1) * HOP_SAMPLES)
        notes = []
        for row in range(len(group)):
            audio = np.exp(-at / 4000) * np.cos(at * (0.05 + 0.01 * row))
            notes.append(thinned(audio.astype(np.float32), TOY_HOPS, divisor))
        chokes = ((2, 1),) if stem == "drums" else ()
        banks.append(Bank(group, tuple(notes), divisor, 0.5, 48, voices, chokes))
    return tuple(banks)


@cache
def toy_codec(stems: tuple[str, ...] = tuple(TOYS)) -> RollCodec:
    """16 channels, random weights made strong enough that random latents play a few notes."""
    torch.manual_seed(5)
    rows = Rows(tuple(TOYS[stem] for stem in stems))
    autoencoder = FrameAutoencoder(AutoencoderConfig(len(rows), channels=16, width=32, hop_width=8))
    with torch.no_grad():
        autoencoder.head.weight *= 60
    return RollCodec(autoencoder, [bank for bank in toy_banks() if bank.group.stem in stems], rows)


def toy_latent(stems: int, frames: int, seed: int) -> torch.Tensor:
    """[stems, 16, frames]: noise in every third frame, silence in the others, so that few notes sound at a time."""
    latent = torch.randn(stems, 16, frames, generator=torch.Generator().manual_seed(seed))
    latent[:, :, torch.arange(frames) % 3 != 2] = 0
    return latent


_TRACED: dict[str, Any] = {}


def traced_once(spec: StageSpec) -> Any:
    """`stage_to_onnx`, for bundles of the guitar's toy codec: its ear and voice take seconds, and stay the same."""
    from anacrusis.export.graphs import stage_to_onnx

    if spec.name not in ("encode", "decode"):
        return stage_to_onnx(spec)
    if spec.name not in _TRACED:
        _TRACED[spec.name] = stage_to_onnx(spec)
    return _TRACED[spec.name].clone()
