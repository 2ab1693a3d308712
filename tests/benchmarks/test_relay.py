# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The relay on real sockets of this machine. A wait ends with what it waits for; its limit is only for failures."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from anacrusis.benchmarks.faults import NO_FAULTS, Faults, FaultsError
from anacrusis.benchmarks.relay import ANY, LOCAL, Address, Relay, RelayCounts, RelayError, main, read_address
from anacrusis.server.wire.sockets import SocketError, open_receiver

LIMIT_S = 30.0


def endpoint() -> socket.socket:
    sock = open_receiver(LOCAL, 0)
    sock.settimeout(LIMIT_S)
    return sock


@dataclass(frozen=True)
class Ends:
    """A client and a server that know each other only through the relay."""

    client: socket.socket
    server: socket.socket
    relay: Relay

    def up(self, data: bytes) -> None:
        self.client.sendto(data, self.relay.listen_address)

    def down(self, data: bytes) -> None:
        self.server.sendto(data, self.relay.replies_address)

    def until(self, what: Callable[[RelayCounts], bool]) -> RelayCounts:
        """The first counts of which `what` is true."""
        begin = time.monotonic()
        while time.monotonic() - begin < LIMIT_S:
            if what(counts := self.relay.counts()):
                return counts
            time.sleep(0.001)
        raise AssertionError(f"still {self.relay.counts()}")


@pytest.fixture
def ends() -> Iterator[Ends]:
    client, server = endpoint(), endpoint()
    with client, server, Relay((LOCAL, 0), (LOCAL, 0), server.getsockname(), client.getsockname()) as relay:
        yield Ends(client, server, relay)


BIG = pytest.mark.skipif(sys.platform == "darwin", reason="needs net.inet.udp.maxdgram above its default of 9216")


