# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One step being put together from datagrams, in whatever order they come: idempotent, first write wins.

A batch is one plane of audio, or several to be summed (send_mode 1: one address a stem). The declared total
counts the datagrams of every plane and every target, so it is evidence and not the truth; samples are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.server.controls import Controls
from anacrusis.server.wire.extension import StepPosition
from anacrusis.server.wire.messages import CONTEXT, AudioMessage

F32 = NDArray[np.float32]
SPARE_PLANES: Final = 8
Source = tuple[str, int]  # address and port of a sender
Span = tuple[int, int]  # offset and length, in samples of the step


class Written(Enum):
    """What a datagram did to its batch."""

    NEW = auto()
    DUPLICATE = auto()
    CONFLICT = auto()  # other audio where some already is: another client


@dataclass(slots=True)
class Plane:
    """audio, have [capacity]; end: one past the last sample that came; chunks: distinct offsets; count: of samples."""

    audio: F32
    have: NDArray[np.bool_]
    end: int = 0
    chunks: set[int] = field(default_factory=set)
    longest: int = 0
    last: int = 0
    count: int = 0

    @classmethod
    def empty(cls, capacity: int) -> Plane:
        return cls(np.zeros(capacity, np.float32), np.zeros(capacity, np.bool_))

    def emptied(self) -> Plane:
        """The same memory, as if nothing had come: fresh pages would cost more than all the rest of a datagram."""
        self.audio[: self.end] = 0.0
        self.have[: self.end] = False
        return Plane(self.audio, self.have)

    def write(self, offset: int, audio: F32) -> Written:
        stop = offset + audio.shape[0]
        have, held = self.have[offset:stop], self.audio[offset:stop]
        here = int(np.count_nonzero(have))
        if here == 0:
            held[...] = audio
        elif not np.array_equal(held[have], audio[have]):
            return Written.CONFLICT
        elif here == audio.shape[0]:
            return Written.DUPLICATE
        else:
            held[~have] = audio[~have]
        have[...] = True
        self.chunks.add(offset)
        self.count += audio.shape[0] - here
        self.end, self.longest = max(self.end, stop), max(self.longest, audio.shape[0])
        self.last = max(self.last, offset)
        return Written.NEW

    def covers(self, length: int) -> bool:
        return self.count >= length and (self.count == self.end or bool(self.have[:length].all()))


class Planes:
    """Planes of one capacity, used again. One thread."""

    def __init__(self, capacity_samples: int) -> None:
        self.capacity_samples = capacity_samples
        self._spare: list[Plane] = []

    def take(self) -> Plane:
        return self._spare.pop() if self._spare else Plane.empty(self.capacity_samples)

    def give_back(self, batch: Batch | None) -> None:
        """Nobody asks this batch anything any more."""
        for plane in batch.planes.values() if batch is not None else ():
            if len(self._spare) < SPARE_PLANES:
                self._spare.append(plane.emptied())


