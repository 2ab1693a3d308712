# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Stopwatches at the seams of the live server, and sockets that are none: the parts of `overhead_rig.py`.

Each stamped class is the real one with its times noted as work passes; nothing is done differently.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Final

import numpy as np

from anacrusis.engine.cycle import F32, Step
from anacrusis.engine.engine import Engine
from anacrusis.server.assembler import ReadyStep
from anacrusis.server.sender import Reply, Sender
from anacrusis.server.wire.sockets import open_receiver, open_sender
from anacrusis.server.work import Work
from anacrusis.server.worker import Worker

LIMIT_S: Final = 30.0  # only for failures

Span = tuple[float, float]  # wall and on-CPU seconds
Spans = dict[str, Span]


class Stopwatch:
    """Of one thread at a time."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def read(self) -> Span:
        return time.perf_counter() - self._wall, time.thread_time() - self._cpu


class Seams:
    """What the stamped parts of one step leave: written by the engine and sending threads, read when `done` is set."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.put_s = self.submit_s = self.sent_s = 0.0
        self.step_wall: tuple[float, float] = (0.0, 0.0)  # engine.step entered, left
        self.engine_cpu: tuple[float, float, float] = (0.0, 0.0, 0.0)  # ..., submit returned
        self.sender_cpu_s = 0.0
        self.host_s = 0.0

    def spans(self, engine_before_s: float, sender_before_s: float) -> Spans:
        """before: the threads' own times when their previous step ended, so that waking up is counted."""
        entered, left = self.step_wall
        cpu_entered, cpu_left, cpu_submitted = self.engine_cpu
        return {
            "engine: to step": (entered - self.put_s, cpu_entered - engine_before_s),
            "cycle host": (self.host_s, cpu_left - cpu_entered),
            "engine: to submit": (self.submit_s - left, cpu_submitted - cpu_left),
            "send: build": (self.sent_s - self.submit_s, self.sender_cpu_s - sender_before_s),
        }


class StampedEngine(Engine):
    seams: Seams

    def step(self, context: F32) -> Step:
        entered, cpu_entered = time.perf_counter(), time.thread_time()
        result = super().step(context)
        self.seams.host_s = result.times.host_ms / 1e3
        cpu_left = time.thread_time()
        self.seams.engine_cpu = (cpu_entered, cpu_left, cpu_left)
        self.seams.step_wall = (entered, time.perf_counter())
        return result


class StampedWorker(Worker):
    seams: Seams

    def put(self, work: Work) -> None:
        if isinstance(work, ReadyStep):
            self.seams.put_s = time.perf_counter()
        super().put(work)


class StampedSender(Sender):
    seams: Seams

    def submit(self, reply: Reply) -> None:
        seams, on_sent = self.seams, reply.on_sent
        cpu_entered, cpu_left, _ = seams.engine_cpu
        seams.engine_cpu = (cpu_entered, cpu_left, time.thread_time())

        def stamped(complete: bool) -> None:
            on_sent(complete)  # accounts and sends the status message
            seams.sender_cpu_s, seams.sent_s = time.thread_time(), time.perf_counter()
            seams.done.set()

        seams.submit_s = time.perf_counter()
        super().submit(replace(reply, on_sent=stamped))


class Outbox:
    """What the sender needs of a socket."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendto(self, data: bytes, target: tuple[str, int]) -> int:
        self.sent.append(data)
        return len(data)

    def take(self) -> list[bytes]:
        out, self.sent = self.sent, []
        return out


class Loopback:
    """A socket that sends and one that receives, in turns, so that no buffer of any size overflows."""

    def __init__(self) -> None:
        self._in, self._out = open_receiver("127.0.0.1", 0), open_sender()
        self._in.settimeout(LIMIT_S)
        self._to = self._in.getsockname()
        self._buffer = memoryview(bytearray(65_536))

    def pass_on(self, datagrams: list[bytes]) -> tuple[Span, Span]:
        """What sending them all took, and what receiving them all took."""
        sums = np.zeros((2, 2))
        watch = Stopwatch()
        for data in datagrams:
            watch.restart()
            self._out.sendto(data, self._to)
            sums[0] += watch.read()
            watch.restart()
            self._in.settimeout(LIMIT_S)  # both ends set it each time
            self._in.recvfrom_into(self._buffer)
            sums[1] += watch.read()
        (sent, sent_cpu), (received, received_cpu) = sums.tolist()
        return (sent, sent_cpu), (received, received_cpu)

    def close(self) -> None:
        self._in.close()
        self._out.close()


def add(a: Span, b: Span) -> Span:
    return a[0] + b[0], a[1] + b[1]
