# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a client plays through a bad network, and what each step must then hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from anacrusis.benchmarks.faults import Faults, Link
from anacrusis.server.assembler import ReadyStep
from anacrusis.server.wire import messages

from .harness import batch

RATE_HZ = 44100


@dataclass(frozen=True)
class Song:
    """What the client does, and its network. unplugged: first step of which nothing is sent, and how many more."""

    window: int
    r: float
    w: int
    package: int
    first_id: int
    steps: int
    unplugged: tuple[int, int]
    faults: Faults
    window_known: bool

    @property
    def step_samples(self) -> int:
        return int(self.window * self.r)

    def audio(self, number: int) -> np.ndarray:
        return np.random.default_rng(number % 2**32).uniform(-1, 1, self.step_samples).astype(np.float32)


def events(song: Song) -> list[tuple[float, bytes]]:
    """(arrival, datagram), as the link delivers them; step k is sent when the playhead reaches its end."""
    link, arrivals = Link(song.faults), []
    begin, length = song.unplugged
    step_s = song.step_samples / RATE_HZ
    for k in range(song.steps):
        t = 1.0 + (k + 1) * step_s
        arrivals += [(due, data) for due in _dues(link, t) for data in link.due(due)]
        if not begin <= k < begin + length:
            for i, data in enumerate(batch(song.first_id + k, song.audio(song.first_id + k), song.package)):
                link.offer(data, t + 1e-4 * i)
    arrivals += [(due, data) for due in _dues(link, 1e9) for data in link.due(due)]
    return arrivals


def _dues(link: Link, until_s: float) -> Iterator[float]:
    while (due := link.next_due_s()) is not None and due <= until_s:
        yield due


class Oracle:
    """What each step must hold, from what had come when it was handed over."""

    def __init__(self, song: Song, steps: list[ReadyStep], reason: Callable[[], str]) -> None:
        self.song, self.steps, self.reason = song, steps, reason
        self.arrived: dict[int, list[messages.AudioMessage]] = {}
        self.checked, self.concealed, self.epoch = 0, 0, 1
        self.previous: int | None = None
        self.longest_gap_s, self.heard_s = 0.0, math.inf

    def arrive(self, t_s: float, message: messages.AudioMessage) -> None:
        self.longest_gap_s = max(self.longest_gap_s, t_s - self.heard_s)
        self.heard_s = t_s
        self.arrived.setdefault(message.batch, []).append(message)

    def look(self) -> None:
        for step in self.steps[self.checked :]:
            self.checked += 1
            self._step(step)

    def _step(self, step: ReadyStep) -> None:
        s = self.song.step_samples
        expected, have = np.zeros(s, np.float32), np.zeros(s, bool)
        for message in self.arrived.get(step.batch, []):
            span = slice(message.index, message.index + message.audio.shape[0])
            expected[span], have[span] = message.audio, True
        if step.epoch != self.epoch:
            # After five seconds of silence, or where T was learned from a later step than the first.
            assert self.longest_gap_s > 5.0 if self.reason() == "silence" else not self.song.window_known
            self.epoch, self.previous = step.epoch, None
        length = step.audio.shape[0]
        assert length == s or (not self.song.window_known and not have.all())
        n = min(length, s)
        np.testing.assert_array_equal(step.audio[:n], expected[:n])
        assert sum(missing for _, missing in step.missing) == length - have[:n].sum()
        assert not any(have[at : at + missing].any() for at, missing in step.missing)
        self.concealed += length - int(have[:n].sum())
        if self.previous is not None:  # ids are the clock
            assert step.batch > self.previous
            assert step.skip_samples == (step.batch - self.previous - 1) * step.step_samples
        self.previous = step.batch

    def finish(self, steps_put: int, concealed_context_samples: int) -> None:
        """When nothing more is to come."""
        self.look()
        predicted = [step.batch for step in self.steps if step.predict]
        assert len(predicted) == len(set(predicted))
        assert concealed_context_samples == self.concealed
        assert {step.batch for step in self.steps} <= set(self.arrived)
        assert steps_put == len(self.steps)
        if self.song.window_known:
            # The newest step was handed over, unless all that came of it after a gap was one datagram of several.
            told = {
                n for n, chunks in self.arrived.items() if len({c.index for c in chunks}) > 1 or chunks[0].total == 1
            }
            assert not told or (self.steps and self.steps[-1].batch >= max(told))
