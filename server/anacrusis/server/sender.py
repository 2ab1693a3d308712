# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Replies out, paced, on a thread of their own: a burst of 22 kB datagrams would lose some on a real link.

The released client places a chunk by the latest chunk 0 it saw. So when a newer step arrives while a stem is on
its way, that stem starts again from chunk 0, and a reply two steps old, which no client takes, is given up.
"""

from __future__ import annotations

import errno
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from anacrusis.server.batch import F32
from anacrusis.server.clocks import Counters, Narrator
from anacrusis.server.wire import messages
from anacrusis.server.wire.extension import Extension

PAUSE_S: Final = 200e-6
BYTES_BETWEEN_PAUSES: Final = 16_384


@dataclass(frozen=True, slots=True)
class Reply:
    """audio [stems, N] float32, headroom first. on_sent(complete) after the last datagram, on the sending thread.

    good_for: how many batches a client keeps, this one counted; the released one keeps two.
    """

    epoch: int
    batch: int
    stems: tuple[str, ...]
    audio: F32
    package: int
    good_for: int = 2
    on_sent: Callable[[bool], None] = lambda complete: None


class Sender:
    """`submit`, `say` and `tell` from any thread; `newest` and `epoch` are set by the receiving thread."""

    def __init__(self, sock: socket.socket, target: tuple[str, int], counters: Counters) -> None:
        self._sock, self._counters, self._narrator = sock, counters, Narrator()
        self.target = target
        self.introduced = False  # has the client said hello?
        self.newest: int | None = None  # newest batch id of which anything came
        self.epoch = 0
        self.pause_s = PAUSE_S
        self._replies: queue.SimpleQueue[Reply | threading.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        self._replies.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def submit(self, reply: Reply) -> None:
        """Queue a reply; returns at once."""
        self._replies.put(reply)

    def fence(self, done: threading.Event) -> None:
        """Set `done` when every reply submitted so far was sent."""
        self._replies.put(done)

    def say(self, data: bytes, target: tuple[str, int] | None = None) -> None:
        """Send one datagram now, to the client unless told where. Never raises."""
        try:
            self._sock.sendto(data, target or self.target)
        except ConnectionRefusedError:
            self._lost("nobody listens there")
        except OSError as error:
            small = f"; {len(data)} bytes are too many here, choose a smaller packet_size"
            self._lost(str(error) + (small if error.errno == errno.EMSGSIZE else ""))

    def tell(self, message: Extension) -> None:
        """Send one of our own messages, if the client knows them."""
        if self.introduced:
            self.say(message.encode())

    def _lost(self, why: str) -> None:
        self._counters.send_errors += 1
        host, port = self.target
        self._narrator.say("send", f"reply to {host}:{port} failed ({why}); playing on, is the client running?")

    def _run(self) -> None:
        while (reply := self._replies.get()) is not None:
            if isinstance(reply, threading.Event):
                reply.set()
                continue
            try:
                complete = self._send(reply)
            except Exception as error:  # a reply must not end the thread that sends the next
                complete = False
                self._narrator.say("send", f"reply to batch {reply.batch} failed: {error}", logging.ERROR)
            reply.on_sent(complete)

    def _send(self, reply: Reply) -> bool:
        """True where every stem was sent whole."""
        for row, stem in enumerate(reply.stems):
            if not self._send_stem(reply, stem, reply.audio[row]):
                self._counters.abandoned += 1
                return False
        self.say(messages.SERVER_PREDICTED)
        return True

    def _send_stem(self, reply: Reply, stem: str, audio: F32) -> bool:
        datagrams = list(messages.reply_datagrams(stem, reply.batch, audio, reply.package))
        chunk, since_pause, seen = 0, 0, self.newest
        while chunk < len(datagrams):
            newest = self.newest
            if self.epoch != reply.epoch or (newest is not None and newest >= reply.batch + reply.good_for):
                return False
            if newest != seen:
                seen = newest
                if chunk:
                    chunk = 0
                    self._counters.resent += 1
            self.say(datagrams[chunk])
            since_pause += len(datagrams[chunk])
            chunk += 1
            if since_pause >= BYTES_BETWEEN_PAUSES:
                since_pause = 0
                time.sleep(self.pause_s)
        return True
