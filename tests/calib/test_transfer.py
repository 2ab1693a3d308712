# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The two ends of a measured transfer: what is answered and what is not, and a step over real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pytest

from anacrusis.calib import echo, transfer
from anacrusis.calib.errors import CalibrationError
from anacrusis.calib.transfer import UdpLink, client_peer, local_peer, open_link
from anacrusis.performer import connection
from anacrusis.server import sender
from anacrusis.server.wire import messages
from anacrusis.server.wire.sockets import SocketError

ASKER, OTHER = ("127.0.0.1", 4000), ("127.0.0.2", 4000)


def step(number: int, samples: int, package: int = 100, stems: int = 1) -> list[bytes]:
    audio = np.zeros(samples, np.float32)
    return list(chain.from_iterable(messages.reply_datagrams(f"s{i}", number, audio, package) for i in range(stems)))


def answers(sent: list[bytes], only: str | None = None) -> list[messages.AudioMessage]:
    peer = echo.Echo(only)
    return [messages.read_context(data) for one in sent for data in peer.datagram(one, ASKER)]


def test_a_step_of_replies_is_answered_with_its_context() -> None:
    got = answers([echo.ask(7, 6, 250, 100), *step(7, 300, stems=2)])
    assert [(one.address, one.batch, one.index, one.total) for one in got] == [
        ("/context", 7, offset, 3) for offset in (0, 100, 200)
    ]
    assert sum(one.audio.shape[0] for one in got) == 250


WHOLE = step(7, 300)
SILENT = [
    ("nobody asked", WHOLE),
    ("one is missing", [echo.ask(7, 3, 250, 100), *WHOLE[1:]]),
    ("one came twice", [echo.ask(7, 3, 250, 100), *WHOLE[1:], WHOLE[1]]),
    ("of another round", [echo.ask(8, 3, 250, 100), *WHOLE]),
    ("more back than came", [echo.ask(7, 3, 301, 100), *WHOLE]),
    ("nothing wanted", [echo.ask(7, 3, 0, 100), *WHOLE]),
    ("no package", [echo.ask(7, 3, 250, 0), *WHOLE]),
    ("a package beyond a datagram", [echo.ask(7, 3, 250, 20_000), *WHOLE]),
    ("no datagrams", [echo.ask(7, 0, 250, 100), *WHOLE]),
    ("not a message", [b"", b"\0", b"/anacrusis/echo\0", b"#bundle\0", *WHOLE]),
    ("other tags", [messages.update_r(0.5), echo.osc.encode(echo.ECHO, "if", 1, 2.0), *WHOLE]),
]


@pytest.mark.parametrize(("why", "sent"), SILENT, ids=[why for why, _ in SILENT])
def test_what_is_not_answered(why: str, sent: list[bytes]) -> None:
    assert answers(sent) == []


def test_one_address_may_be_the_only_one() -> None:
    sent = [echo.ask(7, 3, 250, 100), *WHOLE]
    assert len(answers(sent, only=ASKER[0])) == 3
    assert answers(sent, only=OTHER[0]) == []


def test_askers_do_not_disturb_each_other_and_are_not_remembered_for_ever() -> None:
    peer = echo.Echo()
    for port in range(echo.MOST_ASKERS + 1):
        assert list(peer.datagram(echo.ask(7, 3, 250, 100), ("127.0.0.1", port))) == []
    came = [len([*chain.from_iterable(peer.datagram(d, ("127.0.0.1", port)) for d in WHOLE)]) for port in range(9)]
    assert came == [0, *[3] * echo.MOST_ASKERS]


def test_the_pauses_are_the_server_s_and_the_client_s() -> None:
    assert (transfer.SERVER_PAUSE_S, transfer.SERVER_BYTES_BETWEEN_PAUSES) == (
        sender.PAUSE_S,
        sender.BYTES_BETWEEN_PAUSES,
    )
    assert echo.CLIENT_PACE_S == connection.PACE_S


@pytest.fixture
def peer() -> Iterator[tuple[str, int]]:
    with echo.open_echo("127.0.0.1", 0) as sock:
        threading.Thread(target=echo.serve, args=(sock,), daemon=True).start()
        yield sock.getsockname()


@pytest.mark.parametrize(("stems", "samples"), [(1, 4096), (4, 4096), (2, 65_536)])
def test_a_round_trip_takes_time(peer: tuple[str, int], stems: int, samples: int) -> None:
    with open_link(peer, 4410) as link:
        took = [link.trip(stems, samples + 882, samples) for _ in range(3)]
        assert link.rest(0.001) >= 0
    assert any(ms is not None and ms > 0 for ms in took)


def test_nobody_there_is_said(peer: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    link = UdpLink((peer[0], 9), timeout_s=0.02)  # discard: a port that answers nobody
    monkeypatch.setattr(transfer, "UdpLink", lambda *_: link)
    says = r"nobody answers at 127\.0\.0\.1:9; start `anacrusis calibrate --echo`"
    with pytest.raises(CalibrationError, match=says), open_link((peer[0], 9), 4410):
        pass


def test_a_process_of_its_own_answers_and_ends() -> None:
    with client_peer(None) as peer, open_link(peer, 4410) as link:
        assert link.trip(1, 4978, 4096) is not None
    assert UdpLink(peer, timeout_s=0.02).trip(1, 4978, 4096) is None


def test_a_process_that_does_not_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer.sys, "executable", "true")
    with pytest.raises(CalibrationError, match="did not start"), local_peer():
        pass


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 8001), ("127.0.0.1:9000", 9000)])
def test_where_a_client_is(host: str, port: int) -> None:
    with client_peer(host) as peer:
        assert peer == ("127.0.0.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1:x", "127.0.0.1:0", "127.0.0.1:99999", "no such host."])
def test_where_a_client_cannot_be(host: str) -> None:
    with pytest.raises((CalibrationError, SocketError)), client_peer(host):
        pass
