# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Following a pace: regions that tile the song, by rule, and a performance that hears every sample of it once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.performer.ear import Ear
from anacrusis.performer.events import ChunkWritten
from anacrusis.performer.following import Following
from anacrusis.performer.live_plot import plot_take
from anacrusis.performer.live_report import report
from anacrusis.performer.take import PaceChange, Take
from anacrusis.server.wire import osc
from anacrusis.server.wire.extension import PaceChoice, StepPosition
from anacrusis.server.wire.region import Region, next_position, region_of

from .fake_server import FakeServer, sound
from .rig import Rig
from .test_live import played

F, FADE = 4096, 882


def choice(batch: int, step: int, lead: int, follow: int = 1) -> PaceChoice:
    return PaceChoice(batch, step, lead, follow, "")


# -- the rule ---------------------------------------------------------------------------------------------------

RULE = {
    # (step, next step, lead, end of the last reply) in frames, trigger at 100 -> (start, end), said start
    "nothing changes": ((8, 8, 4, 104), (104, 112), None),
    "the first of a song": ((8, 8, 4, None), (104, 112), None),
    "the lead grows": ((8, 8, 9, 104), (104, 117), 104),
    "the lead shrinks": ((8, 8, 1, 104), (104, 109), 104),
    "by as much as a step": ((8, 8, 4, 112), (112, 112 + 1 / F), 112),
    "by more than a step": ((1, 1, 2, 110), (110, 110 + 1 / F), 110),
    "the step grows": ((8, 16, 4, 104), (104, 120), 104),
    "the step shrinks": ((16, 8, 4, 104), (104, 112), 104),
    "both grow": ((8, 16, 10, 104), (104, 126), 104),
}


@pytest.mark.parametrize("name", RULE)
def test_the_rule(name: str) -> None:
    (step, next_step, lead, last), (start, end), said = RULE[name]
    position = next_position(7, 100 * F, step * F, next_step * F, lead * F, None if last is None else last * F)
    region = region_of(position)
    assert region == Region(start * F, round(end * F))
    assert (position.start_samples, position.step_samples) == (None if said is None else said * F, step * F)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 16), st.integers(1, 20)),
    st.lists(st.none() | st.tuples(st.integers(1, 32), st.integers(1, 30)), min_size=1, max_size=20),
)
def test_whatever_is_chosen_regions_tile_the_song(
    asked: tuple[int, int], choices: list[tuple[int, int] | None]
) -> None:
    """And each trigger carries all that was heard since the last; what is reached is the next trigger and the lead."""
    following, curr, regions, previous = Following(), 0, [], 0
    for batch, chosen in enumerate([*choices, *[None] * 40], start=1):
        if chosen is not None:
            assert following.take(choice(batch - 1, chosen[0] * F, chosen[1] * F))
        curr += following.until_next(asked[0] * F)
        position = following.position(batch, curr, asked[0] * F, asked[1] * F)
        assert curr - position.step_samples == previous
        previous = curr
        regions.append(region_of(position))
    assert all(one.end_samples == other.start_samples for one, other in pairwise(regions))
    assert all(region.length_samples >= 1 for region in regions)
    step, lead = next((c for c in reversed(choices) if c is not None), asked)
    assert regions[-1] == Region(curr + lead * F, curr + lead * F + step * F)
    assert position.start_samples is None


CHOICES = {
    "ours": (choice(4, 8 * F, 2 * F), True),
    "only told": (choice(4, 8 * F, 2 * F, follow=0), False),
    "no step": (choice(4, 0, 2 * F), False),
    "a lead beyond anything": (choice(4, F, 1 << 30), False),
}


@pytest.mark.parametrize("name", CHOICES)
def test_what_counts(name: str) -> None:
    said, counts = CHOICES[name]
    assert Following().take(said) == counts


def test_an_older_choice_that_comes_later_does_not_count() -> None:
    following = Following()
    assert following.take(choice(4, 8 * F, 2 * F))
    assert not following.take(choice(3, 8 * F, 6 * F))
    following.forget()
    assert following.take(choice(1, 8 * F, 6 * F))


# -- the client -------------------------------------------------------------------------------------------------


