# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Fréchet distance of two sets of embeddings: do these stems sound like those, as sets? FAD of Kilgour et al. (2019).

The embedding is musicnn's (musicnn.py), whose weights ship inside a wheel. A set is the patches of many clips.

Mind the size of the sets. A covariance from n patches has rank n - 1, and two samples of one distribution are apart by
about 1/n: with 200 dimensions and a few hundred patches that is most of the figure. So compare only figures whose sets
have the same sizes, as anchors of the same clips have; `frechet_at_infinity` extrapolates the bias away (Chong and
Forsyth, CVPR 2020) and is noisier. Figures with this embedding compare with no other paper's.

Not covered: whether a stem fits its song. Another song's stem is of the same set, and scores as the true one does; late
as well. And no single clip's score: an interval needs resampled clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.judges.musicnn import embed
from anacrusis.benchmarks.judges.onsets import Audio
from anacrusis.benchmarks.judges.packages import JudgeError

LEAST_PATCHES: Final = 2
SHARES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the smaller set, for the extrapolation
DRAWS: Final = 8

Floats = NDArray[np.float32]
Embeddings = NDArray[np.float32] | NDArray[np.float64]


def fad(clips: Sequence[Audio], reference: Sequence[Audio]) -> float:
    """Fréchet distance of the clips' embeddings to the reference's. Raises JudgeError as `embed` and `frechet` do."""
    return frechet(embed_all(clips), embed_all(reference))


def embed_all(clips: Sequence[Audio]) -> Floats:
    """Clips -> [all their patches, 200]. Raises JudgeError as `embed` does."""
    return np.concatenate([np.zeros((0, 200), np.float32), *(embed(clip) for clip in clips)])


def frechet(one: Embeddings, other: Embeddings) -> float:
    """[n, d], [m, d] -> squared Fréchet distance of the Gaussians that fit them, 0 or more.

    |mean - mean'|^2 + tr S + tr S' - 2 tr (S S')^(1/2). The last trace is the sum of the singular values of X X'^T,
    where S = X^T X, with X the centred samples over the root of n - 1. So no root of a singular matrix is taken, and n
    may be below d. Raises JudgeError for fewer than two patches, other dimensions, or values that are not finite.
    """
    first, second = _checked(one), _checked(other)
    if first.shape[1] != second.shape[1]:
        raise JudgeError(f"embeddings have {first.shape[1]} and {second.shape[1]} dimensions; compare one embedding's")
    means = first.mean(0), second.mean(0)
    centred = (first - means[0]) / np.sqrt(len(first) - 1), (second - means[1]) / np.sqrt(len(second) - 1)
    roots = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    distance = ((means[0] - means[1]) ** 2).sum() + sum((part**2).sum() for part in centred) - 2 * roots
    return max(float(distance), 0.0)


def frechet_at_infinity(one: Embeddings, other: Embeddings, seed: int = 0) -> float:
    """The distance that sets without end would have: a line in 1/n through subsets' distances, at 1/n = 0.

    May be slightly below 0. Raises JudgeError as `frechet` does, or for sets of fewer than 20 patches.
    """
    first, second = _checked(one), _checked(other)
    smaller = min(len(first), len(second))
    if smaller < 20:
        raise JudgeError(f"an extrapolation needs 20 patches a set, not {smaller}; judge more or longer clips")
    rng = np.random.default_rng(seed)
    sizes, distances = [], []
    for share in SHARES:
        size = round(share * smaller)
        for _ in range(DRAWS):
            parts = (whole[rng.permutation(len(whole))[:size]] for whole in (first, second))
            sizes.append(1 / size)
            distances.append(frechet(*parts))
    return float(np.polyfit(sizes, distances, 1)[1])


def _checked(embeddings: Embeddings) -> NDArray[np.float64]:
    values = np.asarray(embeddings, np.float64)
    if values.ndim != 2 or len(values) < LEAST_PATCHES or not np.isfinite(values).all():
        raise JudgeError(f"a set is two or more finite embeddings [n, d], not {list(values.shape)}; judge longer clips")
    return values
