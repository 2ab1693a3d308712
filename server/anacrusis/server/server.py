# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The live server: one receiving thread (socket, parser, assembler), one engine thread, one sender.

    server = Server(bundle, open_engine, ServerConfig())
    with server:            # bound, loaded and announced with /ready
        server.wait()

Threading: start, stop and wait from one thread; everything inside is daemon threads that never raise.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.engine import Engine
from anacrusis.engine.errors import AnacrusisError
from anacrusis.server.admission import Admission, client_address
from anacrusis.server.clocks import Counters, Narrator
from anacrusis.server.pacer import Pacing
from anacrusis.server.rungs import Upgrade
from anacrusis.server.sender import PAUSE_S, Sender
from anacrusis.server.session import Session, SessionConfig
from anacrusis.server.wire import messages
from anacrusis.server.wire.sockets import granted_bytes, is_loopback, open_receiver, open_sender, resolve
from anacrusis.server.worker import Worker

_log = logging.getLogger("anacrusis.server")

LONGEST_WAIT_S = 0.1  # how soon a stop is noticed
LEAST_BUFFER_BYTES = 1 << 20  # three steps of the stock patch


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where to listen and whom to answer. bind_ip None: loopback, or every interface for a client elsewhere.

    port 0: any free one. windows: the client's possible T (see SessionConfig). dump: the only directory /print may
    write in. send_pause_s: rest after every 16 KiB of replies. positions: take /anacrusis/step. pacing: choose step and
    lead while a client plays that says positions.
    """

    bind_ip: str | None = None
    port: int = messages.SERVER_PORT
    client_ip: str = "127.0.0.1"
    client_port: int = messages.CLIENT_PORT
    allow: tuple[str, ...] = ()
    token: str = ""
    windows: tuple[int, ...] = ()
    dump: Path | None = None
    send_pause_s: float = PAUSE_S
    context_tail_samples: int = 0
    positions: bool = True
    pacing: Pacing | None = None

    def validate(self) -> None:
        """Raise AnacrusisError for a port or window that cannot be."""
        for name, port, least in (("server port", self.port, 0), ("client port", self.client_port, 1)):
            if not least <= port <= 65535:
                raise AnacrusisError(f"{name} {port} is not a port; choose {least} to 65535")
        for window in self.windows:
            if not 1 <= window <= 1 << 24:
                raise AnacrusisError(f"a window of {window} samples cannot be; the stock patch has T = 264600")
        if self.pacing is not None:
            self.pacing.validate()
            if not self.positions:
                raise AnacrusisError("the original's cycle is paced by r and w only; leave out --pacing")

    def bind_address(self) -> str:
        """bind_ip resolved, or what the client's address asks for. Raises SocketError."""
        if self.bind_ip is not None:
            return resolve(self.bind_ip)
        return "127.0.0.1" if is_loopback(client_address(self.client_ip)) else "0.0.0.0"


class Server:
    """A bundle behind a socket. open_engine is called on the engine thread, and again by /load_model if it raised.

    upgrade: a better rung is prepared while that engine plays, and takes over between two steps (see `rungs.py`).
    clock: monotonic seconds, of every deadline and duration.
    """

    def __init__(
        self,
        bundle: Bundle,
        open_engine: Callable[[], Engine],
        config: ServerConfig,
        upgrade: Upgrade | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        config.validate()
        if upgrade is not None:
            upgrade.validate()
        self.config, self.counters, self._narrator, self._clock = config, Counters(), Narrator(), clock
        admission = Admission(config.client_ip, config.allow, config.token)
        self._receiver = open_receiver(config.bind_address(), config.port)
        self._outlet = open_sender()
        granted = granted_bytes(self._receiver)
        if granted < LEAST_BUFFER_BYTES:
            _log.warning("receive buffer is only %d bytes; bursts may be lost (raise net.core.rmem_max)", granted)
        self.sender = Sender(self._outlet, (client_address(config.client_ip), config.client_port), self.counters)
        self.sender.pause_s = config.send_pause_s
        self.worker = Worker(
            open_engine,
            self.sender,
            self.counters,
            context_tail_samples=config.context_tail_samples,
            upgrade=upgrade,
            pacing=config.pacing,
            clock=clock,
        )
        self.session = Session(
            bundle,
            admission,
            self.sender,
            self.worker,
            self.counters,
            SessionConfig(version("anacrusis"), config.windows, config.dump, config.positions),
        )
        self._stopping, self._stop_asked = threading.Event(), False
        self._thread = threading.Thread(target=self._receive, name="receiver", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """(ip, port) it listens on."""
        host: tuple[str, int] = self._receiver.getsockname()
        return host

    def start(self) -> None:
        """Listen, load the model, say /ready once.

        Returns early where `request_stop` is called meanwhile. Raises AnacrusisError where the engine does not open;
        the server is up all the same, without /ready, and /load_model tries again: the caller decides whether to stop.
        """
        self._thread.start()
        self.sender.start()
        self.worker.start()
        while not self.worker.opened.done():
            if self.wait(0.01):
                return
        self.worker.opened.result()
        self.sender.say(messages.READY)

    def wait(self, timeout_s: float) -> bool:
        """Until a stop is asked for; True if it was."""
        until = time.monotonic() + timeout_s
        while not self._stop_asked and (left := until - time.monotonic()) > 0:
            self._stopping.wait(min(left, LONGEST_WAIT_S))
        return self._stop_asked

    def request_stop(self) -> None:
        """From a signal handler: sets a flag and takes no lock, which the interrupted thread might hold."""
        self._stop_asked = True

    def stop(self, timeout_s: float = 0.4) -> bool:
        """Stop every thread and close. False where a cycle is still running (it holds nothing that must be saved)."""
        self._stop_asked = True
        self._stopping.set()
        try:
            if self._thread.is_alive():
                self._thread.join(timeout_s)
            ended = self.worker.stop(timeout_s)
            self.sender.stop(timeout_s)
        finally:
            self._receiver.close()
            self._outlet.close()
        return ended

    def __enter__(self) -> Server:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def report(self) -> dict[str, Any]:
        """Counters, epoch, load state and the rung that plays ("" before one does)."""
        worker, epoch = self.worker, self.session.assembler.epoch
        return {"state": worker.state, "rung": worker.rung, "epoch": epoch, **self.counters.as_dict()}

    def _receive(self) -> None:
        buffer = memoryview(bytearray(65_536))
        wake: float | None = None
        while not self._stopping.is_set():
            now = self._clock()
            wait = LONGEST_WAIT_S if wake is None else min(max(wake - now, 0.0), LONGEST_WAIT_S)
            try:
                self._receiver.settimeout(max(wait, 1e-4))
                size, source = self._receiver.recvfrom_into(buffer)
            except (TimeoutError, BlockingIOError):
                self.session.tick(self._clock())
                wake = self.session.next_wake_s()
                continue
            except OSError as error:  # a reset connection on Windows, an interface that went away
                if self._stopping.is_set():
                    return
                self._narrator.say("receive", f"receive failed ({error}); still listening")
                time.sleep(0.05)
                continue
            now = self._clock()
            self.session.datagram(bytes(buffer[:size]), source, now)
            wake = self.session.next_wake_s()
            if wake is not None and wake <= now:
                self.session.tick(now)
                wake = self.session.next_wake_s()
