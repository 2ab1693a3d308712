# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Pace changes over real UDP: through networks that copy, every sample of the song is its own, whatever is chosen.

Time is scripted: the server's clock is moved to each trigger, and by what a cycle is said to take.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.engine import Engine
from anacrusis.performer.batch import Batch
from anacrusis.performer.events import FromServer
from anacrusis.server.pacer import Pacing
from anacrusis.server.wire.extension import ClientHello, Late, PaceChoice

from .harness import WAIT_S, Duo
from .test_placement_udp import CLICKS, FADE, FRAME, PERIOD

RATE = 44_100
HEARD = PERIOD + 3 * FRAME  # before it, a period was not yet heard


class Song(Duo):
    """One that is played in scripted time. cycle_s(trigger's time): what a cycle takes."""

    def __init__(
        self, bundle: Path, frames: int, noise: Any, cycle_s: Callable[[float], float] = lambda at_s: 0.0, **config: Any
    ) -> None:
        self.now_s, self.cycle_s = 0.0, cycle_s
        self.curr, self.batches = 0, list[Batch]()
        self.late = list[int]()
        super().__init__(bundle, frames, noise=noise, clock=lambda: self.now_s, wrap=self._slowed, **config)
        self.buffer[:, 3] = CLICKS[np.arange(frames) % PERIOD]

    def _slowed(self, engine: Engine) -> Engine:
        step = engine.step

        def slow(context: Any) -> Any:
            result = step(context)
            self.now_s += self.cycle_s(self.curr / RATE)
            return result

        engine.step = slow  # type: ignore[method-assign]
        return engine

    def trigger(self) -> Batch:
        """Play up to the next trigger, send its step, and have its reply."""
        self.curr += self.external.until_next_samples
        self.now_s = self.curr / RATE
        self.step(self.curr)
        batch = self.external._batches[self.external.batch_id]
        self.batches.append(batch)
        if self.now_s > batch.first_samples / RATE:
            self.late.append(batch.id)
        assert self.server.worker.settle(WAIT_S)
        return batch

    def told(self, kind: type) -> list[Any]:
        messages = [event.message for event in self.events if isinstance(event, FromServer)]
        return [message for message in messages if isinstance(message, kind)]

    def assert_whole(self, stems: int = 1) -> None:
        """No gap, no repeat, and every sample in its place, from the first that could be copied to the last."""
        assert all(one.end_samples == other.start_samples for one, other in pairwise(self.batches))
        begin = next(b.start_samples for b in self.batches if b.curr_samples >= HEARD)
        end = self.batches[-1].end_samples
        for stem in range(stems):
            np.testing.assert_allclose(self.buffer[begin:end, stem], self.buffer[begin:end, 3], rtol=0, atol=1e-5)
        counters = self.server.counters
        assert (counters.dropped, counters.failed, counters.refused, counters.answered) == (0, 0, 0, len(self.batches))
        assert self.server.session.assembler.epoch == 1


def test_a_load_is_followed_there_and_back(copying: Path, silent: Any) -> None:
    """Cycles of .15 s take .6 from 8 to 14 s of the song; a lead of 3 frames leaves .26."""
    step, lead = 8 * FRAME, 3 * FRAME
    with Song(copying, 48 * step, silent, lambda at_s: 0.6 if 8 <= at_s < 14 else 0.15, pacing=Pacing()) as song:
        song.load(r=0.125, lead=lead)
        while song.curr < 34 * RATE:
            song.trigger()
        song.assert_whole()
        choices = song.told(PaceChoice)
        slow = [batch.id for batch in song.batches if 8 <= batch.curr_samples / RATE < 14]
        # The first slow step, and the one that begins where it was to end; longer from then on.
        assert song.late == slow[:2]
        assert [late.batch for late in song.told(Late)] == song.late
        assert (choices[0].batch, choices[0].lead_samples) == (slow[0], 10 * FRAME)
        leads = [choice.lead_samples for choice in choices]
        assert leads == sorted(leads, reverse=True)
        assert {choice.step_samples for choice in choices} == {step}
        back = next(batch for batch in song.batches if batch.id == choices[-1].batch)
        assert (leads[-1], 14 < back.curr_samples / RATE < 34) == (lead, True)
        assert len(choices) > 3  # in parts


def test_a_load_that_grows_is_met_before_a_miss(copying: Path, silent: Any) -> None:
    step = 8 * FRAME
    with Song(copying, 24 * step, silent, lambda at_s: 0.2 + 0.01 * at_s, pacing=Pacing()) as song:
        song.load(r=0.125, lead=3 * FRAME)
        while song.curr < 14 * RATE:
            song.trigger()
        song.assert_whole()
        assert song.late == []
        assert song.told(PaceChoice)[-1].lead_samples > 3 * FRAME


