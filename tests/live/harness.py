# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A real server and the real client over loopback, not waiting for the music: a step is sent when the last came."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from anacrusis.engine import Engine
from anacrusis.engine.bundle import Bundle
from anacrusis.performer.connection import Connection
from anacrusis.performer.events import Event, FromServer, Note
from anacrusis.performer.external import MultiTrack
from anacrusis.server.rungs import Upgrade
from anacrusis.server.server import Server, ServerConfig
from anacrusis.server.wire.extension import ClientHello

WAIT_S = 20.0  # far more than anything here takes; not a claim


class Duo:
    """One server on `bundle`, one client with `frames` of buffer; messages settle before the next is sent.

    clock: the server's. wrap: what the engine is played through.
    """

    def __init__(
        self,
        bundle: Path,
        frames: int,
        *,
        compat: str = "native",
        noise: Any = None,
        upgrade: Upgrade | None = None,
        clock: Callable[[], float] = time.perf_counter,
        wrap: Callable[[Engine], Engine] = lambda engine: engine,
        **config: Any,
    ) -> None:
        opened = Bundle.open(bundle)
        self.connection = Connection("127.0.0.1", 1, 0)
        window = 264600 if compat == "upstream" else None

        def open_engine() -> Engine:
            return wrap(Engine.open(opened, threads=1, r=0.25, window_samples=window, compat=compat, noise=noise))

        self.server = Server(
            opened,
            open_engine,
            ServerConfig(port=0, client_port=self.connection.port, positions=compat == "native", **config),
            upgrade,
            clock,
        )
        self.connection.set_server(port=self.server.address[1])
        self.events: list[Event] = []
        self.external = MultiTrack(
            self.connection.send, self.connection.clock, lambda seconds: None, self.events.append
        )
        self.buffer = np.zeros((frames, 4), np.float32)
        self.external.set_buffer(self.buffer)

    def __enter__(self) -> Duo:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()
        self.connection.close()

    def load(self, *, window: int = 262144, r: float = 0.25, w: int = 1, lead: int | None = None, **more: Any) -> None:
        """Set both ends up, as the load sequence does."""
        flags = more.pop("flags", (1, 0, 0, 0))
        self.external.configure(window_samples=window, r=r, w=w, fade=0.02, package=4410, flags=flags, **more)
        if lead is not None:
            self.connection.send(ClientHello(1, 0, "").encode())
            self.until(lambda: any(isinstance(e, FromServer) for e in self.events))
            self.external.announce_steps = True
            self.external.set_lead(lead)
        self.external.load_model()
        assert self.server.worker.settle(WAIT_S)

    def step(self, curr: int) -> None:
        """Send the step that ends at curr, and wait for its whole reply."""
        batch = self.external.predict(curr)
        assert batch is not None
        self.until(lambda: batch.complete or batch.dropped)
        assert batch.complete, f"batch {batch.id} was dropped"

    def until(self, true: Any) -> None:
        deadline = time.monotonic() + WAIT_S
        while not true():
            assert time.monotonic() < deadline, self.server.report()
            data = self.connection.receive(0.05)
            if data is not None:
                self.external.receive(data)

    def notes(self, kind: str) -> list[Note]:
        return [event for event in self.events if isinstance(event, Note) and event.kind == kind]
