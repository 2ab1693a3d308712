# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Which step and lead to play at, from what was measured. Pure.

A pair withholds step + lead frames of context from the model (its *mask*): the last sample of a step is that far ahead
of the newest sample heard. So the smallest mask is the newest context. But a model knows only the masks that it was
trained with; a pair with another mask plays in time and may not play well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from anacrusis.calib.errors import CalibrationError
from anacrusis.engine.errors import GeometryError
from anacrusis.engine.window import Geometry, Pace

RESERVE: Final = 0.75  # of a step may be computing; the rest is the sender's, the client's and the system's
DEFAULT_FRAMES: Final = 16  # step and lead where nothing is known: r = .25, w = 1, as released


@dataclass(frozen=True, slots=True)
class Candidate:
    """A measured step. lead_frames: its l*, rounded up. load: the bound on compute, as a share of the step."""

    step_frames: int
    lead_frames: int
    load: float

    @property
    def masked_frames(self) -> int:
        return self.step_frames + self.lead_frames


@dataclass(frozen=True, slots=True)
class Choice:
    """A pace to play at. why: one line for people."""

    step_frames: int
    lead_frames: int
    why: str

    @property
    def masked_frames(self) -> int:
        return self.step_frames + self.lead_frames


def fits(geometry: Geometry, step_frames: int, lead_frames: int, fade_samples: int) -> bool:
    """Whether the window can hold this pace."""
    frame = geometry.frame_samples
    try:
        Pace(step_frames * frame, lead_frames * frame, fade_samples).validate(geometry)
    except GeometryError:
        return False
    return True


def choose(candidates: Sequence[Candidate], trained_masked_frames: Sequence[int]) -> Choice | None:
    """The recommended pace of steps that keep up and whose lead the window holds; None where there is none.

    The smallest mask that the model was trained with and that can be met; with it, the longest step (least work a
    second), the lead taking what is left. Untrained masks, where no trained one can be met.
    """
    kept = [c for c in candidates if c.load < RESERVE] or [c for c in candidates if c.load < 1]
    if not kept:
        return None
    for mask in sorted({frames for frames in trained_masked_frames if frames > 0}):
        within = [c for c in kept if c.masked_frames <= mask]
        if within:
            step = max(c.step_frames for c in within)
            return Choice(step, mask - step, f"withholds {mask} frames, as in training")
    best = min(kept, key=lambda c: (c.masked_frames, -c.step_frames))
    trained = ", ".join(map(str, sorted(trained_masked_frames))) or "no mask that is on record"
    why = f"withholds {best.masked_frames} frames; the model was trained with {trained}"
    return Choice(best.step_frames, best.lead_frames, why)


def smallest(candidates: Sequence[Candidate]) -> Candidate | None:
    """The smallest step that keeps up, whatever the model was trained with."""
    return min((c for c in candidates if c.load < 1), key=lambda c: c.step_frames, default=None)


def complete(
    candidates: Sequence[Candidate],
    recommended: Choice | None,
    step_frames: int | None,
    lead_frames: int | None,
) -> Choice:
    """What is given, and the rest from the calibration (None: auto). Raises CalibrationError where it has no answer.

    A step that was not measured is taken as the next longer one that was: a longer step never computes less.
    """
    if step_frames is not None and lead_frames is not None:
        return Choice(step_frames, lead_frames, "as given")
    kept = sorted((c for c in candidates if c.load < 1), key=lambda c: c.step_frames)
    if not kept or recommended is None:
        raise CalibrationError("no step that was measured is real-time here; give --step-frames and --lead-frames")
    if step_frames is None and lead_frames is None:
        return recommended
    if step_frames is not None:
        if step_frames < kept[0].step_frames:
            least = kept[0].step_frames
            raise CalibrationError(f"a step of {step_frames} frames is not real-time here; the smallest is {least}")
        found = next((c for c in kept if c.step_frames >= step_frames), None)
        if found is None:
            most = kept[-1].step_frames
            raise CalibrationError(f"steps up to {most} frames were measured, not {step_frames}; give the lead as well")
        return Choice(step_frames, found.lead_frames, f"the shortest lead of a step of {found.step_frames} frames")
    assert lead_frames is not None
    within = [c for c in kept if c.lead_frames <= lead_frames]
    if not within:
        least = min(c.lead_frames for c in kept)
        raise CalibrationError(f"no step meets a lead of {lead_frames} frames here; the shortest lead is {least}")
    preferred = next((c for c in within if c.step_frames == recommended.step_frames), within[0])
    return Choice(
        preferred.step_frames, lead_frames, f"the shortest lead of this step is {preferred.lead_frames} frames"
    )
