# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Which server answers, and with what bundle, before anything is decided. Our hello, and nothing is loaded by it."""

from __future__ import annotations

from typing import Final

from anacrusis.performer.connection import Transport
from anacrusis.server.wire import osc
from anacrusis.server.wire.extension import PROTOCOL, ClientHello, ServerHello
from anacrusis.server.wire.osc import WireError

RETRY_S: Final = 0.2


def ask_server(transport: Transport, token: str, wait_s: float) -> ServerHello | None:
    """The server's hello, asked for again and again for wait_s; None where none comes (a released server has none)."""
    until = transport.clock() + wait_s
    while (now := transport.clock()) < until:
        transport.send(ClientHello(PROTOCOL, 0, token).encode())
        retry = min(now + RETRY_S, until)
        while (left := retry - transport.clock()) > 0:
            data = transport.receive(left)
            if data is None:
                continue
            try:
                if osc.address_of(data) == ServerHello.ADDRESS:
                    return ServerHello.read(osc.decode(data))
            except WireError:
                continue
    return None
