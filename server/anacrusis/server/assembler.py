# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Datagrams in, steps out, and what time it is. No socket, no thread, no clock of its own: every call is given `t_s`.

The cursor is not on the stock wire, so batch ids are the clock: the first batch of an epoch ends at now = its
length, each later one adds (id - last id) steps. A step is handed over when it is whole, or 250 ms after its
first datagram, or at the last moment that still meets its lead, whichever is first; what is missing is zeros and
is said. An id that was handed over is closed: late and repeated datagrams of it never write.

One wild datagram must not end a song. An id that cannot follow (more than 8 below, too far above, or the last one
again with other audio from another socket) is put together aside, as the *challenger*, and starts a new epoch
only when it is whole; a step of one datagram needs its successor as a witness.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from anacrusis.server.batch import F32, Batch, Planes, Span, Written
from anacrusis.server.controls import Controls, RefusedError
from anacrusis.server.wire.extension import StepPosition
from anacrusis.server.wire.messages import AudioMessage

STALE_IDS: Final = 8
PATIENCE_S: Final = 0.25
SILENCE_S: Final = 5.0
LEAST_ASSEMBLY_S: Final = 0.005  # a lead that leaves less than this cannot be met by hurrying
PLAY_SPEED: Final = 2.0  # the patch plays up to twice as fast, so ids may come that much faster
STOCK_WINDOW_SAMPLES: Final = 264_600

