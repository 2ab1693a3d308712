# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""An upper bound on a high quantile of measured times, with the confidence it holds at. Pure; no clock, no numpy.

Two methods, and each result says which one it had:

- *order statistics*, where there are enough values: the j-th largest of n is at least the quantile with a confidence
  that the binomial distribution gives (David and Nagaraja, Order Statistics, 3rd edition, section 7.1). Nothing is
  assumed of the distribution, only that the values are independent. The 99.9th percentile at 95 % needs 2,995 values.
- *an exponential tail*, with fewer: the largest tenth (at least 5) is taken as exponential above the value before it
  (peaks over a threshold, Pickands 1975, with shape 0). The bound takes the upper confidence limit of that mean, and is
  never below the largest value seen. A heavier tail than that breaks it; independence is assumed as well.

Not covered: drift. What a machine does when it is warmer, or busier, than while it was measured is not in its values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from anacrusis.calib.errors import CalibrationError

QUANTILE: Final = 0.999
CONFIDENCE: Final = 0.95
LEAST_VALUES: Final = 4
ORDER, EXPONENTIAL = "order statistics", "exponential tail"


@dataclass(frozen=True, slots=True)
class Tail:
    """Milliseconds. bound_ms: at least the quantile asked for, with the confidence asked for. n: how many values."""

    n: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    bound_ms: float
    method: str


def summarise(values_ms: Sequence[float], quantile: float = QUANTILE, confidence: float = CONFIDENCE) -> Tail:
    """Quantiles (nearest rank) and the bound. Raises CalibrationError for fewer than 4 values."""
    if len(values_ms) < LEAST_VALUES:
        raise CalibrationError(f"{len(values_ms)} values tell nothing of a tail; measure at least {LEAST_VALUES}")
    ordered = sorted(float(value) for value in values_ms)
    bound, method = upper_bound(ordered, quantile, confidence)
    named = (nearest_rank(ordered, q) for q in (0.5, 0.95, 0.99))
    p50, p95, p99 = (round(value, 4) for value in named)
    return Tail(len(ordered), p50, p95, p99, round(ordered[-1], 4), round_up(bound), method)


def round_up(ms: float) -> float:
    """To a ten-thousandth: a bound is not rounded to below itself."""
    return math.ceil(ms * 1e4) / 1e4


def nearest_rank(ordered: Sequence[float], quantile: float) -> float:
    """The smallest value that at least this share of the rising `ordered` does not exceed."""
    return ordered[max(math.ceil(quantile * len(ordered)), 1) - 1]


def upper_bound(ordered: Sequence[float], quantile: float, confidence: float) -> tuple[float, str]:
    """(bound, method) of rising values."""
    j = rank_from_above(len(ordered), quantile, confidence)
    if j:
        return ordered[-j], ORDER
    n = len(ordered)
    k = min(max(5, n // 10), n - 2)
    threshold = ordered[-k - 1]
    mean = sum(value - threshold for value in ordered[-k:]) / k
    largest_mean = mean * k / gamma_quantile(k, 1 - confidence)
    reach = math.log(max(k / n / (1 - quantile), 1.0))
    return max(threshold + largest_mean * reach, ordered[-1]), EXPONENTIAL


def rank_from_above(n: int, quantile: float, confidence: float) -> int:
    """The largest j such that the j-th largest of n is at least the quantile with this confidence; 0 where none is.

    It is where at least j of n values lie above the quantile: P(Binomial(n, 1 - quantile) >= j) >= confidence.
    """
    fewer = 0.0  # P(Binomial < j)
    for j in range(1, n + 1):
        fewer += chance_above(n, j - 1, quantile)
        if 1 - fewer < confidence:
            return j - 1
    return n


def most_above(n: int, quantile: float, confidence: float) -> int:
    """The fewest m such that with this confidence no more than m of n values lie above the quantile."""
    no_more = 0.0  # P(Binomial <= m)
    for m in range(n):
        no_more += chance_above(n, m, quantile)
        if no_more >= confidence:
            return m
    return n


def chance_above(n: int, i: int, quantile: float) -> float:
    """P(Binomial(n, 1 - quantile) = i): that just i of n values lie above the quantile, which is between 0 and 1."""
    log_choose = math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
    return math.exp(log_choose + i * math.log(1 - quantile) + (n - i) * math.log(quantile))


def least_values(quantile: float = QUANTILE, confidence: float = CONFIDENCE) -> int:
    """How many values order statistics need."""
    return math.ceil(math.log(1 - confidence) / math.log(quantile))


def gamma_quantile(k: int, share: float) -> float:
    """x with P(Gamma(k, 1) <= x) = share, for whole k: 1 - P(Poisson(x) < k). By bisection."""
    low, high = 0.0, k + 10.0 * math.sqrt(k) + 50.0
    for _ in range(200):
        middle = (low + high) / 2
        term = total = math.exp(-middle)
        for i in range(1, k):
            term *= middle / i
            total += term
        if 1 - total < share:
            low = middle
        else:
            high = middle
    return high
