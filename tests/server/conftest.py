# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Servers over recording networks, and the released protocol's bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anacrusis.engine import Engine
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError
from anacrusis.server.server import Server, ServerConfig
from anacrusis.server.wire import messages

from .harness import Desk, Live, Peer, Recorder

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture
def live(tiny: Path, silent: Any) -> Iterator[Callable[..., Live]]:
    """Start servers over recording networks: live(compat="native", ramp=1e-6, failures=0, **ServerConfig)."""
    running: list[Server] = []
    peers: list[Peer] = []

    def start(*, compat: str = "native", ramp: float = 1e-6, failures: int = 0, **config: Any) -> Live:
        bundle = Bundle.open(tiny)
        recorder = Recorder(bundle, ramp, warms_up=compat == "native")
        attempts = iter(range(1000))

        def open_engine() -> Engine:
            if next(attempts) < failures:
                raise BackendError("no configuration here")
            window = 264600 if compat == "upstream" else None
            return Engine.open(
                bundle, backend=recorder, stems=["bass"], r=0.25, window_samples=window, noise=silent, compat=compat
            )

        peer = Peer()
        peers.append(peer)
        config = {"client_port": peer.port} | config
        server = Server(bundle, open_engine, ServerConfig(port=0, positions=compat == "native", **config))
        running.append(server)
        peer.server = server.address
        if failures:
            with pytest.raises(BackendError):
                server.start()
        else:
            server.start()
            assert peer.until(lambda got: len(got) >= 1) == [messages.READY]
        return Live(server, peer, recorder)

    yield start
    for server in running:
        server.stop()
    for peer in peers:
        peer.inbox.close()


@pytest.fixture(scope="session")
def tiny_bundle(tiny: Path) -> Bundle:
    return Bundle.open(tiny)


@pytest.fixture
def desk(tiny_bundle: Bundle) -> Desk:
    """A loaded session on an injected clock."""
    return Desk(tiny_bundle).load()


@pytest.fixture(scope="session")
def golden_bytes() -> dict[str, dict[str, Any]]:
    """The released protocol's vectors by name."""
    return {vector["name"]: vector for vector in json.loads((DATA / "osc-vectors.json").read_text())}
