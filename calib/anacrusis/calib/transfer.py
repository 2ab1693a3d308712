# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The engine's end of a measured transfer: a step's replies out, its context back, over real UDP (see `echo.py`).

Building, sending, receiving and reading every datagram is in the time, at the pauses that server and client keep; what
is between them and the network (assembling, the engine's queue) is not: `benchmarks/overhead.py` puts it at 1 to 2 ms.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import numpy as np

from anacrusis.calib.echo import ECHO_PORT, ask
from anacrusis.calib.errors import CalibrationError
from anacrusis.server.wire import messages, osc
from anacrusis.server.wire.osc import WireError
from anacrusis.server.wire.sockets import BUFFER_BYTES, open_receiver, resolve, size_buffer

# As server/sender.py; a test holds them to it.
SERVER_PAUSE_S: Final = 200e-6
SERVER_BYTES_BETWEEN_PAUSES: Final = 16_384
TIMEOUT_S: Final = 1.0


class Link(Protocol):
    """What a measurement needs of the world: to wait, and a round trip. Tests have one without either."""

    def rest(self, seconds: float) -> float:
        """Wait as a client waits for its next step; returns how many ms it woke too late."""

    def trip(self, stems: int, reply_samples: int, step_samples: int) -> float | None:
        """Milliseconds of a round trip of a step with `stems` replies; None where it did not come back whole."""


class UdpLink:
    """A socket of its own, and the peer at `peer`. One thread. Raises SocketError."""

    def __init__(self, peer: tuple[str, int], package: int = 4410, timeout_s: float = TIMEOUT_S) -> None:
        self._peer, self._package, self._timeout_s = peer, package, timeout_s
        self._number = 0
        self._socket = open_receiver("127.0.0.1" if peer[0].startswith("127.") else "0.0.0.0", 0)
        size_buffer(self._socket, socket.SO_SNDBUF, BUFFER_BYTES)
        self._buffer = memoryview(bytearray(osc.MAX_DATAGRAM_BYTES + 1))

    def rest(self, seconds: float) -> float:
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            self._receive(left)  # what comes too late is read and forgotten
        return 1e3 * (time.perf_counter() - until)

    def trip(self, stems: int, reply_samples: int, step_samples: int) -> float | None:
        self._number += 1
        audio = np.zeros(reply_samples, np.float32)
        begin = time.perf_counter()
        try:
            self._send_step(audio, stems, step_samples)
            return 1e3 * (time.perf_counter() - begin) if self._await_context() else None
        except OSError:  # nobody listens there
            return None

    def _send_step(self, audio: osc.F32, stems: int, step_samples: int) -> None:
        datagrams = stems * -(-audio.shape[0] // self._package)
        self._socket.sendto(ask(self._number, datagrams, step_samples, self._package), self._peer)
        since_pause = 0
        for stem in range(stems):
            for data in messages.reply_datagrams(f"stem{stem}", self._number, audio, self._package):
                self._socket.sendto(data, self._peer)
                since_pause += len(data)
                if since_pause >= SERVER_BYTES_BETWEEN_PAUSES:
                    since_pause = 0
                    time.sleep(SERVER_PAUSE_S)

    def _await_context(self) -> bool:
        came: set[int] = set()
        until = time.perf_counter() + self._timeout_s
        while (left := until - time.perf_counter()) > 0:
            size = self._receive(left)
            try:
                message = messages.read_context(bytes(self._buffer[:size])) if size else None
            except WireError:
                continue
            if message is not None and message.batch == self._number:
                came.add(message.index)
                if len(came) == message.total:
                    return True
        return False

    def _receive(self, timeout_s: float) -> int:
        try:
            self._socket.settimeout(timeout_s)
            size, source = self._socket.recvfrom_into(self._buffer)
        except (TimeoutError, BlockingIOError, ConnectionResetError):
            return 0
        return size if source == self._peer else 0

    def close(self) -> None:
        self._socket.close()


@contextmanager
def local_peer() -> Iterator[tuple[str, int]]:
    """A peer on this machine, in a process of its own: (ip, port). Raises CalibrationError where it does not start."""
    command = [sys.executable, "-m", "anacrusis.calib.echo"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            if not line.isdecimal():
                raise CalibrationError("the process that answers on loopback did not start; its message is above")
            yield "127.0.0.1", int(line)
        finally:
            process.kill()


@contextmanager
def client_peer(host: str | None) -> Iterator[tuple[str, int]]:
    """Where the client's end is: HOST[:PORT], or for None a process of this machine. Raises as `local_peer`."""
    if host is None:
        with local_peer() as peer:
            yield peer
        return
    name, _, port = host.partition(":")
    if port and not (port.isdecimal() and 1 <= int(port) <= 65_535):
        raise CalibrationError(f"{host} is not HOST or HOST:PORT; ports are 1 to 65535")
    yield resolve(name), int(port or ECHO_PORT)


@contextmanager
def open_link(peer: tuple[str, int], package: int) -> Iterator[UdpLink]:
    """A link to a peer that answered once. Raises CalibrationError where none does, SocketError."""
    link = UdpLink(peer, package)
    try:
        if all(link.trip(1, 4096, 4096) is None for _ in range(3)):
            raise CalibrationError(
                f"nobody answers at {peer[0]}:{peer[1]}; start `anacrusis calibrate --echo` there, and let UDP through"
            )
        yield link
    finally:
        link.close()
