# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Pieces, a linear code of events, and windows small enough to test with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anacrusis.train.starter.windows import Drawing, Piece

CHANNELS, ENCODED = 6, 149
HOPS, ROWS = 8, 8  # two rows a stem
# Every window as it is: nothing joins late, nothing is noisy.
PLAIN = Drawing(
    whole=0, late_start=0, late_stem=0, other_past=0, past_noise=0, gain=0, nobody=0, redraw_rest=0, all_others=1
)


def toy_piece(seed: int, frames: int = 100) -> Piece:
    """Random latents, and a context that says which frame it is in channel 0 and who plays in channel 1."""
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((4, CHANNELS, frames)).astype(np.float16)
    contexts = {}
    for mask in (14, 13, 11, 7, 2, 9):
        features = rng.random((ENCODED, frames)).astype(np.float16)
        features[0], features[1], features[-1] = np.arange(1, frames + 1), mask, 1
        contexts[mask] = features
    return Piece(f"toy-{seed}", 17 * seed, latents, contexts)


def toy_rows() -> NDArray[np.float32]:
    """[4, ROWS]: which rows are whose."""
    return np.kron(np.eye(4), np.ones(ROWS // 4)).astype(np.float32)


def toy_classes() -> NDArray[np.float32]:
    """[12, ROWS]: row i sounds pitch class i, but the drums' two."""
    return (np.eye(12, ROWS) * (toy_rows()[1] == 0)).astype(np.float32)


def toy_code(rows: int = ROWS, channels: int = CHANNELS) -> NDArray[np.float32]:
    """[25 rows, C]: what an event is in the latent; in float16's steps."""
    rng = np.random.default_rng(42)
    drawn = rng.standard_normal(((3 * HOPS + 1) * rows, channels)) / np.sqrt(channels)
    return drawn.astype(np.float16).astype(np.float32)


def cells_of(events: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`Piece.events` [n, 4, rows] -> [n, 25 rows]: onsets, their velocities and ends by hop and row, carried by row."""
    onset, end = (np.unpackbits(events[:, plane], axis=1, bitorder="little") for plane in (0, 2))
    n, _, rows = events.shape
    onset, end = (x.reshape(n, rows, HOPS).transpose(0, 2, 1).astype(np.float32) for x in (onset, end))
    velocity = onset * events[:, None, 1] / np.float32(255)
    flat = [x.reshape(n, -1) for x in (onset, velocity, end)]
    return np.concatenate([*flat, events[:, 3].astype(np.float32)], axis=1)


def eventful_piece(seed: int, frames: int = 100) -> Piece:
    """A toy whose latents are the code of its events: an onset in every third frame of a row."""
    rng = np.random.default_rng(seed)
    events = np.zeros((frames, 4, ROWS), np.uint8)
    played = rng.random((frames, ROWS)) < 0.3
    events[:, 0] = played * (1 << rng.integers(0, HOPS, (frames, ROWS)))
    events[:, 1] = played * rng.integers(30, 256, (frames, ROWS))
    events[:, 2] = (rng.random((frames, ROWS)) < 0.3) * (1 << rng.integers(1, HOPS, (frames, ROWS)))
    events[:, 3] = rng.random((frames, ROWS)) < 0.3
    own = [np.tile(toy_rows()[stem], 3 * HOPS + 1) for stem in range(4)]
    latents = np.stack([((cells_of(events) * mask) @ toy_code()).T for mask in own])
    toy = toy_piece(seed, frames)
    return Piece(toy.name, toy.offset_samples, latents.astype(np.float16), toy.contexts, events)
