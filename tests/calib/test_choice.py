# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Which step and lead: trained masks first, then the newest context, and what is given stays given."""

from __future__ import annotations

import pytest

from anacrusis.calib.choice import Candidate, Choice, choose, complete, smallest
from anacrusis.calib.errors import CalibrationError

FAST = (Candidate(1, 1, 0.5), Candidate(2, 1, 0.3), Candidate(8, 2, 0.1), Candidate(16, 3, 0.06))
SLOW = (Candidate(8, 7, 0.6), Candidate(16, 9, 0.4))
ALL = tuple(range(40))


@pytest.mark.parametrize(
    ("candidates", "trained", "step", "lead"),
    [
        (FAST, (0, 16, 32), 8, 8),  # the smallest trained mask, the longest step that can meet it
        (FAST, ALL, 1, 1),
        (FAST, (), 1, 1),
        (FAST, (0,), 1, 1),  # a mask of nothing is the offline one
        (FAST, (3,), 2, 1),
        (SLOW, (0, 16, 32), 8, 8),
        (SLOW, (0, 12, 32), 16, 16),
        (SLOW, (0, 12), 8, 7),  # none that was trained with can be met
        ((Candidate(1, 1, 0.9), Candidate(2, 1, 0.5)), ALL, 2, 1),  # a reserve
        ((Candidate(1, 1, 0.9),), ALL, 1, 1),  # unless there is none to be had
        ((Candidate(4, 3, 0.5), Candidate(6, 1, 0.4)), (), 6, 1),  # of two with the same mask the longer step
    ],
)
def test_the_recommended_pace(
    candidates: tuple[Candidate, ...], trained: tuple[int, ...], step: int, lead: int
) -> None:
    choice = choose(candidates, trained)
    assert choice is not None
    assert (choice.step_frames, choice.lead_frames) == (step, lead)
    assert f"withholds {step + lead} frames" in choice.why


def test_nothing_that_keeps_up_is_nothing_to_recommend() -> None:
    assert choose((), (16,)) is None
    assert choose((Candidate(4, 5, 1.0),), (16,)) is None
    assert smallest((Candidate(4, 5, 1.2),)) is None


@pytest.mark.parametrize(
    ("step", "lead", "chosen"),
    [
        (None, None, (8, 8)),
        (16, None, (16, 3)),
        (3, None, (3, 2)),  # not measured: as the next longer one
        (None, 2, (8, 2)),  # the recommended step, if it meets that lead
        (None, 1, (1, 1)),
        (5, 5, (5, 5)),
    ],
)
def test_what_is_given_stays(step: int | None, lead: int | None, chosen: tuple[int, int]) -> None:
    got = complete(FAST, choose(FAST, (16, 32)), step, lead)
    assert (got.step_frames, got.lead_frames) == chosen


@pytest.mark.parametrize(
    ("candidates", "step", "lead", "says"),
    [
        (SLOW, 4, None, "a step of 4 frames is not real-time here; the smallest is 8"),
        (SLOW, 20, None, "steps up to 16 frames were measured, not 20"),
        (SLOW, None, 3, "no step meets a lead of 3 frames here; the shortest lead is 7"),
        ((), None, None, "no step that was measured is real-time here"),
    ],
)
def test_what_was_not_measured_is_refused(
    candidates: tuple[Candidate, ...], step: int | None, lead: int | None, says: str
) -> None:
    recommended: Choice | None = choose(candidates, ())
    with pytest.raises(CalibrationError, match=says):
        complete(candidates, recommended, step, lead)