@pytest.mark.parametrize("size_bytes", [0, 1, 9_216, pytest.param(65_507, marks=BIG)])
def test_datagrams_pass_both_ways_whole(ends: Ends, size_bytes: int) -> None:
    data = bytes(range(256)) * (size_bytes // 256) + b"x" * (size_bytes % 256)
    ends.up(data)
    assert ends.server.recvfrom(65_536) == (data, ends.relay.replies_address)
    ends.down(data)
    assert ends.client.recvfrom(65_536) == (data, ends.relay.listen_address)
    counts = ends.relay.counts()
    for way in (counts.up, counts.down):
        assert (way.offered, way.delivered, way.delivered_bytes, way.in_flight) == (1, 1, size_bytes, 0)
    assert counts.send_failed == 0


def test_the_source_a_server_sees_takes_answers_too(ends: Ends) -> None:
    with endpoint() as another:  # the released client sends from a new socket each time
        another.sendto(b"hello", ends.relay.listen_address)
        data, source = ends.server.recvfrom(100)
        ends.server.sendto(data, source)
        assert ends.client.recv(100) == b"hello"


def test_order_is_kept_without_faults(ends: Ends) -> None:
    for number in range(100):
        ends.up(bytes([number]))
    assert [ends.server.recv(10)[0] for _ in range(100)] == list(range(100))


def test_an_unplugged_cable_loses_both_ways_until_it_is_plugged_in(ends: Ends) -> None:
    ends.relay.change(up=Faults(delay_ms=3_600_000))
    ends.up(b"under way")
    ends.until(lambda c: c.up.in_flight == 1)
    ends.relay.cut()
    ends.up(b"lost")
    ends.down(b"lost")
    counts = ends.until(lambda c: c.up.lost == 2 and c.down.lost == 1)
    assert counts.up.delivered == counts.down.delivered == counts.up.in_flight == 0
    ends.relay.restore()
    ends.relay.change(up=NO_FAULTS)
    ends.up(b"up again")
    ends.down(b"down again")
    assert ends.server.recv(100) == b"up again"
    assert ends.client.recv(100) == b"down again"


def test_faults_change_while_it_runs_and_each_way_has_its_own(ends: Ends) -> None:
    ends.relay.change(up=Faults(loss=1))
    ends.up(b"lost")
    ends.until(lambda c: c.up.lost == 1)
    ends.down(b"passes")
    assert ends.client.recv(100) == b"passes"
    ends.relay.change(up=Faults(duplicate=1, duplicate_delay_ms=5, delay_ms=1), down=Faults(loss=1))
    ends.up(b"twice")
    assert [ends.server.recv(100), ends.server.recv(100)] == [b"twice", b"twice"]
    ends.down(b"lost")
    counts = ends.until(lambda c: c.down.lost == 1)
    assert (counts.up.offered, counts.up.duplicated, counts.up.delivered, counts.down.delivered) == (2, 1, 2, 1)


def test_one_bad_way_changes_neither(ends: Ends) -> None:
    with pytest.raises(FaultsError):
        ends.relay.change(up=Faults(loss=1), down=Faults(loss=2))
    ends.up(b"passes")
    assert ends.server.recv(100) == b"passes"


def test_it_can_be_aimed_elsewhere(ends: Ends) -> None:
    with endpoint() as server, endpoint() as client:
        ends.relay.aim(server=server.getsockname(), client=client.getsockname())
        ends.up(b"up")
        ends.down(b"down")
        assert (server.recv(10), client.recv(10)) == (b"up", b"down")


def test_what_the_system_refuses_is_counted(ends: Ends) -> None:
    ends.relay.aim(server=(LOCAL, 0))
    ends.up(b"nowhere")
    ends.until(lambda c: c.send_failed == 1)
    ends.relay.aim(server=ends.server.getsockname())
    ends.up(b"passes")
    assert ends.server.recv(100) == b"passes"


def test_stopping_frees_the_ports_and_is_harmless_twice() -> None:
    relay = Relay((LOCAL, 0), (LOCAL, 0), (LOCAL, 9), (LOCAL, 9))
    assert not relay.running
    with relay:
        assert relay.running
        with pytest.raises(RelayError, match="started before"):
            relay.start()
    relay.stop()
    assert not relay.running
    with Relay(relay.listen_address, relay.replies_address, (LOCAL, 9), (LOCAL, 9)):
        pass
    with pytest.raises(RelayError, match="make another"):
        relay.start()


def test_a_port_in_use_leaves_the_other_one_free() -> None:
    with endpoint() as taken, endpoint() as probe:
        free: Address = probe.getsockname()
        probe.close()
        with pytest.raises(SocketError, match="in use"):
            Relay(free, taken.getsockname(), (LOCAL, 9), (LOCAL, 9))
        open_receiver(*free).close()


@pytest.mark.parametrize(
    ("text", "address"), [("7000", (LOCAL, 7000)), ("a.example:1", ("a.example", 1)), (f"{ANY}:0", (ANY, 0))]
)
def test_addresses(text: str, address: Address) -> None:
    assert read_address(text) == address


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--client", ":7"], "':7' is no address; write HOST:PORT"),
        (["--server", "local"], "'local' is no address"),
        (["--server", "70000"], "'70000' is no address"),
        (["--up", "loss=2"], "loss is a fraction"),
        (["--down", "los=2"], "'los' is no fault"),
        (["--listen", "192.0.2.1:0"], "192.0.2.1 is not an address of this machine"),
    ],
)
def test_bad_arguments_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert main(["--listen", "0", "--replies", "0", *arguments]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"relay: {says}")
    assert (out, err.count("\n")) == ("", 1)


def command(server: socket.socket, client: socket.socket) -> list[str]:
    ports = ["--server", str(server.getsockname()[1]), "--client", str(client.getsockname()[1])]
    return ["--listen", "0", "--replies", "0", *ports]


def test_the_command_ends_by_itself_with_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    with endpoint() as server, endpoint() as client:
        assert main([*command(server, client), "--seconds", "0.01", "--up", "seed=7,delay=2"]) == 0
    first, second, *status, last = capsys.readouterr().out.splitlines()
    assert first.endswith("up: seed=7,delay=2.0")
    assert second.endswith("down: none")
    assert status
    record = json.loads(last)
    assert (record["benchmark"], record["up"]["offered"], record["send_failed"]) == ("relay", 0, 0)
    assert record["up_faults"] == "seed=7,delay=2.0"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a SIGINT that reaches one process")
def test_an_interrupted_command_ends_cleanly() -> None:
    with endpoint() as server, endpoint() as client:
        arguments = [sys.executable, "-m", "anacrusis.benchmarks.relay", *command(server, client)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            found = re.match(r"client -> ([\d.]+):(\d+) -> ", process.stdout.readline())
            assert found is not None
            client.sendto(b"up", (found[1], int(found[2])))
            assert server.recv(10) == b"up"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["up"]["delivered"] == 1