class Batch:
    """The datagrams of one id. Controls are those of its first datagram (the latch of w). Receiving thread."""

    def __init__(self, number: int, controls: Controls, planes: Planes, t_first_s: float) -> None:
        self.id, self.controls, self._pool = number, controls, planes
        self.t_first_s = self.t_last_s = t_first_s
        self.total = 0
        self.received = 0
        self.sources: set[Source] = set()
        self.planes: dict[str, Plane] = {}
        self.position: StepPosition | None = None
        self.refusal = ""  # why it gets no reply
        self.closes_s: float | None = None  # the owner's, until something changes

    def add(self, message: AudioMessage, source: Source, t_s: float) -> Written:
        """Write one datagram whose span was checked against the capacity. CONFLICT changes nothing."""
        plane = self.planes.get(message.address)
        if plane is None:
            plane = self.planes[message.address] = self._pool.take()
        written = plane.write(message.index, message.audio)
        if written is not Written.CONFLICT:
            # From the first two and the last it is told how long the step is, and whether it counts.
            if len(plane.chunks) <= 2 or message.audio.shape[0] != plane.longest:
                self.closes_s = None
            self.received += 1
            self.total = max(self.total, message.total)
            self.sources.add(source)
            self.t_last_s = t_s
        return written

    def is_told(self, said: StepPosition | str) -> None:
        """Where it lies, or why it gets no reply."""
        self.closes_s = None
        if isinstance(said, str):
            self.refusal = said
        else:
            self.position = said

    def conflicts(self, message: AudioMessage, source: Source) -> bool:
        """Other audio than what this batch holds there, from another socket."""
        plane = self.planes.get(message.address)
        if plane is None or source in self.sources:
            return False
        span = slice(message.index, message.index + message.audio.shape[0])
        have = plane.have[span]
        return bool((plane.audio[span][have] != message.audio[have]).any())

    @property
    def distinct(self) -> int:
        """Datagrams that brought something, over all planes."""
        return sum(len(plane.chunks) for plane in self.planes.values())

    @property
    def end(self) -> int:
        """One past the last sample that came."""
        return max((plane.end for plane in self.planes.values()), default=0)

    # -- how long is it ---------------------------------------------------------------------------------------

    def chunks_declared(self, stems: int) -> int:
        """Datagrams of one plane, as the total says it: it counts targets, and planes in send_mode 1."""
        copies = max(len(self.controls.stems), 1) * (1 if CONTEXT in self.planes else max(stems - 1, 1))
        return self.total // copies if self.total % copies == 0 else self.total

    def observed_length(self, stems: int) -> int | None:
        """The step's length where every datagram that was declared is here without a hole, else None."""
        declared = self.chunks_declared(stems)
        if not self.planes or any(len(p.chunks) != declared for p in self.planes.values()):
            return None
        if not self._all_planes(stems):
            return None
        end = self.end
        return end if all(plane.covers(end) for plane in self.planes.values()) else None

    def bounds(self, stems: int) -> Span:
        """(more than, at most) samples this step has, by the declared total and the size of a datagram."""
        size = max((plane.longest for plane in self.planes.values()), default=0)
        last = max((plane.last for plane in self.planes.values()), default=0)
        declared = self.chunks_declared(stems)
        if last > (declared - 1) * size and declared > 1:  # only the last one is here, and it is shorter
            size = -(-last // (declared - 1))
        return (declared - 1) * size, declared * size

    def told_length(self, stems: int) -> int | None:
        """The step's length where its last datagram is here, whatever else is missing."""
        more_than, _ = self.bounds(stems)
        ends = [plane.end for plane in self.planes.values() if more_than > 0 and more_than in plane.chunks]
        return max(ends, default=None)

    def covers(self, length: int, stems: int) -> bool:
        """Every sample of [0, length) is here, of every plane."""
        return bool(self.planes) and self._all_planes(stems) and all(p.covers(length) for p in self.planes.values())

    def _all_planes(self, stems: int) -> bool:
        """send_mode 1 sends one plane for each stem that is not to be predicted."""
        return CONTEXT in self.planes or len(self.planes) >= max(stems - len(self.controls.stems), 1)

    # -- what is in it ----------------------------------------------------------------------------------------

    def audio(self, length: int) -> F32:
        """[length] float32, a copy: the sum of the planes, zeros where nothing came."""
        planes = [plane.audio[:length] for plane in self.planes.values()]
        if len(planes) == 1:
            return planes[0].copy()  # bit for bit what was sent
        return np.sum(planes, axis=0, dtype=np.float32) if planes else np.zeros(length, np.float32)

    def missing(self, length: int, stems: int) -> tuple[Span, ...]:
        """Spans of [0, length) that some plane lacks."""
        if self.covers(length, stems):
            return ()
        have = np.ones(length, np.bool_) if self.planes and self._all_planes(stems) else np.zeros(length, np.bool_)
        for plane in self.planes.values():
            have &= plane.have[:length]
        edges = np.flatnonzero(np.diff(np.concatenate(([False], ~have, [False])).astype(np.int8)))
        return tuple((int(a), int(b - a)) for a, b in edges.reshape(-1, 2))
