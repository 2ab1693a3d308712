# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The live system in one process with a stopwatch at each seam: what `overhead.py` measures with.

    client.predict -> datagrams -> Session -> Worker (its thread) -> Engine -> Sender (its thread) -> client.receive

This thread is the client and the server's receiving thread, taking turns as they would. The seams are the ones the
parts have: `Worker.put`, `Engine.step`, `Sender.submit`, a reply's `on_sent`, and a socket that keeps what it is given.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, cast
from unittest import mock

import numpy as np

from anacrusis.benchmarks.cpu import NETWORKS_S, WaitingBackend
from anacrusis.benchmarks.overhead_seams import (
    LIMIT_S,
    Loopback,
    Outbox,
    Seams,
    Spans,
    StampedEngine,
    StampedSender,
    StampedWorker,
    Stopwatch,
    add,
)
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.cycle import Cycle
from anacrusis.engine.engine import Engine
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.noise import PhiloxNoise
from anacrusis.engine.window import Pace
from anacrusis.performer.external import MultiTrack
from anacrusis.server import sender
from anacrusis.server.admission import Admission
from anacrusis.server.clocks import Counters
from anacrusis.server.session import Session, SessionConfig
from anacrusis.server.wire.extension import PROTOCOL, ClientHello

WARM_UP_STEPS: Final = 20
WARM_UP_AGAIN: Final = 5  # after each rewind
PACKAGE: Final = 4410
FADE_S: Final = 0.02
SONG_SAMPLES: Final = 1 << 22  # then the client rewinds: 95 s of five channels are 84 MB
SOURCE: Final = ("127.0.0.1", 50_000)


