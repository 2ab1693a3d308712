# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What faults do to datagrams: properties over arrival times, no clock and no socket."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.benchmarks.faults import NO_FAULTS, SHAPES, Counts, Faults, FaultsError, Link

pytestmark = pytest.mark.usefixtures("subnormals")

FRACTIONS = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1, allow_subnormal=False))
DELAYS_MS = st.one_of(st.just(0.0), st.floats(0, 200, allow_subnormal=False))
# (gap before it in seconds, size in bytes)
ARRIVALS = st.lists(st.tuples(st.sampled_from([0.0, 1e-4, 0.01, 0.3]), st.integers(0, 400)), max_size=60)


@st.composite
def any_faults(draw: st.DrawFn) -> Faults:
    return Faults(
        seed=draw(st.integers(0, 2**70)),
        loss=draw(FRACTIONS),
        burst_datagrams=draw(st.floats(1, 50)),
        duplicate=draw(FRACTIONS),
        duplicate_delay_ms=draw(DELAYS_MS),
        reorder=draw(FRACTIONS),
        reorder_delay_ms=draw(DELAYS_MS),
        delay_ms=draw(DELAYS_MS),
        jitter_ms=draw(DELAYS_MS),
        jitter_shape=draw(st.sampled_from(SHAPES)),
        rate_bytes_per_s=draw(st.none() | st.floats(100, 1e6)),
        queue_bytes=draw(st.integers(0, 5000)),
    )


def named(arrivals: list[tuple[float, int]]) -> list[tuple[float, bytes]]:
    """(arrival in seconds, data that starts with its number)."""
    t_s, out = 0.0, []
    for number, (gap_s, size_bytes) in enumerate(arrivals):
        t_s += gap_s
        out.append((t_s, number.to_bytes(2, "big") + bytes(size_bytes)))
    return out


