# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Ten thousand datagrams that are not what they should be: the server lives, nothing changes, the next is answered.

ANACRUSIS_FUZZ sets another number; `scripts/verify-all` runs a million.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import numpy as np

from anacrusis.engine.bundle import Bundle
from anacrusis.server.wire import extension, messages, osc

from .harness import LOAD_SEQUENCE, Desk, Live, batch, constant

COUNT = int(os.environ.get("ANACRUSIS_FUZZ", "10000"))
QUARTER = batch(5, constant(0.1))

# Whatever a mutated copy of these says can be told from what they said; /reset and /load_model are left out, since
# a mutation of their padding is still a command.
SEEDS = [
    QUARTER[0],
    QUARTER[14],
    messages.update_r(0.25),
    messages.update_w(1.0),
    messages.update_fade(0.02),
    messages.update_package_size(4410),
    messages.predict_instruments([1, 0, 0, 0]),
    messages.packet_test(np.zeros(3, np.float32)),
    osc.encode_bundle(messages.update_r(0.25)),
    extension.StepPosition(5, 1000, 65536, 4096).encode(),
    extension.ClientHello(1, 0, "").encode(),
]


def noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 3, 4, 12, 40, 400, 4000)))


def cut(rng: random.Random) -> bytes:
    """Shorter by no multiple of a word, so that no valid message is left."""
    data = rng.choice(SEEDS)
    return data[: 4 * rng.randrange(len(data) // 4) + rng.choice((1, 2, 3))]


def wrong_tags(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(SEEDS[2:7]))
    at = data.index(b",")
    data[at + 1] = rng.choice(b"qxZ\x01\xff[")
    return bytes(data)


def outside(rng: random.Random) -> bytes:
    """Well-formed, and impossible."""
    offset = rng.choice((-1, -(2**31), 264600, 2**31 - 1, 10**6))
    return rng.choice(
        (
            messages.context(5, offset, 15, constant(0.5, 100)),
            messages.context(5, 0, rng.choice((0, -1, -(2**31))), constant(0.5, 100)),
            messages.context(5, 0, 15, np.full(10, np.nan, np.float32)),
            messages.update_r(rng.choice((-1.0, 2.0, float("nan"), float("inf")))),
            messages.update_w(rng.uniform(1.01, 9)),
            messages.update_package_size(rng.choice((0, 127, 16385, -1))),
            extension.StepPosition(5, -1, 65536, 4096).encode(),
            extension.StepPosition(5, 65536, 0, 0).encode(),
            extension.StepPosition(5, 65536, 262144, 262144).encode(),
            extension.ClientHello(1, 70000, "").encode(),
            osc.encode("/load_model", "i", 1),
            osc.encode("/nobody", "s", "home"),
        )
    )


def wild(rng: random.Random) -> bytes:
    """One datagram of a step that cannot be next: kept aside, and never enough to begin anew."""
    number = rng.choice((-(2**31), -100, 10**6, 2**31 - 1))
    return messages.context(number, 4410 * rng.randrange(3), 15, constant(rng.random(), 4410))


def stale(rng: random.Random) -> bytes:
    return messages.context(rng.randrange(-3, 5), 4410 * rng.randrange(15), 15, constant(rng.random(), 4410))


KINDS: list[Callable[[random.Random], bytes]] = [noise, cut, wrong_tags, outside, wild, stale]


def state(desk: Desk) -> object:
    assembler = desk.session.assembler
    return desk.session.controls, assembler.epoch, assembler.newest_id, len(desk.steps), desk.target, desk.introduced


def test_malformed_datagrams_change_nothing(tiny_bundle: Bundle) -> None:
    rng = random.Random(3)
    desk = Desk(tiny_bundle).load()
    desk.send(0.0, *batch(4, constant(0.1)))
    before = state(desk)
    for n in range(COUNT):
        data = KINDS[n % len(KINDS)](rng)
        desk.send(1e-6 * n, data, port=40000 + n % 1000)
        assert state(desk) == before, data[:64]
    counters = desk.counters
    told = counters.malformed + counters.refused + counters.unknown + counters.stale + counters.aside
    assert counters.received == len(LOAD_SEQUENCE) + 15 + COUNT
    assert told == COUNT
    desk.send(1.5, *batch(5, constant(0.2)))
    step = desk.steps[-1]
    assert (step.batch, step.epoch, step.skip_samples, step.missing, step.predict) == (5, 1, 0, (), True)


def test_mutated_datagrams_never_end_the_server(tiny_bundle: Bundle) -> None:
    """Bytes changed anywhere: what is still a message may act, nothing else does, and no step is ever lost after."""
    rng = random.Random(4)
    desk = Desk(tiny_bundle).load()
    for n in range(COUNT // 4):
        data = bytearray(rng.choice([*SEEDS, messages.RESET, messages.LOAD_MODEL, messages.PREDICT, messages.PRINT]))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        desk.send(1e-6 * n, bytes(data), port=40000 + n % 1000)
    assert desk.counters.received == len(LOAD_SEQUENCE) + COUNT // 4
    desk.load().send(1.0, *batch(1, constant(0.2)))
    assert (desk.steps[-1].batch, desk.steps[-1].missing) == (1, ())


def test_strangers_are_refused_and_counted(tiny_bundle: Bundle) -> None:
    desk = Desk(tiny_bundle)
    for host in ("127.0.0.2", "10.0.0.7", "192.0.2.1"):
        desk.send(0.0, *LOAD_SEQUENCE, *batch(1, constant(0.5)), host=host)
        desk.send(0.0, extension.ClientHello(1, 0, "guess").encode(), host=host)
    assert desk.counters.strangers == 3 * (len(LOAD_SEQUENCE) + 15 + 1)
    assert (desk.works, desk.said, desk.introduced) == ([], [], False)


def test_a_thousand_of_them_over_a_real_socket(live: Callable[..., Live]) -> None:
    rng = random.Random(5)
    running = live().load()
    first = running.step(4, constant(0.5))
    for n in range(1000):
        running.peer.send(KINDS[n % len(KINDS)](rng))
        if n % 50 == 0:
            running.peer.echo()  # so that none is lost in the socket's buffer
    running.settle()
    assert running.server.counters.received >= 1000
    assert len(running.step(5, constant(0.5))) == len(first)