PACES = {
    # before batch -> (step, lead) in frames, asked for 8 and 4
    "a lead there and back": {5: (8, 12), 8: (8, 9), 9: (8, 4)},
    "by a whole step": {5: (8, 12), 8: (8, 4)},
    "a step twice as long": {5: (16, 4), 8: (8, 4)},
    "a step that is no multiple": {5: (11, 7), 8: (3, 9), 12: (8, 4)},
    "steps of a frame": {5: (1, 12), 14: (1, 2), 30: (8, 4)},
    "every time another": {k: (4 + k % 5, 4 + 3 * (k % 4)) for k in range(3, 16)},
}


@pytest.mark.parametrize(
    ("window", "name"),
    [*((262_144, name) for name in PACES), (264_600, "steps of a frame"), (264_600, "by a whole step")],
)
def test_no_sample_is_wrong_whatever_is_chosen(copying: Path, silent: Any, window: int, name: str) -> None:
    paces = PACES[name]
    with Song(copying, 260 * FRAME, silent) as song:
        song.load(window=window, r=0.125, lead=4 * FRAME)
        for batch in range(1, max(paces) + 5):
            if batch in paces:
                step, lead = paces[batch]
                song.external.receive(PaceChoice(batch, step * FRAME, lead * FRAME, 1, "").encode())
            song.trigger()
        song.assert_whole()


def test_several_stems_follow_alike(copying: Path, silent: Any) -> None:
    with Song(copying, 160 * FRAME, silent) as song:
        song.load(r=0.125, lead=4 * FRAME, flags=(1, 1, 1, 0))
        for batch in range(1, 10):
            if batch in (4, 6):
                song.external.receive(PaceChoice(batch, 8 * FRAME, (16 - 2 * batch) * FRAME, 1, "").encode())
            song.trigger()
        song.assert_whole(stems=3)


def test_a_client_that_says_no_positions_keeps_what_it_asked_for_and_is_told(copying: Path, silent: Any) -> None:
    """It says hello, so that the choice can be seen; the released one says nothing and is told nothing."""
    step = 8 * FRAME
    with Song(copying, 16 * step, silent, lambda at_s: 0.66, pacing=Pacing()) as song:
        song.connection.send(ClientHello(1, 0, "").encode())
        song.until(lambda: bool(song.events))
        song.load(r=0.125)
        for _ in range(8):
            song.trigger()
        song.assert_whole()
        assert [(choice.follow, choice.lead_samples > step) for choice in song.told(PaceChoice)] == [(0, True)]
        assert {batch.step_samples for batch in song.batches} == {step}


def test_nothing_is_chosen_unless_it_was_asked_for(copying: Path, silent: Any) -> None:
    with Song(copying, 80 * FRAME, silent, lambda at_s: 0.7) as song:
        song.load(r=0.125, lead=FRAME)
        for _ in range(5):
            song.trigger()
        song.assert_whole()
        assert song.told(PaceChoice) == []
        assert song.late == [1, 2, 3, 4, 5]
        assert FADE < FRAME


def test_who_says_hello_in_the_middle_is_told_what_was_chosen(copying: Path, silent: Any) -> None:
    with Song(copying, 120 * FRAME, silent, lambda at_s: 0.5, pacing=Pacing()) as song:
        song.load(r=0.125, lead=4 * FRAME)
        for _ in range(3):
            song.trigger()
        (choice,) = song.told(PaceChoice)
        song.connection.send(ClientHello(1, 0, "").encode())
        song.until(lambda: len(song.told(PaceChoice)) > 1)
        assert song.told(PaceChoice) == [choice, choice]


def test_a_choice_that_was_lost_is_told_again(copying: Path, silent: Any) -> None:
    with Song(copying, 160 * FRAME, silent, lambda at_s: 0.5, pacing=Pacing()) as song:
        song.load(r=0.125, lead=4 * FRAME)
        following = song.external._following
        take = following.take
        following.take = lambda choice: len(song.told(PaceChoice)) > 0 and take(choice)  # type: ignore[method-assign]
        for _ in range(8):
            song.trigger()
        song.assert_whole()
        first, second = song.told(PaceChoice)
        assert (first.lead_samples, second.batch) == (second.lead_samples, first.batch + 3)
        assert song.batches[-1].start_samples == song.curr + second.lead_samples
