# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Which step and lead to play by: one pure decision a step, from what cycles took of late. No clock, no thread.

A reply is due lead - F after its step came (F: the fade headroom), so that much there is for a cycle, its sending and
the client's jitter. *Tail*: the longest cycle of the last 5 s (never fewer than two), with sending and jitter.

| when                                                        | then                                                |
|-------------------------------------------------------------|-----------------------------------------------------|
| 1.1 tail > lead - F: a miss is near, or was                 | at once to the lead in which 1.4 tail fits          |
| a step was missed at this pace though the tail fits         | one frame more                                      |
| 1.1 of the last two cycles > step: they pile up             | at once to the step in which 1.4 of them fit        |
| the lead is at its limit, and 1.4 of the last two > step    | the same                                            |
| 1.2 tail fits what was asked for, and for 5 s there was no  | back, the step at once, the lead over 10 s in parts |
| miss and no change to longer                                |                                                     |
| 1.4 tail fits a shorter lead or step than now               | back as far as that                                 |
| what was asked for has not held for a minute                | back to it only where 1.4 tail fits, for 5 minutes  |

The lead comes first: it costs no more computing, and one slow cycle asks for no more than a longer lead. A longer step
gives a cycle more time before the next is due, and nothing against its own deadline; it is taken only where the window
holds the lead besides. Where nothing is enough, the longest lead is kept and the text says so.

No oscillation: what a constant load leads to is kept, because the margin to leave a pace (1.1) lies below the one to
come to it (1.2 or 1.4); of a load that varies by less than their quotients the same is true. A load that grows by less
than 5 % a step is met before a miss; one that jumps makes the step late that it hits, and at most the next.

A lead is a whole number of frames, or the one that was asked for; a step is one of `Limits.steps`; neither is ever
below what was asked for, nor beyond what `Pace.validate` takes. A lead within the fade has no deadline, and is kept.

Not covered: assembly (a lossy network makes the server wait as long as a lead allows, which must not lengthen the
lead), and who is told (`pacer.py`). What a step of another length costs is taken from `Limits.steps`; where that is
not known, the same as now.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from anacrusis.engine.errors import GeometryError
from anacrusis.engine.window import Geometry, Pace, ceil_div, floor_div

NEAR: Final = 1.1  # leave a pace
BACK: Final = 1.2  # come back to what was asked for
ROOM: Final = 1.4  # come to any other
TAIL_S: Final = 5.0
MOST_CYCLES: Final = 64
RETURN_S: Final = 10.0
HELD_S: Final = 60.0  # what was asked for is taken for too short if it holds less
WARY_S: Final = 300.0
SETTLE_STEPS: Final = 3  # the first reply at a pace is due as before, and what missed is known after the next
DOUBLINGS: Final = 6


