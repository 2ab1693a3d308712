# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A server in this process, networks that only record, and a peer on real sockets."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.pipeline import Binding, CycleInputs, CycleOutputs, StageTimes
from anacrusis.server.admission import Admission
from anacrusis.server.assembler import ReadyStep
from anacrusis.server.clocks import Counters
from anacrusis.server.server import Server
from anacrusis.server.session import Session, SessionConfig
from anacrusis.server.wire import messages

WAIT_S = 20.0  # far more than anything here takes; not a claim


class Recorder:
    """A backend and its pipeline: keeps what every stage was given, decodes to a ramp, may be held or broken."""

    name = "recorder"

    def __init__(self, bundle: Bundle, ramp: float, *, warms_up: bool) -> None:
        self.bundle, self.ramp, self.warms_up = bundle, ramp, warms_up
        self.seen: list[dict[str, np.ndarray]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.fail_with: Exception | None = None
        self.spoil = False
        self.refuse_to_bind = False

    def bind(self, binding: Binding) -> Bound:
        return Bound(self, binding)


class Bound:
    """What the recorder is bound to: a pipeline of its own each time, as every backend's is."""

    def __init__(self, recorder: Recorder, binding: Binding) -> None:
        self.recorder, self.binding, self.bundle = recorder, binding, recorder.bundle
        self.inputs = CycleInputs.zeros(self.bundle.manifest, binding)
        self.bound = not recorder.warms_up

    def encode(self) -> np.ndarray:
        if self.recorder.refuse_to_bind:
            raise RuntimeError("out of memory")
        return np.zeros((1, self.bundle.manifest.latent_channels, 64), np.float32)

    def decode_frames(self, wanted: int) -> int:
        return wanted

    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        recorder = self.recorder
        if self.bound:  # the first one warms up
            recorder.seen.append(
                {"labels": self.binding.labels.copy()}
                | {name: getattr(self.inputs, name).copy() for name in ("audio", "heard", "keep", "source")}
            )
            recorder.entered.set()
            assert recorder.gate.wait(WAIT_S)
            if recorder.fail_with is not None:
                raise recorder.fail_with
        self.bound = True
        length = self.bundle.manifest.geometry.decoded_samples(decode_frames)
        audio = np.tile(np.arange(length, dtype=np.float32) * recorder.ramp, (self.binding.rows, 1))
        if recorder.spoil:
            audio[:, length // 2] = np.nan
        # What was generated is told from what is kept: the source where it is kept, .25 elsewhere.
        latents = np.where(self.inputs.keep > 0, self.inputs.source, np.float32(0.25))
        return CycleOutputs(latents, audio, None, StageTimes(1.0, 2.0, 3.0))


class Peer:
    """The client's two ends: one socket that listens, a new one for every message, as the released external has."""

    def __init__(self) -> None:
        self.inbox = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.inbox.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.inbox.bind(("127.0.0.1", 0))
        self.port = self.inbox.getsockname()[1]
        self.server: tuple[str, int] = ("127.0.0.1", 0)
        self.one_socket = False  # send from where it listens, as our own client does

    def send(self, *datagrams: bytes) -> None:
        if self.one_socket:
            for data in datagrams:
                self.inbox.sendto(data, self.server)
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for data in datagrams:
                sock.sendto(data, self.server)

    def until(self, enough: Callable[[list[bytes]], bool]) -> list[bytes]:
        """Everything that came since the last call, once `enough` of it did."""
        got: list[bytes] = []
        deadline = time.monotonic() + WAIT_S
        self.inbox.settimeout(0.05)
        while not enough(got):
            assert time.monotonic() < deadline, f"only {[address(d) for d in got]} came"
            try:
                got.append(self.inbox.recv(65536))
            except TimeoutError:
                continue
        return got

    def reply(self, steps: int = 1) -> list[bytes]:
        """Everything up to `steps` /server_predicted."""
        return self.until(lambda got: got.count(messages.SERVER_PREDICTED) >= steps)

    def echo(self) -> list[bytes]:
        """Everything that came before the answer to a packet test sent now: the server has read all that was sent."""
        self.send(messages.packet_test(np.zeros(3, np.float32)))
        got = self.until(lambda all_: bool(all_) and all_[-1].startswith(b"#bundle"))
        return got[:-1]


def address(data: bytes) -> str:
    return data[: data.find(b"\0")].decode("ascii", "replace")


def head(data: bytes) -> tuple[int, int, int]:
    """(batch, chunk, total) of a reply datagram."""
    at = data.find(b"\0") // 4 * 4 + 4
    tags = data.find(b"\0", at)
    return struct.unpack_from(">iii", data, tags // 4 * 4 + 4)


def audio_of(datagrams: list[bytes], stem: str = "bass") -> np.ndarray:
    """A stem's reply, put together in the order of its chunk numbers."""
    chunks = [messages.read_reply(d) for d in datagrams if address(d) == f"/{stem}"]
    return np.concatenate([c.audio for c in sorted(chunks, key=lambda c: c.index)])


def batch(number: int, audio: np.ndarray, package: int = 4410, *, planes: int = 1) -> list[bytes]:
    """The datagrams of one step, as the released external cuts them."""
    offsets = range(0, audio.shape[0], package)
    total = planes * len(offsets)
    return [messages.context(number, at, total, audio[at : at + package]) for at in offsets for _ in range(planes)]


def constant(value: float, samples: int = 66150) -> np.ndarray:
    return np.full(samples, value, np.float32)


LOAD_SEQUENCE = (
    messages.update_package_size(4410),
    messages.update_r(0.25),
    messages.update_w(1.0),
    messages.update_fade(0.02),
    messages.predict_instruments([1, 0, 0, 0]),
    messages.verbose(0),
    messages.LOAD_MODEL,
)


class Live:
    """One server, its recorder and its peer. `load` sends the stock patch's load sequence."""

    def __init__(self, server: Server, peer: Peer, recorder: Recorder) -> None:
        self.server, self.peer, self.recorder = server, peer, recorder

    def load(self) -> Live:
        self.peer.send(*LOAD_SEQUENCE)
        self.settle()
        return self

    def settle(self) -> list[bytes]:
        """Everything sent so far was read, and the engine has done its part. Returns what came meanwhile."""
        got = self.peer.echo()
        assert self.server.worker.settle(WAIT_S)
        return got + self.peer.echo()

    def step(self, number: int, audio: np.ndarray, package: int = 4410, **more: Any) -> list[bytes]:
        self.peer.send(*batch(number, audio, package, **more))
        return self.peer.reply()


class Desk:
    """A session on an injected clock: no socket, no thread, no engine; what it says and asks for is kept."""

    def __init__(self, bundle: Bundle, **config: Any) -> None:
        self.target, self.introduced, self.newest, self.epoch = ("127.0.0.1", 8000), False, None, 0
        self.state, self.current_epoch, self.budget_s, self.pace = "ready", 0, 0.0, None
        self.said: list[bytes] = []
        self.told: list[Any] = []
        self.works: list[Any] = []
        self.counters = Counters()
        self.session = Session(bundle, Admission("127.0.0.1"), self, self, self.counters, SessionConfig("0", **config))

    def say(self, data: bytes) -> None:
        self.said.append(data)

    def tell(self, message: Any) -> None:
        self.told.append(message)

    def put(self, work: Any) -> None:
        self.works.append(work)

    @property
    def steps(self) -> list[ReadyStep]:
        return [work for work in self.works if isinstance(work, ReadyStep)]

    def send(self, t_s: float, *datagrams: bytes, port: int = 50000, host: str = "127.0.0.1") -> Desk:
        for data in datagrams:
            self.session.datagram(data, (host, port), t_s)
        return self

    def load(self, *more: bytes) -> Desk:
        return self.send(0.0, *LOAD_SEQUENCE[:-1], *more, LOAD_SEQUENCE[-1])

    def wait(self, t_s: float) -> Desk:
        """Tick whenever the session asked to be woken, up to t_s."""
        while (wake := self.session.next_wake_s()) is not None and wake <= t_s:
            self.session.tick(wake)
        return self
