# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the spectral codec is trained on: random excerpts of rendered stems, held in memory as 16-bit samples.

Not covered: reading while training (an hour of four stems is 1.3 GB; `load` says so and stops at `hours`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, CorpusError

Stored = NDArray[np.int16]
Audio = NDArray[np.float32]
QUIET: Final = 1e-3  # peak below which an excerpt counts as silent
MIX_SHARE: Final = 0.1  # of excerpts that are the sum of a song's stems, so that a context can be encoded as well
GAIN_DB: Final = (-9.0, 3.0)


def load(corpus: Path, split: str, hours: float, progress: bool = True) -> list[list[Stored]]:
    """Songs as lists of stems, at most `hours` of music. Raises CorpusError where the split has none."""
    from anacrusis.train.dataset import open_dataset

    tracks = [track for track in open_dataset(corpus) if track.split == split]
    if not tracks:
        raise CorpusError(f"{corpus} has no {split} songs; make some: python -m anacrusis.train.corpus --out {corpus}")
    songs: list[list[Stored]] = []
    left = round(hours * 3600 * SAMPLE_RATE_HZ)
    for track in tqdm(tracks, desc=f"reading {split}", unit="song", file=sys.stderr, disable=not progress):
        if left <= 0:
            break
        stems = [track.stem(name) for name in STEMS if name in track.song.parts]
        songs.append([np.round(np.clip(stem, -1, 1) * 32767).astype(np.int16) for stem in stems])
        left -= track.length_samples
    return songs


def draw(songs: Sequence[Sequence[Stored]], rng: np.random.Generator, count: int, length_samples: int) -> Audio:
    """count excerpts, float32 [count, length_samples]. One in twenty of the silent ones drawn is kept."""
    out = np.zeros((count, length_samples), np.float32)
    for row in out:
        for _ in range(100):
            song = songs[int(rng.integers(len(songs)))]
            mixed = rng.random() < MIX_SHARE
            chosen = song if mixed else [song[int(rng.integers(len(song)))]]
            start = int(rng.integers(max(1, len(chosen[0]) - length_samples)))
            row[:] = 0.0
            for stem in chosen:
                piece = stem[start : start + length_samples]
                row[: len(piece)] += piece * np.float32(1 / 32767)
            if np.abs(row).max() > QUIET or rng.random() < 0.05:
                break
        row *= np.float32(10 ** (rng.uniform(*GAIN_DB) / 20))
    return out
