# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a performance leaves: what was heard, and one record a step."""

from __future__ import annotations

from dataclasses import dataclass, field

from anacrusis.performer.placing import F32
from anacrusis.performer.plan import Pace
from anacrusis.server.wire.extension import ServerHello, StepStatus


@dataclass(slots=True)
class LiveStep:
    """One `predict` and what came of it. Times are seconds since the music began; positions samples.

    deadline_s: when the playhead reaches the reply's crossfade, start - fade. length_samples: of the reply but for the
    crossfade. until_next_samples: from this trigger to the next, where the lead is start + length - curr - that.
    chunks: stem -> (came, expected); expected is 0 while none came. late_samples: written when the playhead had passed
    them. concealed_samples: heard as silence or as what was there before, because no reply had come.
    """

    batch: int
    curr_samples: int
    start_samples: int
    sent_s: float
    deadline_s: float
    chunks: dict[str, tuple[int, int]]
    first_chunk_s: float | None = None
    last_chunk_s: float | None = None
    duplicates: int = 0
    late_samples: int = 0
    concealed_samples: int = 0
    dropped: bool = False
    status: StepStatus | None = None
    length_samples: int = 0
    until_next_samples: int = 0

    @property
    def answered(self) -> bool:
        """Every chunk of every stem came, in time or not."""
        return all(came == expected > 0 for came, expected in self.chunks.values())

    @property
    def silent(self) -> bool:
        return not any(came for came, _ in self.chunks.values())

    @property
    def lost_chunks(self) -> int:
        return sum(expected - came for came, expected in self.chunks.values())

    @property
    def round_trip_ms(self) -> float | None:
        """From `predict` to the last chunk, where all came."""
        return 1e3 * (self.last_chunk_s - self.sent_s) if self.answered and self.last_chunk_s is not None else None

    @property
    def margin_ms(self) -> float | None:
        """From the last chunk to the deadline; negative is late."""
        return 1e3 * (self.deadline_s - self.last_chunk_s) if self.answered and self.last_chunk_s is not None else None


@dataclass(frozen=True, slots=True)
class RungChange:
    """What our server said of what computes the steps (see `RungState`). at_s: since the music began, negative before.

    batch: the newest step that was answered by then, -1 before any.
    """

    at_s: float
    state: str
    rung: str
    batch: int
    text: str


@dataclass(frozen=True, slots=True)
class PaceChange:
    """What our server chose, and why (see `PaceChoice`). at_s: since the music began, negative before."""

    at_s: float
    batch: int
    step_samples: int
    lead_samples: int
    follow: int
    text: str


@dataclass(slots=True)
class Counters:
    """Liveness of the whole performance."""

    datagrams: int = 0
    malformed: int = 0
    stale_chunks: int = 0
    unasked_chunks: int = 0
    refused: int = 0
    server_ready: int = 0
    loads: int = 0
    epochs: int = 0
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Take:
    """context [n], heard [stems, n] float32 at pace.rate_hz. server: who answered our hello, None for the released.

    pace: as it was asked for; paces: what the server chose instead, where it chooses.

    complete False: interrupted, and cut to what had been played.
    """

    context: F32
    heard: F32
    stems: tuple[str, ...]
    pace: Pace
    server: ServerHello | None
    steps: tuple[LiveStep, ...]
    counters: Counters = field(default_factory=Counters)
    complete: bool = True
    rungs: tuple[RungChange, ...] = ()
    paces: tuple[PaceChange, ...] = ()

    @property
    def switches(self) -> tuple[RungChange, ...]:
        """Where another rung took over, with steps before and after it."""
        return tuple(change for change in self.rungs if change.state == "playing" and change.at_s >= 0)
