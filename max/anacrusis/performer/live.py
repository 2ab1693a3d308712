# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A recording performed in real time with a server: one thread, one loop, the wall clock as the playhead.

A step is sent when the playhead has reached its end. What comes back goes where the released external puts it, and a
listener copies each sample as the playhead passes it: audio that comes late is not heard, here as on stage. A server
that goes away and comes back is set up again while the music plays on (`session.py`). The first step and lead are the
plan's; where our server chooses others, they count from the next trigger on (`following.py`).

The world comes in through a `Transport`; with one that simulates it, the loop runs without sockets and without waiting.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import astuple
from typing import Final

import numpy as np

from anacrusis.engine.errors import AnacrusisError, AudioError
from anacrusis.performer.agenda import Agenda
from anacrusis.performer.connection import Transport
from anacrusis.performer.ear import Ear
from anacrusis.performer.events import ChunkWritten, Event, Note
from anacrusis.performer.external import MultiTrack
from anacrusis.performer.files import Recording
from anacrusis.performer.placing import F32
from anacrusis.performer.plan import RATE_HZ, Pace, Plan, stems_of
from anacrusis.performer.session import Session
from anacrusis.performer.take import Counters, LiveStep, PaceChange, RungChange, Take
from anacrusis.server.wire.extension import Dropped, PaceChoice, RungState, StepStatus

TICK_S: Final = 0.008  # how often the listener follows the playhead where nothing arrives
HELLO_RETRY_S, HELLO_S = 0.2, 1.0
MODEL_POLL_S: Final = 1.0
LINGER_S: Final = 0.25
_log = logging.getLogger(__name__)


class LiveError(AnacrusisError):
    """A server that cannot play."""


