# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The performer's socket, on this machine's own network: rows C-29 to C-31, and a server that is away."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from anacrusis.engine.errors import AnacrusisError
from anacrusis.performer.connection import Connection
from anacrusis.server.wire import messages
from anacrusis.server.wire.osc import encode_floats
from anacrusis.server.wire.sockets import SocketError

BASS = encode_floats("/bass", (7, 0, 16), np.float32([0, 0.5, -1]))


def test_c_29_another_listening_port() -> None:
    with Connection(client_port=0) as connection, Connection(client_port=0) as other:
        before = connection.port
        with pytest.raises(SocketError, match=rf"port {other.port} is in use; .* choose another port"):
            connection.listen(other.port)
        assert connection.port == before
        free = other.port
        other.close()
        connection.listen(free)
        assert connection.port == free
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(messages.READY, ("127.0.0.1", free))
            assert connection.receive(5.0) == messages.READY


def test_c_30_a_command_sets_both_ends() -> None:
    """The texts themselves are in test_command.py."""
    with Connection(client_port=0) as connection, Connection(client_port=0) as other:
        free = other.port
        other.close()
        command = connection.set_command(f"python server.py --serverport 7001 --clientport {free}", "10.0.0.9")
        assert command.text.endswith(f"--clientport {free} --client_ip 10.0.0.9")
        assert (connection.port, connection.server) == (free, ("127.0.0.1", 7001))


def test_c_31_made_again_after_it_was_deleted() -> None:
    first = Connection(client_port=0)
    port = first.port
    first.close()
    first.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(messages.READY, ("127.0.0.1", port))  # late, to nobody
        with Connection(client_port=port) as again:
            peer.sendto(BASS, ("127.0.0.1", port))
            assert again.receive(5.0) == BASS
    with pytest.raises(AnacrusisError, match="closed"):
        first.receive(0.0)


def test_what_is_sent_comes_from_the_port_that_is_listened_on() -> None:
    with Connection(client_port=0) as connection, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        connection.set_server(port=server.getsockname()[1])
        for data in (messages.PRINT, BASS):
            connection.send(data)
            assert server.recvfrom(65_536) == (data, ("127.0.0.1", connection.port))


def test_a_whole_step_arrives_unread() -> None:
    """Fifteen datagrams of 22 kB, sent before one is read."""
    with Connection(client_port=0) as connection, Connection(client_port=0) as server:
        connection.set_server(port=server.port)
        step = [messages.context(1, 4410 * i, 15, np.full(4410, i, np.float32)) for i in range(15)]
        for data in step:
            connection.send(data)
        assert [server.receive(5.0) for _ in step] == step


def test_a_server_that_is_away_raises_nothing() -> None:
    with Connection(client_port=0) as gone:
        port = gone.port
    with Connection(server_port=port, client_port=0) as connection:
        for _ in range(5):
            connection.send(messages.PRINT)
            assert connection.receive(0.0) is None


def test_what_cannot_be_sent_is_counted() -> None:
    with Connection(client_port=0) as connection:
        connection.send(bytes(70_000))
        assert connection.send_errors == 1


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_port_that_is_none(port: int) -> None:
    with pytest.raises(AnacrusisError, match=r"the server's port is .*; it must be 1 to 65535"):
        Connection(server_port=port, client_port=0)


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(SocketError, match="is not a host that can be resolved"):
        Connection("a..b", client_port=0)
