# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Datagrams in, steps out, and what time it is. No socket, no thread, no clock of its own: every call is given `t_s`.

The cursor is not on the stock wire, so batch ids are the clock: the first batch of an epoch ends at now = its
length, each later one adds (id - last id) steps. A step is handed over when it is whole, or 250 ms after its
first datagram, or at the last moment that still meets its lead, whichever is first; what is missing is zeros and
is said. An id that was handed over is closed: late and repeated datagrams of it never write.

One wild datagram must not end a song. An id that cannot follow (more than 8 below, further above than time allows, or
the last one again with other audio from another socket) is put together aside, as the *challenger*, and acts only when
it is whole; a step of one datagram needs its successor as a witness. Up to 8 ids too far above it then joins the song
(time moves on by as many steps); otherwise it begins a new epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from anacrusis.server.batch import F32, Batch, Planes, Source, Span, Written
from anacrusis.server.controls import Controls, RefusedError
from anacrusis.server.lengths import StepLengths
from anacrusis.server.wire.extension import StepPosition
from anacrusis.server.wire.messages import AudioMessage
from anacrusis.server.wire.region import region_of

STALE_IDS: Final = 8
STALE_S: Final = 2.0
MOST_OPEN: Final = 16
TOLD_S: Final = 1.0  # a position comes with its audio
FRAGMENT_S: Final = 1.0  # how long one datagram of a step that is not next is kept
JOINS: Final = "gap"  # a batch aside that continues the song
PATIENCE_S: Final = 0.25
SILENCE_S: Final = 5.0
LEAST_ASSEMBLY_S: Final = 0.005  # a lead that leaves less than this cannot be met by hurrying
PLAY_SPEED: Final = 2.0  # the patch plays up to twice as fast, so ids may come that much faster
STOCK_WINDOW_SAMPLES: Final = 264_600


class Fate(Enum):
    """What became of a datagram. Only WRITTEN and EPOCH change what will be heard."""

    WRITTEN = auto()
    DUPLICATE = auto()
    STALE = auto()  # of a step that was handed over
    ASIDE = auto()  # kept with the challenger
    EPOCH = auto()  # completed a challenger: a new epoch begins with it


@dataclass(frozen=True, slots=True)
class ReadyStep:
    """A step for the engine. Samples unless named; times on the caller's clock.

    skip_samples passed unheard before it. audio [n] is what was heard, n < step_samples only in a short first
    batch. predict False: superseded by a newer step, hear it only. deadline_s: when the client's crossfade into
    the reply begins to play, counted from the first datagram: before it, where the lead is within the fade.

    reply: (start from the batch's end, length), None for (lead, step); another where step or lead change. positioned:
    the client says positions, and so can follow a pace.
    """

    epoch: int
    batch: int
    skip_samples: int
    skipped_batches: int
    audio: F32
    step_samples: int
    lead_samples: int
    missing: tuple[Span, ...]
    t_first_s: float
    t_ready_s: float
    deadline_s: float
    controls: Controls
    predict: bool
    refusal: str = ""  # why there is to be no reply
    reply: tuple[int, int] | None = None
    positioned: bool = False

    @property
    def reply_lead_samples(self) -> int:
        return self.lead_samples if self.reply is None else self.reply[0]

    @property
    def reply_samples(self) -> int:
        return self.step_samples if self.reply is None else self.reply[1]


@dataclass(frozen=True, slots=True)
class _Told:
    """What was said of a batch, by whom: only its own client's word counts."""

    source: Source
    t_s: float
    said: StepPosition | str


@dataclass(slots=True)
class _Line:
    """Where the epoch stands: the newest step handed over."""

    last_id: int | None = None
    position: StepPosition | None = None  # of last_id, where the client says positions
    step_samples: int = 0


