# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The pacing decision: what it does with a load, as a table and as properties. No clock, no server."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from anacrusis.engine.window import Geometry
from anacrusis.server.pacing import NEAR, ROOM, Chosen, Decision, Limits, Seen, State, StepCost, decide

FRAME, RATE, FADE = 4096, 44_100, 882
GEOMETRY = Geometry(FRAME, 64, 1536, 1536)
LIMITS = Limits(GEOMETRY, RATE, FADE)
FRAME_S = FRAME / RATE

paces = st.tuples(st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 24)).map(lambda p: pace(*p))
seconds = st.floats(0.001, 3.0)


def pace(step: float, lead: float) -> Chosen:
    return Chosen(int(step * FRAME), int(lead * FRAME))


def frames(chosen: Chosen) -> tuple[float, float]:
    return chosen.step_samples / FRAME, chosen.lead_samples / FRAME


def spare_s(chosen: Chosen) -> float:
    """What a reply may take."""
    return (chosen.lead_samples - FADE) / RATE


class Song:
    """A client that follows at its next trigger, and cycles that take what they are told."""

    def __init__(self, asked: Chosen, limits: Limits = LIMITS) -> None:
        self.asked, self.limits = asked, limits
        self.at, self.step, self.end = 0, asked.step_samples, asked.step_samples + asked.lead_samples
        self.state: State | None = None
        self.decision = Decision(asked, "")
        self.late = 0
        self.heard: list[tuple[int, Chosen]] = [(0, asked)]

    def play(self, cycle_s: float, sending_s: float = 0.0) -> Chosen:
        """One step; what was decided after it."""
        self.at += self.step
        late = cycle_s + sending_s > (self.end - FADE - self.at) / RATE  # the reply begins where the last one ended
        self.late += late
        chosen = self.decision.chosen
        self.end = max(self.at + chosen.step_samples + chosen.lead_samples, self.end + 1)
        played = Chosen(self.step, self.end - self.at - self.step)
        seen = Seen(self.at, played, cycle_s, self.asked, sending_s, misses=int(late))
        self.step = chosen.step_samples
        self.state, self.decision = decide(self.state, seen, self.limits)
        if self.decision.chosen != self.heard[-1][1]:
            self.heard.append((self.at, self.decision.chosen))
        return self.decision.chosen

    def for_s(self, length_s: float, load: Callable[[], float]) -> list[Chosen]:
        """Everything chosen within that time."""
        until, out = self.at + int(length_s * RATE), []
        while self.at < until:
            out.append(self.play(load()))
        return out


def turns(values: Sequence[int]) -> int:
    """How often a series changes its direction."""
    ways = [b > a for a, b in pairwise(values) if a != b]
    return sum(a != b for a, b in pairwise(ways))


# -- one load ---------------------------------------------------------------------------------------------------

LOADS: list[tuple[str, tuple[float, float], list[float], tuple[float, float]]] = [
    # asked (step, lead) in frames, cycles in frames' time -> (step, lead) in frames
    ("well within", (16, 4), [2.0] * 9, (16, 4)),
    ("just within", (16, 4), [3.4] * 9, (16, 4)),
    ("one is near the lead", (16, 4), [2.0, 2.0, 3.7], (16, 6)),
    ("one is beyond the lead", (16, 4), [2.0, 2.0, 9.0], (16, 13)),
    ("one is beyond the step: no trend", (2, 4), [1.0, 1.0, 3.7], (2, 6)),
    ("two are beyond the step", (2, 8), [3.0, 3.0], (8, 8)),
    ("they need a longer lead and a longer step", (2, 4), [1.0, 1.0, 5.0, 5.0], (8, 8)),
    ("a long step and all that is left for its lead", (16, 4), [22.0, 22.0], (32, 30)),
    ("nothing is enough", (16, 4), [500.0] * 9, (16, 46)),
    ("a lead that is no frame's stays until it is too short", (16, 4.3), [2.0] * 9, (16, 4.3)),
    ("and then grows to whole frames", (16, 4.3), [4.0], (16, 6)),
    ("no lead has no deadline", (16, 0), [9.0] * 5, (16, 0)),
    ("nor has a step behind", (16, -16), [9.0] * 5, (16, -16)),
]


@pytest.mark.parametrize(("why", "asked", "cycles", "expected"), LOADS, ids=[load[0] for load in LOADS])
def test_what_a_load_leads_to(
    why: str, asked: tuple[float, float], cycles: list[float], expected: tuple[float, float]
) -> None:
    song = Song(pace(*asked))
    for cycle in cycles:
        song.play(cycle * FRAME_S)
    assert frames(song.decision.chosen) == pytest.approx(expected, abs=1e-3)
    assert song.decision.text