@dataclass(frozen=True, slots=True)
class StepCost:
    """A step that may be chosen. cycle_s: what a cycle of it takes, None where that was not measured."""

    step_samples: int
    cycle_s: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a pace must keep to. steps: to choose from (none longer: what was asked for, doubled again and again).

    most_lead_samples: None for what the window holds. longest_reply_samples: a lead that grows makes one reply longer;
    None where the rung decodes any length.
    """

    geometry: Geometry
    rate_hz: int
    fade_samples: int = 0
    context_tail_samples: int = 0
    most_lead_samples: int | None = None
    longest_reply_samples: int | None = None
    steps: tuple[StepCost, ...] = ()

    def serves(self, chosen: Chosen) -> bool:
        """Whether the window can hold it."""
        pace = Pace(chosen.step_samples, chosen.lead_samples, self.fade_samples, self.context_tail_samples)
        try:
            pace.validate(self.geometry)
        except GeometryError:
            return False
        return True

    def most_lead(self, step_samples: int) -> int:
        """The longest lead, in whole frames, with steps of this length."""
        frame = self.geometry.frame_samples
        window = (self.geometry.window_frames - 2) * frame - step_samples
        most = window if self.most_lead_samples is None else min(window, self.most_lead_samples)
        return floor_div(most, frame) * frame

    def cost_s(self, step_samples: int) -> float | None:
        """What a cycle of this step takes, as it was measured beforehand."""
        return next((c.cycle_s for c in self.steps if c.step_samples == step_samples and c.cycle_s), None)

    def longer(self, asked_samples: int) -> list[int]:
        """Every step to choose from, rising, from what was asked for."""
        steps = {cost.step_samples for cost in self.steps if cost.step_samples > asked_samples}
        return [asked_samples, *sorted(steps or {asked_samples << n for n in range(1, DOUBLINGS)})]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A step and a lead in samples."""

    step_samples: int
    lead_samples: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One answered step. at_samples: of music heard until then, never falling. played: the step and lead it had.

    cycle_s: what its cycle took. sending_s: the longest sending of late. jitter_s: the client's, as far as known.
    misses: steps late or dropped since the last call, for want of time. asked: for what the client asked.
    """

    at_samples: int
    played: Chosen
    cycle_s: float
    asked: Chosen
    sending_s: float = 0.0
    jitter_s: float = 0.0
    misses: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered between two calls. Times in samples of music, None for never.

    cycles: (when, step, seconds), the newest last. longer_at, missed_at, returned_at: when the pace was last
    lengthened, missed, and back at the step or the lead that was asked for. returning: since when, and from which lead.
    played: steps of the pace of now, one after the other, without a change.
    """

    asked: Chosen
    chosen: Chosen
    cycles: tuple[tuple[int, int, float], ...] = ()
    longer_at: int | None = None
    missed_at: int | None = None
    returned_at: int | None = None
    returning: tuple[int, int] | None = None
    wary_until: int = 0
    played: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What to play by from the next trigger on. text: why."""

    chosen: Chosen
    text: str


def decide(state: State | None, seen: Seen, limits: Limits) -> tuple[State, Decision]:
    """The next state and pace. state None: a performance begins. Another `asked` begins anew. Never raises."""
    asked, at, rate = seen.asked, seen.at_samples, limits.rate_hz
    if state is None or state.asked != asked:
        state = State(asked, asked)
    cycles = _recent((*state.cycles, (at, seen.played.step_samples, seen.cycle_s)), at - int(TAIL_S * rate))
    played = state.played + 1 if seen.played == state.chosen else 0
    state = replace(state, cycles=cycles, missed_at=at if seen.misses else state.missed_at, played=played)
    if asked.lead_samples <= limits.fade_samples or not limits.serves(asked):
        return replace(state, chosen=asked), Decision(asked, "as asked: a lead within the fade has no deadline")
    load = _Load(cycles, seen.sending_s + seen.jitter_s, limits)
    held, (longer, text) = state.chosen, _longer(state, seen, load, limits)
    if longer != held:
        back, until = state.returned_at, state.wary_until
        # Its lead counts at a longer step too, or a tail of few long steps would try it again and again.
        given_up = (
            longer.step_samples > held.step_samples == asked.step_samples
            or longer.lead_samples > held.lead_samples == asked.lead_samples
        )
        if given_up and back is not None and at - back < HELD_S * rate:
            until = at + int(WARY_S * rate)
        state = replace(state, chosen=longer, longer_at=at, returning=None, wary_until=until, played=0)
        return state, Decision(longer, text)
    goal = _shorter(state, at, load, limits)
    if goal == held:
        return replace(state, returning=None), Decision(held, "as asked" if held == asked else text or "kept")
    returning = state.returning or (at, held.lead_samples)
    chosen = _part_of_the_way(held, goal, at, returning, limits)
    step_is_back = chosen.step_samples == asked.step_samples != held.step_samples
    lead_is_back = chosen.lead_samples == asked.lead_samples != held.lead_samples
    if step_is_back or lead_is_back:
        state = replace(state, returned_at=at)
    text = f"calm: back towards {_frames(goal, limits)}" if chosen != goal else f"calm: {_frames(goal, limits)}"
    played = state.played if chosen == held else 0
    return replace(state, chosen=chosen, returning=returning, played=played), Decision(chosen, text)


class _Load:
    """What cycles take, of steps of any length."""

    def __init__(self, cycles: tuple[tuple[int, int, float], ...], extra_s: float, limits: Limits) -> None:
        self._cycles, self._extra_s, self._limits = cycles, extra_s, limits

    def tail_s(self, step_samples: int, *, hopeful: bool = True) -> float:
        """The longest response. hopeful False: a shorter step is not taken to cost less."""
        return self.cycle_s(step_samples, hopeful=hopeful) + self._extra_s

    def cycle_s(self, step_samples: int, *, hopeful: bool = True) -> float:
        """The longest cycle, if it had been of this step."""
        return max(took_s * self._ratio(step_samples, of, hopeful) for _, of, took_s in self._cycles)

    def sustained_s(self, step_samples: int) -> float:
        """What the last two cycles took at least, 0 where they were not both of this step: a slow one is no trend."""
        last = self._cycles[-2:]
        two = len(last) == 2 and all(of == step_samples for _, of, _ in last)
        return min(took_s for _, _, took_s in last) if two else 0.0

    def lead_for(self, step_samples: int, *, hopeful: bool = True) -> int:
        """The lead, in whole frames, in which a response of this step fits with room."""
        frame = self._limits.geometry.frame_samples
        room = ROOM * self.tail_s(step_samples, hopeful=hopeful) * self._limits.rate_hz
        # Far beyond any window is as good as any number of seconds.
        room = min(room, 2.0 * self._limits.geometry.window_samples)
        return ceil_div(math.ceil(room) + self._limits.fade_samples, frame) * frame

    def ratio(self, step_samples: int, of: int) -> float:
        return self._ratio(step_samples, of, True)

    def _ratio(self, step_samples: int, of: int, hopeful: bool) -> float:
        here, there = self._limits.cost_s(step_samples), self._limits.cost_s(of)
        if here is None or there is None:
            return 1.0
        return here / there if hopeful else max(here / there, 1.0)


def _recent(cycles: tuple[tuple[int, int, float], ...], since: int) -> tuple[tuple[int, int, float], ...]:
    first = next((i for i, (when, _, _) in enumerate(cycles) if when > since), len(cycles))
    return cycles[min(first, max(len(cycles) - 2, 0)) :][-MOST_CYCLES:]


def _longer(state: State, seen: Seen, load: _Load, limits: Limits) -> tuple[Chosen, str]:
    """(what must be played by at once, why); the pace of now where it will do, "" where that is with room."""
    held = state.chosen
    step = _longer_step(held, state.asked, load, limits)
    lead, text = held.lead_samples, ""
    if not _fits(NEAR, load.tail_s(step), lead, limits):
        lead = max(lead, load.lead_for(step))
        text = f"{1e3 * load.tail_s(step):.0f} ms a reply"
    elif seen.misses and state.played > SETTLE_STEPS:
        lead = ceil_div(lead + 1, limits.geometry.frame_samples) * limits.geometry.frame_samples
        text = f"{seen.misses} missed"
    if step != held.step_samples:
        text = f"cycles of {1e3 * load.sustained_s(held.step_samples):.0f} ms pile up"
    most = limits.most_lead(step)
    if limits.longest_reply_samples is not None:  # a reply reaches as far as the lead will be counted from
        frame = limits.geometry.frame_samples
        reach = held.lead_samples + limits.longest_reply_samples - step
        most = min(most, max(floor_div(reach, frame) * frame, held.lead_samples))
    if lead > most:
        # At the same step what is held stays; a longer one takes its place from the lead.
        lead = max(most, held.lead_samples) if step == held.step_samples else most
        text += ", more than the longest lead here"
    chosen = Chosen(step, lead)
    return (chosen if limits.serves(chosen) else held), text


def _longer_step(held: Chosen, asked: Chosen, load: _Load, limits: Limits) -> int:
    """The step of now, or the shortest in which cycles do not pile up; the longest that leaves room for a lead."""
    step = held.step_samples
    took_s = load.sustained_s(step)
    at_limit = held.lead_samples >= limits.most_lead(step)
    if (ROOM if at_limit else NEAR) * took_s * limits.rate_hz <= step:
        return step
    best = step
    for other in limits.longer(asked.step_samples):
        most = limits.most_lead(other)
        if other <= step or asked.lead_samples > most or not _fits(NEAR, load.tail_s(other), most, limits):
            continue
        if limits.longest_reply_samples is not None and other > limits.longest_reply_samples:
            break
        best = other
        if ROOM * took_s * load.ratio(other, step) * limits.rate_hz <= other:
            break
    return best


def _shorter(state: State, at: int, load: _Load, limits: Limits) -> Chosen:
    """Where to come back to now; what is held where that is nowhere."""
    held, asked, wary = state.chosen, state.asked, at < state.wary_until
    calm = not any(
        when is not None and at - when < TAIL_S * limits.rate_hz for when in (state.longer_at, state.missed_at)
    )
    if held == asked or not calm:
        return held
    hopeful, margin = not wary, ROOM if wary else BACK
    step = held.step_samples
    for other in limits.longer(asked.step_samples):
        if other < step:
            is_asked = other == asked.step_samples
            took_s = load.cycle_s(other, hopeful=hopeful and is_asked)
            if (margin if is_asked else ROOM) * took_s * limits.rate_hz <= other:
                step = other
    lead = min(held.lead_samples, max(load.lead_for(step, hopeful=hopeful), asked.lead_samples))
    if _fits(margin, load.tail_s(step, hopeful=hopeful), asked.lead_samples, limits):
        lead = asked.lead_samples
    return Chosen(step, lead)


def _part_of_the_way(held: Chosen, goal: Chosen, at: int, returning: tuple[int, int], limits: Limits) -> Chosen:
    """The step at once, then the lead: from where the return began, in a straight line, a step ahead of time."""
    frame, step = limits.geometry.frame_samples, held.step_samples
    if goal.step_samples != step:
        return Chosen(goal.step_samples, held.lead_samples)
    (since, begin), whole = returning, int(RETURN_S * limits.rate_hz)
    passed = min(at - since + step, whole)
    lead = begin - (begin - goal.lead_samples) * passed // whole
    lead = max(lead, held.lead_samples - max(step, frame))  # a reply cannot be shorter than nothing
    lead = goal.lead_samples if lead <= goal.lead_samples else ceil_div(lead, frame) * frame
    return Chosen(step, min(max(lead, goal.lead_samples), held.lead_samples))


def _fits(margin: float, response_s: float, lead_samples: int, limits: Limits) -> bool:
    return margin * response_s * limits.rate_hz <= lead_samples - limits.fade_samples


def _frames(chosen: Chosen, limits: Limits) -> str:
    frame = limits.geometry.frame_samples
    return f"a step of {chosen.step_samples / frame:g} and a lead of {chosen.lead_samples / frame:g} frames"
