# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a reply covers when step and lead may change from one trigger to the next: no gap, no sample twice.

One rule, which both ends take from here: *a reply begins where the last one ended, and reaches as far as the lead will
be counted from at the next trigger*. With the trigger at `curr`, the next one `next_step` later, and a lead of `lead`
from then on, that is

    reply = [end of the last reply, curr + next_step + lead)

While nothing changes this is [curr + lead, curr + lead + step), the released rule. A lead that grows by d makes one
reply d longer, one that shrinks by d makes it d shorter (but never empty); a longer step makes the last reply before it
as long as the new step. The reply during which the lead grows is due when it always was: the longer lead counts from
the next trigger.

A position names its region in full, so a server needs none but the newest: a position that was lost costs at most
the samples that its change would have added, and moves nothing.

Pure; no clock. Not covered: whether a window can hold such a reply (`engine.window.Pace.validate`).
"""

from __future__ import annotations

from dataclasses import dataclass

from anacrusis.server.wire.extension import StepPosition


@dataclass(frozen=True, slots=True)
class Region:
    """Samples [start, end) of the client's own count, end > start for one that can be answered."""

    start_samples: int
    end_samples: int

    @property
    def length_samples(self) -> int:
        return self.end_samples - self.start_samples


def region_of(position: StepPosition) -> Region:
    """What the reply to this batch covers."""
    end = position.curr_samples + position.lead_samples + position.step_samples
    start = position.start_samples
    return Region(end - position.step_samples if start is None else start, end)


def next_position(
    batch: int, curr_samples: int, step_samples: int, next_step_samples: int, lead_samples: int, last_end: int | None
) -> StepPosition:
    """What to say of the batch that ends at curr_samples.

    step_samples: of context that it carries, the time since the last trigger. next_step_samples: until the next one.
    lead_samples: wanted from there on. last_end: where the last reply ended, None where none did or the playhead has
    jumped since.
    """
    end = curr_samples + next_step_samples + lead_samples
    start = end - step_samples if last_end is None else last_end
    end = max(end, start + 1)  # a reply of nothing could not be told from a lost one
    lead = end - curr_samples - step_samples
    return StepPosition(batch, curr_samples, step_samples, lead, None if start == curr_samples + lead else start)
