# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A bad network on real sockets: UDP between a client and a server, each direction through a `Link`.

    client -> listen -> [up] -> server          server -> replies -> [down] -> client

Two sockets. Clients send to `listen`. The relay sends up from `replies`, so a server finds it both ways: as the
configured client address (the protocol) and as the source of a datagram (a hello with port 0). Whatever comes to
`replies` goes to the one client configured, sent from `listen`.

Not covered: several clients; source ports (the server sees one, whichever the client used); a hello that names the
client's own port, whose answers go past the relay if both share a machine. Not run on Windows yet.

    python -m anacrusis.benchmarks.relay --listen 7100 --server 127.0.0.1:7000 --replies 8100 --client 127.0.0.1:8000 \\
        --up loss=.05,delay=20,jitter=10,seed=1 --down reorder=.02,rate=2e6,seed=2

The client then sends to port 7100, and the server runs with --clientport 8100. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import json
import logging
import select
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from anacrusis.benchmarks.faults import NO_FAULTS, Counts, Faults, Link
from anacrusis.engine.errors import AnacrusisError
from anacrusis.server.wire.sockets import BUFFER_BYTES, is_loopback, open_receiver, resolve, size_buffer

Address = tuple[str, int]
MAX_READS: Final = 256  # from one socket before deliveries get their turn
LOCAL: Final = "127.0.0.1"
ANY: Final = "0.0.0.0"
_log = logging.getLogger(__name__)


class RelayError(AnacrusisError):
    """An address that is none, or a relay used after it stopped."""


@dataclass(frozen=True, slots=True)
class RelayCounts:
    """Both directions as of one moment. send_failed: delivered by a link, refused by the system."""

    up: Counts
    down: Counts
    send_failed: int