def perform(
    recording: Recording,
    transport: Transport,
    plan: Plan,
    *,
    on_wait: Callable[[str], None] = lambda text: None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Take:
    """Play a recording once, in its own time. on_wait(text): why it has not begun. on_step(done, total).

    An interrupt (Ctrl-C) while it plays ends it there; the take has what was heard so far. Raises what `Plan` raises,
    AudioError for a recording shorter than a step, LiveError where the server's model cannot be had.
    """
    plan.validate()
    return _Performance(transport, plan, on_wait, on_step).run(recording)


def material(recording: Recording, plan: Plan, rate_hz: int, stems: int, targets: tuple[int, ...]) -> tuple[F32, int]:
    """The buffer to play from [n, stems + inputs] float32, and its input channels (0 or 1).

    A recording with as many channels as stems is the stems, the predicted ones silent; any other is mixed to mono as
    an input. Cut to, or repeated for, `plan.seconds`.
    """
    if recording.samples.shape[1] == stems:
        buffer, inputs = recording.channels(rate_hz).copy(), 0
        buffer[:, targets] = 0
    else:
        mono = recording.mono(rate_hz)
        buffer, inputs = np.zeros((mono.shape[0], stems + 1), np.float32), 1
        buffer[:, stems] = mono
    if plan.seconds is not None:
        length = max(int(plan.seconds * rate_hz), 1)
        buffer = np.resize(buffer, (length, buffer.shape[1])) if plan.loop else buffer[:length].copy()
    return buffer, inputs


class _Performance:
    def __init__(
        self,
        transport: Transport,
        plan: Plan,
        on_wait: Callable[[str], None],
        on_step: Callable[[int, int], None],
    ) -> None:
        self._transport, self._plan, self._on_wait, self._on_step = transport, plan, on_wait, on_step
        self._agenda, self._counters = Agenda(), Counters()
        self._external = MultiTrack(transport.send, transport.clock, self._no_sleep, self._on_event)
        self._session = Session(
            transport,
            self._agenda,
            self._external.load_sequence,
            self._counters,
            hello=plan.extension,
            token=plan.token,
        )
        self._steps: dict[int, LiveStep] = {}
        self._ear: Ear | None = None
        self._began_s = math.inf  # the music's sample 0
        self._rate_hz = RATE_HZ
        self._told: set[str] = set()
        self._rungs: list[tuple[float, RungState]] = []  # seconds of the clock
        self._paces: list[tuple[float, PaceChoice]] = []

    def _no_sleep(self, seconds: float) -> None:
        raise AssertionError("the loop never waits: load sequences go through the agenda")

    def run(self, recording: Recording) -> Take:
        self._greet()
        server = self._session.server
        pace, stems = self._plan.pace(server), stems_of(server)
        targets = self._plan.targets(stems)
        self._rate_hz = pace.rate_hz
        buffer, inputs = material(recording, self._plan, pace.rate_hz, len(stems), targets)
        length = buffer.shape[0]
        if length < pace.step_samples:
            has, needs = length / pace.rate_hz, pace.step_samples / pace.rate_hz
            raise AudioError(f"the recording lasts {has:.2f} s, less than a step of {needs:.2f} s; give a longer one")
        heard_channels = [c for c in range(buffer.shape[1]) if c not in targets]
        context: F32 = buffer[:, heard_channels].sum(axis=1, dtype=np.float32)
        self._set_up(buffer, stems, targets, inputs, pace)
        self._await_model()
        self._ear = ear = Ear(buffer, targets)
        names = tuple(stems[i] for i in targets)
        complete = True
        try:
            self._play(length, pace, names)
        except KeyboardInterrupt:
            complete = False
        passed = ear.passed_samples
        for step in self._steps.values():
            step.concealed_samples = ear.concealed[step.batch]
        records = tuple(self._steps.values())
        rungs = tuple(RungChange(at_s - self._began_s, *astuple(said)) for at_s, said in self._rungs)
        paces = tuple(PaceChange(at_s - self._began_s, *astuple(said)) for at_s, said in self._paces)
        heard = ear.heard[:, :passed]
        return Take(context[:passed], heard, names, pace, server, records, self._counters, complete, rungs, paces)

    # -- before the music ------------------------------------------------------------------------------------

    def _greet(self) -> None:
        """Ask who is there. No answer within a second: a released server, unless that would not do."""
        if not self._plan.extension:
            return
        self._on_wait("asking for the server")
        limit_s = self._transport.clock() + (max(HELLO_S, self._plan.wait_s) if self._plan.needs_ours else HELLO_S)
        while self._session.server is None and self._transport.clock() < limit_s:
            self._session.greet()
            retry_s = min(self._transport.clock() + HELLO_RETRY_S, limit_s)
            self._pump(retry_s, lambda: self._session.server is not None)

    def _set_up(self, buffer: F32, stems: tuple[str, ...], targets: tuple[int, ...], inputs: int, pace: Pace) -> None:
        external, plan = self._external, self._plan
        external.set_buffer(buffer, stems, inputs=inputs, rate_hz=pace.rate_hz)
        external.configure(
            window_samples=pace.window_samples,
            r=pace.r,
            w=pace.w,
            fade=plan.fade,
            package=plan.package,
            flags=tuple(int(i in targets) for i in range(len(stems))),
        )
        external.announce_steps = self._session.server is not None
        external.set_lead(None if pace.is_slot else pace.lead_samples)
        self._pump(self._session.load("the performance begins"))

    def _await_model(self) -> None:
        session, clock = self._session, self._transport.clock
        if session.server is None:
            self._on_wait(f"no answer to our hello: a released server, given {self._plan.pause_s:g} s to load")
            self._pump(clock() + self._plan.pause_s)
            return
        began_s = clock()
        while session.model != "ready":
            waited_s = clock() - began_s
            if session.model == "failed":
                raise LiveError(f"the server could not load its model ({session.model_text}); see the server's log")
            if waited_s >= self._plan.wait_s:
                raise LiveError(f"the server's model was not ready in {self._plan.wait_s:g} s; wait longer (--wait-s)")
            self._on_wait(f"the server loads its model ({waited_s:.0f} s)")
            poll_s = min(clock() + MODEL_POLL_S, began_s + self._plan.wait_s)
            self._pump(poll_s, lambda: session.model in ("ready", "failed"))
            if not session.model or session.model == "loading":
                session.greet()

    # -- the music ---------------------------------------------------------------------------------------------

    def _play(self, length: int, pace: Pace, names: tuple[str, ...]) -> None:
        self._began_s = self._transport.clock()
        curr, done = pace.step_samples, 0
        while curr <= length:
            self._pump(self._time_of(curr))
            self._step(curr, pace, names)
            curr, done = curr + self._external.until_next_samples, done + 1
            self._on_step(done, done + (length - curr) // self._external.until_next_samples + 1)
        self._pump(self._time_of(length))
        self._listen(length)
        ends = max((step.start_samples + step.length_samples for step in self._steps.values()), default=0)
        linger_s = max(ends - length, pace.step_samples) / pace.rate_hz + LINGER_S
        self._pump(self._transport.clock() + linger_s, lambda: all(map(self._settled, self._steps.values())))

    def _settled(self, step: LiveStep) -> bool:
        """Nothing more is to come for it."""
        return step.dropped or (step.answered and (step.status is not None or self._session.server is None))

    def _time_of(self, samples: int) -> float:
        return self._began_s + samples / self._rate_hz

    def _step(self, curr: int, pace: Pace, names: tuple[str, ...]) -> None:
        self._listen(curr)
        now_s = self._transport.clock()
        batch = self._external.predict(curr)
        if batch is None:
            return
        deadline, until_next = batch.first_samples, self._external.until_next_samples
        if self._ear is not None:
            self._ear.expect(batch.id, batch.start_samples, batch.end_samples)
        self._steps[batch.id] = LiveStep(
            batch=batch.id,
            curr_samples=curr,
            start_samples=batch.start_samples,
            sent_s=now_s - self._began_s,
            deadline_s=deadline / pace.rate_hz,
            chunks=dict.fromkeys(names, (0, 0)),
            length_samples=batch.step_samples,
            until_next_samples=until_next,
        )
        self._session.sent(max(self._time_of(deadline), now_s + until_next / pace.rate_hz))

    def _listen(self, to_samples: int) -> None:
        if self._ear is not None:
            self._ear.listen(to_samples)

    def _pump(self, until_s: float, done: Callable[[], bool] = lambda: False) -> None:
        """Receive, follow the playhead and do what the agenda says, until a time or until `done`."""
        clock = self._transport.clock
        while not done():
            now_s = clock()
            self._follow(now_s)
            self._agenda.run_due(now_s)
            if now_s >= until_s:
                return
            wake_s = min(until_s, now_s + TICK_S, self._agenda.next_s or math.inf)
            data = self._transport.receive(max(wake_s - now_s, 0.0))
            if data is not None:
                self._follow(clock())
                self._counters.datagrams += 1
                self._external.receive(data)
                self._session.heard()

    def _follow(self, now_s: float) -> None:
        if now_s >= self._began_s:
            self._listen(int((now_s - self._began_s) * self._rate_hz))
            self._session.check()

    # -- what happened ------------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ChunkWritten):
            self._on_chunk(event)
        elif isinstance(event, Note):
            self._on_note(event)
        elif isinstance(event.message, RungState):
            self._rungs.append((self._transport.clock(), event.message))
        elif isinstance(event.message, PaceChoice):
            self._paces.append((self._transport.clock(), event.message))
        elif isinstance(event.message, StepStatus | Dropped):
            step = self._steps.get(event.message.batch)
            if step is not None and isinstance(event.message, StepStatus):
                step.status = event.message
            elif step is not None:
                step.dropped = True
        self._session.on_event(event)

    def _on_chunk(self, event: ChunkWritten) -> None:
        self._session.answered()
        step = self._steps.get(event.batch)
        if self._ear is None or step is None:
            return
        step.late_samples += self._ear.wrote(event)
        now_s = self._transport.clock() - self._began_s
        step.first_chunk_s = now_s if step.first_chunk_s is None else step.first_chunk_s
        step.last_chunk_s = now_s
        stem = self._external.stems[event.stem]
        step.chunks[stem] = (step.chunks[stem][0] + 1, event.total)

    def _on_note(self, note: Note) -> None:
        counters, step = self._counters, self._steps.get(note.batch or 0)
        counters.malformed += note.kind == "malformed"
        counters.stale_chunks += note.kind == "stale"
        counters.unasked_chunks += note.kind == "not asked for"
        if step is not None and note.kind == "duplicate":
            step.duplicates += 1
        if step is not None and note.kind == "dropped":
            step.dropped = True
        if note.kind not in ("ready", "late", "duplicate") and note.kind not in self._told:
            self._told.add(note.kind)
            _log.warning("%s (more of this kind are only counted)", note.text)
