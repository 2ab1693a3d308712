# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a network does to datagrams, as arithmetic on arrival times: no socket, no clock, no thread.

A datagram meets, in this order: loss; a bottleneck (rate, bounded queue, tail drop); then delay, jitter and, for
some, being held back. A copy queues behind its original. Jitter is drawn for each datagram alone, so it lets
datagrams overtake each other, as Linux's netem does and as a real queue does not.

Not covered: fragmentation (a datagram is lost whole), corruption, rates that depend on other traffic.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Final, Self

from anacrusis.engine.errors import AnacrusisError

SHAPES: Final = ("uniform", "normal")
NO_FAULTS_TEXT: Final = "none"
_KEYS: Final = {
    "loss": "loss",
    "burst": "burst_datagrams",
    "duplicate": "duplicate",
    "duplicate_delay": "duplicate_delay_ms",
    "reorder": "reorder",
    "reorder_delay": "reorder_delay_ms",
    "delay": "delay_ms",
    "jitter": "jitter_ms",
    "shape": "jitter_shape",
    "rate": "rate_bytes_per_s",
    "queue": "queue_bytes",
    "seed": "seed",
}
_DRAWS: Final = 5  # per datagram, used or not: loss, copy, held back, jitter, the copy's jitter
_NORMAL: Final = NormalDist(0.5, 0.25)  # of jitter_ms, cut at 2 sigma: 0 to 1
_BELOW, _ABOVE = _NORMAL.cdf(0.0), _NORMAL.cdf(1.0)


class FaultsError(AnacrusisError, ValueError):
    """Faults that cannot be, or time that runs backwards."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What one direction of a network does. The default does nothing.

    loss, duplicate, reorder: fractions of datagrams, 0 to 1.
    burst_datagrams: mean length of a run of losses (Gilbert-Elliott, every datagram of the bad state lost); 1, or
        anything below 1 / (1 - loss), is independent losses. `loss` stays the fraction lost over all.
    duplicate_delay_ms: how much later than its original's delay asks a copy comes. reorder_delay_ms: how much
        longer those held back take; later datagrams that come within it overtake them.
    delay_ms: what every datagram takes. jitter_ms: at most this is added to it: `uniform` over [0, jitter_ms], or
        `normal` about its middle, with a quarter of it as sigma, cut at 2 sigma.
    rate_bytes_per_s: the bottleneck, None for none. queue_bytes: what may wait there; an idle one takes anything.
    """

    seed: int = 0
    loss: float = 0.0
    burst_datagrams: float = 1.0
    duplicate: float = 0.0
    duplicate_delay_ms: float = 1.0
    reorder: float = 0.0
    reorder_delay_ms: float = 10.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    jitter_shape: str = "uniform"
    rate_bytes_per_s: float | None = None
    queue_bytes: int = 1 << 20

    def validate(self) -> Self:
        """Itself, so that it can be chained. Raises FaultsError naming what is out of range."""
        for name in ("loss", "duplicate", "reorder"):
            if not 0 <= getattr(self, name) <= 1:
                raise FaultsError(f"{name} is a fraction, 0 to 1, not {getattr(self, name)}")
        for name in ("duplicate_delay_ms", "reorder_delay_ms", "delay_ms", "jitter_ms"):
            if not 0 <= getattr(self, name) < math.inf:
                raise FaultsError(f"{name} is in milliseconds, 0 or more, not {getattr(self, name)}")
        if not 1 <= self.burst_datagrams < math.inf:
            raise FaultsError(f"burst is a run of at least 1 datagram, not {self.burst_datagrams}")
        if self.jitter_shape not in SHAPES:
            raise FaultsError(f"shape is {' or '.join(SHAPES)}, not {self.jitter_shape!r}")
        if self.rate_bytes_per_s is not None and not 0 < self.rate_bytes_per_s < math.inf:
            raise FaultsError(f"rate is in bytes a second, above 0, not {self.rate_bytes_per_s}; leave it out for none")
        if self.queue_bytes < 0 or self.seed < 0:
            raise FaultsError(f"queue and seed are 0 or more, not {self.queue_bytes} and {self.seed}")
        return self

    @classmethod
    def parse(cls, text: str) -> Self:
        """`loss=.05,delay=20,rate=2e6,seed=7`: milliseconds, bytes, fractions; "" and "none" do nothing.

        Keys: loss burst duplicate duplicate_delay reorder reorder_delay delay jitter shape rate queue seed.
        Raises FaultsError.
        """
        values: dict[str, int | float | str] = {}
        parts = [] if text.strip() in ("", NO_FAULTS_TEXT) else text.split(",")
        for part in parts:
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if key not in _KEYS:
                raise FaultsError(f"{key!r} is no fault; choose from {', '.join(_KEYS)}")
            if not equals or not value:
                raise FaultsError(f"{part.strip()!r} has no value; write {key}=VALUE")
            if _KEYS[key] in values:
                raise FaultsError(f"{key} is given twice in {text!r}; keep one")
            values[_KEYS[key]] = _value(key, value)
        return cls(**values).validate()  # type: ignore[arg-type]

    def __str__(self) -> str:
        """What `parse` reads: only what differs from doing nothing."""
        keys = {field: key for key, field in _KEYS.items()}
        changed = [f for f in fields(self) if getattr(self, f.name) != f.default]
        return ",".join(f"{keys[f.name]}={getattr(self, f.name)}" for f in changed) or NO_FAULTS_TEXT


NO_FAULTS: Final = Faults()


