# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A bound that holds as often as it says, where its assumption holds, and says which assumption that is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.calib.errors import CalibrationError
from anacrusis.calib.tail import (
    EXPONENTIAL,
    ORDER,
    gamma_quantile,
    least_values,
    most_above,
    nearest_rank,
    rank_from_above,
    summarise,
)

VALUES = st.lists(st.floats(0.01, 1e4), min_size=4, max_size=60)
# Not floats from 0: where a network has switched the smallest floats off, hypothesis cannot draw them.
LATER = st.integers(0, 100_000).map(lambda n: n / 1000)
FEW = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize(
    ("n", "quantile", "confidence", "rank"),
    [
        (2994, 0.999, 0.95, 0),  # 1 - .999^n is not yet .95
        (2995, 0.999, 0.95, 1),
        (4741, 0.999, 0.95, 1),  # two of them: 1 - q^n - n (1 - q) q^(n - 1) >= .95 from 4,742
        (4742, 0.999, 0.95, 2),
        (58, 0.95, 0.95, 0),
        (59, 0.95, 0.95, 1),  # the 59 of Wilks' table
        (93, 0.95, 0.95, 2),
    ],
)
def test_which_value_from_above_is_a_bound(n: int, quantile: float, confidence: float, rank: int) -> None:
    assert rank_from_above(n, quantile, confidence) == rank


@pytest.mark.parametrize(("quantile", "confidence", "n"), [(0.999, 0.95, 2995), (0.95, 0.95, 59), (0.99, 0.9, 230)])
def test_how_many_values_that_takes(quantile: float, confidence: float, n: int) -> None:
    assert least_values(quantile, confidence) == n
    assert rank_from_above(n, quantile, confidence) == 1


@pytest.mark.parametrize(  # half of the quantiles of chi-square with 2 k degrees, as tables have them
    ("k", "share", "x"), [(1, 0.05, 0.103 / 2), (5, 0.05, 3.940 / 2), (10, 0.05, 10.851 / 2), (5, 0.95, 18.307 / 2)]
)
def test_the_gamma_distribution(k: int, share: float, x: float) -> None:
    assert gamma_quantile(k, share) == pytest.approx(x, abs=5e-4)


def test_enough_values_are_taken_as_they_are() -> None:
    tail = summarise([float(i) for i in range(3000)])
    assert (tail.method, tail.bound_ms, tail.max_ms, tail.p50_ms) == (ORDER, 2999.0, 2999.0, 1499.0)


@pytest.mark.parametrize(
    ("n", "quantile", "least"),
    [(40, 0.999, 0.9), (200, 0.999, 0.9), (100, 0.95, 0.93)],
    ids=["few", "more", "order statistics"],
)
def test_the_bound_holds_as_often_as_it_says(n: int, quantile: float, least: float) -> None:
    """For exponential times. Few repeats: the threshold itself is taken as known, which costs a little confidence."""
    rng, true = np.random.default_rng(1), -math.log(1 - quantile)
    held = [summarise(rng.exponential(size=n).tolist(), quantile).bound_ms >= true for _ in range(300)]
    assert np.mean(held) >= least


@FEW
@given(VALUES)
def test_no_bound_lies_below_what_was_seen(values: list[float]) -> None:
    tail = summarise(values)
    assert tail.method == EXPONENTIAL
    assert tail.bound_ms >= tail.max_ms >= tail.p99_ms >= tail.p95_ms >= tail.p50_ms


@FEW
@given(VALUES, st.floats(1, 10), LATER)
def test_a_slower_machine_has_a_larger_bound(values: list[float], slower: float, later: float) -> None:
    slow = summarise([slower * value + later for value in values])
    assert slow.bound_ms >= summarise(values).bound_ms - 1e-3


@FEW
@given(VALUES)
def test_the_same_time_always_is_its_own_bound(values: list[float]) -> None:
    assert 0 <= summarise([values[0]] * len(values)).bound_ms - values[0] <= 1.001e-4


def test_too_few_values_are_refused() -> None:
    with pytest.raises(CalibrationError, match="3 values tell nothing"):
        summarise([1.0, 2.0, 3.0])


@pytest.mark.parametrize(("quantile", "value"), [(0.0, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.99, 4), (1.0, 4)])
def test_nearest_rank(quantile: float, value: float) -> None:
    assert nearest_rank([1, 2, 3, 4], quantile) == value


@pytest.mark.parametrize(
    ("steps", "quantile", "most"),
    [(1, 0.999, 0), (51, 0.999, 0), (52, 0.999, 1), (3229, 0.999, 6), (3229, 0.99, 42), (400_000, 0.99, 4104)],
)
def test_as_many_may_be_late_as_the_quantile_says(steps: int, quantile: float, most: int) -> None:
    binom = pytest.importorskip("scipy.stats").binom
    assert most_above(steps, quantile, 0.95) == most
    assert binom.cdf(most, steps, 1 - quantile) >= 0.95
    assert most == 0 or binom.cdf(most - 1, steps, 1 - quantile) < 0.95