class Rig:
    """A client, a server and their loopback, set up and greeted when it is made. One thread, the caller's.

    r: the step as a fraction of the bundle's window. stems: how many of the bundle's are asked for.
    package: floats a datagram. Raises GeometryError for a step that the window cannot hold, SettingError for a package
    that no datagram holds, AnacrusisError for stems that are not there.
    """

    def __init__(self, bundle: Bundle, r: float, stems: int, package: int = PACKAGE) -> None:
        manifest = bundle.manifest
        names = manifest.stems
        if not 1 <= stems <= len(names):
            raise AnacrusisError(f"{stems} stems asked for; {manifest.name} has {len(names)}: choose 1 to {len(names)}")
        window, rate = manifest.geometry.window_samples, manifest.sample_rate_hz
        step, fade = int(window * r), int(FADE_S * rate)
        pace = Pace(step, step, fade)
        pace.validate(manifest.geometry)
        self._table = manifest.sampler.table()
        self._seams, self._outbox, self._loopback = Seams(), Outbox(), Loopback()

        def open_engine() -> Engine:
            backend = WaitingBackend(bundle)
            cycle = Cycle(backend, names[:stems], pace, self._table, PhiloxNoise(0))
            engine = StampedEngine(bundle, backend, cycle)
            engine.seams = self._seams
            return engine

        counters = Counters()
        self._sender = StampedSender(cast(socket.socket, self._outbox), SOURCE, counters)
        self._worker = StampedWorker(open_engine, self._sender, counters)
        self._sender.seams = self._worker.seams = self._seams
        # The pauses between datagrams are deliberate, and a sleep of nothing takes 60 us on Linux: taken out.
        self._no_pauses = mock.patch.object(sender, "BYTES_BETWEEN_PAUSES", 1 << 62)
        self._session = Session(
            bundle, Admission(SOURCE[0]), self._sender, self._worker, counters, SessionConfig("benchmark")
        )
        self._uploads: list[bytes] = []
        self._client = client = MultiTrack(self._uploads.append, time.monotonic, lambda seconds: None)
        frames = max(SONG_SAMPLES // step, WARM_UP_STEPS + 1) * step
        buffer = np.zeros((frames, len(names) + 1), np.float32)
        buffer[:, -1] = 0.1 * np.random.default_rng(0).standard_normal(frames, np.float32)
        client.set_buffer(buffer, names, inputs=1, rate_hz=rate)
        flags = tuple(int(index < stems) for index in range(len(names)))
        client.configure(window_samples=window, r=r, w=1.0, fade=FADE_S, package=package, flags=flags)
        client.announce_steps = True
        self._step_samples, self._frames, self._curr = step, frames, 0
        self._facts: dict[str, Any] = {
            "bundle": manifest.name,
            "r": r,
            "stems": stems,
            "step_samples": step,
            "window_samples": window,
            "fade_samples": fade,
            "package": package,
            "nfe": self._table.nfe,
            "networks_ms": NETWORKS_S * 1e3,
            "warm_up_steps": WARM_UP_STEPS,
        }

    def __enter__(self) -> Self:
        self._no_pauses.start()
        self._sender.start()
        self._worker.start()
        self._worker.opened.result(LIMIT_S)
        self._take_up([ClientHello(PROTOCOL, 0, "").encode(), *self._client.load_sequence()])
        if not self._worker.settle(LIMIT_S):
            raise AnacrusisError("the server did not load; run with a bundle that `anacrusis doctor` calls whole")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.stop(LIMIT_S)
        self._sender.stop(LIMIT_S)
        self._loopback.close()
        self._no_pauses.stop()

    def facts(self) -> dict[str, Any]:
        """The conditions of what was measured, datagrams of a step included."""
        return dict(self._facts)

    def measure(self, steps: int, on_step: Callable[[], object] = lambda: None) -> list[Spans]:
        """`steps` steps after the warm-up. Raises AnacrusisError where one is not answered in time."""
        for _ in range(WARM_UP_STEPS):
            self._step()
        out: list[Spans] = []
        while len(out) < steps:
            if self._curr + self._step_samples > self._frames:
                self._rewind()
            out.append(self._step())
            on_step()
        return out

    def _rewind(self) -> None:
        """The client plays from the beginning again: a new epoch, whose first steps hear less."""
        self._uploads.clear()
        self._client.reset()
        self._take_up(list(self._uploads))
        self._curr = 0
        for _ in range(WARM_UP_AGAIN):
            self._step()

    def _step(self) -> Spans:
        seams, watch = self._seams, Stopwatch()
        engine_before_s, sender_before_s = seams.engine_cpu[2], seams.sender_cpu_s
        self._curr += self._step_samples
        self._uploads.clear()
        self._outbox.take()
        seams.done.clear()

        watch.restart()
        self._client.predict(self._curr)
        predict = watch.read()
        up = list(self._uploads)
        client_sends, server_receives = self._loopback.pass_on(up)

        watch.restart()
        self._take_up(up)
        receive = watch.read()
        if not seams.done.wait(LIMIT_S):
            raise AnacrusisError(f"the step at {self._curr} samples was not answered; see the log above")
        down = self._outbox.take()
        server_sends, client_receives = self._loopback.pass_on(down)

        watch.restart()
        for data in down:
            self._client.receive(data)
        client_receive = watch.read()
        self._facts.update(datagrams_up=len(up), datagrams_down=len(down))
        return {
            "receive: parse, assemble": receive,
            **seams.spans(engine_before_s, sender_before_s),
            "server sockets": add(server_receives, server_sends),
            "predict": predict,
            "receive": client_receive,
            "client sockets": add(client_sends, client_receives),
        }

    def _take_up(self, datagrams: list[bytes]) -> None:
        """As `Server._receive` does with each, but for the socket."""
        session = self._session
        for data in datagrams:
            session.next_wake_s()
            now_s = time.perf_counter()
            session.datagram(bytes(memoryview(data)), SOURCE, now_s)
            wake_s = session.next_wake_s()
            if wake_s is not None and wake_s <= now_s:
                session.tick(now_s)
