# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Which rung answers: the best that runs plays at once, a better one is prepared meanwhile, and takes over between two
steps. Whatever needs preparing is prepared in standby, so that no step waits for it:

- a better rung, at the start or `after_s` into the song;
- other stems, or a pace of another decode, on a rung that cannot bind at once. Until they are ready the rung before
  plays them, where there is one; otherwise the stems that are bound go on, and steps without one of them are heard and
  dropped.

A new rung is on trial for `trial_steps`: where it raises, gives what cannot be played, or is late and slower than the
rung before, that one takes over again, at once where the step can still be answered in time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from anacrusis.engine.cycle import Cycle, Step
from anacrusis.engine.engine import Engine
from anacrusis.engine.errors import AnacrusisError, AudioError, BackendError, GeometryError
from anacrusis.engine.ladder import Rung
from anacrusis.engine.prepared import Prepared, binds_at_once, prepare
from anacrusis.engine.standby import Build, News, Preparing, Ready, Standby, Wanted
from anacrusis.server.assembler import ReadyStep
from anacrusis.server.clocks import Recent
from anacrusis.server.wire.extension import Extension, RungState

MOST_TEXT: Final = 300
_log = logging.getLogger("anacrusis.server")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """candidates(playing): rungs worth preparing while that one plays, best first; called on the engine thread.

    threads: intra-op, of a rung that is prepared. after_s: not before that long into the song. build: see `Standby`.
    """

    candidates: Callable[[str], Sequence[Rung]]
    threads: int = 1
    after_s: float = 0.0
    trial_steps: int = 8
    build: Build | None = None

    def validate(self) -> None:
        """Raise AnacrusisError for a time or a number of steps that cannot be."""
        if not 0 <= self.after_s < float("inf"):
            raise AnacrusisError(f"an upgrade {self.after_s:g} s into the song cannot be; choose 0 or more")
        if self.trial_steps < 1:
            raise AnacrusisError(f"a trial of {self.trial_steps} steps tries nothing; choose at least 1")


