# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Means, intervals, verdicts and FAD of the ear: their algebra, and what is said of a judge that cannot judge."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.benchmarks import music_fad
from anacrusis.benchmarks.music_clips import MusicError, derangement
from anacrusis.benchmarks.music_hear import Measure
from anacrusis.benchmarks.music_report import Row, above_floor, cell, missed
from anacrusis.benchmarks.music_statistics import (
    NOTHING,
    Interval,
    bootstrap,
    difference,
    mean,
    normalised,
    told,
    verdict,
)

# Thousandths, not floats: a network loaded in this process may have switched the smallest floats off.
SCORES = st.lists(st.integers(-5000, 5000).map(lambda n: n / 1000), min_size=2, max_size=12)
SHIFT = st.integers(-3000, 3000).map(lambda n: n / 1000)


@given(count=st.integers(2, 60), seed=st.integers(0, 2**32 - 1))
def test_a_derangement_leaves_nothing_in_its_place(count: int, seed: int) -> None:
    order = derangement(count, seed)
    assert sorted(order.tolist()) == list(range(count))
    assert not (order == np.arange(count)).any()
    assert (order == derangement(count, seed)).all()


def test_one_song_cannot_be_exchanged() -> None:
    with pytest.raises(MusicError, match="at least 2"):
        derangement(1, 0)


@settings(max_examples=25, deadline=None)
@given(scores=SCORES, shift=SHIFT)
def test_an_interval_holds_its_mean_and_moves_with_it(scores: list[float], shift: float) -> None:
    here, there = mean(scores), mean(np.add(scores, shift))
    assert here.low - 1e-9 <= here.value <= here.high + 1e-9
    assert min(scores) - 1e-9 <= here.low <= here.high <= max(scores) + 1e-9
    assert there.low == pytest.approx(here.low + shift, abs=1e-6)
    assert mean(scores) == here


@settings(max_examples=25, deadline=None)
@given(scores=SCORES)
def test_a_difference_is_paired_and_turns_its_sign(scores: list[float]) -> None:
    other = np.linspace(0, 1, len(scores))
    shifted = difference(np.add(scores, 0.5), scores)  # the same songs: no spread at all
    assert (shifted.value, shifted.low, shifted.high) == pytest.approx((0.5, 0.5, 0.5), abs=1e-6)
    one, back = difference(scores, other), difference(other, scores)
    assert (one.value, one.low, one.high) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(scores=SCORES, scale=st.integers(1, 8).map(lambda n: n / 2), shift=SHIFT)
def test_normalised_is_one_at_the_ceiling_and_zero_at_the_floor(
    scores: list[float], scale: float, shift: float
) -> None:
    floor = np.array(scores)
    ceiling = floor + 1 + np.linspace(0, 1, len(scores))
    assert normalised(ceiling, floor, ceiling).value == pytest.approx(1)
    assert normalised(floor, floor, ceiling).high == pytest.approx(0, abs=1e-9)
    half = (floor + ceiling) / 2
    here = normalised(half, floor, ceiling)
    there = normalised(scale * half + shift, scale * floor + shift, scale * ceiling + shift)
    assert here.value == pytest.approx(0.5)
    assert (there.value, there.low, there.high) == pytest.approx((here.value, here.low, here.high), abs=1e-4)


def test_a_song_without_a_score_is_left_out_of_every_mean_it_would_enter() -> None:
    with_gap, other = [1.0, math.nan, 3.0], [0.0, 100.0, 1.0]
    assert mean(with_gap).songs == 2
    assert difference(with_gap, other) == difference([1.0, 3.0], [0.0, 1.0])
    assert mean([math.nan]) == NOTHING
    assert mean([2.0]).value == 2.0
    assert math.isnan(mean([2.0]).low)


def test_intervals_cover_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    intervals = [mean(rng.normal(1.0, 1.0, 30)) for _ in range(100)]
    assert 85 <= sum(i.low <= 1.0 <= i.high for i in intervals) <= 99


