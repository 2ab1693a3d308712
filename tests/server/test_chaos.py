# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a network can do to a song, on an injected clock: 500 drawn patterns of loss, duplication, delay and order.

What must hold in each: the context of a step is bit for bit what was sent wherever a datagram came in time, missing
spans are counted exactly, no step is predicted twice, and time never slips.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from anacrusis.benchmarks.faults import Faults
from anacrusis.engine.bundle import Bundle
from anacrusis.server.assembler import ReadyStep
from anacrusis.server.wire import messages

from .chaos import Oracle, Song, events
from .harness import Desk

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


def check(song: Song, desk: Desk) -> None:
    desk.load(messages.update_r(song.r), messages.update_w(song.w))
    steps: list[ReadyStep] = []
    oracle = Oracle(song, steps, lambda: desk.session.assembler.reason)
    for t, data in events(song):
        desk.wait(t)
        steps[:] = desk.steps
        oracle.look()
        oracle.arrive(t, messages.read_context(data))
        desk.send(t, data, port=40000 + messages.read_context(data).batch % 1000)
        steps[:] = desk.steps
        oracle.look()
    desk.wait(1e9)
    steps[:] = desk.steps
    oracle.finish(desk.counters.steps, desk.counters.concealed_context_samples)


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
