# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A better rung prepared while another plays: opened, built if it must be, bound, and warmed up with a cycle.

On a thread of its own, at low priority where it has one intra-op thread (a pool that a lowered thread makes would stay
lowered, see `background.py`); a build is a child process. What is ready is handed to whoever owns the cycle, which
exchanges it between two steps (`Cycle.adopt`). A rung that fails is said once and not tried again.

Not covered: memory. Two rungs are loaded at once while one is prepared. And the interpreter: a library that holds its
lock while it loads holds up the other threads for as long (ONNX Runtime and torch: 0.2 s measured on tiny-cd).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from anacrusis.engine.background import Child, lower_this_thread
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError, BackendError, PlanMissingError
from anacrusis.engine.ladder import RUNGS, Rung
from anacrusis.engine.pipeline import Backend, Pipeline
from anacrusis.engine.prepared import Prepared, let_go, prepare
from anacrusis.engine.sampler import SamplerTable
from anacrusis.engine.window import Pace

T = TypeVar("T")
TELL_S: Final = 3.0  # progress at most so often
_log = logging.getLogger("anacrusis.standby")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a rung is prepared for."""

    stems: tuple[str, ...]
    pace: Pace
    table: SamplerTable


@dataclass(frozen=True, slots=True)
class Preparing:
    """A rung is on its way. text: what is being done."""

    rung: str
    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """`prepared` may be adopted, if `wanted` is still what is wanted."""

    rung: str
    wanted: Wanted
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class Refused:
    """This rung will not be had. reason: one line."""

    rung: str
    reason: str


News = Preparing | Ready | Refused
Build = Callable[[str, Wanted], Sequence[str]]


class Standby:
    """Every method from any thread; `news` is called on the standby's own and must return at once.

    rungs: best first; the first that can be prepared is. threads: intra-op, as for `open_backend`. build: the command
    that builds what a rung misses (PlanMissingError) for what is wanted; None where nothing can be built.
    """

    def __init__(
        self,
        bundle: Bundle,
        rungs: Sequence[Rung],
        threads: int,
        news: Callable[[News], None],
        build: Build | None = None,
    ) -> None:
        self._bundle, self._threads, self._news, self._build = bundle, threads, news, build
        self._changed = threading.Condition()
        self._rungs = list(rungs)
        self._opened: dict[str, Backend] = {}
        self._playing = ""
        self._wanted: Wanted | None = None
        self._released: list[Pipeline | Backend] = []
        self._child: Child | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="standby", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def rungs(self) -> tuple[str, ...]:
        """What may still be had, best first."""
        with self._changed:
            return tuple(rung.name for rung in self._rungs)

    def want(self, wanted: Wanted) -> None:
        """Prepare the best rung for this; what was wanted before is given up."""
        with self._changed:
            self._wanted = wanted
            self._changed.notify()

    def keep(self, backend: Backend) -> None:
        """Bind this one too where nothing better can be had: it plays, and other stems may be wanted of it."""
        with self._changed:
            self._playing = backend.name
            self._opened[backend.name] = backend
            self._rungs.append(Rung(backend.name, "what plays", lambda: None, lambda bundle, threads: backend))

    def plays(self, rung: str) -> None:
        """This one plays: it is not given up because other stems cannot be had of it."""
        with self._changed:
            self._playing = rung

    def give_up(self, rung: str) -> None:
        """Never prepare this rung again, and let go of it if it was opened."""
        with self._changed:
            self._rungs = [other for other in self._rungs if other.name != rung]
            backend = self._opened.pop(rung, None)
        if backend is not None:
            self.release(backend)

    def retire(self, backend: Backend) -> None:
        """Give up the rung of a backend that played, and let go of it."""
        with self._changed:
            self._opened[backend.name] = backend
        self.give_up(backend.name)

    def release(self, unused: Pipeline | Backend) -> None:
        """Let go of it on this thread: freeing gigabytes takes longer than a step may wait."""
        with self._changed:
            self._released.append(unused)
            self._changed.notify()

    def stop(self, timeout_s: float) -> bool:
        """End a build and the thread. False where a library's call outlasts the timeout; it holds nothing to save."""
        with self._changed:
            self._stopping, self._wanted, child = True, None, self._child
            self._changed.notify()
        if child is not None:
            child.stop()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- its own thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        if self._threads == 1 and not lower_this_thread():
            _log.debug("no thread can be given a lower priority here")
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._released or self._wanted is not None)
                if self._stopping:
                    return
                released, self._released = self._released, []
                wanted = self._wanted
            while released:
                let_go(released.pop(0))
            if wanted is not None:
                self._prepare(wanted)

    def _prepare(self, wanted: Wanted) -> None:
        while self._is_wanted(wanted):
            with self._changed:
                rung = self._rungs[0] if self._rungs else None
                if rung is None:
                    self._wanted = None
                    return
            try:
                prepared = self._prepared(rung, wanted)
            except Exception as error:  # a library's own too: whatever it is, the song goes on
                if not self._is_wanted(wanted):
                    return
                known = isinstance(error, AnacrusisError)
                reason = str(error) if known else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                with self._changed:
                    plays = rung.name == self._playing
                    if plays and self._wanted is wanted:
                        self._wanted = None
                if not plays:
                    self.give_up(rung.name)
                self._news(Refused(rung.name, reason))
                continue
            with self._changed:
                current = prepared is not None and self._wanted is wanted
                if current:
                    self._wanted = None
            if prepared is None:
                return
            if current:
                self._news(Ready(rung.name, wanted, prepared))
            else:
                let_go(prepared.pipeline)

    def _prepared(self, rung: Rung, wanted: Wanted) -> Prepared | None:
        """None where something else is wanted meanwhile."""
        backend = self._opened.get(rung.name)
        if backend is None:
            self._news(Preparing(rung.name, f"opening {rung.what}"))
            backend = self._after_build(rung.name, wanted, lambda: self._open(rung))
            with self._changed:
                self._opened[rung.name] = backend
        if not self._is_wanted(wanted):
            return None
        opened = backend
        self._news(Preparing(rung.name, f"binding {', '.join(wanted.stems)} and warming up"))
        return self._after_build(
            rung.name, wanted, lambda: prepare(opened, wanted.stems, wanted.table, wanted.pace, measure=True)
        )

    def _open(self, rung: Rung) -> Backend:
        if (reason := rung.probe()) is not None:
            raise BackendError(reason)
        return rung.open(self._bundle, self._threads)

    def _after_build(self, rung: str, wanted: Wanted, make: Callable[[], T]) -> T:
        """Make it; where a plan is missing, build that first."""
        try:
            return make()
        except PlanMissingError:
            if self._build is None:
                raise
            child = Child(self._build(rung, wanted))
        with self._changed:
            if self._stopping:
                raise BackendError("stopped")
            self._child = child
        told_s = -TELL_S

        def on_progress(text: str) -> None:
            nonlocal told_s
            if time.monotonic() >= told_s + TELL_S:
                told_s = time.monotonic()
                self._news(Preparing(rung, f"building: {text}"))

        try:
            child.run(on_progress)
        finally:
            with self._changed:
                self._child = None
        return make()

    def _is_wanted(self, wanted: Wanted) -> bool:
        with self._changed:
            return self._wanted is wanted and not self._stopping


def upgrades(to: str, playing: str) -> tuple[Rung, ...]:
    """The rungs worth preparing while `playing` plays: with "auto" every better one that this machine could run, with
    "none" none, else the one named, whichever is better. May import libraries."""
    names = [rung.name for rung in RUNGS]
    if to == "auto":
        better = RUNGS[: names.index(playing)] if playing in names else ()
        return tuple(rung for rung in better if rung.probe() is None)
    return tuple(rung for rung in RUNGS if rung.name == to != playing)