@pytest.mark.parametrize(
    ("low", "high", "sign", "says"),
    [
        (0.1, 0.3, 1, "tells"),
        (-0.1, 0.3, 1, "cannot tell"),
        (0.0, 0.3, 1, "cannot tell"),
        (-0.3, -0.1, 1, "reverses"),
        (-0.3, -0.1, -1, "tells"),
        (0.1, 0.3, -1, "reverses"),
        (math.nan, math.nan, 1, "not judged"),
    ],
)
def test_what_an_interval_says(low: float, high: float, sign: int, says: str) -> None:
    assert told(Interval(0.0, low, high, 9), sign) == says


A = np.linspace(0, 0.1, 10)
WIDE = np.array([-1.0, 1.0] * 5)


@pytest.mark.parametrize(
    ("sign", "scores", "text"),
    [
        pytest.param(
            1, {"ceiling": A + 3, "late": A + 2, "codec": A + 1, "floor": A}, "ranks all; late above codec", id="all"
        ),
        pytest.param(
            -1, {"ceiling": A, "late": A + 1, "codec": A + 2, "floor": A + 3}, "ranks all; late above codec", id="less"
        ),
        pytest.param(
            1,
            {"ceiling": A + 2, "late": A + 2, "codec": A + 1, "floor": A},
            "cannot tell late from ceiling; late above codec",
            id="deaf",
        ),
        pytest.param(
            1,
            {"ceiling": A + 3, "late": A + 1, "codec": A + 2, "floor": A},
            "ranks all; codec above late",
            id="reversed",
        ),
        pytest.param(
            1,
            {"ceiling": A + WIDE, "late": A, "codec": A, "floor": A},
            "not to be used: cannot tell floor from ceiling",
            id="no-range",
        ),
        pytest.param(
            1,
            {"ceiling": A + 3, "late": A + 1, "codec": A + 3, "floor": A},
            "ranks all; codec at the ceiling; codec above late",
            id="good-codec",
        ),
        pytest.param(1, {"ceiling": A + 2, "late": A + 1, "floor": A}, "ranks all", id="no-codec"),
        pytest.param(
            1, {"ceiling": A + 2, "late": A, "floor": A + 1}, "puts floor above late", id="no-codec-late-below-floor"
        ),
        pytest.param(
            1,
            {"ceiling": [math.nan], "late": [math.nan], "floor": [math.nan]},
            "not to be used: ceiling against floor not judged",
            id="nothing",
        ),
    ],
)
def test_the_verdict_says_what_a_judge_cannot_do(sign: int, scores: dict[str, Any], text: str) -> None:
    assert verdict("judge", "bass", sign, scores).text == text


@pytest.mark.parametrize(
    ("late", "text"),
    [
        pytest.param(A + 1, "ranks all but the ceiling, 0 by definition", id="good"),
        pytest.param(A + 9, "puts floor above late", id="late-is-worse"),
    ],
)
def test_a_ceiling_that_is_zero_by_definition_is_no_test(late: Any, text: str) -> None:
    found = verdict("off", "bass", -1, {"ceiling": 0 * A, "late": late, "floor": A + 5}, relative=True)
    assert found.text == text
    assert found.has_range
    assert [(better, worse) for better, worse, _, _ in found.pairs] == [("late", "floor")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Interval(0.8612, 0.84, 0.8799, 9), "0.861 [0.840, 0.880]"),
        (Interval(12.34, 10.0, 15.0, 9), "12.3 [10.0, 15.0]"),
        (Interval(0.5, math.nan, math.nan, 1), "0.500"),
        (NOTHING, "–"),
    ],
)
def test_a_cell(value: Interval, text: str) -> None:
    assert cell(value) == text


def test_the_statistic_gets_one_mean_a_column() -> None:
    found = bootstrap([[1.0, 2.0], [3.0, 5.0], [0.0, 0.0]], lambda a, b, c: a * b + c)
    assert found.value == 1.5 * 4.0


# -- FAD -----------------------------------------------------------------------------------------------------------


def far(embedded: Any, reference: Any) -> float:
    return float(((embedded.mean(0) - reference.mean(0)) ** 2).sum())


def clips(songs: int, shift: float, seed: int = 1) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(shift, 1.0, (6, 3)) for _ in range(songs)]