def test_sending_and_jitter_count_as_a_cycle_does() -> None:
    for seen in (
        Seen(FRAME, pace(8, 4), 0.2, pace(8, 4)),
        Seen(FRAME, pace(8, 4), 0.1, pace(8, 4), 0.1),
        Seen(FRAME, pace(8, 4), 0.1, pace(8, 4), 0.05, 0.05),
    ):
        state = None
        for extra in (0.0, 0.2):
            more = Seen(seen.at_samples, seen.played, seen.cycle_s + extra, seen.asked, seen.sending_s, seen.jitter_s)
            state, decision = decide(state, more, LIMITS)
        assert frames(decision.chosen) == (8, 7)


def test_a_miss_that_no_cycle_explains_is_a_frame_more() -> None:
    asked = pace(8, 4)
    state, at, now = None, 0, asked
    chosen = []
    for misses in (0, 0, 0, 1, 1, 1, 1, 1):
        at += 8 * FRAME
        state, decision = decide(state, Seen(at, now, 0.05, asked, misses=misses), LIMITS)
        now = decision.chosen
        chosen.append(now.lead_samples // FRAME)
    assert chosen == [4, 4, 4, 5, 5, 5, 5, 6]  # the steps that were on their way do not count


def test_another_wish_begins_anew() -> None:
    song = Song(pace(8, 2))
    song.for_s(3, lambda: 0.4)
    assert song.decision.chosen != pace(8, 2)
    _, decision = decide(song.state, Seen(song.at, pace(4, 6), 0.1, pace(4, 6)), LIMITS)
    assert decision.chosen == pace(4, 6)


def test_the_longest_lead_may_be_set() -> None:
    song = Song(pace(8, 2), Limits(GEOMETRY, RATE, FADE, most_lead_samples=6 * FRAME + 100))
    song.for_s(3, lambda: 2.0)
    assert frames(song.decision.chosen) == (8, 6)


def test_a_rung_that_decodes_little_grows_in_parts() -> None:
    song = Song(pace(8, 2), Limits(GEOMETRY, RATE, FADE, longest_reply_samples=9 * FRAME))
    leads = [chosen.lead_samples // FRAME for chosen in song.for_s(6, lambda: 0.6)]
    assert leads[:6] == [3, 4, 5, 6, 7, 8]  # where .6 s fit
    assert leads[-1] == 8


def test_what_steps_cost_is_used_where_it_is_known() -> None:
    costs = (StepCost(2 * FRAME, 0.15), StepCost(4 * FRAME, 0.3), StepCost(16 * FRAME, 0.6))
    song = Song(pace(2, 12), Limits(GEOMETRY, RATE, FADE, steps=costs))
    song.play(0.2)
    assert song.play(0.2).step_samples == 16 * FRAME  # at 4 frames it would be .4 s


# -- properties -------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(paces, seconds)
def test_a_constant_load_ends_in_one_pace(asked: Chosen, load: float) -> None:
    song = Song(asked)
    chosen = song.for_s(60, lambda: load)
    assert len(set(chosen[len(chosen) // 2 :])) == 1
    assert turns([c.step_samples for c in chosen]) == 0
    assert turns([c.lead_samples + c.step_samples for c in chosen]) == 0


@settings(max_examples=15, deadline=None)
@given(paces, st.floats(0.001, 1.6), st.integers(0, 99))
@example(pace(1, 20), 1.59375, 28)
def test_a_load_that_varies_a_little_does_too(asked: Chosen, load: float, seed: int) -> None:
    """By 11 % either way: up, down as far as the longest cycles allow, and at most once more, where what was asked for
    is tried again or the step is just not enough.
    """
    assert ROOM / NEAR > 1.11 / 0.89
    rng = random.Random(seed)
    chosen = Song(asked).for_s(90, lambda: load * rng.uniform(0.89, 1.11))
    ahead = [c.step_samples + c.lead_samples for c in chosen]
    assert turns(ahead) <= 3


@settings(max_examples=40, deadline=None)
@given(paces, seconds, seconds)
def test_one_slow_cycle_is_covered_by_one_decision(asked: Chosen, usual: float, slow: float) -> None:
    song = Song(asked)
    song.for_s(6, lambda: usual)
    before = song.decision.chosen
    after = song.play(slow)
    covered = spare_s(after) >= slow
    assert covered or after.lead_samples == LIMITS.most_lead(after.step_samples)
    if slow <= usual:
        assert after == before or after.lead_samples <= before.lead_samples


@settings(max_examples=25, deadline=None)
@given(paces, st.floats(0.01, 1.0))
def test_a_lasting_load_makes_at_most_two_steps_late(asked: Chosen, slow: float) -> None:
    """Where it is not longer than a step: the first slow one, and the one that was on its way."""
    assume(slow * NEAR * RATE < asked.step_samples)
    song = Song(asked)
    song.for_s(5, lambda: 0.5 * spare_s(asked))
    song.for_s(20, lambda: slow)
    assert song.late <= 2


@settings(max_examples=25, deadline=None)
@given(paces, seconds, st.floats(0.0, 0.83, allow_subnormal=False))
def test_it_is_back_within_30_s_of_calm(asked: Chosen, load: float, calm: float) -> None:
    song = Song(asked)
    song.for_s(8, lambda: load)
    quiet = calm * min(spare_s(asked), asked.step_samples / RATE)
    song.for_s(30 - asked.step_samples / RATE, lambda: quiet)
    assert song.decision.chosen == asked
    leads = [chosen.lead_samples for _, chosen in song.heard]
    down = leads[leads.index(max(leads)) :]
    assert down == sorted(down, reverse=True)


@settings(max_examples=40, deadline=None)
@given(paces, st.lists(seconds, min_size=1, max_size=30), st.integers(1, 62), st.sampled_from([None, 12 * FRAME]))
@example(pace(1, 1), [3.0] * 30, 62, None)
def test_never_what_the_window_cannot_hold(
    asked: Chosen, cycles: list[float], window: int, longest: int | None
) -> None:
    limits = Limits(
        Geometry(FRAME, window + 2, 1536, 1536), RATE, FADE, longest_reply_samples=longest and max(longest, 16 * FRAME)
    )
    assume(limits.serves(asked))
    song = Song(asked, limits)
    held = asked
    for cycle in cycles:
        chosen = song.play(cycle)
        assert limits.serves(chosen)
        assert chosen.lead_samples >= asked.lead_samples
        assert chosen.step_samples >= asked.step_samples
        assert chosen.lead_samples % FRAME == 0 or chosen.lead_samples == asked.lead_samples
        reply = chosen.step_samples + chosen.lead_samples - held.lead_samples
        assert limits.longest_reply_samples is None or reply <= limits.longest_reply_samples
        assert (
            held.lead_samples - chosen.lead_samples <= max(held.step_samples, FRAME)
            or chosen.step_samples > held.step_samples
        )
        held = chosen


@settings(max_examples=40, deadline=None)
@given(paces, st.lists(seconds, min_size=1, max_size=20), st.floats(1.0, 4.0))
def test_more_load_never_gives_less(asked: Chosen, cycles: list[float], more: float) -> None:
    """From the same state, as long as any pace carries it: the longer a cycle, the more is played ahead."""
    song = Song(asked)
    for cycle in cycles:
        song.play(cycle)
    assert song.state is not None
    at = song.at + song.step
    low, high = (
        decide(song.state, Seen(at, song.decision.chosen, cycles[-1] * times, asked), LIMITS)[1].chosen
        for times in (1.0, more)
    )
    assume(spare_s(high) >= cycles[-1] * more and high.step_samples / RATE >= cycles[-1] * more)
    assert high.step_samples >= low.step_samples
    assert high.lead_samples >= low.lead_samples or high.step_samples > low.step_samples


def test_two_bursts_within_a_minute_make_it_wary() -> None:
    """What was asked for has little room: after the second time it is come back to only where there is more."""
    asked = pace(8, 4)
    tight = spare_s(asked) / 1.3  # between the two margins
    song = Song(asked)
    for _ in range(2):
        song.for_s(3, lambda: 2 * tight)
        back = song.for_s(30, lambda: tight)
    assert back[-1] != asked
    assert song.for_s(60, lambda: tight)[-1] == back[-1]
    assert song.for_s(40, lambda: 0.5 * tight)[-1] == asked


def test_steps_that_cost_more_than_was_measured_do_not_swing() -> None:
    """The costs say that a short step takes half; it takes the same."""
    costs = (StepCost(FRAME, 0.05), StepCost(2 * FRAME, 0.1), StepCost(4 * FRAME, 0.1))
    song = Song(pace(1, 8), Limits(GEOMETRY, RATE, FADE, steps=costs))
    song.for_s(60, lambda: 0.1)
    changed = len(song.heard)
    song.for_s(60, lambda: 0.1)
    assert len(song.heard) == changed, song.heard