def delivered(link: Link, arrivals: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """Offer all; then (when, what) of every delivery, one moment at a time."""
    for t_s, data in arrivals:
        link.offer(data, t_s)
    out = []
    while (due_s := link.next_due_s()) is not None:
        assert not link.due(math.nextafter(due_s, -math.inf))
        out += [(due_s, data) for data in link.due(due_s)]
    return out


@given(ARRIVALS, st.floats(0, 500, allow_subnormal=False), st.integers(0, 9))
def test_without_faults_each_arrives_once_in_order_after_the_delay(
    arrivals: list[tuple[float, int]], delay_ms: float, seed: int
) -> None:
    offered = named(arrivals)
    link = Link(Faults(delay_ms=delay_ms, seed=seed))
    assert delivered(link, offered) == [(t_s + delay_ms / 1e3, data) for t_s, data in offered]
    size_bytes = sum(len(data) for _, data in offered)
    assert link.counts == Counts(offered=len(offered), delivered=len(offered), delivered_bytes=size_bytes)


@given(any_faults(), ARRIVALS)
def test_every_datagram_is_accounted_for(faults: Faults, arrivals: list[tuple[float, int]]) -> None:
    link, received = Link(faults), 0
    for t_s, data in named(arrivals):
        received += len(link.due(t_s))
        link.offer(data, t_s)
        counts = link.counts
        fates = counts.lost + counts.queue_dropped + counts.delivered + counts.in_flight
        assert counts.offered + counts.duplicated == fates
        assert counts.delivered == received
    received += len(link.due(math.inf))
    assert link.counts.in_flight == 0
    assert link.counts.delivered == received
    assert link.counts.offered == len(arrivals)


@given(any_faults(), ARRIVALS, st.lists(st.integers(0, 3), min_size=60, max_size=60))
def test_the_fate_does_not_depend_on_when_due_is_called(
    faults: Faults, arrivals: list[tuple[float, int]], calls: list[int]
) -> None:
    offered = named(arrivals)
    often, seldom = Link(faults), Link(faults)
    received = []
    for (t_s, data), count in zip(offered, calls, strict=False):
        for _ in range(count):
            received += often.due(t_s)
        often.offer(data, t_s)
    received += often.due(math.inf)
    assert received == [data for _, data in delivered(seldom, offered)]
    assert often.counts == seldom.counts


@given(any_faults(), ARRIVALS, st.floats(0, 5, allow_subnormal=False))
def test_draws_belong_to_the_number_and_not_to_the_time(
    faults: Faults, arrivals: list[tuple[float, int]], shift_s: float
) -> None:
    faults, offered = replace(faults, rate_bytes_per_s=None), named(arrivals)
    on_time = delivered(Link(faults), offered)
    later = delivered(Link(faults), [(number * shift_s, data) for number, (_, data) in enumerate(offered)])
    assert sorted(data for _, data in on_time) == sorted(data for _, data in later)


@given(ARRIVALS, st.floats(100, 1e5), st.integers(0, 5000), any_faults())
def test_no_more_comes_out_than_the_rate_allows(
    arrivals: list[tuple[float, int]], rate: float, queue_bytes: int, faults: Faults
) -> None:
    link = Link(replace(faults, rate_bytes_per_s=rate, queue_bytes=queue_bytes))
    total = 0
    for t_s, data in delivered(link, named(arrivals)):
        total += len(data)
        assert total <= rate * t_s + len(data)


@pytest.mark.parametrize(
    ("queue_bytes", "gap_s", "delivers"),
    [(0, 0.0, 1), (99, 0.0, 1), (200, 0.0, 2), (1000, 0.0, 10), (1 << 20, 0.0, 20), (0, 0.11, 20), (150, 0.05, 11)],
)
def test_a_full_queue_drops_what_comes_last(queue_bytes: int, gap_s: float, delivers: int) -> None:
    """100 bytes each, 0.1 s each at this rate; what waits is what the bottleneck has not sent, to the byte."""
    link = Link(Faults(rate_bytes_per_s=1000.0, queue_bytes=queue_bytes))
    offered = [(number * gap_s, bytes([number]) * 100) for number in range(20)]
    received = delivered(link, offered)
    assert len(received) == delivers
    assert link.counts.queue_dropped == 20 - delivers
    if not gap_s:
        assert [data[0] for _, data in received] == list(range(delivers))
        assert [t_s for t_s, _ in received] == pytest.approx([0.1 * (n + 1) for n in range(delivers)])


def deviation(faults: Faults, datagrams: int) -> float:
    """Standard deviation of the fraction lost: binomial, widened by the chain's correlation a: (1 + a) / (1 - a)."""
    end = min(1 / faults.burst_datagrams, 1 - faults.loss)
    correlation = 1 - end - faults.loss * end / (1 - faults.loss)
    variance = faults.loss * (1 - faults.loss) / datagrams
    return math.sqrt(variance * (1 + correlation) / (1 - correlation))


@pytest.mark.parametrize(("loss", "burst"), [(0.01, 1), (0.05, 1), (0.5, 1), (0.9, 1), (0.05, 4), (0.3, 20), (0.7, 2)])
def test_as_much_is_lost_as_was_asked_for_and_in_such_runs(loss: float, burst: float) -> None:
    faults, datagrams = Faults(seed=3, loss=loss, burst_datagrams=burst), 40_000
    assert burst > 1 or deviation(faults, datagrams) == pytest.approx(math.sqrt(loss * (1 - loss) / datagrams))
    link, fates = Link(faults), ""
    for number in range(datagrams):
        link.offer(b"", float(number))
        fates += " " if link.due(math.inf) else "x"
    assert abs(link.counts.lost / datagrams - loss) < 4 * deviation(faults, datagrams)
    runs = fates.split()
    mean = max(burst, 1 / (1 - loss))  # geometric: variance is mean * (mean - 1)
    assert abs(sum(map(len, runs)) / len(runs) - mean) < 4 * math.sqrt(mean * (mean - 1) / len(runs))


@pytest.mark.parametrize(("name", "counter"), [("duplicate", "duplicated"), ("reorder", "reordered")])
@pytest.mark.parametrize("fraction", [0.0, 0.02, 0.5])
def test_as_many_are_copied_or_held_back_as_was_asked_for(name: str, counter: str, fraction: float) -> None:
    datagrams = 20_000
    link = Link(Faults(seed=5, reorder_delay_ms=1.5, **{name: fraction}))
    order = delivered(link, [(number / 1e3, number.to_bytes(2, "big")) for number in range(datagrams)])
    # Held back by 1.5 periods, one is overtaken by the next, unless the next is held back too.
    expected = fraction * (1 - fraction if name == "reorder" else 1)
    bound = 4 * math.sqrt(expected * (1 - expected) / datagrams)
    assert abs(getattr(link.counts, counter) / datagrams - expected) <= bound
    assert len(order) == datagrams + link.counts.duplicated


@pytest.mark.parametrize("shape", SHAPES)
def test_jitter_is_added_and_bounded(shape: str) -> None:
    faults = Faults(seed=1, delay_ms=20, jitter_ms=10, jitter_shape=shape)
    link, extra_ms = Link(faults), []
    for number in range(5000):
        link.offer(b"", float(number))
        due_s = link.next_due_s()
        assert due_s is not None
        extra_ms.append((due_s - number) * 1e3 - 20)
        link.due(math.inf)
    assert min(extra_ms) > -1e-6
    assert max(extra_ms) < 10 + 1e-6
    deviation_ms = {"uniform": 10 / math.sqrt(12), "normal": 2.5 * 0.8796}[shape]  # sigma cut at 2 sigma
    assert abs(sum(extra_ms) / 5000 - 5) < 4 * deviation_ms / math.sqrt(5000)
    spread_ms = math.sqrt(sum((ms - 5) ** 2 for ms in extra_ms) / 5000)
    assert spread_ms == pytest.approx(deviation_ms, rel=0.05)


def test_a_copy_follows_its_original() -> None:
    link = Link(Faults(duplicate=1, duplicate_delay_ms=3, delay_ms=2))
    assert delivered(link, [(0.0, b"a"), (0.001, b"b")]) == [(0.002, b"a"), (0.003, b"b"), (0.005, b"a"), (0.006, b"b")]
    assert link.counts.reordered == 0  # copies are not counted


def test_a_copy_needs_room_of_its_own_and_an_original_that_had_some() -> None:
    link = Link(Faults(duplicate=1, rate_bytes_per_s=1000.0, queue_bytes=250))
    assert [data for _, data in delivered(link, [(0.0, b"a" * 100), (0.0, b"b" * 100)])] == [b"a" * 100] * 2
    assert link.counts == Counts(offered=2, duplicated=1, queue_dropped=1, delivered=2, delivered_bytes=200)


def test_a_cut_loses_what_is_under_way_and_what_comes() -> None:
    link = Link(Faults(delay_ms=10, rate_bytes_per_s=100, seed=4))
    link.offer(bytes(500), 0.0)
    link.cut()
    link.offer(b"b", 1.0)
    assert link.next_due_s() is None
    link.restore()
    link.offer(b"c", 1.0)  # finds the bottleneck empty
    assert link.next_due_s() == pytest.approx(1.02)
    assert link.due(2.0) == [b"c"]
    assert link.counts == Counts(offered=3, lost=2, delivered=1, delivered_bytes=1)


@given(any_faults(), any_faults(), ARRIVALS)
@settings(max_examples=50)
def test_another_seed_starts_anew_and_the_same_goes_on(
    before: Faults, after: Faults, arrivals: list[tuple[float, int]]
) -> None:
    half = len(arrivals) // 2
    offered = named(arrivals)

    def fates(faults: Faults, change_to: Faults | None) -> list[bool]:
        link, out = Link(faults), []
        for number, (t_s, data) in enumerate(offered):
            if change_to and number == half:
                link.change(change_to)
            lost = link.counts.lost
            link.offer(data, t_s)
            out.append(link.counts.lost > lost)
        return out

    before, after = replace(before, burst_datagrams=1.0), replace(after, burst_datagrams=1.0)  # no memory
    fresh = Link(after)
    assert fates(before, None) == fates(before, replace(before, delay_ms=7.0))
    if after.seed != before.seed:
        want = []
        for t_s, data in offered[half:]:
            lost = fresh.counts.lost
            fresh.offer(data, t_s)
            want.append(fresh.counts.lost > lost)
        assert fates(before, after)[half:] == want


def test_no_loss_asked_for_ends_a_run_of_losses() -> None:
    link = Link(Faults(loss=1, burst_datagrams=50))
    link.offer(b"a", 0.0)
    link.change(Faults(burst_datagrams=50))
    link.offer(b"b", 0.0)
    assert link.due(0.0) == [b"b"]


def test_time_does_not_run_backwards() -> None:
    link = Link()
    link.offer(b"", 2.0)
    for wrong in (1.0, math.nan):
        with pytest.raises(FaultsError, match="in their order"):
            link.offer(b"", wrong)


@given(any_faults())
def test_text_round_trip(faults: Faults) -> None:
    assert Faults.parse(str(faults.validate())) == faults


def test_bad_faults_make_no_link_and_change_none() -> None:
    with pytest.raises(FaultsError):
        Link(Faults(loss=2))
    link = Link()
    with pytest.raises(FaultsError):
        link.change(Faults(loss=2))
    assert link.faults == NO_FAULTS
