# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Playing by the pace that a server chooses: when the next trigger is, and what each reply covers. Pure; no clock.

A pace that came counts from the next trigger on: the context of that trigger is as long as the time since the last one,
its reply reaches to where the new lead begins to count (`server.wire.region`), and the trigger after it comes a new
step later. Until a server chooses, everything is as it was asked for, to the byte.

Not covered: whether the server can keep it (its own business); a playhead that jumps, which begins anew where it is.
"""

from __future__ import annotations

from typing import Final

from anacrusis.server.wire.extension import PaceChoice, StepPosition
from anacrusis.server.wire.region import next_position, region_of

MOST_SAMPLES: Final = 1 << 24


class Following:
    """One performance's pace. One thread, its client's."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """A server is set up, or the song begins anew: back to what was asked for."""
        self.choice: PaceChoice | None = None
        self._last: StepPosition | None = None
        self._until_next: int | None = None

    def reset(self) -> None:
        """History is cleared: the pace stays, and the next reply follows no other."""
        self._last = None

    def refuse(self) -> None:
        """Something else was asked for: back to that, until the server chooses again."""
        self.choice = None

    def take(self, choice: PaceChoice) -> bool:
        """Whether it counts: it is meant for us, newer than the last, and can be played."""
        if not choice.follow or (self.choice is not None and choice.batch < self.choice.batch):
            return False
        if not 1 <= choice.step_samples <= MOST_SAMPLES or not abs(choice.lead_samples) <= MOST_SAMPLES:
            return False
        self.choice = choice
        return True

    def until_next(self, asked_step_samples: int) -> int:
        """Samples from the last trigger to the next, which is how much context that one carries."""
        return asked_step_samples if self._until_next is None else self._until_next

    def position(self, batch: int, curr_samples: int, asked_step_samples: int, asked_lead_samples: int) -> StepPosition:
        """Of the trigger at curr_samples, which is now."""
        step, choice, last = self.until_next(asked_step_samples), self.choice, self._last
        if choice is None:
            position, self._until_next = StepPosition(batch, curr_samples, step, asked_lead_samples), None
        else:
            follows = last is not None and curr_samples == last.curr_samples + step
            last_end = region_of(last).end_samples if last is not None and follows else None
            self._until_next = choice.step_samples
            position = next_position(batch, curr_samples, step, choice.step_samples, choice.lead_samples, last_end)
        self._last = position
        return position