@dataclass(frozen=True, slots=True)
class Counts:
    """Datagrams. offered + duplicated = lost + queue_dropped + delivered + in_flight.

    reordered: originals delivered after one that was offered later. delivered_bytes: payload, copies included.
    """

    offered: int = 0
    duplicated: int = 0
    lost: int = 0
    queue_dropped: int = 0
    delivered: int = 0
    in_flight: int = 0
    reordered: int = 0
    delivered_bytes: int = 0


class Link:
    """One direction of a network under `Faults`. Times are seconds of any one clock.

    The draws of datagram number n depend on (seed, n) alone; with no rate set so does its fate, its times being its
    arrival plus what was drawn. When and how often `due` is called changes nothing. Not thread-safe.
    """

    def __init__(self, faults: Faults = NO_FAULTS) -> None:
        """Raises FaultsError."""
        self._faults = faults.validate()
        self._random = random.Random(faults.seed)
        self._after_loss: bool | None = None
        self._arrived_s = -math.inf
        self._free_s = -math.inf  # when the bottleneck will have sent all it holds
        self._heap: list[tuple[float, int, int, bool, bytes]] = []  # due, entry, number, copy?, data
        self._entries = 0
        self._newest = -1  # highest number delivered
        self._counts = dict.fromkeys((f.name for f in fields(Counts) if f.name != "in_flight"), 0)
        self.is_cut = False

    @property
    def faults(self) -> Faults:
        return self._faults

    @property
    def counts(self) -> Counts:
        """As of now."""
        return Counts(**self._counts, in_flight=len(self._heap))

    def change(self, faults: Faults) -> None:
        """From the next datagram on. Another seed starts its draws anew; the same one goes on. Raises FaultsError."""
        faults.validate()
        if faults.seed != self._faults.seed:
            self._random = random.Random(faults.seed)
        self._faults = faults

    def cut(self) -> None:
        """Unplug: what is in flight is lost, and what is offered until `restore`."""
        self.is_cut = True
        self._counts["lost"] += len(self._heap)
        self._heap.clear()
        self._free_s = -math.inf

    def restore(self) -> None:
        """Plug in again."""
        self.is_cut = False

    def offer(self, data: bytes, t_s: float) -> None:
        """A datagram arrives at t_s, not before the last one did. Raises FaultsError."""
        if not t_s >= self._arrived_s:
            raise FaultsError(f"a datagram at {t_s} s after one at {self._arrived_s} s; offer them in their order")
        self._arrived_s = t_s
        number = self._counts["offered"]
        self._counts["offered"] += 1
        loss, copy, held, jitter, copy_jitter = (self._random.random() for _ in range(_DRAWS))
        self._after_loss = loss < self._loss_probability()
        if self.is_cut or self._after_loss:
            self._counts["lost"] += 1
            return
        faults = self._faults
        held_ms = faults.reorder_delay_ms if held < faults.reorder else 0.0
        sent = self._send(data, t_s, held_ms + self._delay_ms(jitter), number)
        if sent and copy < faults.duplicate:
            self._counts["duplicated"] += 1
            self._send(data, t_s, held_ms + faults.duplicate_delay_ms + self._delay_ms(copy_jitter), number, copy=True)

    def due(self, t_s: float) -> list[bytes]:
        """What has been delivered by t_s and was not handed out before, in the order of delivery."""
        delivered = []
        while self._heap and self._heap[0][0] <= t_s:
            _, _, number, copy, data = heapq.heappop(self._heap)
            delivered.append(data)
            self._counts["delivered"] += 1
            self._counts["delivered_bytes"] += len(data)
            if not copy:
                self._counts["reordered"] += number < self._newest
                self._newest = max(self._newest, number)
        return delivered

    def next_due_s(self) -> float | None:
        """When the next delivery happens; None with nothing in flight."""
        return self._heap[0][0] if self._heap else None

    def _loss_probability(self) -> float:
        """Two states, left with probability `end` (bad) and `begin` (good): stationary share of bad = loss."""
        loss = self._faults.loss
        if self._after_loss is None or loss in (0, 1):
            return loss
        end = min(1 / self._faults.burst_datagrams, 1 - loss)
        begin = loss * end / (1 - loss)
        return 1 - end if self._after_loss else begin

    def _delay_ms(self, draw: float) -> float:
        if self._faults.jitter_shape == "normal":
            draw = min(max(_NORMAL.inv_cdf(_BELOW + draw * (_ABOVE - _BELOW)), 0.0), 1.0)
        return self._faults.delay_ms + self._faults.jitter_ms * draw

    def _send(self, data: bytes, t_s: float, delay_ms: float, number: int, *, copy: bool = False) -> bool:
        """Through the bottleneck and on its way; False if the queue was full."""
        rate = self._faults.rate_bytes_per_s
        if rate is not None:
            waiting_bytes = max(self._free_s - t_s, 0.0) * rate
            if waiting_bytes and waiting_bytes + len(data) > self._faults.queue_bytes:
                self._counts["queue_dropped"] += 1
                return False
            self._free_s = max(self._free_s, t_s) + len(data) / rate
            t_s = self._free_s
        heapq.heappush(self._heap, (t_s + delay_ms / 1e3, self._entries, number, copy, data))
        self._entries += 1
        return True


def _value(key: str, text: str) -> int | float | str:
    if key == "shape":
        return text
    try:
        number = float(text)
        if key not in ("seed", "queue"):
            return number
        return int(text) if text.isdecimal() else _whole(number)
    except (ValueError, OverflowError):
        kind = "a whole number" if key in ("seed", "queue") else "a number"
        raise FaultsError(f"{key}={text} is not {kind}") from None


def _whole(number: float) -> int:
    if number != int(number):
        raise ValueError
    return int(number)
