# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One UDP socket, listened on and sent from, so that a server (and a router between) sees where to answer.

The released external binds its port once and for ever; here a new port is really listened on, and a closed connection
frees its port at once. A server that is away costs a count, never an exception. One thread.
"""

from __future__ import annotations

import socket
import time
from types import TracebackType
from typing import Final, Protocol, Self

from anacrusis.performer.command import Command, read_command
from anacrusis.performer.settings import SettingError
from anacrusis.server.wire.messages import CLIENT_PORT, SERVER_PORT
from anacrusis.server.wire.osc import MAX_DATAGRAM_BYTES
from anacrusis.server.wire.sockets import BUFFER_BYTES, SocketError, open_receiver, resolve, size_buffer

PACE_S: Final = 100e-6  # a step is 15 datagrams of 22 kB; a default kernel buffer does not hold them at once
SEND_TIMEOUT_S: Final = 0.1


class Transport(Protocol):
    """What a performance needs of the world: time, and datagrams both ways. Tests have one without either."""

    @property
    def port(self) -> int:
        """The UDP port that is listened on."""

    def clock(self) -> float:
        """Monotonic seconds."""

    def send(self, data: bytes) -> None:
        """One datagram to the server. Never raises because of the network."""

    def receive(self, timeout_s: float) -> bytes | None:
        """The next datagram, or None after timeout_s without one. Never raises because of the network."""


class Connection:
    """Bound to 0.0.0.0:client_port (0: any free port). Raises SocketError where it cannot be.

    send_errors, receive_errors: what the network refused so far.
    """

    def __init__(
        self, server_host: str = "127.0.0.1", server_port: int = SERVER_PORT, client_port: int = CLIENT_PORT
    ) -> None:
        self.send_errors = self.receive_errors = 0
        self._server = (resolve(server_host), _port(server_port, "the server's port"))
        self._socket: socket.socket | None = _open(client_port)
        self._next_send_s = 0.0

    @property
    def port(self) -> int:
        port: int = self._open_socket().getsockname()[1]
        return port

    @property
    def server(self) -> tuple[str, int]:
        return self._server

    def set_server(self, host: str | None = None, port: int | None = None) -> None:
        """The released `port_sender`, and where a command's server is. Raises SocketError, SettingError."""
        address = self._server[0] if host is None else resolve(host)
        self._server = (address, self._server[1] if port is None else _port(port, "the server's port"))

    def listen(self, port: int) -> None:
        """The released `port_listener`, but effective. Raises SocketError, and then still listens where it did."""
        if self._socket is not None and port == self.port:
            return
        opened = _open(port)
        self.close()
        self._socket = opened

    def set_command(self, text: str, client_ip: str = "") -> Command:
        """Read a command, listen on its client port and send to its server; what to run is in the result."""
        command = read_command(text, client_ip)
        address = resolve(command.server_host)
        self.listen(command.client_port)
        self._server = (address, command.server_port)
        return command

    def clock(self) -> float:
        return time.monotonic()

    def send(self, data: bytes) -> None:
        sock = self._open_socket()
        wait_s = self._next_send_s - self.clock()
        if wait_s > 0:
            time.sleep(wait_s)
        try:
            sock.settimeout(SEND_TIMEOUT_S)
            sock.sendto(data, self._server)
        except OSError:
            self.send_errors += 1
        self._next_send_s = self.clock() + PACE_S

    def receive(self, timeout_s: float) -> bytes | None:
        sock = self._open_socket()
        try:
            sock.settimeout(max(timeout_s, 0.0))
            return sock.recv(MAX_DATAGRAM_BYTES + 1)
        except (TimeoutError, BlockingIOError):
            return None
        except OSError:
            self.receive_errors += 1
            return None

    def close(self) -> None:
        """Free the port. What still arrives for it goes nowhere; the connection can `listen` again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise SocketError("this connection is closed; listen on a port first")
        return self._socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _port(port: int, name: str) -> int:
    if not 1 <= port <= 65_535:
        raise SettingError(f"{name} is {port}; it must be 1 to 65535")
    return port


def _open(port: int) -> socket.socket:
    sock = open_receiver("0.0.0.0", port)
    size_buffer(sock, socket.SO_SNDBUF, BUFFER_BYTES)
    return sock
