# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Who is asked what pace to play by: the state around `pacing.decide`, what the client asked for, and who is told.

What a client asked for is the step and lead of its first position; another one that it was not told, and that is no
way from one to the next, is a new wish. A client that says no positions cannot follow: what it asked for stays, and
what would have been chosen is reported.

Not covered: what to choose (`pacing.py`); how a client follows (`wire/region.py`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from anacrusis.engine.cycle import Cycle
from anacrusis.engine.errors import AnacrusisError, BackendError
from anacrusis.engine.pipeline import Pipeline
from anacrusis.engine.prepared import Prepared
from anacrusis.engine.window import Geometry, ceil_div
from anacrusis.server.assembler import ReadyStep
from anacrusis.server.pacing import Chosen, Limits, Seen, State, StepCost, decide
from anacrusis.server.wire.extension import Extension, PaceChoice

MOST_TEXT: Final = 200
REMEMBERED: Final = 16  # choices that a client may still be playing by
TELL_AGAIN_STEPS: Final = 3  # the message may have been lost
_log = logging.getLogger("anacrusis.server")


@dataclass(frozen=True, slots=True)
class Pacing:
    """steps: to choose from, and what their cycles take, where that was measured. most_lead_samples: None for what the
    window holds."""

    steps: tuple[StepCost, ...] = ()
    most_lead_samples: int | None = None

    def validate(self) -> None:
        """Raise AnacrusisError for a step or lead that cannot be."""
        for cost in self.steps:
            if cost.step_samples < 1 or (cost.cycle_s is not None and not 0 < cost.cycle_s < float("inf")):
                raise AnacrusisError(f"a step of {cost.step_samples} samples in {cost.cycle_s} s cannot be")
        if self.most_lead_samples is not None and self.most_lead_samples < 1:
            raise AnacrusisError(f"a longest lead of {self.most_lead_samples} samples cannot be; give at least 1")


class Pacer:
    """Engine thread, but for `choice`, which any thread may read. pacing None: nothing is chosen."""

    def __init__(self, pacing: Pacing | None, tell: Callable[[Extension], None]) -> None:
        self._pacing, self._tell = pacing, tell
        self.choice: PaceChoice | None = None
        self._before_epoch = 0  # samples of the epochs that ended
        self._now = 0
        self._misses = 0
        self._longest: tuple[Prepared, int | None] | None = None
        self.load()

    def load(self) -> None:
        """A performance begins: what was asked for before is forgotten."""
        self._asked: Chosen | None = None
        self._state: State | None = None
        self._told: deque[Chosen] = deque(maxlen=REMEMBERED)
        self._untold_steps = 0
        self.choice = None

    def epoch_began(self) -> None:
        """The engine counts from zero again; the client still wants what it wanted."""
        self._before_epoch, self._now = self._before_epoch + self._now, 0

    def answered(self, step: ReadyStep, cycle: Cycle, cycle_s: float, sending_s: float, misses: int) -> None:
        """A cycle is done. misses: steps late or dropped for want of time since the server began."""
        if self._pacing is None:
            return
        self._now = cycle.now_samples
        here, missed, self._misses = Chosen(step.step_samples, step.lead_samples), misses - self._misses, misses
        asked = self._asked_now(step, here)
        at = self._before_epoch + self._now
        seen = Seen(at, here, cycle_s, asked, sending_s, misses=missed)
        before = self._state.chosen if self._state is not None and self._state.asked == asked else asked
        self._state, decision = decide(self._state, seen, self._limits(step, cycle))
        chosen, follow = decision.chosen, int(step.positioned)
        self._untold_steps += 1
        if chosen != before:
            self._say(PaceChoice(step.batch, chosen.step_samples, chosen.lead_samples, follow, decision.text))
            _log.info(
                "pace: step %d, lead %d samples%s (%s)", *_shown(chosen), "" if follow else ", kept", decision.text
            )
        elif follow and self.choice is not None and here != chosen and self._untold_steps >= TELL_AGAIN_STEPS:
            self._say(PaceChoice(step.batch, chosen.step_samples, chosen.lead_samples, follow, self.choice.text))

    def _say(self, choice: PaceChoice) -> None:
        text = choice.text[:MOST_TEXT]
        self.choice = PaceChoice(choice.batch, choice.step_samples, choice.lead_samples, choice.follow, text)
        self._told.append(Chosen(choice.step_samples, choice.lead_samples))
        self._untold_steps = 0
        self._tell(self.choice)

    def _asked_now(self, step: ReadyStep, here: Chosen) -> Chosen:
        asked = self._asked
        on_its_way = step.positioned and (step.reply is not None or here in self._told)
        if asked is None or (here != asked and not on_its_way):
            if asked is not None:
                self.load()
            self._asked = asked = here
        if self._told and here == self._told[-1] and step.reply is None:
            while len(self._told) > 1:  # it has arrived: one of the others would be a wish
                self._told.popleft()
        return asked

    def _limits(self, step: ReadyStep, cycle: Cycle) -> Limits:
        assert self._pacing is not None
        manifest, prepared = cycle.manifest, cycle.prepared
        geometry, rate = manifest.geometry, manifest.sample_rate_hz
        fade = step.controls.fade_samples(rate)
        if self._longest is None or self._longest[0] is not prepared:
            self._longest = prepared, longest_reply(prepared.pipeline, geometry, fade)
        pacing = self._pacing
        return Limits(
            geometry,
            rate,
            fade,
            cycle.pace.context_tail_samples,
            pacing.most_lead_samples,
            self._longest[1],
            pacing.steps,
        )


def longest_reply(pipeline: Pipeline, geometry: Geometry, fade_samples: int) -> int | None:
    """Samples that one reply can have on this rung, wherever in a frame it starts; None where any length is decoded."""

    def decodes(frames: int) -> bool:
        try:
            pipeline.decode_frames(frames)
        except BackendError:
            return False
        return True

    if decodes(geometry.window_frames):
        return None
    most = max((frames for frames in range(1, geometry.window_frames) if decodes(frames)), default=0)
    frame = geometry.frame_samples
    return max(most - ceil_div(fade_samples + geometry.decode_taper_samples, frame), 0) * frame


def _shown(chosen: Chosen) -> tuple[int, int]:
    return chosen.step_samples, chosen.lead_samples