class Relay:
    """Both sockets are bound when it is made, so port 0 can be asked for; `start` moves datagrams, on one thread.

    Every method may be called from any thread. Stopped, it cannot be started again.
    """

    def __init__(
        self,
        listen: Address,
        replies: Address,
        server: Address,
        client: Address,
        up: Faults = NO_FAULTS,
        down: Faults = NO_FAULTS,
    ) -> None:
        """Addresses are (host, port). Raises SocketError, FaultsError."""
        self._lock = threading.Lock()
        self._up, self._down = Link(up), Link(down)
        self._server: Address = (resolve(server[0]), server[1])
        self._client: Address = (resolve(client[0]), client[1])
        self._client_side = _open(listen)
        try:
            self._server_side = _open(replies)
        except AnacrusisError:
            self._client_side.close()
            raise
        self._wake_in, self._wake_out = socket.socketpair()
        self._send_failed = 0
        self._thread: threading.Thread | None = None
        self._stopped = False
        self.listen_address: Final[Address] = self._client_side.getsockname()
        self.replies_address: Final[Address] = self._server_side.getsockname()

    def start(self) -> Self:
        """Raises RelayError the second time."""
        if self._thread or self._stopped:
            raise RelayError("this relay was started before; make another")
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends the thread and closes the sockets; what is in flight is gone. Harmless twice."""
        if self._stopped:
            return
        self._stopped = True
        self._wake_out.send(b"\0")
        if self._thread:
            self._thread.join()
        for sock in (self._client_side, self._server_side, self._wake_in, self._wake_out):
            sock.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """False too after an error of the thread, which it logs."""
        return self._thread is not None and self._thread.is_alive()

    def aim(self, *, server: Address | None = None, client: Address | None = None) -> None:
        """Deliver elsewhere from now on. Raises SocketError."""
        if server:
            self._server = (resolve(server[0]), server[1])
        if client:
            self._client = (resolve(client[0]), client[1])

    def change(self, *, up: Faults | None = None, down: Faults | None = None) -> None:
        """From the next datagram on. Raises FaultsError, and then changes nothing."""
        for faults in (up, down):
            if faults:
                faults.validate()
        with self._lock:
            if up:
                self._up.change(up)
            if down:
                self._down.change(down)

    def cut(self) -> None:
        """Unplug the cable: what is in flight is lost, and all that comes until `restore`, in both directions."""
        with self._lock:
            self._up.cut()
            self._down.cut()

    def restore(self) -> None:
        """Plug it in again."""
        with self._lock:
            self._up.restore()
            self._down.restore()

    def counts(self) -> RelayCounts:
        with self._lock:
            return RelayCounts(self._up.counts, self._down.counts, self._send_failed)

    def _run(self) -> None:
        try:
            while not self._stopped:
                self._wait()
                with self._lock:
                    self._read(self._client_side, self._up)
                    self._read(self._server_side, self._down)
                    self._deliver(self._up, self._server_side, self._server)
                    self._deliver(self._down, self._client_side, self._client)
        except Exception:
            _log.exception("the relay ends")

    def _wait(self) -> None:
        """Until a datagram comes, one is due, or `stop`. select waits by the microsecond, epoll by the millisecond."""
        with self._lock:
            due_s = [t for t in (self._up.next_due_s(), self._down.next_due_s()) if t is not None]
        timeout_s = max(min(due_s) - _now_s(), 0.0) if due_s else None
        select.select([self._client_side, self._server_side, self._wake_in], [], [], timeout_s)

    def _read(self, sock: socket.socket, link: Link) -> None:
        for _ in range(MAX_READS):
            try:
                data = sock.recv(65_536)
            except BlockingIOError:
                return
            except ConnectionError:  # on Windows: an earlier datagram met a closed port
                continue
            link.offer(data, _now_s())

    def _deliver(self, link: Link, sock: socket.socket, target: Address) -> None:
        for data in link.due(_now_s()):
            try:
                sock.sendto(data, target)
            except (OSError, OverflowError) as error:
                if not self._send_failed:
                    _log.warning("%d bytes to %s were not sent: %s", len(data), _text(target), error)
                self._send_failed += 1


def _now_s() -> float:
    """Monotonic; time.monotonic() ticks in 16 ms on Windows."""
    return time.perf_counter()


def _open(address: Address) -> socket.socket:
    sock = open_receiver(resolve(address[0]), address[1])
    size_buffer(sock, socket.SO_SNDBUF, BUFFER_BYTES)
    sock.setblocking(False)
    return sock


def read_address(text: str, default_host: str = LOCAL) -> Address:
    """`HOST:PORT` or `PORT`. Raises RelayError."""
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535 or (colon and not host):
        raise RelayError(f"{text!r} is no address; write HOST:PORT or PORT, ports to 65535")
    return host or default_host, int(port)


def _text(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def status_line(seconds: float, counts: RelayCounts) -> str:
    """One direction after the other, in datagrams."""
    ways = []
    for name, way in (("up", counts.up), ("down", counts.down)):
        faults = f"lost {way.lost}, queue {way.queue_dropped}, copied {way.duplicated}, overtaken {way.reordered}"
        ways.append(f"{name} {way.offered} -> {way.delivered} ({faults}, in flight {way.in_flight})")
    return f"{seconds:5.0f} s  {' | '.join(ways)} | not sent {counts.send_failed}"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 at the end, 1 if the relay failed, 2 on bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    address = "[HOST:]PORT"
    parser.add_argument("--listen", default="7100", metavar=address, help="where the client sends (default: 7100)")
    parser.add_argument("--server", default="7000", metavar=address, help="the real server (default: 7000)")
    parser.add_argument("--replies", default="8100", metavar=address, help="where the server answers (default: 8100)")
    parser.add_argument("--client", default="8000", metavar=address, help="the real client (default: 8000)")
    parser.add_argument("--up", default="", metavar="FAULTS", help="client to server; give each way its own seed")
    parser.add_argument("--down", default="", metavar="FAULTS", help="server to client")
    parser.add_argument("--seconds", type=float, help="end after this long (default: at Ctrl-C)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        up, down = Faults.parse(options.up), Faults.parse(options.down)
        server, client = read_address(options.server), read_address(options.client)
        relay = Relay(
            read_address(options.listen, LOCAL if is_loopback(resolve(client[0])) else ANY),
            read_address(options.replies, LOCAL if is_loopback(resolve(server[0])) else ANY),
            *(server, client, up, down),
        )
    except AnacrusisError as error:
        print(f"relay: {error}", file=sys.stderr)
        return 2
    begin_s = _now_s()
    with relay:
        try:
            print(f"client -> {_text(relay.listen_address)} -> {_text(server)}, up: {up}")
            print(f"server -> {_text(relay.replies_address)} -> {_text(client)}, down: {down}", flush=True)
            failed = not _watch(relay, options.seconds)
        except KeyboardInterrupt:
            failed = False
        counts = relay.counts()
    record: dict[str, Any] = {"seconds": round(_now_s() - begin_s, 3), "up_faults": str(up), "down_faults": str(down)}
    print(json.dumps({"benchmark": "relay", **record, **asdict(counts)}, separators=(",", ":")))
    return int(failed)


def _watch(relay: Relay, limit_s: float | None) -> bool:
    """A line each second until limit_s; False if the relay ended before."""
    begin_s = _now_s()
    while limit_s is None or _now_s() - begin_s < limit_s:
        time.sleep(1.0 if limit_s is None else max(min(1.0, begin_s + limit_s - _now_s()), 0.0))
        print(status_line(_now_s() - begin_s, relay.counts()), flush=True)
        if not relay.running:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
