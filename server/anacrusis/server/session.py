# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a datagram means: admission, parsing, control values, context, and work for the engine thread.

All of it on the receiving thread, which is the only one to change what the performer set. `datagram` and `tick`
never raise: what cannot be is counted, logged at most once a second, and answered on our own address.
"""

from __future__ import annotations

import contextlib
import logging
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
from anacrusis.server.batch import F32, Source
from anacrusis.server.clocks import Counters, Narrator
from anacrusis.server.controls import SETTERS, Controls, RefusedError, apply
from anacrusis.server.wire import extension, messages, osc
from anacrusis.server.wire.region import region_of
from anacrusis.server.work import Again, Begin, Dump, Load, Prepare, Work

HELLO_BEGINS: Final = osc.string_bytes(extension.ClientHello.ADDRESS)
MOST_HELLO_BYTES: Final = 1024
MOST_HELLOS: Final = 32
MOST_REASON: Final = 300
LOUDEST: Final = 1e4  # 80 dB above full scale is not audio

_log = logging.getLogger("anacrusis.server")


class Outgoing(Protocol):
    """What the session needs of the sender."""

    target: tuple[str, int]
    introduced: bool  # has the client said hello?
    newest: int | None
    epoch: int

    def say(self, data: bytes, target: Source | None = None) -> None: ...
    def tell(self, message: extension.Extension) -> None: ...


class Engineer(Protocol):
    """What the session needs of the worker."""

    state: str
    current_epoch: int

    def put(self, work: Work) -> None: ...
    @property
    def pace(self) -> extension.PaceChoice | None: ...
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
        self._configured = out.target
        self._hellos: dict[Source, Source] = {}  # who said hello -> where it wants its replies
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
            if not self._admission.admits(source[0]) and not self._introduces_itself(data, source):
                return
            for message in osc.messages_in(data):
                self._message(message, source)
        except AnacrusisError as error:
            self._malformed(data, source, str(error), logging.WARNING)
        except Exception as error:  # whatever a datagram does, the next one is read
            self._malformed(data, source, f"{type(error).__name__}: {error}", logging.ERROR)

    def _introduces_itself(self, data: bytes, source: Source) -> bool:
        """Whether a stranger's datagram may be read: a hello of ours with the token, and nothing larger."""
        if data.startswith(HELLO_BEGINS) and len(data) <= MOST_HELLO_BYTES:
            with contextlib.suppress(osc.WireError):
                if self._admission.hello(source[0], extension.ClientHello.read(osc.decode(data)).token):
                    return True
        self._counters.strangers += 1
        self._narrator.say(
            "stranger", f"{source[0]} is not the client; its datagrams are dropped (see --allow, --token)"
        )
        return False

    def _malformed(self, data: bytes, source: Source, why: str, level: int) -> None:
        self._counters.malformed += 1
        self._narrator.say("malformed", f"datagram of {len(data)} bytes from {source[0]} dropped: {why}", level)

    def tick(self, t_s: float) -> None:
        """Hand over what is due. Never raises."""
        self._t_s = t_s
        try:
            self._hand_over()
        except Exception as error:  # the thread that listens must go on listening
            self._narrator.say("broken", f"a step was lost: {type(error).__name__}: {error}", logging.ERROR)
            self._begin_epoch("fault")
            self._engineer.put(Begin(self.assembler.epoch))
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
        try:
            if address in self._planes:
                self._context(messages.read_context(data), source)
            elif address in SETTERS:
                self._set(osc.decode(data))
            elif address in self._commands:
                self._commands[address](osc.decode(data), source)
            else:
                self._counters.unknown += 1
                self._narrator.say("unknown", f"no such address: {address[:60]!r}", logging.INFO)
        except RefusedError as error:
            self._counters.refused += 1
            self._narrator.say("refused", f"refused: {error}")
            self._out.tell(extension.Refused(address, str(error)[:MOST_REASON]))

    def _speaks(self, source: Source) -> None:
        """Who plays gets the replies: where its hello said, or where the command line says."""
        target = self._hellos.get(source, self._configured)
        self._out.introduced = source in self._hellos
        if self._out.target != target:
            self._out.target = target
            self._narrator.say("target", f"replies go to {target[0]}:{target[1]}", logging.INFO)

    # -- context ----------------------------------------------------------------------------------------------

    def _context(self, message: messages.AudioMessage, source: Source) -> None:
        if not self._loaded or self._engineer.state != "ready":
            self._counters.unloaded += 1
            self._narrator.say("unloaded", f"context before the model is loaded ({self._engineer.state}); dropped")
            return
        if message.audio.shape[0] and not _is_audio(message.audio):
            raise RefusedError(f"{message.address} carries samples that are not finite, or beyond {LOUDEST:g}")
        self._speaks(source)
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
        self._narrator.say("epoch", f"epoch {epoch} begins ({self.assembler.reason})", logging.INFO)
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
        self._speaks(source)
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
            self._narrator.say(
                "print", "/print: start the server with --print-dir DIR to let it write there", logging.INFO
            )
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
        self._admission.hello(source[0], hello.token)
        if not 0 <= hello.port <= 65535:
            raise RefusedError(f"hello from port {hello.port}; ports are 0 to 65535")
        if source not in self._hellos and len(self._hellos) >= MOST_HELLOS:
            del self._hellos[next(iter(self._hellos))]
        self._hellos[source] = target = (source[0], hello.port or source[1])
        if self._t_context_s is None:  # nobody plays: what is to say of the model is for whom asked
            self._speaks(source)
        manifest = self._manifest
        self._out.say(
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
            ).encode(),
            target,
        )
        pace = self._engineer.pace
        if pace is not None and self._out.target == target:
            self._out.say(pace.encode(), target)

    def _position(self, message: osc.Message, source: Source) -> None:
        position = extension.StepPosition.read(message)
        if not self._config.positions:
            raise RefusedError("/anacrusis/step: the original's cycle is paced by r and w only")
        fade, geometry = self.controls.fade_samples(self._manifest.sample_rate_hz), self._manifest.geometry
        region = region_of(position)
        try:
            Pace(position.step_samples, position.lead_samples, fade).validate(geometry)
            Pace(region.length_samples, region.start_samples - position.curr_samples, fade).validate(geometry)
        except GeometryError as error:
            self.assembler.refuse(position.batch, str(error), source, self._t_s)
            raise RefusedError(f"/anacrusis/step: {error}") from None
        if self._loaded:
            self.assembler.place(position, source, self._t_s)
            self._hand_over()


def _is_audio(audio: F32) -> bool:
    """Without a temporary array: the largest and the smallest carry NaN and infinity along."""
    return bool(audio.max() <= LOUDEST and audio.min() >= -LOUDEST)
