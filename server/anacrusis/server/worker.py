# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The engine thread: owns the engine, answers the newest step, hears the ones before it.

Work comes in order through a mailbox. Where several steps wait, the older ones are heard and dropped, so that time
never slips and the newest is answered; results of an epoch that has ended are discarded.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace

import numpy as np

from anacrusis.engine.cycle import Cycle, Step
from anacrusis.engine.engine import Engine
from anacrusis.engine.errors import AnacrusisError, BackendError, GeometryError
from anacrusis.engine.standby import Preparing, Ready, Refused
from anacrusis.engine.upstream import UpstreamPace
from anacrusis.engine.window import Pace
from anacrusis.server.assembler import ReadyStep
from anacrusis.server.clocks import Counters, Recent
from anacrusis.server.controls import Controls
from anacrusis.server.dump import is_writing, write_dump
from anacrusis.server.pacer import Pacer, Pacing
from anacrusis.server.rungs import Rungs, Upgrade
from anacrusis.server.sender import Reply, Sender
from anacrusis.server.wire import extension, messages
from anacrusis.server.work import Again, Begin, Dump, Fence, Load, Prepare, Work

_log = logging.getLogger("anacrusis.server")


class Worker:
    """`put`, `ready`, `budget_s` from any thread; the rest is its own thread's.

    open_engine may raise AnacrusisError; `/load_model` then tries again.
    """

    def __init__(
        self,
        open_engine: Callable[[], Engine],
        sender: Sender,
        counters: Counters,
        *,
        context_tail_samples: int = 0,
        upgrade: Upgrade | None = None,
        pacing: Pacing | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._open_engine, self._sender, self._counters, self._clock = open_engine, sender, counters, clock
        self._context_tail_samples = context_tail_samples
        self._mail: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._rungs = Rungs(upgrade, sender.tell, self.put, clock)
        self._engine: Engine | None = None
        self._epoch = 0
        self._step: ReadyStep | None = None  # the newest step heard in this epoch
        self._cycles, self._sends = Recent(), Recent()
        self._pacer, self._superseded = Pacer(pacing, sender.tell), 0
        self.state = "loading"
        self.current_epoch = 0  # set by the receiving thread: results of any other are discarded
        self.opened: Future[None] = Future()

    # -- any thread -------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def put(self, work: Work) -> None:
        self._mail.put(work)

    def stop(self, timeout_s: float) -> bool:
        """True if every thread ended; a long cycle or a library that loads may outlast the timeout."""
        self._mail.put(None)
        standby_ended = self._rungs.stop(timeout_s)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return standby_ended and not self._thread.is_alive()

    def settle(self, timeout_s: float) -> bool:
        """Wait until all work put so far was done and its replies are sent. False on a timeout."""
        done = threading.Event()
        self.put(Fence(done))
        return done.wait(timeout_s)

    @property
    def rung(self) -> str:
        """What plays, "" before the model is open."""
        engine = self._engine
        return "" if engine is None else engine.backend.name

    @property
    def pace(self) -> extension.PaceChoice | None:
        """What was chosen last of this performance."""
        return self._pacer.choice

    @property
    def budget_s(self) -> float:
        """The longest that a cycle and its sending took of late."""
        return self._cycles.worst_s() + self._sends.worst_s()

    # -- engine thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._open()
        while True:
            works = [self._mail.get()]
            while not self._mail.empty():
                works.append(self._mail.get())
            last_step = max((i for i, work in enumerate(works) if isinstance(work, ReadyStep)), default=-1)
            for index, work in enumerate(works):
                if work is None:
                    self._close()
                    return
                try:
                    self._do(work, newest=index == last_step)
                except Exception as error:  # the next step must be answered whatever became of this one
                    self._counters.failed += 1
                    _log.error("%s failed: %s: %s", type(work).__name__, type(error).__name__, _one_line(error))

    def _do(self, work: Work, *, newest: bool) -> None:
        if isinstance(work, Fence):
            self._sender.fence(work.done)
        elif isinstance(work, Load):
            opened = self._engine is not None
            self._pacer.load()
            self._open()
            self._prepare(work.controls, waits=True)
            self._begin(work.epoch)
            if opened:
                self._sender.tell(extension.ModelState(self.state, self.rung))
        elif isinstance(work, Begin):
            self._begin(work.epoch)
        elif isinstance(work, Prepare):
            self._prepare(work.controls)
        elif isinstance(work, Preparing | Ready | Refused) and self._engine is not None:
            self._rungs.news(self._engine, work)
        elif isinstance(work, Dump) and self._engine is not None and not is_writing():
            write_dump(work.directory, self._engine.cycle.recent(), self._engine.bundle.manifest.sample_rate_hz)
        elif isinstance(work, Again) and self._engine is not None:
            self._answer_again(work, self._engine)
        elif isinstance(work, ReadyStep) and self._engine is not None:
            if work.epoch != self._epoch:
                self._begin(work.epoch)
            self._take(work, self._engine, newest=newest)

    def _open(self) -> None:
        if self._engine is not None:
            return
        self._say_state("loading", "")
        try:
            self._engine = self._open_engine()
        except Exception as error:  # a library's own errors too: the thread must live to try again
            known = isinstance(error, AnacrusisError)
            text = str(error) if known else f"{type(error).__name__}: {_one_line(error)}"
            self._say_state("failed", text)
            _log.error("the model did not load: %s", text)
            if not self.opened.done():
                self.opened.set_exception(error if known else BackendError(f"the model did not load: {text}"))
            return
        self._say_state("ready", self._engine.backend.name)
        self._rungs.opened(self._engine)
        if not self.opened.done():
            self.opened.set_result(None)

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def _say_state(self, state: str, text: str) -> None:
        self.state = state
        self._sender.tell(extension.ModelState(state, text))

    def _begin(self, epoch: int) -> None:
        if self._engine is not None and epoch != self._epoch:
            self._engine.reset()
            self._rungs.epoch_began()
            self._pacer.epoch_began()
        self._epoch, self._step = epoch, None

    def _prepare(self, controls: Controls, *, waits: bool = False) -> tuple[str, ...]:
        """Which of the stems asked for can be answered now."""
        engine = self._engine
        return self._rungs.fit(engine, controls.stems, waits=waits) if engine is not None and controls.stems else ()

    def _take(self, step: ReadyStep, engine: Engine, *, newest: bool) -> None:
        if step.skip_samples:
            engine.skip(step.skip_samples)
        self._step = step
        if not (newest and step.predict) or step.epoch != self.current_epoch:
            self._superseded += step.predict  # it was next when it came
            self._hear_only(step, engine, "a newer step was complete")
            return
        if step.refusal:
            self._hear_only(step, engine, step.refusal)
            return
        if not step.controls.stems:
            _hear(engine, step)
            self._sender.say(messages.SERVER_PREDICTED)
            return
        try:
            self._set_pace(step, engine)
        except GeometryError as error:
            self._hear_only(step, engine, str(error))
            _log.warning("batch %d gets no reply: %s", step.batch, error)
            return
        try:
            if not self._prepare(step.controls):
                self._hear_only(step, engine, f"{', '.join(step.controls.stems)} is being prepared")
                return
            begin = self._clock()
            with self._reply_of(step, engine):
                result = self._rungs.step(engine, step)
        except Exception:
            self._hear_only(step, engine, "the engine failed")
            raise
        took_s = self._clock() - begin
        self._cycles.add(took_s)
        if isinstance(engine.cycle, Cycle) and step.epoch == self.current_epoch:
            counters = self._counters
            misses = counters.late + counters.abandoned + self._superseded
            self._pacer.answered(step, engine.cycle, took_s, self._sends.worst_s(), misses)
        self._reply(step, result, engine)

    def _answer_again(self, work: Again, engine: Engine) -> None:
        """The same place, anew; before any step there is nothing to answer but silence, which the original does too."""
        step = self._step
        controls = work.controls
        if step is None:
            silent = np.zeros(0, np.float32)
            now = self._clock()
            s = controls.step_samples(engine.bundle.manifest.geometry.window_samples)
            lead = int(controls.w * s)
            step = ReadyStep(
                work.epoch, work.batch, 0, 0, silent, max(s, 1), lead, (), now, now, now, controls, predict=True
            )
        if not controls.stems:
            self._sender.say(messages.SERVER_PREDICTED)
            return
        self._set_pace(step, engine)
        if not self._prepare(controls):
            return
        asked = self._clock()  # what was due when the step came is past: it is due as late again
        due = asked + (step.deadline_s - step.t_first_s)
        with self._reply_of(step, engine):
            result = engine.again()
        self._reply(replace(step, t_first_s=asked, t_ready_s=asked, deadline_s=due), result, engine)

    def _set_pace(self, step: ReadyStep, engine: Engine) -> None:
        manifest = engine.bundle.manifest
        fade = step.controls.fade_samples(manifest.sample_rate_hz)
        if isinstance(engine.cycle.pace, UpstreamPace):
            pace = engine.cycle.pace
            engine.set_pace(UpstreamPace(step.controls.r, step.controls.w, fade, pace.window_samples))
        else:
            engine.set_pace(Pace(step.step_samples, step.lead_samples, fade, self._context_tail_samples))

    @contextlib.contextmanager
    def _reply_of(self, step: ReadyStep, engine: Engine) -> Iterator[None]:
        """Within, the engine writes what this reply covers; after it, it is paced as before."""
        pace = engine.cycle.pace
        if step.reply is None or not isinstance(pace, Pace):
            yield
            return
        engine.set_pace(replace(pace, step_samples=step.reply_samples, lead_samples=step.reply_lead_samples))
        try:
            yield
        finally:
            engine.set_pace(pace)

    def _reply(self, step: ReadyStep, result: Step, engine: Engine) -> None:
        if step.epoch != self.current_epoch:
            return  # a reset came while the networks ran
        for stem in result.concealed:
            self._counters.concealed_replies += 1
            _log.warning("batch %d: %s was not finite or too loud; silence instead", step.batch, stem)
            length = result.audio.shape[1]
            self._sender.tell(extension.Concealed(step.batch, stem, 0, length))
        begin = self._clock()

        def on_sent(complete: bool) -> None:
            sent = self._clock()
            self._sends.add(sent - begin)
            self._account(step, result, sent, complete)

        audio = np.concatenate([result.headroom, result.audio], axis=1)
        stems = result.stems
        if stems != step.controls.stems:  # more are bound than are asked for, while what is asked for is prepared
            rows = [row for row, stem in enumerate(stems) if stem in step.controls.stems]
            stems, audio = tuple(stems[row] for row in rows), audio[rows]
        # The steps to come may be as short as a frame where this one is the last of its length.
        frame = engine.bundle.manifest.geometry.frame_samples
        unit = step.step_samples if step.reply is None else min(step.step_samples, frame)
        good_for = max(2, -(-step.lead_samples // unit) + 1)
        self._sender.submit(Reply(step.epoch, step.batch, stems, audio, step.controls.package, good_for, on_sent))

    def _account(self, step: ReadyStep, result: Step, sent_s: float, complete: bool) -> None:
        """Sending thread: the three clocks of one step."""
        counters, times = self._counters, result.times
        margin_ms = 1e3 * (step.deadline_s - sent_s)
        if not complete:
            self._say_dropped(step.batch, "a newer step came before it was sent", step.epoch)
            return
        counters.answered += 1
        if margin_ms < 0 and step.deadline_s > step.t_first_s:
            counters.late += 1
            self._sender.tell(extension.Late(step.batch, -margin_ms))
        if step.controls.verbose:
            _log.info(
                "batch %d: encode %.1f, denoise %.1f (%d NFE), decode %.1f, host %.1f ms; margin %.1f ms",
                *(step.batch, times.encode_ms, times.denoise_ms, result.nfe, times.decode_ms, times.host_ms, margin_ms),
            )
        self._sender.tell(
            extension.StepStatus(
                batch=step.batch,
                stems=len(result.stems),
                nfe=result.nfe,
                assemble_ms=1e3 * (step.t_ready_s - step.t_first_s),
                encode_ms=times.encode_ms,
                denoise_ms=times.denoise_ms,
                decode_ms=times.decode_ms,
                host_ms=times.host_ms,
                margin_ms=margin_ms,
                late=_int32(counters.late),
                dropped=_int32(counters.dropped + counters.abandoned),
                concealed_context_samples=_int32(counters.concealed_context_samples),
                concealed_replies=_int32(counters.concealed_replies),
                refused=_int32(counters.refused),
            )
        )

    def _hear_only(self, step: ReadyStep, engine: Engine, reason: str) -> None:
        """Time moves on, and the client is told that this step gets no reply."""
        _hear(engine, step)
        self._counters.dropped += 1
        self._say_dropped(step.batch, reason, step.epoch)

    def _say_dropped(self, batch: int, reason: str, epoch: int) -> None:
        if epoch == self.current_epoch:
            self._sender.say(messages.batch_dropped(batch))
            self._sender.tell(extension.Dropped(batch, reason))


def _hear(engine: Engine, step: ReadyStep) -> None:
    """Time moves on, whatever the step holds."""
    try:
        engine.hear(step.audio)
    except AnacrusisError:
        engine.skip(step.audio.shape[0])


def _int32(count: int) -> int:
    """The wire's integers are small; a count that outgrows them stays at the largest."""
    return min(count, (1 << 31) - 1)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
