# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The client's end of a measured transfer: a step of replies comes in, a step of context goes back.

The engine's end (`transfer.py`) asks with `/anacrusis/echo ,iiii` (number, datagrams that follow, floats wanted, floats
a datagram), sends the replies of a step as a server does, and takes the time until the context has come, sent as our
client sends it. So both directions carry what they carry in a song, in one round trip on one clock.

A peer answers whoever asks with no more floats than it was sent (so it is of no use for attacks by reflection), and
`only` makes it answer one address. Runs as a process of its own: `python -m anacrusis.calib.echo`, or, on a performer's
machine, `anacrusis calibrate --echo`.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from anacrusis.server.wire import messages, osc
from anacrusis.server.wire.osc import WireError
from anacrusis.server.wire.sockets import BUFFER_BYTES, open_receiver, resolve, size_buffer

ECHO: Final = "/anacrusis/echo"
ECHO_PORT: Final = 8001
CLIENT_PACE_S: Final = 100e-6  # as our client: between two datagrams
WAKE_S: Final = 0.5  # on Windows a wait without end would not see Ctrl-C
MOST_DATAGRAMS: Final = 1 << 16
MOST_ASKERS: Final = 8
Source = tuple[str, int]


def ask(number: int, datagrams: int, floats: int, package: int) -> bytes:
    return osc.encode(ECHO, "iiii", number, datagrams, floats, package)


@dataclass(slots=True)
class _Round:
    number: int
    datagrams: int
    floats: int
    package: int
    came: set[tuple[str, int]] = field(default_factory=set)
    floats_came: int = 0


class Echo:
    """What one datagram asks for: the datagrams to send back. No socket, no clock. One thread."""

    def __init__(self, only: str | None = None) -> None:
        self._only, self._rounds = only, dict[Source, _Round]()

    def datagram(self, data: bytes, source: Source) -> Iterator[bytes]:
        """Never raises: what cannot be read is not answered."""
        if self._only is not None and source[0] != self._only:
            return
        try:
            answer = self._take(data, source)
        except WireError:
            return
        if answer is not None:
            audio = np.zeros(answer.floats, np.float32)
            total = -(-answer.floats // answer.package)
            for offset in range(0, answer.floats, answer.package):
                yield messages.context(answer.number, offset, total, audio[offset : offset + answer.package])

    def _take(self, data: bytes, source: Source) -> _Round | None:
        if osc.address_of(data) == ECHO:
            message = osc.decode(data)
            if message.tags != "iiii":
                raise WireError(f"{ECHO} takes ,iiii")
            asked = _Round(*(int(value) for value in message.arguments))  # type: ignore[arg-type]
            if not 1 <= asked.datagrams <= MOST_DATAGRAMS or not 1 <= asked.package <= messages.PACKAGE_USABLE:
                raise WireError(f"{ECHO} asks for what cannot be")
            while len(self._rounds) >= MOST_ASKERS and source not in self._rounds:
                del self._rounds[next(iter(self._rounds))]
            self._rounds[source] = asked
            return None
        reply, asked_for = messages.read_reply(data), self._rounds.get(source)
        if asked_for is None or reply.batch != asked_for.number or (reply.address, reply.index) in asked_for.came:
            return None
        asked_for.came.add((reply.address, reply.index))
        asked_for.floats_came += reply.audio.shape[0]
        if len(asked_for.came) < asked_for.datagrams:
            return None
        del self._rounds[source]
        if not 1 <= asked_for.floats <= asked_for.floats_came:
            return None
        return asked_for


def serve(sock: socket.socket, only: str | None = None) -> None:
    """Answer for ever, paced as our client is. Returns when the socket is closed."""
    echo, buffer = Echo(only), memoryview(bytearray(osc.MAX_DATAGRAM_BYTES + 1))
    sock.settimeout(WAKE_S)
    while True:
        try:
            size, source = sock.recvfrom_into(buffer)
        except (TimeoutError, ConnectionResetError):  # the latter on Windows: somebody's port was closed
            continue
        except OSError:
            return
        next_s = 0.0
        for answer in echo.datagram(bytes(buffer[:size]), source):
            if (wait_s := next_s - time.monotonic()) > 0:
                time.sleep(wait_s)
            try:
                sock.sendto(answer, source)
            except OSError:
                break
            next_s = time.monotonic() + CLIENT_PACE_S


def open_echo(address: str, port: int) -> socket.socket:
    """Raises SocketError."""
    sock = open_receiver(address, port)
    size_buffer(sock, socket.SO_SNDBUF, BUFFER_BYTES)
    return sock


def main() -> int:
    """For a parent process: prints the port, ends when the parent's end of stdin closes."""
    parser = argparse.ArgumentParser(prog="python -m anacrusis.calib.echo", description=__doc__.splitlines()[0])
    parser.add_argument("--bind", default="127.0.0.1", metavar="IP")
    parser.add_argument("--port", type=int, default=0, help="(default: any free one)")
    parser.add_argument("--only", metavar="IP", help="answer nobody else")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer; it then closes this
    sock = open_echo(options.bind, options.port)
    print(sock.getsockname()[1], flush=True)

    def end_with_the_parent() -> None:
        sys.stdin.read()
        os._exit(0)  # the other thread is in a blocking call, and nothing is left to save

    threading.Thread(target=end_with_the_parent, daemon=True).start()
    serve(sock, None if options.only is None else resolve(options.only))
    return 0


if __name__ == "__main__":
    sys.exit(main())
