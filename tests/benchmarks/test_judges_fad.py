# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The Fréchet distance against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.benchmarks.judges.fad import frechet, frechet_at_infinity
from anacrusis.benchmarks.judges.packages import JudgeError


def with_moments(mean: np.ndarray, deviations: np.ndarray, count: int, seed: int) -> np.ndarray:
    """[count, d] whose sample mean is `mean` and whose sample covariance is diagonal, exactly."""
    noise = np.random.default_rng(seed).normal(size=(count, len(mean)))
    q, _ = np.linalg.qr(noise - noise.mean(0))
    q -= q.mean(0)
    return np.asarray(mean + q * np.sqrt(count - 1) * deviations)


@settings(deadline=None, max_examples=40)
@given(
    mean=st.lists(st.floats(-3, 3, allow_subnormal=False), min_size=4, max_size=4),
    deviations=st.lists(st.floats(0, 3, allow_subnormal=False), min_size=4, max_size=4),
    counts=st.tuples(st.integers(6, 40), st.integers(6, 40)),
)
def test_it_is_the_closed_form_of_gaussians(
    mean: list[float], deviations: list[float], counts: tuple[int, int]
) -> None:
    one = with_moments(np.zeros(4), np.ones(4), counts[0], 1)
    other = with_moments(np.array(mean), np.array(deviations), counts[1], 2)
    expected = np.square(mean).sum() + np.square(np.array(deviations) - 1).sum()
    assert frechet(one, other) == pytest.approx(expected, abs=1e-8)
    assert frechet(other, one) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("count", [2, 30, 300], ids=["two", "fewer than dimensions", "more"])
def test_a_set_is_no_distance_from_itself(count: int) -> None:
    patches = np.random.default_rng(0).normal(size=(count, 100)).astype(np.float32)
    assert frechet(patches, patches[::-1]) == pytest.approx(0, abs=1e-6)
    assert frechet(patches, patches + np.float32(0.5)) == pytest.approx(25, rel=1e-4)


def test_small_sets_are_biased_and_the_extrapolation_less() -> None:
    rng = np.random.default_rng(5)
    small, large = (frechet(*rng.normal(size=(2, count, 20))) for count in (40, 400))
    assert small > 3 * large > 0
    one, other = rng.normal(size=(2, 80, 20))
    assert abs(frechet_at_infinity(one, other)) < 0.5 * frechet(one, other)
    assert frechet_at_infinity(one, other, 3) == frechet_at_infinity(one, other, 3)


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "two or more"),
        (np.zeros((5, 3)), np.zeros(3), "two or more"),
        (np.zeros((5, 3)), np.full((5, 3), np.nan), "finite"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "3 and 4 dimensions"),
    ],
    ids=["one patch", "no set", "nan", "two embeddings"],
)
def test_what_is_no_set_is_refused(one: np.ndarray, other: np.ndarray, says: str) -> None:
    with pytest.raises(JudgeError, match=says):
        frechet(one, other)


def test_an_extrapolation_needs_patches() -> None:
    with pytest.raises(JudgeError, match="20 patches"):
        frechet_at_infinity(np.zeros((19, 3)), np.zeros((50, 3)))
