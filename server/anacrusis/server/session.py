# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a datagram means: admission, parsing, control values, context, and work for the engine thread.

All of it on the receiving thread, which is the only one to change what the performer set. `datagram` and `tick`
never raise: what cannot be is counted, logged at most once a second, and answered on our own address.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError, GeometryError
from anacrusis.engine.window import Pace
from anacrusis.server.admission import Admission
from anacrusis.server.assembler import SILENCE_S, STOCK_WINDOW_SAMPLES, Assembler, Fate, ReadyStep
from anacrusis.server.batch import F32
from anacrusis.server.clocks import Counters, Narrator
from anacrusis.server.controls import SETTERS, Controls, RefusedError, apply
from anacrusis.server.wire import extension, messages, osc
from anacrusis.server.worker import Again, Begin, Dump, Load, Prepare, Work

_log = logging.getLogger("anacrusis.server")

Source = tuple[str, int]


class Outgoing(Protocol):
    """What the session needs of the sender."""

    target: tuple[str, int]
    introduced: bool  # has the client said hello?
    newest: int | None
    epoch: int

    def say(self, data: bytes) -> None: ...
    def tell(self, message: extension.Extension) -> None: ...


class Engineer(Protocol):
    """What the session needs of the worker."""

    state: str
    current_epoch: int

    def put(self, work: Work) -> None: ...
    @property
    def budget_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """windows: the client's possible T; () means the stock patch's and the bundle's own. dump: where /print writes.
    positions: whether /anacrusis/step is taken (the original's cycle has no place for one)."""

    version: str
    windows: tuple[int, ...] = ()
    dump: Path | None = None
    positions: bool = True


