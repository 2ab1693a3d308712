# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a server is there and knows what to play: greets it, loads it, and notices when it is a new one.

The protocol has no heartbeat. A load sequence starts the music's history anew, so it is sent only where the server
seems new: it said `/ready`, or two steps went by without a single datagram from it. After such a silence our own
server is asked first (hello), since it may only be slow: it is loaded if it is another instance, if it is still
loading by itself, if the silence was long enough for it to begin anew anyway, or if it answers hellos but no steps.
The released one cannot be asked and is loaded at once, then ever more rarely, because it does not survive being told
again while it loads.

Nothing here waits: what is to come is put on the agenda.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from anacrusis.performer.agenda import Agenda
from anacrusis.performer.connection import Transport
from anacrusis.performer.events import Event, FromServer, Note
from anacrusis.performer.external import LOAD_PAUSE_S
from anacrusis.performer.take import Counters
from anacrusis.server.wire.extension import (
    PROTOCOL,
    ClientHello,
    Dropped,
    ModelState,
    NewEpoch,
    Refused,
    ServerHello,
    StepStatus,
)

LOST_STEPS: Final = 2
LOST_S: Final = 1.0  # steps of a few frames: a pause of the network is not the end of a server
PROBE_S: Final = 0.5
SILENCE_S: Final = 5.0  # our server begins a new epoch after it
COOLDOWN_S: Final = 0.3  # a server repeats /ready until it hears from us
RETRY_S, RETRY_MAX_S = 10.0, 60.0
_log = logging.getLogger(__name__)


class Session:
    """load_sequence(): the datagrams that set a server up. hello False: say none, as the released external."""

    def __init__(
        self,
        transport: Transport,
        agenda: Agenda,
        load_sequence: Callable[[], tuple[bytes, ...]],
        counters: Counters,
        *,
        hello: bool = True,
        token: str = "",
    ) -> None:
        self._transport, self._agenda, self._load_sequence = transport, agenda, load_sequence
        self._counters, self._hello, self._token = counters, hello, token
        self.server: ServerHello | None = None
        self.model, self.model_text = "", ""  # since the last load: "" unknown, loading, ready, failed
        self.lost = False
        self._started = False
        self._silence_told = False
        self._unanswered_load = False  # a load went out and no reply came since
        self._loads_itself = False  # it answered, still loading, and /ready will follow
        self._doubts = 0  # silences since the last reply
        self._unanswered_due_s: list[float] = []
        self._last_traffic_s = self._loaded_s = self._next_probe_s = 0.0
        self._next_load_s = self._blind_load_s = 0.0  # not before; not before, without an answer to our hello
        self._retry_s = RETRY_S

    def greet(self) -> None:
        if self._hello:
            # Port 0: answer to where this came from, which is our listening socket, whatever a NAT makes of it.
            self._transport.send(ClientHello(PROTOCOL, 0, self._token).encode())

    def load(self, why: str) -> float:
        """Put the load sequence on the agenda; returns when its last datagram goes out (seconds of the clock)."""
        now_s = self._transport.clock()
        self._started = self._unanswered_load = True
        self._counters.loads += 1
        self._next_load_s = now_s + self._retry_s
        if self._counters.loads > 1:
            _log.warning("%s; setting the server up again", why)
        sequence = self._load_sequence()
        for index, datagram in enumerate(sequence):
            self._agenda.at(now_s + index * LOAD_PAUSE_S, lambda data=datagram: self._transport.send(data))  # type: ignore[misc]
        self._loaded_s = now_s + (len(sequence) - 1) * LOAD_PAUSE_S
        self._agenda.at(self._loaded_s, self._forget_model)
        self._unanswered_due_s.clear()
        return self._loaded_s

    def _forget_model(self) -> None:
        self.model = ""

    def sent(self, due_s: float) -> None:
        """A step went out that should be answered by due_s."""
        self._unanswered_due_s.append(due_s)

    def heard(self) -> None:
        """A datagram came and was handled, whatever was in it: somebody is there."""
        self.lost = False
        self._last_traffic_s = self._transport.clock()
        self._unanswered_due_s.clear()

    def answered(self) -> None:
        """A reply came: the server plays."""
        self._silence_told = self._unanswered_load = self._loads_itself = False
        self._doubts = 0
        self._retry_s, self._next_load_s = RETRY_S, 0.0

    def on_event(self, event: Event) -> None:
        now_s = self._transport.clock()
        if isinstance(event, Note) and event.kind == "ready":
            self._counters.server_ready += 1
            expected, self._loads_itself = self._loads_itself and self._unanswered_load, False
            if self._started and not expected and now_s >= self._loaded_s + COOLDOWN_S:
                self.greet()
                self.load("the server has started")
        elif isinstance(event, FromServer):
            self._on_message(event, now_s)

    def _on_message(self, event: FromServer, now_s: float) -> None:
        message = event.message
        if isinstance(message, ServerHello):
            another = self.server is not None and message.instance != self.server.instance
            self.server, self.model = message, message.model
            loading = message.model == "loading"
            self._loads_itself = self._loads_itself or loading
            waits_for_us = loading and self._unanswered_load
            new = loading or now_s >= self._last_traffic_s + SILENCE_S or self._doubts > 1
            if (
                (another or (self.lost and new))
                and not waits_for_us
                and now_s >= max(self._next_load_s, self._loaded_s)
            ):
                self._load_after_loss("the server answers again")
        elif isinstance(message, ModelState):
            self.model, self.model_text = message.state, message.text
        elif isinstance(message, NewEpoch):
            self._counters.epochs += 1
        elif isinstance(message, StepStatus | Dropped):
            self._doubts = 0  # it knows our steps
        elif isinstance(message, Refused):
            self._counters.refused += 1
            _log.warning("the server refused %s: %s", message.address, message.reason)

    def check(self) -> None:
        """Call often while playing: declares a loss, and asks and loads until it is over."""
        now_s = self._transport.clock()
        if not self.lost:
            due = sum(due_s <= now_s for due_s in self._unanswered_due_s)
            if due < LOST_STEPS or now_s < max(self._last_traffic_s, self._loaded_s) + LOST_S:
                return
            self.lost = True
            self._doubts += 1
            self._next_probe_s = now_s
            # Ours gets the time to answer a hello before it is taken for a released one.
            self._blind_load_s = now_s if self.server is None else now_s + RETRY_S
            if not self._silence_told:
                self._silence_told = True
                self._counters.losses += 1
                _log.warning("the server is silent since %d steps", due)
        if now_s >= max(self._next_load_s, self._blind_load_s):
            self._load_after_loss("the server is silent")
        if now_s >= self._next_probe_s:
            self._next_probe_s = now_s + PROBE_S
            self.greet()

    def _load_after_loss(self, why: str) -> None:
        self.load(why)
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