class Assembler:
    """Owned by the receiving thread. windows: the T that a client may have, the likelier first; capacity_samples:
    the longest step there can be (default the longest of them). budget_s(): what a cycle and its reply take."""

    def __init__(
        self,
        windows: Sequence[int],
        stems: int,
        rate_hz: int,
        *,
        capacity_samples: int = 0,
        budget_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.stems, self.rate_hz = stems, rate_hz
        self.capacity_samples = capacity_samples or max(windows)
        self._lengths = StepLengths(windows, stems, self.capacity_samples)
        self._planes = Planes(self.capacity_samples)
        self.epoch, self.reason = 0, "start"
        self._budget_s = budget_s
        self._told: dict[int, _Told] = {}  # positions and refusals by batch
        self._begin()

    def _begin(self) -> None:
        self._line = _Line()
        self._open: dict[int, Batch] = {}
        self._closed: Batch | None = None
        self._challenger: Batch | None = None
        self._witness: Batch | None = None
        self._t_heard_s: float | None = None

    def new_epoch(self, reason: str) -> None:
        """History starts anew, by command; open batches and what was said of them are forgotten."""
        self._told.clear()
        self._anew(reason)

    def _anew(self, reason: str) -> None:
        self.epoch, self.reason = self.epoch + 1, reason
        self._begin()

    @property
    def newest_id(self) -> int | None:
        """Newest id of this epoch of which anything came."""
        return max(self._open, default=self._line.last_id)

    # -- in ---------------------------------------------------------------------------------------------------

    def add(self, message: AudioMessage, source: Source, t_s: float, controls: Controls) -> Fate:
        """Take one checked datagram of context. Raises RefusedError where it cannot be part of any step."""
        n = message.audio.shape[0]
        if n == 0:
            raise RefusedError(f"{message.address} carries no samples")
        if message.total < 1:
            raise RefusedError(f"{message.address} declares {message.total} datagrams")
        if message.index < 0 or message.index + n > self.capacity_samples:
            raise RefusedError(
                f"{message.address} samples [{message.index}, {message.index + n}) "
                f"lie outside a window of {self.capacity_samples}"
            )
        if self._silent_since(t_s):
            self._anew("silence")
        last, newest, number = self._line.last_id, self.newest_id, message.batch
        if newest is not None and number > newest:
            near = self._near(t_s, controls)
            if number - newest > near:
                joins = number - newest <= near + STALE_IDS
                return self._challenge(message, source, t_s, controls, JOINS if joins else "batch id")
        oldest = last if last is not None else newest
        if oldest is not None and oldest - number > self._stale_ids(controls):
            return self._challenge(message, source, t_s, controls, "batch id")
        rival = self._open.get(number) or (self._closed if self._closed and self._closed.id == number else None)
        if rival is not None and number == newest and self._is_another_client(rival, message, source):
            return self._challenge(message, source, t_s, controls, "another client")
        if last is not None and number <= last:
            return Fate.STALE
        batch = self._open.get(number)
        if batch is None:
            if len(self._open) >= MOST_OPEN:
                self._planes.give_back(self._open.pop(min(self._open)))
            batch = self._open[number] = self._new_batch(number, source, controls, t_s)
        written = batch.add(message, source, t_s)
        self._t_heard_s = t_s
        if written is Written.NEW:
            self._challenger = self._witness = None
        return Fate.WRITTEN if written is Written.NEW else Fate.DUPLICATE

    def place(self, position: StepPosition, source: Source, t_s: float) -> None:
        """Take a client's own word for where its batch lies. Raises RefusedError for one that cannot be.

        Its lead was checked against the window by the caller.
        """
        if position.curr_samples < 1 or not 1 <= position.step_samples <= self.capacity_samples:
            raise RefusedError(f"position {position.curr_samples} with a step of {position.step_samples} cannot be")
        self._tell(position.batch, _Told(source, t_s, position))

    def refuse(self, batch: int, reason: str, source: Source, t_s: float) -> None:
        """This batch is to be heard and not answered."""
        self._tell(batch, _Told(source, t_s, reason))

    def _tell(self, number: int, told: _Told) -> None:
        self._told.pop(number, None)
        self._told[number] = told
        if len(self._told) > MOST_OPEN:
            del self._told[next(iter(self._told))]
        for batch in (self._open.get(number), self._challenger, self._witness):
            if batch is not None and batch.id == number and told.source in batch.sources:
                batch.is_told(told.said)

    def _new_batch(self, number: int, source: Source, controls: Controls, t_s: float) -> Batch:
        batch = Batch(number, controls, self._planes, t_s)
        told = self._told.get(number)
        if told is not None and told.source == source and t_s - told.t_s < TOLD_S:  # not of a song before
            batch.is_told(told.said)
        return batch

    # -- out --------------------------------------------------------------------------------------------------

    def poll(self, t_s: float) -> list[ReadyStep]:
        """Steps to hand over now, oldest first. Only the newest of them is to be predicted."""
        due = [number for number, batch in self._open.items() if self._is_due(batch, t_s)]
        due = [number for number in due if self._is_credible(self._open[number]) or self._put_off(number, t_s)]
        if not due:
            return []
        newest = max(due)
        numbers = sorted(number for number in self._open if number <= newest)
        ready = [self._hand_over(self._open.pop(number), t_s, predict=number == newest) for number in numbers]
        return [step for step in ready if step.epoch == self.epoch]

    def next_deadline_s(self) -> float | None:
        """When `poll` has something to do if nothing more comes."""
        return min((self._patience_ends_s(batch) for batch in self._open.values()), default=None)

    def _is_due(self, batch: Batch, t_s: float) -> bool:
        return self._lengths.is_expected(batch, self._position(batch)) or t_s >= self._patience_ends_s(batch)

    def _is_credible(self, batch: Batch) -> bool:
        """Time does not jump over steps for one datagram of a later one that has more."""
        last = self._line.last_id
        if last is None or batch.id == last + 1 or batch.distinct > 1:
            return True
        return self._lengths.is_expected(batch, self._position(batch))

    def _put_off(self, number: int, t_s: float) -> bool:
        """Give it until it cannot matter any more, then forget it. Never due."""
        batch = self._open[number]
        batch.closes_s = batch.t_first_s + FRAGMENT_S
        if t_s >= batch.closes_s:
            self._planes.give_back(self._open.pop(number))
        return False

    def _patience_ends_s(self, batch: Batch) -> float:
        if batch.closes_s is None:
            expected = self._lengths.expected(batch, self._position(batch))
            last_moment = self._deadline_s(batch, self._lead(batch, expected)) - self._budget_s()
            patience_s = batch.t_first_s + PATIENCE_S
            hurry = last_moment >= batch.t_first_s + LEAST_ASSEMBLY_S
            batch.closes_s = min(patience_s, last_moment) if hurry else patience_s
        return batch.closes_s

    def _deadline_s(self, batch: Batch, lead_samples: int) -> float:
        spare = lead_samples - batch.controls.fade_samples(self.rate_hz)
        return batch.t_first_s + spare / self.rate_hz

    def _hand_over(self, batch: Batch, t_s: float, *, predict: bool) -> ReadyStep:
        line, before = self._line, self._lengths.window_samples
        length, step = self._lengths.heard_and_step(batch, self._position(batch), first=line.last_id is None)
        skip, steps_skipped = self._time_passed(batch, length, step)
        # Steps of which the end was lost were placed by the likelier T: was that another?
        learned = before is None and self._lengths.window_samples is not None
        misplaced = (
            learned and line.step_samples != step and line.step_samples in self._lengths.possible(batch.controls)
        )
        if skip < 0 or misplaced:
            self.epoch, self.reason = self.epoch + 1, "window" if misplaced else "position"
            skip, steps_skipped = 0, 0
        lead, position = self._lead(batch, step), self._position(batch)
        line.position, line.last_id, line.step_samples = position, batch.id, step
        self._planes.give_back(self._closed)
        self._closed, self._challenger, self._witness = batch, None, None
        return ReadyStep(
            epoch=self.epoch,
            batch=batch.id,
            skip_samples=skip,
            skipped_batches=steps_skipped,
            audio=batch.audio(length),
            step_samples=step,
            lead_samples=lead if position is None else position.lead_samples,
            missing=batch.missing(length, self.stems),
            t_first_s=batch.t_first_s,
            t_ready_s=t_s,
            deadline_s=self._deadline_s(batch, lead),
            controls=batch.controls,
            predict=predict,
            refusal=batch.refusal,
            reply=_reply(position),
            positioned=position is not None,
        )

    def _position(self, batch: Batch) -> StepPosition | None:
        """The client's own word; where it was lost, what follows from its last one."""
        last = self._line.position
        if batch.position is not None or last is None:
            return batch.position
        curr = last.curr_samples + (batch.id - last.batch) * last.step_samples
        return replace(last, batch=batch.id, curr_samples=curr, start_samples=None)

    def _lead(self, batch: Batch, step_samples: int) -> int:
        """From the batch's end to where its reply starts."""
        position = self._position(batch)
        if position is None:
            return int(batch.controls.w * step_samples)
        return region_of(position).start_samples - position.curr_samples

    # -- what time it is --------------------------------------------------------------------------------------

    def _time_passed(self, batch: Batch, length: int, step: int) -> tuple[int, int]:
        """(samples unheard before this batch, batches of which nothing came); negative where time cannot be so."""
        line = self._line
        if line.last_id is None:
            return 0, 0
        ids = batch.id - line.last_id
        position = self._position(batch)
        if position is not None and line.position is not None:
            moved = position.curr_samples - line.position.curr_samples
            low, high = sorted((step, line.step_samples))
            if not ids * low <= moved <= ids * high or moved < length:
                return -1, 0
            return moved - length, ids - 1
        return (ids - 1) * step + step - length, ids - 1

    def _near(self, t_s: float, controls: Controls) -> int:
        """How many ids a client can have moved on by since something of it was written."""
        if self._t_heard_s is None:
            return 1
        return 1 + math.ceil(PLAY_SPEED * (t_s - self._t_heard_s) * self.rate_hz / self._step(controls))

    def _stale_ids(self, controls: Controls) -> int:
        """How far below the last an id is only late. Eight steps, or as many as the slowest packet takes."""
        return max(STALE_IDS, math.ceil(STALE_S * self.rate_hz / self._step(controls)))

    def _step(self, controls: Controls) -> int:
        return self._line.step_samples or max(self._lengths.candidates(controls), default=self.capacity_samples)

    def _silent_since(self, t_s: float) -> bool:
        if self._t_heard_s is None:
            return False
        return t_s - self._t_heard_s > max(SILENCE_S, 2.0 * self._line.step_samples / self.rate_hz)

    # -- another line of time ---------------------------------------------------------------------------------

    def _is_another_client(self, rival: Batch, message: AudioMessage, source: Source) -> bool:
        held = self._challenger
        follows = held is not None and held.id == message.batch and source in held.sources
        return follows or rival.conflicts(message, source)

    def _challenge(self, message: AudioMessage, source: Source, t_s: float, controls: Controls, reason: str) -> Fate:
        """Put a batch together aside. Whole, and witnessed where it is one datagram, it begins an epoch, or joins."""
        held = self._challenger
        if held is not None and message.batch == held.id + 1 and self._is_whole(held):
            witness = self._witness = self._witness or self._new_batch(message.batch, source, controls, t_s)
            witness.add(message, source, t_s)
            return self._accept(reason, held, witness)
        if held is None or message.batch != held.id or held.conflicts(message, source):
            self._planes.give_back(held)
            held, self._witness = self._new_batch(message.batch, source, controls, t_s), None
            self._challenger = held
        held.add(message, source, t_s)
        if not self._is_whole(held) or held.total == 1:
            return Fate.ASIDE
        return self._accept(reason, held)

    def _is_whole(self, batch: Batch) -> bool:
        return self._lengths.whole(batch, batch.position) is not None

    def _accept(self, reason: str, *batches: Batch) -> Fate:
        self._challenger = self._witness = None
        if reason != JOINS:
            self._anew(reason)
        self._open.update({batch.id: batch for batch in batches})
        self._t_heard_s = batches[-1].t_last_s
        return Fate.WRITTEN if reason == JOINS else Fate.EPOCH


def _reply(position: StepPosition | None) -> tuple[int, int] | None:
    """Of a ReadyStep: None where the reply is [curr + lead, curr + lead + step)."""
    if position is None or position.start_samples is None:
        return None
    region = region_of(position)
    return region.start_samples - position.curr_samples, region.length_samples