def paced(step: int = 8, lead: int = 4) -> Rig:
    rig = Rig(frames=200 * F, window_samples=64 * F, r=step / 64)
    rig.external.announce_steps = True
    rig.external.set_lead(lead * F)
    return rig


def said(rig: Rig) -> list[StepPosition]:
    return [p for d in rig.took() if (p := position_in(d)) is not None][::2]


def position_in(data: bytes) -> StepPosition | None:
    return StepPosition.read(osc.decode(data)) if osc.address_of(data) == StepPosition.ADDRESS else None


def test_a_longer_lead_from_the_next_trigger_on() -> None:
    rig = paced()
    rig.predict(8 * F)
    rig.external.receive(choice(0, 8 * F, 9 * F).encode())
    rig.predict(16 * F, 24 * F)
    assert said(rig) == [
        StepPosition(1, 8 * F, 8 * F, 4 * F),
        StepPosition(2, 16 * F, 8 * F, 9 * F, 20 * F),
        StepPosition(3, 24 * F, 8 * F, 9 * F),
    ]
    rig.reply(2, length=13 * F + FADE)
    assert rig.changed() == [(20 * F - FADE + 1, 33 * F)]


def test_a_longer_step_makes_the_next_trigger_later() -> None:
    rig = paced()
    rig.predict(8 * F)
    rig.external.receive(choice(1, 16 * F, 4 * F).encode())
    assert rig.external.until_next_samples == 8 * F
    rig.predict(16 * F)
    assert rig.external.until_next_samples == 16 * F
    rig.predict(32 * F)
    assert said(rig)[1:] == [
        StepPosition(2, 16 * F, 8 * F, 12 * F, 20 * F),
        StepPosition(3, 32 * F, 16 * F, 4 * F),
    ]


def test_who_announces_nothing_follows_nothing() -> None:
    rig = Rig()
    rig.external.receive(choice(0, 8 * F, 9 * F).encode())
    rig.predict(66_150)
    assert rig.external.until_next_samples == 66_150
    rig.reply(1)
    assert rig.changed() == [(2 * 66_150 - FADE + 1, 3 * 66_150)]


@pytest.mark.parametrize("what", ["another lead", "another r", "a load"])
def test_asking_anew_ends_it(what: str) -> None:
    rig = paced()
    rig.predict(8 * F)
    rig.external.receive(choice(0, 8 * F, 9 * F).encode())
    rig.predict(16 * F)
    if what == "another lead":
        rig.external.set_lead(5 * F)
    elif what == "another r":
        rig.external.set_r(8.5 / 64)
    else:
        rig.external.load_sequence()
    rig.took()
    rig.predict(24 * F)
    (position,) = said(rig)
    assert position.start_samples is None
    assert position.lead_samples == (5 * F if what == "another lead" else 4 * F)


def test_a_playhead_that_jumps_begins_where_it_is() -> None:
    rig = paced()
    rig.external.receive(choice(0, 8 * F, 9 * F).encode())
    rig.predict(8 * F, 16 * F, 100 * F)
    assert [position.start_samples for position in said(rig)] == [None, None, None]


def test_replies_wait_as_long_as_they_may_come() -> None:
    """Eight steps of a frame are on their way when the step becomes eight frames."""
    rig = paced(step=1, lead=8)
    rig.external.receive(choice(0, F, 8 * F).encode())
    rig.predict(*[k * F for k in range(1, 9)])
    rig.external.receive(choice(0, 8 * F, 8 * F).encode())
    rig.predict(9 * F)
    rig.events.clear()
    for batch in range(1, 10):
        rig.reply(batch, length=F + FADE)
    assert {event.batch for event in rig.written()} == set(range(1, 10))


# -- the listener -----------------------------------------------------------------------------------------------


def test_what_was_not_there_is_counted_where_it_lies() -> None:
    ear = Ear(np.zeros((100, 1), np.float32), [0])
    ear.expect(1, 10, 20)
    ear.listen(15)
    ear.wrote(ChunkWritten(1, 0, 0, 1, 13, 0, 7, 0))
    ear.expect(2, 20, 45)
    ear.listen(50)
    ear.expect(3, 40, 60)  # has begun already
    ear.listen(100)
    assert dict(ear.concealed) == {0: 10 + 40, 1: 5, 2: 20, 3: 20}  # nobody's, and theirs


