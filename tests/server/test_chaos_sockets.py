# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The same chaos through real sockets and the relay: ANACRUSIS_CHAOS patterns (4 unless set; `verify-all` runs 500)."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from anacrusis.benchmarks.faults import Faults
from anacrusis.benchmarks.relay import Relay
from anacrusis.server.assembler import ReadyStep
from anacrusis.server.wire import messages

from .chaos import Oracle, Song
from .harness import WAIT_S, Live, batch

COUNT = int(os.environ.get("ANACRUSIS_CHAOS", "4"))


def draw(rng: random.Random) -> Song:
    """Steps of 93 or 186 ms, played in their own time: ids are the clock, and faster ones would be no client's."""
    return Song(
        window=rng.choice((262144, 264600)),
        r=rng.choice((1 / 32, 1 / 64)),
        w=rng.choice((-1, 0, 1)),
        package=rng.choice((288, 1470, 4410)),
        first_id=1,
        steps=rng.randrange(4, 9),
        unplugged=(rng.randrange(8), rng.randrange(3)),
        faults=Faults(
            seed=rng.randrange(2**20),
            loss=rng.choice((0.0, 0.05, 0.3)),
            burst_datagrams=rng.choice((1.0, 4.0)),
            duplicate=rng.choice((0.0, 0.2)),
            reorder=rng.choice((0.0, 0.2)),
            delay_ms=rng.choice((0.0, 20.0)),
            jitter_ms=rng.choice((0.0, 3.0, 60.0)),
        ),
        window_known=True,
    )


@pytest.mark.parametrize("seed", range(COUNT))
def test_chaos_over_sockets(live: Callable[..., Live], seed: int) -> None:
    song = draw(random.Random(seed))
    running = live(windows=(song.window,), ramp=1e-6).load()
    session, worker = running.server.session, running.server.worker
    running.peer.send(messages.update_r(song.r), messages.update_w(song.w))
    running.peer.echo()
    steps: list[ReadyStep] = []
    oracle = Oracle(song, steps, lambda: session.assembler.reason)
    failures: list[BaseException] = []
    read, put = session.datagram, worker.put

    def watch(data: bytes, source: Any, t_s: float) -> None:
        """On the receiving thread, where the oracle sees what the assembler sees, in its order."""
        try:
            oracle.look()
            if data.startswith(b"/context"):
                oracle.arrive(t_s, messages.read_context(data))
            read(data, source, t_s)
            oracle.look()
        except AssertionError as error:
            failures.append(error)

    def note(work: Any) -> None:
        if isinstance(work, ReadyStep):
            steps.append(work)
        put(work)

    session.datagram, worker.put = watch, note  # type: ignore[method-assign]
    begin, length = song.unplugged
    relay = Relay(("127.0.0.1", 0), ("127.0.0.1", 0), running.server.address, ("127.0.0.1", running.peer.port))
    with relay:
        relay.change(up=song.faults)
        direct, running.peer.server = running.peer.server, relay.listen_address
        for k in range(song.steps):
            if not begin <= k < begin + length:
                running.peer.send(*batch(song.first_id + k, song.audio(song.first_id + k), song.package))
            time.sleep(song.step_samples / 44100)
        deadline = time.monotonic() + WAIT_S
        while relay.counts().up.in_flight or session.assembler.next_deadline_s() is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        running.peer.server = direct
    running.settle()
    assert not failures, failures[0]
    counters = running.server.counters
    oracle.finish(counters.steps, counters.concealed_context_samples)
    assert counters.failed == 0
    # Every step has one fate.
    assert counters.answered + counters.dropped + counters.abandoned == len(steps)