def test_fad_compares_no_song_with_itself() -> None:
    """Songs that are wholly unlike: against themselves they would be at 0."""
    truth = [np.full((2, 1), 10.0 * song) for song in range(4)]
    scores = music_fad.score({"ceiling": truth, "late": truth}, far)
    assert scores is not None
    assert scores.whole["ceiling"] == far(np.array([[0.0], [20.0]]), np.array([[10.0], [30.0]]))
    assert scores.statistic(lambda a, b: a - b, "ceiling", "late").high == 0.0


def test_fad_tells_what_is_further_away() -> None:
    embedded = {"ceiling": clips(12, 0.0), "codec": clips(12, 0.0, 2), "instrument": clips(12, 3.0, 3)}
    scores = music_fad.score(embedded, far)
    assert scores is not None
    apart = scores.statistic(lambda a, b: a - b, "ceiling", "instrument")
    assert told(apart, -1) == "tells"
    assert told(scores.statistic(lambda a, b: a - b, "ceiling", "codec"), -1) == "cannot tell"
    here = music_fad.interval(scores, "instrument")
    assert here.low < here.value < here.high
    assert music_fad.interval(music_fad.score(embedded, far), "instrument") == here


def test_fad_of_three_songs_is_not_judged() -> None:
    assert music_fad.score({"ceiling": clips(3, 0.0)}, far) is None
    assert music_fad.interval(None, "ceiling") == NOTHING


ANCHORED = {
    "ceiling": [0.9, 0.8, 0.85, 0.95],
    "late": [0.5, 0.45, 0.4, 0.5],
    "codec": [0.88, 0.8, 0.84, 0.95],
    "floor": [0.02, 0.0, -0.02, 0.01],
}


@pytest.mark.parametrize(
    ("required", "ranks", "change", "missing"),
    [
        ((), (), {}, []),
        (("bass",), ("bass",), {}, []),
        (("bass",), (), {"late": ANCHORED["ceiling"]}, []),  # deaf to late, and not asked
        (("bass",), ("bass",), {"late": ANCHORED["ceiling"]}, ["lock on bass: cannot tell late from ceiling"]),
        (("bass",), ("bass",), {"late": [-0.3, -0.2, -0.3, -0.25]}, ["lock on bass: puts floor above late"]),
        (("drums",), ("drums",), {"late": ANCHORED["ceiling"]}, []),  # another stem
        (
            ("bass",),
            (),
            {"ceiling": ANCHORED["floor"]},
            ["lock on bass: not to be used: cannot tell floor from ceiling"],
        ),
    ],
)
def test_what_the_check_finds(
    required: tuple[str, ...], ranks: tuple[str, ...], change: dict[str, list[float]], missing: list[str]
) -> None:
    scores = {name: np.array(values) for name, values in (ANCHORED | change).items()}
    row = Row(
        Measure("lock", "lock", 1, ("bass", "drums"), required, ranks),
        "bass",
        {},
        verdict("lock", "bass", 1, scores),
        {},
    )
    assert [line.split("; codec")[0] for line in missed([row])] == missing


@pytest.mark.parametrize(
    ("share", "found"),
    [
        (Interval(0.02, -0.1, 0.1, 8), 0),
        (Interval(-0.3, -0.5, -0.1, 8), 0),
        (Interval(0.3, 0.1, 0.5, 8), 1),
        (Interval(math.nan, math.nan, math.nan, 0), 0),
    ],
)
@pytest.mark.parametrize(
    ("required", "chance", "heard"),
    [
        (("bass",), None, True),
        ((), None, False),
        (("bass",), 0.05, True),  # the score itself is above chance, too
        (("bass",), 0.15, False),  # above a floor that is worse than knowing nothing, and no better than that
    ],
)
def test_what_should_know_nothing_and_does(
    share: Interval, found: int, required: tuple[str, ...], chance: float | None, heard: bool
) -> None:
    scores = {name: np.array(values) for name, values in ANCHORED.items()}
    measure = Measure("lock", "lock", 1, ("bass",), required, chance=chance)
    values = {"tiny 16:16": Interval(0.2, 0.1, 0.3, 8)}
    row = Row(measure, "bass", values, verdict("lock", "bass", 1, scores), {"tiny 16:16": share})
    assert len(above_floor([row])) == (found if heard else 0)