# -- a performance ----------------------------------------------------------------------------------------------

SONGS = {
    "the lead grows and comes back": {4: (8, 12), 9: (8, 8), 11: (8, 4)},
    "the step too": {3: (16, 12), 6: (8, 6), 8: (2, 6)},
    "every step another": {k: (8, 4 + 3 * (k % 3)) for k in range(2, 20)},
}


def chosen_by(song: dict[int, tuple[int, int]], **more: Any) -> FakeServer:
    def route(batch: int, chunks: list[bytes]) -> list[tuple[float, bytes]]:
        out = [(0.0, chunk) for chunk in chunks]
        if batch in song:
            step, lead = song[batch]
            out.insert(0, (0.0, choice(batch, step * F, lead * F).encode()))
        return out

    return FakeServer(route=route, **more)


@pytest.mark.parametrize("name", SONGS)
def test_every_sample_is_heard_once(name: str) -> None:
    take, _ = played(chosen_by(SONGS[name], delay_s=0.05), 20, step_frames=8, lead_frames=4)
    steps = take.steps
    assert all(a.start_samples + a.length_samples == b.start_samples for a, b in pairwise(steps))
    assert len({(s.length_samples, s.until_next_samples) for s in steps}) > 2
    assert sum(s.concealed_samples + s.late_samples for s in steps) == 0
    first = steps[0].start_samples
    np.testing.assert_allclose(take.heard[0, first:], sound(0, take.heard.shape[1])[first:], atol=1e-6)
    assert not take.heard[0, : first - FADE].any()
    counts = report(take)
    assert (counts["liveness"]["malformed"], counts["liveness"]["late"]) == (0, 0)
    assert [p["lead_samples"] for p in counts["paces"]] == [lead * F for _, lead in SONGS[name].values()]


def test_a_step_that_is_dropped_meanwhile_is_a_gap_of_its_own_and_no_other() -> None:
    """Batch 5 is the one that reaches further; nothing of it comes."""
    server = chosen_by({4: (8, 12)}, delay_s=0.05)
    route = server.route
    server.route = lambda batch, chunks: [] if batch == 5 else route(batch, chunks)
    take, _ = played(server, 12, step_frames=8, lead_frames=4)
    gap = take.steps[4]
    assert gap.length_samples == 16 * F
    assert [s.concealed_samples > 0 for s in take.steps].count(True) == 1
    after = gap.start_samples + gap.length_samples
    np.testing.assert_allclose(take.heard[0, after:], sound(0, take.heard.shape[1])[after:], atol=1e-6)


def test_both_positions_of_a_change_lost_move_nothing() -> None:
    """The server goes on as before: the reply is as much shorter as the lead would have grown, at its own place."""

    class Losing(FakeServer):
        def receive(self, data: bytes, now: float) -> list[tuple[float, bytes]]:
            position = position_in(data)
            if position is None or position.batch != 5:
                return super().receive(data, now)
            last = self.positions[4]
            self.positions[5] = replace(last, batch=5, curr_samples=last.curr_samples + last.step_samples)
            return []

    server = Losing(route=chosen_by({4: (8, 12)}).route, delay_s=0.05)
    take, _ = played(server, 12, step_frames=8, lead_frames=4)
    step = take.steps[4]
    hole = slice(step.start_samples + 8 * F, step.start_samples + 16 * F)
    assert not take.heard[0, hole.start : hole.stop - FADE].any()
    wanted = sound(0, take.heard.shape[1])
    for part in (slice(take.steps[0].start_samples, hole.start), slice(hole.stop, None)):
        np.testing.assert_allclose(take.heard[0, part], wanted[part], atol=1e-6)


def test_the_picture_shows_each_step_s_own_deadline(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'anacrusis[plot]'")
    take, _ = played(chosen_by({3: (8, 12)}, delay_s=0.05), 8, step_frames=8, lead_frames=4)
    assert isinstance(take, Take)
    assert take.paces == (PaceChange(take.paces[0].at_s, 3, 8 * F, 12 * F, 1, ""),)
    plot_take(tmp_path / "run.png", take, "paced")
    assert (tmp_path / "run.png").stat().st_size > 10_000
