# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Around the decision: what a client asked for, who is told when, and positions that say where their reply starts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError, BackendError
from anacrusis.engine.window import Geometry, Pace
from anacrusis.server.assembler import ReadyStep
from anacrusis.server.controls import Controls
from anacrusis.server.pacer import Pacer, Pacing, longest_reply
from anacrusis.server.pacing import StepCost
from anacrusis.server.server import ServerConfig
from anacrusis.server.wire.extension import ClientHello, PaceChoice, StepPosition

from .harness import Desk, batch, constant

F, RATE = 4096, 44_100
GEOMETRY, PLAIN = Geometry(F, 64, 1536, 1536), Pacing()


class Rung:
    """A pipeline that decodes up to `most` frames."""

    def __init__(self, most: int = 64) -> None:
        self.most = most

    def decode_frames(self, wanted: int) -> int:
        if wanted > self.most:
            raise BackendError("none is prepared")
        return wanted


class Played:
    """A pacer that is shown steps of a made-up cycle."""

    def __init__(self, pacing: Pacing | None = PLAIN, most: int = 64) -> None:
        self.told: list[PaceChoice] = []
        self.pacer = Pacer(pacing, self.told.append)  # type: ignore[arg-type]
        self.cycle: Any = SimpleNamespace(
            now_samples=0,
            manifest=SimpleNamespace(geometry=GEOMETRY, sample_rate_hz=RATE),
            prepared=SimpleNamespace(pipeline=Rung(most)),
            pace=Pace(F, F),
        )
        self.batch = 0

    def step(
        self, step: int, lead: int, cycle_s: float, *, reply: Any = None, positioned: bool = True
    ) -> list[PaceChoice]:
        """In frames; returns what was told."""
        self.batch += 1
        self.cycle.now_samples += step * F
        audio = np.zeros(0, np.float32)
        ready = ReadyStep(
            *(1, self.batch, 0, 0, audio, step * F, lead * F, (), 0.0, 0.0, 0.0),
            *(Controls(stems=("bass",)), True, "", reply, positioned),
        )
        before = len(self.told)
        self.pacer.answered(ready, self.cycle, cycle_s, 0.0, 0)
        return self.told[before:]


