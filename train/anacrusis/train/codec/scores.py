# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""How well latents keep notes: a frame autoencoder against rolls, clean and with noise on the latent.

A note is found where one of its row starts within a hop of it (each is used once); F1 of that. Noise is white, a share
of each channel's standard deviation over the frames that are scored, as a denoiser's error might be. Beside it: the
error of velocity, and the share of held cells that agree (intersection over union).

A note on a row of another stem counts as one too many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from anacrusis.train.codec.autoencoder import FrameAutoencoder
from anacrusis.train.codec.roll import HOLD, ONSET, Roll
from anacrusis.train.codec.rows import Rows

NEAR_HOPS = 1


@dataclass(frozen=True, slots=True)
class RollScore:
    """One stem at one noise. velocity_error: mean, of notes found, in MIDI steps. hold_iou: 1 where nothing is held."""

    notes: int
    f1: float
    exact_f1: float
    velocity_error: float
    hold_iou: float


def matched(truth: NDArray[np.int64], found: NDArray[np.int64], near: int = NEAR_HOPS) -> NDArray[np.int64]:
    """Pairs [n, 2] of indices into truth and found, both [n, 2] of (row, hop), in order of time on each row."""
    pairs = []
    order_t, order_f = (np.lexsort((x[:, 1], x[:, 0])) for x in (truth, found))
    i = j = 0
    while i < len(order_t) and j < len(order_f):
        (row_t, hop_t), (row_f, hop_f) = truth[order_t[i]], found[order_f[j]]
        if row_t == row_f and abs(hop_t - hop_f) <= near:
            pairs.append((order_t[i], order_f[j]))
            i, j = i + 1, j + 1
        elif (row_t, hop_t) < (row_f, hop_f):
            i += 1
        else:
            j += 1
    return np.array(pairs, np.int64).reshape(-1, 2)


def score(truth: Roll, found: Roll) -> RollScore:
    """Rolls [hops, rows, 2]."""
    at_truth, at_found = (np.argwhere(roll[:, :, ONSET].T > 0) for roll in (truth, found))
    pairs = matched(at_truth, at_found)
    exact = matched(at_truth, at_found, 0)
    total = len(at_truth) + len(at_found)
    error = 0.0
    if len(pairs):
        (row_t, hop_t), (row_f, hop_f) = at_truth[pairs[:, 0]].T, at_found[pairs[:, 1]].T
        error = float(127 * np.abs(truth[hop_t, row_t, ONSET] - found[hop_f, row_f, ONSET]).mean())
    held_t, held_f = truth[:, :, HOLD] > 0.5, found[:, :, HOLD] > 0.5
    union = int((held_t | held_f).sum())
    return RollScore(
        len(at_truth),
        2 * len(pairs) / total if total else 1.0,
        2 * len(exact) / total if total else 1.0,
        error,
        float((held_t & held_f).sum() / union) if union else 1.0,
    )


def evaluate(
    autoencoder: FrameAutoencoder, songs: Mapping[str, Sequence[Roll]], noises: Sequence[float], seed: int
) -> dict[str, Any]:
    """songs: stem -> rolls [frames, 8, rows of the stem, 2]. Returns what `fit` writes down.

    `stems`: per stem and noise a RollScore as a dict. `between`: see `_between`. `latent`: standard deviation a
    channel and root mean square (`sigma_data`) over all frames, rests included; the largest mean of a channel, 99.9 %
    and largest of |z|.
    """
    rows, rng = Rows(), torch.Generator().manual_seed(seed)
    out: dict[str, Any] = {"stems": {}}
    latents: dict[str, torch.Tensor] = {}
    full: dict[str, Roll] = {}
    with torch.inference_mode():
        for stem, rolls in songs.items():
            own = np.concatenate(list(rolls))
            full[stem] = np.zeros((*own.shape[:2], len(rows), 2), np.float32)
            full[stem][:, :, rows.span(stem)] = own
            latents[stem] = autoencoder.encode(torch.from_numpy(full[stem]))
        everything = torch.cat(list(latents.values()))
        std = everything.std(dim=0)
        for stem, latent in latents.items():
            out["stems"][stem] = {}
            for noise in noises:
                heard = autoencoder.roll(latent + noise * std * torch.randn(latent.shape, generator=rng)).numpy()
                flat = (x.reshape(-1, len(rows), 2) for x in (full[stem], heard))
                out["stems"][stem][f"{noise:g}"] = asdict(score(*flat))
    out["between"] = {stem: _between(autoencoder, latent, rng) for stem, latent in latents.items()}
    out["latent"] = {
        "std": [round(float(x), 4) for x in std],
        "sigma_data": float(everything.square().mean().sqrt()),
        "mean_largest": float(everything.mean(dim=0).abs().max()),
        "p999": float(everything.abs().flatten()[:: max(1, everything.numel() // 2_000_000)].quantile(0.999)),
        "largest": float(everything.abs().max()),
        "silent_share": float((everything == 0).all(dim=1).float().mean()),
        "std_by_stem": {stem: float(x.square().mean().sqrt()) for stem, x in latents.items()},
    }
    return out


def _between(autoencoder: FrameAutoencoder, latent: torch.Tensor, rng: torch.Generator) -> dict[str, float]:
    """What the mean of two sounding frames' latents says: onsets of one of the two, and of neither, a frame."""
    some = latent[latent.abs().sum(dim=1) > 0]
    with torch.inference_mode():
        other = some[torch.randperm(len(some), generator=rng)]
        mine, theirs, mean = (autoencoder.roll(z)[..., ONSET] > 0 for z in (some, other, (some + other) / 2))
    known = mine | theirs
    count = max(1, len(some))
    return {
        "meant": float(known.sum() / count),
        "kept": float((mean & known).sum() / count),
        "strange": float((mean & ~known).sum() / count),
    }