class Rungs:
    """Engine thread, but for `stop`. upgrade None: what was opened plays for ever, and binds where it stands."""

    def __init__(
        self,
        upgrade: Upgrade | None,
        tell: Callable[[Extension], None],
        put: Callable[[News], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._upgrade, self._tell, self._put, self._clock = upgrade, tell, put, clock
        self._standby: Standby | None = None
        self._pending: Wanted | None = None
        self._asked: tuple[str, ...] = ()  # stems, whatever is bound
        self._begin_s: float | None = None  # the song's first step
        self._begun = False
        self._fallback: Prepared | None = None
        self._trial_left, self._trial_steps = 0, upgrade.trial_steps if upgrade is not None else 0
        self._took, self._took_before_s = Recent(), 0.0
        self._batch = -1
        self._stopped = False

    def opened(self, engine: Engine) -> None:
        """An engine plays; begin to look for a better one."""
        upgrade, cycle = self._upgrade, engine.cycle
        if upgrade is None or not isinstance(cycle, Cycle) or self._stopped:
            return
        self._asked = cycle.stems
        try:
            rungs = upgrade.candidates(engine.backend.name)
        except Exception as error:  # a library's own, looked for: what is open plays
            _log.warning("no better rung can be looked for: %s: %s", type(error).__name__, error)
            return
        if not rungs and binds_at_once(engine.backend):
            return
        self._standby = Standby(engine.bundle, rungs, upgrade.threads, self._put, upgrade.build)
        if not binds_at_once(engine.backend):
            self._standby.keep(engine.backend)
        self._standby.start()
        self._begun = not rungs
        self._begin(engine)

    def stop(self, timeout_s: float) -> bool:
        """Any thread. False where a library's call goes on."""
        self._stopped = True
        return self._standby is None or self._standby.stop(timeout_s)

    # -- between two steps ------------------------------------------------------------------------------------

    def fit(self, engine: Engine, stems: tuple[str, ...], *, waits: bool = False) -> tuple[str, ...]:
        """Make the engine answer these stems at its pace; returns which of them it can answer now.

        waits: the song has not begun, so that a binding may take its time. Raises what binding raises.
        """
        cycle, standby = engine.cycle, self._standby
        if standby is None or not isinstance(cycle, Cycle):
            if stems != cycle.stems:
                engine.set_stems(stems)
            return stems
        self._asked = stems
        if stems != cycle.stems or not cycle.prepared.decodes(cycle.pace):
            self._rebind(engine, cycle, stems, waits)
        elif self._pending is not None and not _same(self._pending, self._wanted(cycle), cycle):
            self._want(cycle)
        if not cycle.prepared.decodes(cycle.pace):
            return ()
        return tuple(stem for stem in cycle.stems if stem in stems)

    def epoch_began(self) -> None:
        """Batch ids begin anew."""
        self._batch = -1

    def news(self, engine: Engine, news: News) -> None:
        """What the standby says."""
        cycle = engine.cycle
        if isinstance(news, Preparing):
            self._say("preparing", news.rung, news.text)
        elif not isinstance(news, Ready):
            self._say("refused", news.rung, news.reason)
        elif isinstance(cycle, Cycle):
            self._ready(engine, cycle, news)

    def step(self, engine: Engine, step: ReadyStep) -> Step:
        """`engine.step`, by the rung before where the new one fails. Raises what `engine.step` raises."""
        begin = self._clock()
        if self._begin_s is None:
            self._begin_s = begin
        self._begin(engine)
        due_s = step.deadline_s if step.deadline_s > step.t_first_s else None
        try:
            result = engine.step(step.audio)
        except (AudioError, GeometryError):  # the input's fault
            raise
        except Exception as error:
            if self._fallback is None:
                raise
            self._go_back(engine, self._fallback, f"{type(error).__name__}: {error}")
            if not self._in_time(due_s):
                raise
            result = engine.step(step.audio)
        else:
            if result.concealed and self._trial_left and self._fallback is not None:
                self._go_back(
                    engine, self._fallback, f"what it gave for {', '.join(result.concealed)} cannot be played"
                )
                if self._in_time(due_s):
                    result = engine.again()
        now = self._clock()
        self._took.add(now - begin)
        self._batch = step.batch
        self._judge(engine, now - begin, due_s is not None and now > due_s)
        return result

    # -- inside -----------------------------------------------------------------------------------------------

    @property
    def _standby_now(self) -> Standby:
        assert self._standby is not None, "nothing is exchanged without a standby"
        return self._standby

    def _begin(self, engine: Engine) -> None:
        if self._begun or self._standby is None or self._upgrade is None or not isinstance(engine.cycle, Cycle):
            return
        after_s = self._upgrade.after_s
        if after_s == 0 or (self._begin_s is not None and self._clock() >= self._begin_s + after_s):
            self._begun = True
            self._want(engine.cycle)

    def _wanted(self, cycle: Cycle) -> Wanted:
        return Wanted(self._asked, cycle.pace, cycle.prepared.table)

    def _want(self, cycle: Cycle) -> None:
        """Prepare the best rung that may be had for the stems and the pace of now."""
        standby = self._standby
        if standby is not None and standby.rungs:
            self._pending = self._wanted(cycle)
            standby.want(self._pending)

    def _rebind(self, engine: Engine, cycle: Cycle, stems: tuple[str, ...], waits: bool) -> None:
        """Other stems, or a pace that what plays cannot decode."""
        if waits or binds_at_once(engine.backend):
            try:
                before = engine.adopt(prepare(engine.backend, stems, cycle.prepared.table, cycle.pace))
            except BackendError as error:
                if binds_at_once(engine.backend):
                    raise
                _log.info("%s: %s", engine.backend.name, error)
            else:
                self._standby_now.release(before.pipeline)
                if self._pending is not None:
                    self._want(cycle)
                return
        if self._fallback is not None and binds_at_once(self._fallback.backend):
            text = f"{', '.join(stems)} must be prepared on {engine.backend.name}"
            self._return_to(engine, cycle, self._fallback, stems)
            self._say("playing", engine.backend.name, text)
            self._want(cycle)
        elif self._pending is None or not _same(self._pending, self._wanted(cycle), cycle):
            self._want(cycle)

    def _ready(self, engine: Engine, cycle: Cycle, news: Ready) -> None:
        prepared, standby = news.prepared, self._standby_now
        if news.wanted is not self._pending:  # other stems or another pace are wanted since, see `fit`
            standby.release(prepared.pipeline)
            return
        self._pending = None
        most_ms, took_ms = _most_ms(cycle), prepared.cycle_ms or 0.0
        tried = f"a cycle took {took_ms:.0f} ms when it was tried"
        if took_ms > most_ms:
            self._refuse(cycle, prepared, f"{tried}, of {most_ms:.0f} there are")
            return
        begin = self._clock()
        try:
            before = engine.adopt(prepared)
        except AnacrusisError as error:
            self._refuse(cycle, prepared, str(error))
            return
        exchange_ms = 1e3 * (self._clock() - begin)
        standby.plays(prepared.backend.name)
        if before.backend is prepared.backend:
            standby.release(before.pipeline)
        else:
            self._let_go_of_fallback()
            self._fallback, self._trial_left = before, self._trial_steps
            self._took_before_s, self._took = self._took.worst_s(), Recent()
        self._say(
            "playing", engine.backend.name, f"after {before.backend.name}, exchanged in {exchange_ms:.2f} ms; {tried}"
        )

    def _refuse(self, cycle: Cycle, prepared: Prepared, reason: str) -> None:
        self._standby_now.release(prepared.pipeline)
        self._standby_now.give_up(prepared.backend.name)
        self._say("refused", prepared.backend.name, reason)
        self._want(cycle)

    def _let_go_of_fallback(self) -> None:
        fallback, self._fallback = self._fallback, None
        if fallback is not None:
            self._standby_now.release(fallback.pipeline)
            self._standby_now.retire(fallback.backend)

    def _judge(self, engine: Engine, took_s: float, late: bool) -> None:
        """After a step: is the trial over?"""
        if not self._trial_left or self._fallback is None:
            return
        if late and 0 < self._took_before_s < took_s:
            self._go_back(engine, self._fallback, f"late: a cycle took {1e3 * took_s:.0f} ms")
            return
        self._trial_left -= 1
        if not self._trial_left and binds_at_once(engine.backend):
            self._let_go_of_fallback()

    def _go_back(self, engine: Engine, fallback: Prepared, reason: str) -> None:
        """The rung before plays again, and the one that failed is not tried a second time."""
        cycle, failed, standby = engine.cycle, engine.backend, self._standby_now
        assert isinstance(cycle, Cycle)
        self._return_to(engine, cycle, fallback, cycle.stems)
        standby.retire(failed)
        self._took.add(self._took_before_s)
        self._say("playing", engine.backend.name, f"{failed.name} failed: {reason}")
        if any(rung != engine.backend.name for rung in standby.rungs):
            self._want(cycle)

    def _return_to(self, engine: Engine, cycle: Cycle, fallback: Prepared, stems: tuple[str, ...]) -> None:
        """Play on the rung before: for what it is bound, or after a binding where it binds at once."""
        standby = self._standby_now
        fits = fallback.stems == stems and fallback.decodes(cycle.pace)
        if not fits and binds_at_once(fallback.backend):
            bound = prepare(fallback.backend, stems, cycle.prepared.table, cycle.pace)
            standby.release(fallback.pipeline)
            fallback = bound
        standby.release(engine.adopt(fallback).pipeline)
        standby.plays(fallback.backend.name)
        self._fallback, self._trial_left = None, 0

    def _in_time(self, due_s: float | None) -> bool:
        """Whether the rung before can still answer what is due."""
        return due_s is None or self._clock() + self._took_before_s <= due_s

    def _say(self, state: str, rung: str, text: str) -> None:
        line = " ".join(text.split())[:MOST_TEXT]
        _log.info("rung %s: %s (%s)", rung, state, line)
        self._tell(RungState(state, rung, self._batch, line))


def _same(one: Wanted, other: Wanted, cycle: Cycle) -> bool:
    """Whether what is prepared for the one will do for the other: a lead, say, is no matter of binding."""
    geometry = cycle.manifest.geometry
    return one.stems == other.stems and one.pace.decode_sizes(geometry) == other.pace.decode_sizes(geometry)


def _most_ms(cycle: Cycle) -> float:
    """What a cycle may take: a step, and its lead but for the fade where it has one."""
    pace, rate = cycle.pace, cycle.manifest.sample_rate_hz
    due = pace.lead_samples - pace.fade_samples
    return 1e3 * (min(pace.step_samples, due) if due > 0 else pace.step_samples) / rate