def leads(choices: list[PaceChoice]) -> list[int]:
    return [choice.lead_samples // F for choice in choices]


def test_a_change_is_told_once() -> None:
    song = Played()
    assert song.step(8, 4, 0.1) == []
    assert leads(song.step(8, 4, 0.5)) == [8]
    assert song.pacer.choice == song.told[-1]
    assert song.step(8, 8, 0.5, reply=(4 * F, 12 * F)) == []
    assert song.step(8, 8, 0.5) == []


def test_who_seems_not_to_know_is_told_again() -> None:
    song = Played()
    for _ in range(7):
        song.step(8, 4, 0.5)
    assert [(choice.batch, choice.lead_samples // F) for choice in song.told] == [(1, 8), (4, 8), (7, 8)]


def test_what_was_asked_for_is_told_from_what_was_chosen() -> None:
    song = Played()
    song.step(8, 4, 0.5)
    song.step(8, 8, 0.1, reply=(4 * F, 12 * F))
    song.step(8, 11, 0.1, reply=(8 * F, 11 * F))  # on its way: no wish
    for _ in range(60):
        song.step(8, leads(song.told)[-1], 0.1)
    assert leads(song.told)[-1] == 4
    song.step(8, 6, 0.1)  # a wish: the performer set it
    assert leads(song.step(8, 6, 0.7)) == [11]
    for _ in range(60):
        song.step(8, leads(song.told)[-1], 0.1)
    assert leads(song.told)[-1] == 6


def test_an_epoch_keeps_what_was_asked_for_and_a_load_forgets_it() -> None:
    song = Played()
    song.step(8, 4, 0.5)
    song.cycle.now_samples = 0
    song.pacer.epoch_began()
    for _ in range(60):
        song.step(8, leads(song.told)[-1], 0.1)
    assert leads(song.told)[-1] == 4
    song.pacer.load()
    assert song.pacer.choice is None
    song.step(8, 7, 0.1)
    assert leads(song.step(8, 7, 1.0))[0] > 7
    for _ in range(60):
        song.step(8, leads(song.told)[-1], 0.1)
    assert leads(song.told)[-1] == 7


def test_who_says_no_positions_is_told_what_would_be() -> None:
    song = Played()
    for _ in range(9):
        song.step(16, 16, 1.45, positioned=False)
    assert [(choice.follow, choice.lead_samples > 16 * F) for choice in song.told][:1] == [(0, True)]


def test_without_pacing_nothing_is_chosen() -> None:
    song = Played(pacing=None)
    assert song.step(8, 4, 3.0) == []


LONGEST = {
    # frames decoded at most -> frames of a reply: the headroom and the taper lie in one more
    "any": (64, None),
    "the plans of steps of 16": (18, 17 * F),
    "none": (0, 0),
}


@pytest.mark.parametrize("name", LONGEST)
def test_the_longest_reply_of_a_rung(name: str) -> None:
    most, longest = LONGEST[name]
    assert longest_reply(Rung(most), GEOMETRY, 882) == longest  # type: ignore[arg-type]


def test_a_rung_of_fixed_decodes_is_asked_for_no_more() -> None:
    song = Played(most=10)
    assert leads(song.step(8, 4, 0.6)) == [5]


WRONG = {
    "a step of nothing": ServerConfig(pacing=Pacing((StepCost(0),))),
    "a cycle of nothing": ServerConfig(pacing=Pacing((StepCost(F, 0.0),))),
    "a lead of nothing": ServerConfig(pacing=Pacing(most_lead_samples=0)),
    "no positions": ServerConfig(pacing=Pacing(), positions=False),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(AnacrusisError):
        WRONG[name].validate()


# -- positions that say where their reply starts -----------------------------------------------------------------


def position(number: int, curr: int, step: int, lead: int, start: int | None = None) -> bytes:
    said = StepPosition(number, curr * F, step * F, lead * F)
    return (said if start is None else replace(said, start_samples=start * F)).encode()


STARTS = {
    # (step, lead, start) in frames at 16 -> (from the batch's end, length) in frames
    "not said": ((8, 4, None), (4, 8)),
    "the lead grows": ((8, 9, 20), (4, 13)),
    "the lead shrinks": ((8, 1, 20), (4, 5)),
    "behind": ((8, -4, 10), (-6, 10)),
}


@pytest.mark.parametrize("name", STARTS)
def test_where_a_reply_starts(desk: Desk, name: str) -> None:
    (step, lead, start), (begins, length) = STARTS[name]
    desk.send(0.0, position(1, 16, step, lead, start), *batch(1, constant(0.5, step * F)))
    (ready,) = desk.steps
    assert (ready.reply_lead_samples, ready.reply_samples) == (begins * F, length * F)
    assert (ready.step_samples, ready.lead_samples, ready.positioned) == (step * F, lead * F, True)
    assert ready.deadline_s == pytest.approx((begins * F - 882) / RATE)


@pytest.mark.parametrize("start", [28, 40, -60], ids=["nothing left", "behind its end", "longer than the window"])
def test_a_start_that_cannot_be(desk: Desk, start: int) -> None:
    desk.send(0.0, position(1, 16, 8, 4, start), *batch(1, constant(0.5, 8 * F))).wait(1.0)
    assert desk.counters.refused == 1
    assert [bool(step.refusal) for step in desk.steps] == [True]


def test_a_lost_position_begins_where_the_last_reply_ended(desk: Desk) -> None:
    audio = constant(0.5, 8 * F)
    desk.send(0.0, position(1, 8, 8, 4), *batch(1, audio))
    desk.send(0.7, position(2, 16, 8, 9, 20), *batch(2, audio))
    desk.send(1.5, *batch(3, audio))
    ends = [16 + 4 + 13, 24 + desk.steps[2].reply_lead_samples // F]
    assert ends[0] == ends[1]
    assert desk.steps[2].reply is None


def test_hello_says_the_choice_to_who_plays(tiny_bundle: Bundle) -> None:
    desk = Desk(tiny_bundle).load()
    hello = ClientHello(1, 0, "").encode()
    desk.pace = PaceChoice(3, 8 * F, 9 * F, 1, "slow")
    says: list[tuple[bytes, Any]] = []
    desk.say = lambda data, target=None: says.append((data, target))  # type: ignore[method-assign,assignment]
    desk.send(0.0, hello)
    desk.send(0.1, position(1, 8, 8, 4), *batch(1, constant(0.5, 8 * F)))
    desk.send(0.2, hello, port=50001)  # somebody else, who only asks
    assert [target[1] for data, target in says if data == desk.pace.encode()] == [50000]
