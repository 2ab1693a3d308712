# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a network can do to a song, on an injected clock: 500 drawn patterns of loss, duplication, delay and order.

What must hold in each: the context of a step is bit for bit what was sent wherever a datagram came in time, missing
spans are counted exactly, no step is predicted twice, and time never slips.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from anacrusis.benchmarks.faults import Faults, Link
from anacrusis.engine.bundle import Bundle
from anacrusis.server.assembler import ReadyStep
from anacrusis.server.wire import messages

from .harness import Desk, batch

RATE_HZ = 44100


@dataclass(frozen=True)
class Song:
    """What the client does, and its network. unplugged: first step of which nothing is sent, and how many more."""

    window: int
    r: float
    w: int
    package: int
    first_id: int
    steps: int
    unplugged: tuple[int, int]
    faults: Faults
    window_known: bool

    @property
    def step_samples(self) -> int:
        return int(self.window * self.r)

    def audio(self, number: int) -> np.ndarray:
        return np.random.default_rng(number % 2**32).uniform(-1, 1, self.step_samples).astype(np.float32)


songs = st.builds(
    Song,
    window=st.sampled_from([262144, 264600]),
    r=st.sampled_from([0.25, 0.125, 0.1, 0.0625, 1 / 64]),
    w=st.sampled_from([-1, 0, 1]),
    package=st.sampled_from([1470, 4410, 13095]),
    first_id=st.sampled_from([1, 2, 1000, -3]),
    steps=st.integers(3, 9),
    unplugged=st.tuples(st.integers(0, 8), st.integers(0, 3)),
    faults=st.builds(
        Faults,
        seed=st.integers(0, 2**20),
        loss=st.sampled_from([0.0, 0.02, 0.1, 0.4]),
        burst_datagrams=st.sampled_from([1.0, 5.0]),
        duplicate=st.sampled_from([0.0, 0.2]),
        reorder=st.sampled_from([0.0, 0.2]),
        reorder_delay_ms=st.sampled_from([10.0, 150.0]),
        delay_ms=st.sampled_from([0.0, 30.0]),
        jitter_ms=st.sampled_from([0.0, 5.0, 120.0]),
    ),
    window_known=st.booleans(),
)


def events(song: Song) -> list[tuple[float, bytes]]:
    """(arrival, datagram), as the link delivers them; step k is sent when the playhead reaches its end."""
    link, arrivals = Link(song.faults), []
    begin, length = song.unplugged
    step_s = song.step_samples / RATE_HZ
    for k in range(song.steps):
        t = 1.0 + (k + 1) * step_s
        arrivals += [(due, data) for due in _dues(link, t) for data in link.due(due)]
        if not begin <= k < begin + length:
            for i, data in enumerate(batch(song.first_id + k, song.audio(song.first_id + k), song.package)):
                link.offer(data, t + 1e-4 * i)
    arrivals += [(due, data) for due in _dues(link, 1e9) for data in link.due(due)]
    return arrivals


def _dues(link: Link, until_s: float):
    while (due := link.next_due_s()) is not None and due <= until_s:
        yield due


class Oracle:
    """What each step must hold, from what had come when it was handed over."""

    def __init__(self, song: Song, desk: Desk) -> None:
        self.song, self.desk = song, desk
        self.arrived: dict[int, list[messages.AudioMessage]] = {}
        self.checked, self.concealed, self.epoch = 0, 0, 1
        self.previous: int | None = None
        self.longest_gap_s, self.heard_s = 0.0, math.inf

    def arrive(self, t_s: float, message: messages.AudioMessage) -> None:
        self.longest_gap_s = max(self.longest_gap_s, t_s - self.heard_s)
        self.heard_s = t_s
        self.arrived.setdefault(message.batch, []).append(message)

    def look(self) -> None:
        for step in self.desk.steps[self.checked :]:
            self.checked += 1
            self._step(step)

    def _step(self, step: ReadyStep) -> None:
        s = self.song.step_samples
        expected, have = np.zeros(s, np.float32), np.zeros(s, bool)
        for message in self.arrived.get(step.batch, []):
            span = slice(message.index, message.index + message.audio.shape[0])
            expected[span], have[span] = message.audio, True
        if step.epoch != self.epoch:
            reason = self.desk.session.assembler.reason
            # After five seconds of silence, or where T was learned from a later step than the first.
            assert self.longest_gap_s > 5.0 if reason == "silence" else not self.song.window_known
            self.epoch, self.previous = step.epoch, None
        length = step.audio.shape[0]
        assert length == s or (not self.song.window_known and not have.all())
        n = min(length, s)
        np.testing.assert_array_equal(step.audio[:n], expected[:n])
        assert sum(missing for _, missing in step.missing) == length - have[:n].sum()
        assert not any(have[at : at + missing].any() for at, missing in step.missing)
        self.concealed += length - int(have[:n].sum())
        if self.previous is not None:  # ids are the clock
            assert step.batch > self.previous
            assert step.skip_samples == (step.batch - self.previous - 1) * step.step_samples
        self.previous = step.batch


def check(song: Song, desk: Desk) -> None:
    desk.load(messages.update_r(song.r), messages.update_w(song.w))
    oracle = Oracle(song, desk)
    for t, data in events(song):
        desk.wait(t)
        oracle.look()
        message = messages.read_context(data)
        oracle.arrive(t, message)
        desk.send(t, data, port=40000 + message.batch % 1000)
        oracle.look()
    desk.wait(1e9)
    oracle.look()
    predicted = [step.batch for step in desk.steps if step.predict]
    assert len(predicted) == len(set(predicted))
    assert desk.counters.concealed_context_samples == oracle.concealed
    assert {step.batch for step in desk.steps} <= set(oracle.arrived)
    if song.window_known:
        assert bool(desk.steps) is bool(oracle.arrived)
        assert all(step.batch == max(oracle.arrived) for step in desk.steps[-1:])


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(song=songs)
def test_chaos_on_an_injected_clock(tiny_bundle: Bundle, song: Song) -> None:
    note(str(song))
    check(song, Desk(tiny_bundle, windows=(song.window,) if song.window_known else ()))


@pytest.mark.parametrize("known", [True, False])
def test_a_perfect_link_loses_nothing(tiny_bundle: Bundle, known: bool) -> None:
    song = Song(262144, 0.25, 1, 4410, 1, 6, (9, 0), Faults(), known)
    desk = Desk(tiny_bundle, windows=(262144,) if known else ())
    check(song, desk)
    assert [(s.batch, s.missing, s.predict) for s in desk.steps] == [(n, (), True) for n in range(1, 7)]
