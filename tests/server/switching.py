# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A server that is to change rungs, its client, and two rungs that do as they are told.

Every rung here writes a level of its own, so a reply says who wrote it.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from anacrusis.engine import Engine
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError
from anacrusis.engine.ladder import Rung
from anacrusis.engine.pipeline import Binding, CycleInputs, CycleOutputs, StageTimes
from anacrusis.server.rungs import Upgrade
from anacrusis.server.server import Server, ServerConfig
from anacrusis.server.wire import messages, osc
from anacrusis.server.wire.extension import ClientHello, Dropped, RungState

from .harness import LOAD_SEQUENCE, WAIT_S, Peer, address, audio_of, batch

S = 65536
OLD, NEW = 0.125, 0.25  # what each writes


class Rig:
    """A server that opened `old`, is to prepare `new`, and a client that said hello. Both rungs do as they are told."""

    def __init__(self, bundle: Bundle, silent: Any, *, after_s: float = 0.0, trial_steps: int = 3) -> None:
        self.bundle, self.silent = bundle, silent
        self.after_s, self.trial_steps = after_s, trial_steps
        self.old, self.new = Fake(self, "old", OLD), Fake(self, "new", NEW)
        self.opens: Exception | None = None  # what opening the new rung raises
        self.candidates = True  # False: nothing to prepare
        self.looks: Exception | None = None  # what looking for candidates raises
        self.peer = Peer()
        self.peer.one_socket = True
        self.got: list[bytes] = []
        self.server: Server | None = None

    def start(self) -> Rig:
        def open_new(bundle: Bundle, threads: int) -> Any:
            if self.opens is not None:
                raise self.opens
            return self.new

        rung = Rung("new", "a new one", lambda: None, open_new)

        def candidates(playing: str) -> list[Rung]:
            assert playing == "old"
            if self.looks is not None:
                raise self.looks
            return [rung] if self.candidates else []

        upgrade = Upgrade(candidates, after_s=self.after_s, trial_steps=self.trial_steps)

        def open_engine() -> Engine:
            return Engine.open(self.bundle, backend=self.old, stems=["bass"], r=0.25, noise=self.silent)

        config = ServerConfig(port=0, client_port=self.peer.port, windows=(262144,))
        self.server = Server(self.bundle, open_engine, config, upgrade)
        self.peer.server = self.server.address
        self.peer.send(ClientHello(1, 0, "").encode())
        self.server.start()
        self.load()
        return self

    def switched(self) -> Rig:
        """Started; one step was answered by the old rung, and the new one took over."""
        self.new.gate.clear()
        self.start()
        assert self.step(1) == OLD
        self.new.gate.set()
        self.until("playing", "new")
        return self

    def load(self, **flags: Any) -> None:
        self.peer.send(*LOAD_SEQUENCE[:-1])
        if flags:
            self.want(**flags)
        self.peer.send(LOAD_SEQUENCE[-1])
        self.settle()

    def want(self, *, flags: tuple[int, ...]) -> None:
        self.peer.send(messages.predict_instruments(flags))

    def settle(self) -> None:
        self.got += self.peer.echo()
        assert self.server is not None
        assert self.server.worker.settle(WAIT_S)
        self.got += self.peer.echo()

    def until(self, state: str, rung: str, count: int = 1) -> None:
        """The server said so `count` times; nothing it says is lost."""

        def said() -> bool:
            return sum((one.state, one.rung) == (state, rung) for one in self.said()) >= count

        deadline = time.monotonic() + WAIT_S
        while not said():
            assert time.monotonic() < deadline, self.said()
            self.settle()

    def said(self) -> list[RungState]:
        return [RungState.read(osc.decode(d)) for d in self.got if address(d) == RungState.ADDRESS]

    def playing(self) -> list[tuple[str, int]]:
        """Who took over, after which batch."""
        return [(one.rung, one.batch) for one in self.said() if one.state == "playing"]

    def step(self, number: int, stem: str = "bass") -> float | None:
        """Who answered: the level of the reply, None where there is none."""
        self.peer.send(*batch(number, np.full(S, 0.5, np.float32)))
        self.settle()
        reply = [d for d in self.got if address(d) == f"/{stem}" and messages.read_reply(d).batch == number]
        if not reply:
            return None
        (level,) = np.unique(audio_of(reply, stem)[-S:])
        return float(level)

    def dropped(self) -> list[tuple[int, str]]:
        found = [Dropped.read(osc.decode(d)) for d in self.got if address(d) == Dropped.ADDRESS]
        return [(one.batch, one.reason) for one in found]

    def close(self) -> None:
        for rung in (self.old, self.new):
            rung.gate.set()
        if self.server is not None:
            self.server.stop(WAIT_S)
        self.peer.inbox.close()


class Fake:
    """A rung that writes a level. does: step of the song it plays -> what it does instead."""

    def __init__(self, rig: Rig, name: str, level: float) -> None:
        self.rig, self.name, self.level, self.bundle = rig, name, level, rig.bundle
        self.binds_at_once, self.one_size = True, False
        self.does: dict[int, str] = {}
        self.binds: list[tuple[int, str]] = []  # rows, thread
        self.bind_errors: list[Exception] = []
        self.warm_s = 0.0
        self.steps = 0
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()
        self.closed = threading.Event()

    def bind(self, binding: Binding) -> FakePipeline:
        thread = threading.current_thread().name
        if thread == "standby":
            self.entered.set()
            assert self.gate.wait(WAIT_S)
        if self.bind_errors:
            raise self.bind_errors.pop(0)
        self.binds.append((binding.rows, thread))
        return FakePipeline(self, binding)

    def close(self) -> None:
        self.closed.set()


class FakePipeline:
    def __init__(self, rung: Fake, binding: Binding) -> None:
        self.rung, self.binding, manifest = rung, binding, rung.bundle.manifest
        self.inputs = CycleInputs.zeros(manifest, binding)
        self.audio = np.zeros((binding.rows, manifest.geometry.decoded_samples(64)), np.float32)

    def encode(self) -> np.ndarray:
        return np.zeros((1, self.rung.bundle.manifest.latent_channels, 64), np.float32)

    def decode_frames(self, wanted: int) -> int:
        if not self.rung.one_size:
            return wanted
        if wanted > self.binding.decode_frames[-1]:
            raise BackendError("no such decode")
        return self.binding.decode_frames[-1]

    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        rung = self.rung
        audio = self.audio[:, : rung.bundle.manifest.geometry.decoded_samples(decode_frames)]
        audio[...] = rung.level
        if not self.inputs.audio.any():  # a cycle nobody hears
            time.sleep(rung.warm_s)
        else:
            rung.steps += 1
            deed = rung.does.get(rung.steps)
            if deed == "raises":
                raise RuntimeError("the card is gone")
            if deed == "gives nan":
                audio[:, 5000:] = np.nan
            if deed == "is late":
                time.sleep(1.6)
        return CycleOutputs(self.inputs.source, audio, None, StageTimes(1.0, 2.0, 3.0))