class Session:
    """One performer's session. Receiving thread only."""

    def __init__(
        self,
        bundle: Bundle,
        admission: Admission,
        out: Outgoing,
        engineer: Engineer,
        counters: Counters,
        config: SessionConfig,
    ) -> None:
        self._bundle, self._admission, self._out, self._engineer = bundle, admission, out, engineer
        self._counters, self._config, self._narrator = counters, config, Narrator()
        self._manifest = bundle.manifest
        window = self._manifest.geometry.window_samples
        windows = config.windows or (STOCK_WINDOW_SAMPLES, window)
        self.controls = Controls()
        self.assembler = Assembler(
            windows,
            len(self._manifest.stems),
            self._manifest.sample_rate_hz,
            capacity_samples=max(*windows, window),
            budget_s=lambda: engineer.budget_s,
        )
        self._instance = secrets.randbelow(1 << 31)
        self._loaded = False
        self._t_context_s: float | None = None
        self._planes = {f"/{stem}" for stem in self._manifest.stems} | {messages.CONTEXT}
        self._commands: Final[dict[str, Callable[[osc.Message, Source], None]]] = {
            "/load_model": self._load_model,
            "/reset": self._reset,
            "/predict": self._predict,
            "/print": self._print,
            "/packet_test": self._packet_test,
            extension.ClientHello.ADDRESS: self._hello,
            extension.StepPosition.ADDRESS: self._position,
        }
        self._t_s = 0.0

    # -- in ---------------------------------------------------------------------------------------------------

    def datagram(self, data: bytes, source: Source, t_s: float) -> None:
        """One datagram, whatever it is. Never raises."""
        self._counters.received += 1
        self._t_s = t_s
        try:
            for message in osc.messages_in(data):
                self._message(message, source)
        except RefusedError as error:
            self._counters.refused += 1
            self._refuse(data, str(error))
        except AnacrusisError as error:
            self._counters.malformed += 1
            self._narrator.say("malformed", f"datagram of {len(data)} bytes from {source[0]} dropped: {error}")
        except Exception as error:  # whatever a datagram does, the next one is read
            self._counters.malformed += 1
            self._narrator.say(
                "broken", f"datagram of {len(data)} bytes dropped: {type(error).__name__}: {error}", logging.ERROR
            )

    def tick(self, t_s: float) -> None:
        """Hand over what is due. Never raises."""
        self._t_s = t_s
        self._hand_over()
        if self._t_context_s is not None and t_s >= self._t_context_s + SILENCE_S:
            self._t_context_s = None
            _log.warning("no context for %g s; is the client gone? still listening", SILENCE_S)

    def next_wake_s(self) -> float | None:
        """When `tick` is due if nothing comes."""
        silence = None if self._t_context_s is None else self._t_context_s + SILENCE_S
        due = self.assembler.next_deadline_s()
        return silence if due is None else due if silence is None else min(due, silence)

    # -- what it is -------------------------------------------------------------------------------------------

    def _message(self, data: bytes, source: Source) -> None:
        address = osc.address_of(data)
        if not self._admission.admits(source[0]) and address != extension.ClientHello.ADDRESS:
            self._counters.strangers += 1
            self._narrator.say("stranger", f"{source[0]} is not the client; its datagrams are dropped (see --allow)")
            return
        if address in self._planes:
            self._context(messages.read_context(data), source)
        elif address in SETTERS:
            self._set(osc.decode(data))
        elif address in self._commands:
            self._commands[address](osc.decode(data), source)
        else:
            self._counters.unknown += 1
            self._narrator.say("unknown", f"no such address: {address[:60]!r}", logging.INFO)

    def _refuse(self, data: bytes, reason: str) -> None:
        self._narrator.say("refused", f"refused: {reason}")
        address = data[: data.find(b"\0")].decode("ascii", "replace")
        self._out.tell(extension.Refused(address, reason))

    # -- context ----------------------------------------------------------------------------------------------

    def _context(self, message: messages.AudioMessage, source: Source) -> None:
        if not self._loaded or self._engineer.state != "ready":
            self._counters.unloaded += 1
            self._narrator.say("unloaded", f"context before the model is loaded ({self._engineer.state}); dropped")
            return
        if message.audio.shape[0] and not _finite(message.audio):
            raise RefusedError(f"{message.address} carries samples that are not finite")
        before = self.assembler.epoch
        fate = self.assembler.add(message, source, self._t_s, self.controls)
        self._counters.duplicate += fate is Fate.DUPLICATE
        self._counters.stale += fate is Fate.STALE
        self._counters.aside += fate is Fate.ASIDE
        self._t_context_s = self._t_s
        self._follow_epoch(before)
        self._out.newest = self.assembler.newest_id
        if fate in (Fate.WRITTEN, Fate.EPOCH, Fate.DUPLICATE):
            self._hand_over()

    def _hand_over(self) -> None:
        before = self.assembler.epoch
        steps = self.assembler.poll(self._t_s)
        self._follow_epoch(before)
        for step in steps:
            self._announce_missing(step)
            self._counters.steps += 1
            self._engineer.put(step)

    def _announce_missing(self, step: ReadyStep) -> None:
        if step.skipped_batches:
            self._counters.steps_never_came += step.skipped_batches
            for batch in range(max(step.batch - step.skipped_batches, step.batch - 8), step.batch):
                self._out.tell(extension.Dropped(batch, "nothing of it came"))
        for offset, length in step.missing:
            self._counters.concealed_context_samples += length
            self._out.tell(extension.Concealed(step.batch, "context", offset, length))
        if step.missing:
            lost = sum(length for _, length in step.missing)
            self._narrator.say("missing", f"batch {step.batch}: {lost} of {step.audio.shape[0]} samples never came")

    def _follow_epoch(self, before: int) -> None:
        if self.assembler.epoch != before:
            self._announce_epoch()
            self._engineer.put(Begin(self.assembler.epoch))

    def _begin_epoch(self, reason: str) -> None:
        self.assembler.new_epoch(reason)
        self._announce_epoch()

    def _announce_epoch(self) -> None:
        epoch = self.assembler.epoch
        self._engineer.current_epoch = self._out.epoch = epoch
        self._out.newest = self.assembler.newest_id
        _log.info("epoch %d begins (%s)", epoch, self.assembler.reason)
        self._out.tell(extension.NewEpoch(epoch, self.assembler.reason))

    # -- control ----------------------------------------------------------------------------------------------

    def _set(self, message: osc.Message) -> None:
        before = self.controls
        self.controls = apply(before, message, self._manifest.stems)
        if self._loaded and self.controls.stems != before.stems:
            self._engineer.put(Prepare(self.controls))

    def _load_model(self, message: osc.Message, source: Source) -> None:
        if message.arguments:
            raise RefusedError("/load_model takes no arguments")
        self._loaded = True
        self._begin_epoch("load")
        self._engineer.put(Load(self.assembler.epoch, self.controls))

    def _reset(self, message: osc.Message, source: Source) -> None:
        self._begin_epoch("reset")
        self._engineer.put(Begin(self.assembler.epoch))

    def _predict(self, message: osc.Message, source: Source) -> None:
        if not self._loaded:
            raise RefusedError("/predict before /load_model")
        newest = self.assembler.newest_id
        self._engineer.put(Again(self.assembler.epoch, -1 if newest is None else newest, self.controls))

    def _print(self, message: osc.Message, source: Source) -> None:
        if self._config.dump is None:
            _log.info("/print asked for; start the server with --print-dir DIR to let it write there")
        else:
            self._engineer.put(Dump(self._config.dump))

    def _packet_test(self, message: osc.Message, source: Source) -> None:
        if not message.arguments:
            raise RefusedError("/packet_test takes a count and floats")
        count = len(message.arguments) - 1
        self._out.say(messages.packet_test_response(np.random.default_rng().random(count, np.float32)))

    # -- our own ----------------------------------------------------------------------------------------------

    def _hello(self, message: osc.Message, source: Source) -> None:
        hello = extension.ClientHello.read(message)
        if not self._admission.hello(source[0], hello.token):
            self._counters.strangers += 1
            self._narrator.say("stranger", f"hello from {source[0]} refused: not the client, and no valid token")
            return
        if not 0 <= hello.port <= 65535:
            raise RefusedError(f"hello from port {hello.port}; ports are 0 to 65535")
        target = (source[0], hello.port or source[1])
        if not self._out.introduced or self._out.target != target:
            _log.info("client at %s:%d speaks protocol %d; replies go there", *target, hello.protocol)
        self._out.target, self._out.introduced = target, True
        manifest = self._manifest
        self._out.tell(
            extension.ServerHello(
                protocol=extension.PROTOCOL,
                version=self._config.version,
                rate_hz=manifest.sample_rate_hz,
                frame_samples=manifest.geometry.frame_samples,
                window_samples=manifest.geometry.window_samples,
                stems=",".join(manifest.stems),
                bundle=manifest.name,
                bundle_sha256=self._bundle.hash,
                licence=manifest.licence.spdx,
                model=self._engineer.state,
                instance=self._instance,
            )
        )

    def _position(self, message: osc.Message, source: Source) -> None:
        position = extension.StepPosition.read(message)
        if not self._config.positions:
            raise RefusedError("/anacrusis/step: the original's cycle is paced by r and w only")
        fade = self.controls.fade_samples(self._manifest.sample_rate_hz)
        try:
            Pace(position.step_samples, position.lead_samples, fade).validate(self._manifest.geometry)
        except GeometryError as error:
            raise RefusedError(f"/anacrusis/step: {error}") from None
        if self._loaded:
            self.assembler.place(position, self._t_s, self.controls)


def _finite(audio: F32) -> bool:
    """Without a temporary array: the largest and the smallest carry NaN and infinity along."""
    return math.isfinite(audio.max()) and math.isfinite(audio.min())
