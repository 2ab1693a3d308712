# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A `MultiTrack` with its host's four functions recorded, set up as the conformance rows want it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anacrusis.performer.events import ChunkWritten, Event, FromServer, Note
from anacrusis.performer.external import MultiTrack
from anacrusis.server.wire import messages
from anacrusis.server.wire.osc import address_of

F32 = NDArray[np.float32]
T, STEP, FADE, PACKAGE = 264_600, 66_150, 882, 4410
REPLY = STEP + FADE


class Rig:
    def __init__(self, frames: int = 529_200, value: float = 0.0, inputs: int = 0, **settings: object) -> None:
        self.now_s = 50.0
        self.sent: list[tuple[float, bytes]] = []
        self.events: list[Event] = []
        self.external = MultiTrack(self._send, lambda: self.now_s, self._sleep, self.events.append)
        self.buffer = np.full((frames, 4 + inputs), value, np.float32)
        self.external.set_buffer(self.buffer, inputs=inputs)
        defaults = {"window_samples": T, "r": 0.25, "w": 1, "fade": 0.02, "package": PACKAGE, "flags": (1, 0, 0, 0)}
        self.external.configure(**{**defaults, **settings})

    def _send(self, data: bytes) -> None:
        self.sent.append((self.now_s, data))

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def took(self) -> list[bytes]:
        """What was sent since the last call."""
        data = [datagram for _, datagram in self.sent]
        self.sent.clear()
        return data

    def uploads(self) -> list[messages.AudioMessage]:
        """The audio that was sent since the last call."""
        return [messages.read_context(data) for data in self.took() if address_of(data) == messages.CONTEXT]

    def predict(self, *cursors: int) -> None:
        for curr in cursors:
            self.external.predict(curr)

    def reply(self, batch: int, chunks: object = None, value: float = 1.0, stem: str = "bass", **changed: int) -> None:
        """Chunks of a reply of `value`, in the order given; changed: package, length."""
        length, package = changed.get("length", REPLY), changed.get("package", PACKAGE)
        every = list(messages.reply_datagrams(stem, batch, np.full(length, value, np.float32), package))
        for index in range(len(every)) if chunks is None else chunks:  # type: ignore[attr-defined]
            self.external.receive(every[index])

    def notes(self, kind: str | None = None) -> list[str]:
        notes = [event for event in self.events if isinstance(event, Note)]
        return [note.text for note in notes if kind in (None, note.kind)]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events if isinstance(event, Note)]

    def written(self) -> list[ChunkWritten]:
        return [event for event in self.events if isinstance(event, ChunkWritten)]

    def from_server(self) -> list[object]:
        return [event.message for event in self.events if isinstance(event, FromServer)]

    def changed(self, channel: int = 0, base: float = 0.0) -> list[tuple[int, int]]:
        """Runs of frames of a channel that are not `base`."""
        here = np.concatenate(([False], self.buffer[:, channel] != np.float32(base), [False]))
        edges = np.flatnonzero(np.diff(here.astype(np.int8)))
        return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
