# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Whose datagrams count, and where the server listens."""

from __future__ import annotations

import logging
import socket

import pytest

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError
from anacrusis.server.admission import Admission, AdmissionError
from anacrusis.server.server import ServerConfig
from anacrusis.server.wire import sockets

from .harness import Desk, batch, constant

ADMITTED = [
    # client, allow, token, who, hello with, admitted
    ("127.0.0.1", (), "", "127.0.0.1", None, True),
    ("127.0.0.1", (), "", "127.0.0.2", None, False),
    ("192.0.2.5", (), "", "192.0.2.5", None, True),
    ("192.0.2.5", (), "", "127.0.0.1", None, False),
    ("127.0.0.1", ("192.0.2.7",), "", "192.0.2.7", None, True),
    ("127.0.0.1", ("10.0.0.0/8",), "", "10.1.2.3", None, True),
    ("127.0.0.1", ("10.0.0.0/8",), "", "11.1.2.3", None, False),
    ("127.0.0.1", (), "secret", "192.0.2.7", "secret", True),
    ("127.0.0.1", (), "secret", "192.0.2.7", "guess", False),
    ("127.0.0.1", (), "secret", "192.0.2.7", "", False),
    ("127.0.0.1", (), "", "192.0.2.7", "", False),
    ("127.0.0.1", (), "sécret", "192.0.2.7", "sécret", True),
]


@pytest.mark.parametrize(("client", "allow", "token", "who", "hello", "admitted"), ADMITTED)
def test_who_is_admitted(
    client: str, allow: tuple[str, ...], token: str, who: str, hello: str | None, admitted: bool
) -> None:
    admission = Admission(client, allow, token)
    if hello is not None:
        assert admission.hello(who, hello) is admitted
    assert admission.admits(who) is admitted


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "300.1.1.1/8", "no such host"])
def test_an_allow_list_entry_that_cannot_be(entry: str) -> None:
    with pytest.raises(AnacrusisError):
        Admission("127.0.0.1", (entry,))
    assert issubclass(AdmissionError, AnacrusisError)


@pytest.mark.parametrize(
    ("bind", "client", "address"),
    [
        (None, "127.0.0.1", "127.0.0.1"),
        (None, "localhost", "127.0.0.1"),
        (None, "192.0.2.5", "0.0.0.0"),
        ("127.0.0.1", "192.0.2.5", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1", "0.0.0.0"),
    ],
)
def test_where_it_listens(bind: str | None, client: str, address: str) -> None:
    assert ServerConfig(bind_ip=bind, client_ip=client).bind_address() == address


def test_buffers_are_asked_for_and_read_back() -> None:
    with sockets.open_receiver("127.0.0.1", 0) as receiver, sockets.open_sender() as sender:
        assert sockets.granted_bytes(receiver) > 0
        assert sockets.granted_bytes(sender, socket.SO_SNDBUF) > 0
        small = sockets.size_buffer(receiver, socket.SO_RCVBUF, 65536)
        assert small == sockets.granted_bytes(receiver) == 65536


def test_a_port_is_held_by_one() -> None:
    with sockets.open_receiver("127.0.0.1", 0) as first, pytest.raises(sockets.SocketError, match="in use"):
        sockets.open_receiver("127.0.0.1", first.getsockname()[1])


def test_a_client_that_is_gone_is_said_once(tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(tiny_bundle).load().send(0.0, *batch(1, constant(0.5)))
    with caplog.at_level(logging.WARNING):
        desk.wait(60.0)
    warned = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
    assert warned == ["no context for 5 s; is the client gone? still listening"]
