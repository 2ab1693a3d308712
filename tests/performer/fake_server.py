# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A world without sockets or waiting: time that jumps to the next thing, and a server that answers with known audio."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anacrusis.server.wire import messages, osc
from anacrusis.server.wire.extension import ClientHello, ModelState, ServerHello, StepPosition, StepStatus
from anacrusis.server.wire.region import region_of

F32 = NDArray[np.float32]


def sound(first: int, length: int, stem: int = 0) -> F32:
    """What stem sounds like at samples [first, first + length): never zero, the same for every batch."""
    at = np.arange(first, first + length)
    return (0.25 + 0.1 * stem + 0.1 * np.sin(at / 50)).astype(np.float32)


def hello(model: str = "ready", **changed: object) -> ServerHello:
    values: dict[str, object] = {
        "protocol": 1,
        "version": "0",
        "rate_hz": 44100,
        "frame_samples": 4096,
        "window_samples": 262_144,
        "stems": ",".join(messages.STEMS),
        "bundle": "fake",
        "bundle_sha256": "0",
        "licence": "CC0-1.0",
        "model": model,
        "instance": 1,
    }
    return ServerHello(**{**values, **changed})  # type: ignore[arg-type]


@dataclass
class FakeServer:
    """Answers a complete batch after delay_s, where the client said it is (or, released, at w times the step).

    ours: answers hello and reads positions. route(chunks) -> what is really sent, each with its extra delay.
    """

    ours: bool = True
    delay_s: float = 0.2
    load_s: float = 0.3
    window: int = 262_144
    route: Callable[[int, list[bytes]], Iterable[tuple[float, bytes]]] = lambda batch, chunks: (
        (0.0, c) for c in chunks
    )
    up: Callable[[float], bool] = lambda now: True
    loads_itself: bool = False  # and is ready whenever it is asked
    loaded_s: float = np.inf
    loads: list[float] = field(default_factory=list)
    heard: dict[int, dict[int, F32]] = field(default_factory=dict)
    positions: dict[int, StepPosition] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    hellos: int = 0
    instance: int = 1
    package: int = 0
    r: float = 0.0
    w: float = 0.0
    fade: float = 0.0
    flags: tuple[int, ...] = ()

    def restart(self) -> bytes:
        """Everything is forgotten; returns what a server says when it has started."""
        self.loaded_s, self.package, self.flags = np.inf, 0, ()
        self.instance += 1
        return messages.READY

    def receive(self, data: bytes, now: float) -> list[tuple[float, bytes]]:
        address = osc.address_of(data)
        if address == messages.CONTEXT:
            return self._context(messages.read_context(data), now)
        message = osc.decode(data)
        if address == ClientHello.ADDRESS and self.ours:
            self.hellos += 1
            loading = self.loads and now < self.loaded_s and not self.loads_itself
            state = "loading" if loading else "ready"
            return [(0.001, hello(state, instance=self.instance).encode())]
        if address == StepPosition.ADDRESS:
            position = StepPosition.read(message)
            self.positions[position.batch] = position
        elif address == "/load_model":
            self.loads.append(now)
            self.loaded_s = now + self.load_s
            states = [(0.001, "loading"), (self.load_s, "ready")]
            return [(delay, ModelState(state, "fake").encode()) for delay, state in states] if self.ours else []
        elif address == "/predict_instruments":
            self.flags = message.arguments  # type: ignore[assignment]
        elif message.arguments and address in SETTERS:
            setattr(self, SETTERS[address], message.arguments[0])
        return []

    def _context(self, part: messages.AudioMessage, now: float) -> list[tuple[float, bytes]]:
        if now < self.loaded_s:
            return []
        batch = self.heard.setdefault(part.batch, {})
        batch[part.index] = part.audio
        position = self.positions.get(part.batch)
        step = position.step_samples if position else int(self.window * self.r)
        if sum(len(audio) for audio in batch.values()) != step or part.batch in self.answered:
            return []
        self.answered.add(part.batch)
        position = position or StepPosition(part.batch, part.batch * step, step, int(self.w * step))
        region, headroom = region_of(position), int(self.fade * 44100)
        out = []
        for stem in (i for i, flag in enumerate(self.flags) if flag):
            audio = sound(region.start_samples - headroom, region.length_samples + headroom, stem)
            chunks = list(messages.reply_datagrams(messages.STEMS[stem], part.batch, audio, self.package))
            out += [(self.delay_s + extra, chunk) for extra, chunk in self.route(part.batch, chunks)]
        if self.ours:
            status = StepStatus(part.batch, sum(self.flags), 2, 1.0, 2.0, 30.0, 4.0, 1.0, 700.0, 0, 0, 0, 0, 0)
            out.append((self.delay_s, status.encode()))
        return [*out, (self.delay_s, messages.SERVER_PREDICTED)]


SETTERS = {"/update_package_size": "package", "/update_r": "r", "/w": "w", "/update_fade": "fade"}


class World:
    """A `Transport`: nothing takes time but waiting, and waiting takes none of ours."""

    port = 8000

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.now_s = 100.0
        self.sent: list[tuple[float, bytes]] = []
        self._inbox: list[tuple[float, int, bytes]] = []
        self._order = itertools.count()

    def clock(self) -> float:
        return self.now_s

    def deliver(self, at_s: float, data: bytes) -> None:
        heapq.heappush(self._inbox, (at_s, next(self._order), data))

    def send(self, data: bytes) -> None:
        self.sent.append((self.now_s, data))
        if self.server.up(self.now_s):
            for delay_s, reply in self.server.receive(data, self.now_s):
                self.deliver(self.now_s + delay_s, reply)

    def receive(self, timeout_s: float) -> bytes | None:
        until_s = self.now_s + timeout_s
        while self._inbox and self._inbox[0][0] <= until_s:
            at_s, _, data = heapq.heappop(self._inbox)
            self.now_s = max(self.now_s, at_s)
            if self.server.up(self.now_s):
                return data
        self.now_s = until_s
        return None

    def addresses(self) -> list[str]:
        return [osc.address_of(data) for _, data in self.sent]