_log = logging.getLogger(__name__)


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
        self.windows, self.stems, self.rate_hz = tuple(dict.fromkeys(windows)), stems, rate_hz
        self.capacity_samples = capacity_samples or max(self.windows)
        self._planes = Planes(self.capacity_samples)
        self.epoch, self.reason = 0, "start"
        self._budget_s = budget_s
        self._window: int | None = self.windows[0] if len(self.windows) == 1 else None
        self._observed: int | None = None
        self._observed_r = math.nan
        self._misplaced = False
        self._begin()

    def _begin(self) -> None:
        self._line = _Line()
        self._open: dict[int, Batch] = {}
        self._closed: Batch | None = None
        self._challenger: Batch | None = None
        self._witness: Batch | None = None
        self._t_heard_s: float | None = None

    def new_epoch(self, reason: str) -> None:
        """History starts anew; open batches are forgotten."""
        self.epoch, self.reason = self.epoch + 1, reason
        self._begin()

    @property
    def newest_id(self) -> int | None:
        """Newest id of this epoch of which anything came."""
        return max(self._open, default=self._line.last_id)

    # -- in ---------------------------------------------------------------------------------------------------

    def add(self, message: AudioMessage, source: tuple[str, int], t_s: float, controls: Controls) -> Fate:
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
            self.new_epoch("silence")
        last, number = self._line.last_id, message.batch
        challenged = self._challenger is not None and number in (self._challenger.id, self._challenger.id + 1)
        if last is not None and (
            (number <= last and last - number > STALE_IDS) or number - last > self._plausible_gap(t_s)
        ):
            return self._challenge(message, source, t_s, controls, "batch id")
        rival = self._open.get(number) or (self._closed if self._closed and self._closed.id == number else None)
        if rival is not None and number == self.newest_id:
            if rival.conflicts(message, source):
                return self._challenge(message, source, t_s, controls, "another client")
            if challenged and self._challenger is not None and source in self._challenger.sources:
                return self._challenge(message, source, t_s, controls, "another client")
        if last is not None and number <= last:
            return Fate.STALE
        batch = self._open.get(number)
        if batch is None or not batch.planes:
            position = batch.position if batch is not None else None
            batch = self._open[number] = Batch(number, controls, self._planes, t_s)
            batch.position = position
        written = batch.add(message, source, t_s)
        self._t_heard_s = t_s
        if written is Written.NEW:
            self._challenger = self._witness = None
        return Fate.WRITTEN if written is Written.NEW else Fate.DUPLICATE

    def place(self, position: StepPosition, t_s: float, controls: Controls) -> None:
        """Take a client's own word for where a batch lies. Raises RefusedError for one that cannot be.

        Its values were checked against the window by the caller.
        """
        if position.curr_samples < 1 or not 1 <= position.step_samples <= self.capacity_samples:
            raise RefusedError(f"position {position.curr_samples} with a step of {position.step_samples} cannot be")
        last = self._line.last_id
        if last is not None and position.batch <= last:
            return  # of a step handed over, or of a client that starts anew: its audio tells
        if last is not None and position.batch - last > self._plausible_gap(t_s):
            return
        batch = self._open.get(position.batch)
        if batch is None:
            batch = self._open[position.batch] = Batch(position.batch, controls, self._planes, t_s)
        batch.position, batch.closes_s = position, None

    # -- out --------------------------------------------------------------------------------------------------

    def poll(self, t_s: float) -> list[ReadyStep]:
        """Steps to hand over now, oldest first. Only the newest of them is to be predicted."""
        due = [number for number, batch in self._open.items() if batch.planes and self._is_due(batch, t_s)]
        if not due:
            return []
        newest = max(due)
        ready: list[ReadyStep] = []
        for number in sorted(self._open):
            if number <= newest:
                batch = self._open.pop(number)
                if batch.planes:
                    ready.append(self._hand_over(batch, t_s, predict=number == newest))
        return [step for step in ready if step.epoch == self.epoch]

    def next_deadline_s(self) -> float | None:
        """When `poll` has something to do if nothing more comes."""
        return min((self._patience_ends_s(batch) for batch in self._open.values() if batch.planes), default=None)

    def _is_due(self, batch: Batch, t_s: float) -> bool:
        return self._length_if_whole(batch) is not None or t_s >= self._patience_ends_s(batch)

    def _patience_ends_s(self, batch: Batch) -> float:
        if batch.closes_s is None:
            last_moment = self._deadline_s(batch, self._lead(batch, self._expected(batch))) - self._budget_s()
            patience_s = batch.t_first_s + PATIENCE_S
            hurry = last_moment >= batch.t_first_s + LEAST_ASSEMBLY_S
            batch.closes_s = min(patience_s, last_moment) if hurry else patience_s
        return batch.closes_s

    def _deadline_s(self, batch: Batch, lead_samples: int) -> float:
        spare = lead_samples - batch.controls.fade_samples(self.rate_hz)
        return batch.t_first_s + spare / self.rate_hz

    def _hand_over(self, batch: Batch, t_s: float, *, predict: bool) -> ReadyStep:
        line = self._line
        whole = self._length_if_whole(batch)
        length, step = self._length_and_step(batch, whole)
        skip, steps_skipped = self._time_passed(batch, length, step)
        if skip < 0 or self._misplaced:
            self.reason = "window" if self._misplaced else "position"
            self.epoch, skip, steps_skipped, self._misplaced = self.epoch + 1, 0, 0, False
        lead = self._lead(batch, step)
        line.position, line.last_id, line.step_samples = self._position(batch), batch.id, step
        self._planes.give_back(self._closed)
        self._closed, self._challenger, self._witness = batch, None, None
        return ReadyStep(
            epoch=self.epoch,
            batch=batch.id,
            skip_samples=skip,
            skipped_batches=steps_skipped,
            audio=batch.audio(length),
            step_samples=step,
            lead_samples=lead,
            missing=batch.missing(length, self.stems),
            t_first_s=batch.t_first_s,
            t_ready_s=t_s,
            deadline_s=self._deadline_s(batch, lead),
            controls=batch.controls,
            predict=predict,
        )

    # -- how long a step is -----------------------------------------------------------------------------------

    def _candidates(self, controls: Controls) -> tuple[int, ...]:
        """Steps that r allows, the likeliest first."""
        if self._observed is not None and self._observed_r == controls.r:
            return (self._observed,)
        windows = (self._window,) if self._window is not None else self.windows
        return tuple(step for step in (controls.step_samples(T) for T in windows) if step > 0)

    def _position(self, batch: Batch) -> StepPosition | None:
        """The client's own word; where it was lost, what follows from its last one."""
        last = self._line.position
        if batch.position is not None or last is None:
            return batch.position
        curr = last.curr_samples + (batch.id - last.batch) * last.step_samples
        return replace(last, batch=batch.id, curr_samples=curr)

    def _expected(self, batch: Batch) -> int:
        position = self._position(batch)
        if position is not None:
            return position.step_samples
        candidates = self._candidates(batch.controls)
        more_than, at_most = batch.bounds(self.stems)
        told = batch.told_length(self.stems)
        if told in candidates:
            return told
        for step in candidates:
            if more_than < step <= at_most:
                return step
        return candidates[0] if candidates else max(min(at_most, self.capacity_samples), 1)

    def _length_if_whole(self, batch: Batch) -> int | None:
        """Length of a batch of which nothing is missing, else None."""
        position = self._position(batch)
        if position is not None:
            length = min(position.step_samples, position.curr_samples)
            return length if batch.covers(length, self.stems) else None
        candidates = self._candidates(batch.controls)
        observed = batch.observed_length(self.stems)
        # Where the total may count several targets, half a batch looks whole: the length must fit, or all be here.
        if observed is not None and (
            batch.chunks_declared(self.stems) == batch.total or observed in candidates or batch.received >= batch.total
        ):
            return observed
        if len(candidates) != 1 or not batch.covers(candidates[0], self.stems):
            return None
        more_than, _ = batch.bounds(self.stems)
        certain = more_than < candidates[0] or batch.received >= batch.total
        return candidates[0] if certain else None

    def _length_and_step(self, batch: Batch, whole: int | None) -> tuple[int, int]:
        """(samples heard, samples to emit). Only a whole batch may change what is expected."""
        step = self._expected(batch)
        position = self._position(batch)
        if position is not None:
            return min(step, position.curr_samples), step
        first = self._line.last_id is None
        if whole is None:
            _, at_most = batch.bounds(self.stems)
            if batch.told_length(self.stems) == step:
                self._learn(step, batch.controls)
            return (min(step, max(at_most, 1)) if first else step), step
        if first and whole < min(self._candidates(batch.controls), default=1):
            return whole, step  # the performer began in the middle of a step: right-aligned
        self._learn(whole, batch.controls)
        return whole, whole

    def _learn(self, step: int, controls: Controls) -> None:
        """Settle which T the client has, or that its steps are of another length than r says."""
        for window in self.windows:
            if controls.step_samples(window) == step:
                if self._window != window and len(self.windows) > 1:
                    _log.info("steps of %d samples: the client's window is T = %d", step, window)
                    # Steps of which the end was lost were placed by the likelier T: was that another?
                    self._misplaced = self._window is None and self._line.step_samples not in (0, step)
                    self._window = window
                self._observed = None
                return
        if self._observed != step or self._observed_r != controls.r:
            expected = self._candidates(controls)
            _log.warning("steps of %d samples, not %s at r = %g: following them", step, expected, controls.r)
        self._observed, self._observed_r = step, controls.r

    def _lead(self, batch: Batch, step_samples: int) -> int:
        position = self._position(batch)
        return position.lead_samples if position is not None else int(batch.controls.w * step_samples)

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

    def _plausible_gap(self, t_s: float) -> int:
        """Most ids a client can have moved on by in the time since it was last heard."""
        if self._t_heard_s is None or not self._line.step_samples:
            return 1 << 31
        elapsed_steps = (t_s - self._t_heard_s) * self.rate_hz / self._line.step_samples
        return STALE_IDS + math.ceil(PLAY_SPEED * elapsed_steps)

    def _silent_since(self, t_s: float) -> bool:
        if self._t_heard_s is None:
            return False
        return t_s - self._t_heard_s > max(SILENCE_S, 2.0 * self._line.step_samples / self.rate_hz)

    # -- another line of time ---------------------------------------------------------------------------------

    def _challenge(
        self, message: AudioMessage, source: tuple[str, int], t_s: float, controls: Controls, reason: str
    ) -> Fate:
        held = self._challenger
        if held is not None and message.batch == held.id + 1 and self._length_if_whole(held) is not None:
            witness = self._witness or Batch(message.batch, controls, self._planes, t_s)
            self._witness = witness
            witness.add(message, source, t_s)
            self._begin_with(held, reason, witness)
            return Fate.EPOCH
        if held is None or message.batch != held.id or held.conflicts(message, source):
            held = self._challenger = Batch(message.batch, controls, self._planes, t_s)
            self._witness = None
        held.add(message, source, t_s)
        if self._length_if_whole(held) is None or held.total == 1:
            return Fate.ASIDE
        self._begin_with(held, reason)
        return Fate.EPOCH

    def _begin_with(self, batch: Batch, reason: str, *more: Batch) -> None:
        self.new_epoch(reason)
        self._open = {one.id: one for one in (batch, *more)}
        self._t_heard_s = batch.t_last_s
