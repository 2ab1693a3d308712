# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The window's arithmetic: tables for what the design states, properties for everything between."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.engine.errors import GeometryError
from anacrusis.engine.window import (
    CyclePlan,
    Geometry,
    Held,
    Pace,
    ceil_div,
    lead_from_w,
    plan_cycle,
    step_from_ratio,
)

FRAME = 4096
M2L = Geometry(frame_samples=FRAME, window_frames=64, encode_tail_samples=1536, decode_taper_samples=1536)
WINDOW = M2L.window_samples


@st.composite
def paces(draw: st.DrawFn) -> Pace:
    """Any pace the window can hold: whole frames, odd samples, below a frame, stock ratios."""
    step = draw(st.one_of(st.integers(1, 62 * FRAME), st.integers(1, 62).map(lambda f: f * FRAME), st.just(66150)))
    lead = draw(st.one_of(st.integers(-step, 62 * FRAME - step), st.sampled_from([-step, 0, FRAME])))
    pace = Pace(step, min(lead, 62 * FRAME - step), draw(st.sampled_from([0, 1, 881, 882, 4410])))
    try:
        pace.validate(M2L)
    except GeometryError:
        return Pace(16 * FRAME, 16 * FRAME, 882)
    return pace


def run(changes: list[tuple[Pace, int, int]], *, contiguous: bool) -> list[tuple[Pace, CyclePlan, Held | None]]:
    """Plans for (pace, steps, samples skipped before them), one epoch."""
    now, held, out = 0, None, []
    for pace, steps, skipped in changes:
        now += skipped
        for _ in range(steps):
            now += pace.step_samples
            plan = plan_cycle(M2L, pace, now, held, contiguous=contiguous)
            out.append((pace, plan, held))
            held = plan.held_after()
    return out


@settings(max_examples=300, deadline=None)
@given(paces(), st.integers(2, 30))
def test_constant_pace_tiles_the_stream_within_the_design_bounds(pace: Pace, steps: int) -> None:
    end = None
    for index, (_, plan, held) in enumerate(run([(pace, steps, 0)], contiguous=False)):
        assert plan.emit_start == plan.now + pace.lead_samples
        assert plan.emit_end - plan.emit_start == pace.step_samples
        assert end is None or plan.emit_start == end, "a gap or a repeated sample"
        end = plan.emit_end
        assert plan.generate_end == ceil_div(plan.emit_end, FRAME) * FRAME
        assert plan.generated_frames(M2L) <= pace.max_generated_frames(M2L)
        assert plan.masked_frames <= pace.max_masked_frames(M2L)
        assert 64 - plan.masked_frames >= 1, "no heard frame"
        assert plan.decoded_frames(M2L) <= pace.max_decoded_frames(M2L)
        if index:
            assert held is not None
            assert plan.generate_start == held.generated, "steady state generates each frame once"
        if plan.decode:
            assert plan.valid_start <= max(plan.emit_start, plan.window_start + 1536), "an emitted sample in the taper"
            assert plan.emit_end <= plan.generate_end


@settings(max_examples=300, deadline=None)
@given(paces(), st.integers(0, FRAME - 1))
def test_decode_sizes_are_enough_wherever_now_lies_and_no_larger(pace: Pace, offset: int) -> None:
    sizes = pace.decode_sizes(M2L)
    start = 100 * FRAME + offset + pace.lead_samples
    needed = -(-(start + pace.step_samples) // FRAME) - (start - pace.fade_samples - 1536) // FRAME
    assert min(needed, 64) <= sizes[-1]
    plan = plan_cycle(M2L, pace, 100 * FRAME + offset, None)
    assert plan.decoded_frames(M2L) in sizes
    whole_steps = plan_cycle(M2L, pace, 1000 * pace.step_samples, None)
    assert whole_steps.decoded_frames(M2L) == sizes[0]


SIZES = [
    # step, lead, fade -> sizes
    ((16 * FRAME, 16 * FRAME, 882), (17, 18)),
    ((16 * FRAME, FRAME, 882), (17, 18)),
    ((FRAME, FRAME, 882), (2, 3)),
    ((66150, 66150, 882), (18,)),
    ((33075, 33075, 882), (10,)),
    ((2048, FRAME, 882), (2, 3)),
    ((2048, FRAME + 100, 882), (3,)),
    ((FRAME, 0, 2560), (2, 3)),  # fade and taper are a frame to the sample
    ((FRAME, 0, 2561), (3,)),
    ((60 * FRAME, -60 * FRAME, 4 * FRAME), (64,)),  # never more than the window
]


@pytest.mark.parametrize(("pace", "sizes"), SIZES)
def test_decode_sizes_by_hand(pace: tuple[int, int, int], sizes: tuple[int, ...]) -> None:
    assert Pace(*pace).decode_sizes(M2L) == sizes


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(paces(), st.integers(1, 6), st.integers(0, 3 * FRAME)), min_size=2, max_size=6))
def test_contiguous_emits_every_sample_once_and_in_order(changes: list[tuple[Pace, int, int]]) -> None:
    plans = run(changes, contiguous=True)
    position = plans[0][1].emit_start
    for _, plan, _ in plans:
        reachable = plan.window_start + 1536 + (plan.emit_start - plan.fade_start)
        assert plan.emit_start == position or plan.emit_start == reachable > position, "a gap or a repeated sample"
        assert plan.emit_end >= plan.emit_start
        position = plan.emit_end
        assert plan.window_start <= plan.generate_start <= plan.generate_end
        assert plan.generate_end - plan.window_start == WINDOW


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(paces(), st.integers(1, 6), st.integers(0, 100 * FRAME)), min_size=2, max_size=6))
def test_any_change_or_skip_answers_what_is_owed(changes: list[tuple[Pace, int, int]]) -> None:
    for pace, plan, held in run(changes, contiguous=False):
        assert (plan.emit_start, plan.emit_end) == (
            plan.now + pace.lead_samples,
            plan.now + pace.lead_samples + pace.step_samples,
        )
        assert plan.window_start <= plan.generate_start <= plan.generate_end
        assert plan.generate_start % FRAME == plan.generate_end % FRAME == plan.decode_start % FRAME == 0
        assert plan.origin <= plan.emit_start, "emits what lies before anything generated"
        covered = plan.valid_start if plan.decode or held is None else held.decode_start
        assert covered <= plan.emit_start, "emits from the taper"
        assert plan.masked_frames <= pace.max_masked_frames(M2L)
        if held is not None and plan.generate_start > held.generated:
            assert plan.generate_start == plan.window_start, "frames were lost that the window still holds"


@pytest.mark.parametrize(
    ("s", "lead", "generated", "decoded", "masked"),
    [
        (16 * FRAME, 16 * FRAME, {16}, {17}, {32}),  # r .25, w 1 at T 262144: the trained mask
        (16 * FRAME, FRAME, {16}, {17}, {17}),
        (FRAME, FRAME, {1}, {2}, {2}),
        (FRAME, 0, {1}, {2}, {1}),
        (FRAME, -FRAME, {1}, {2}, {0}),
        (66150, 66150, {16, 17}, {18}, {33, 34}),  # the stock patch's T 264600, r .25, w 1
        (2048, FRAME, {0, 1}, {0, 2}, {2}),
        (512, FRAME, {0, 1}, {0, 2}, {2}),
    ],
)
def test_frames_per_cycle(s: int, lead: int, generated: set[int], decoded: set[int], masked: set[int]) -> None:
    plans = [plan for _, plan, _ in run([(Pace(s, lead, 882), 80, 0)], contiguous=False)][1:]
    made = [plan for plan in plans if plan.generated_frames(M2L)]
    assert {plan.generated_frames(M2L) for plan in plans} == generated
    assert {plan.decoded_frames(M2L) for plan in plans} == decoded
    assert {plan.masked_frames for plan in made} == masked


@pytest.mark.parametrize(
    ("step", "lead", "says"),
    [
        (0, 0, "at least 1"),
        (-1, 0, "at least 1"),
        (WINDOW + 1, 0, "longer than the window"),
        (4096, -4097, "lowest lead"),
        (32 * FRAME, 32 * FRAME, "leaves no heard frame"),  # r .5, w 1 at T 262144
        (132300, 132300, "leaves no heard frame"),  # and at T 264600
        (FRAME, 63 * FRAME, "leaves no heard frame"),
        (63 * FRAME, -63 * FRAME, "leaves no heard frame|must keep at least one"),
    ],
)
def test_impossible_paces_say_why(step: int, lead: int, says: str) -> None:
    with pytest.raises(GeometryError, match=says):
        Pace(step, lead).validate(M2L)


@pytest.mark.parametrize(
    ("window", "r", "w", "step", "lead"),
    [
        (264600, 0.25, 1.0, 66150, 66150),
        (264600, 0.1, 1.0, 26460, 26460),
        (264600, 1 / 64, -1.0, 4134, -4134),
        (264600, 0.125, 0.0, 33075, 0),
        (262144, 0.25, 1.0, 65536, 65536),
        (262144, 0.1, 1.0, 26214, 26214),
        (262144, 0.25, 1 / 16, 65536, 4096),
    ],
)
def test_ratios_truncate_as_the_stock_client(window: int, r: float, w: float, step: int, lead: int) -> None:
    assert step_from_ratio(window, r) == step
    assert lead_from_w(window, r, w) == lead


@pytest.mark.parametrize("r", [0.0, -0.1, 1.0001, float("nan"), float("inf")])
def test_impossible_ratio(r: float) -> None:
    with pytest.raises(GeometryError, match="step ratio"):
        step_from_ratio(WINDOW, r)


@pytest.mark.parametrize("w", [-1.001, float("nan"), float("-inf")])
def test_impossible_look_ahead(w: float) -> None:
    with pytest.raises(GeometryError, match="look-ahead"):
        lead_from_w(WINDOW, 0.25, w)


@pytest.mark.parametrize(
    "change", [{"fade_samples": -1}, {"fade_samples": WINDOW}, {"context_tail_samples": FRAME + 1}]
)
def test_impossible_margins(change: dict[str, int]) -> None:
    with pytest.raises(GeometryError, match="it must be 0 to"):
        Pace(FRAME, FRAME, **change).validate(M2L)


def test_a_shorter_lead_regenerates_what_the_old_one_made() -> None:
    long, short = Pace(16 * FRAME, 16 * FRAME, 882), Pace(16 * FRAME, FRAME, 882)
    (_, before, _), (_, after, _) = run([(long, 3, 0), (short, 1, 0)], contiguous=False)[-2:]
    assert before.generate_end == (3 * 16 + 32) * FRAME
    assert after.generate_start == (4 * 16 + 1) * FRAME
    assert after.generated_frames(M2L) == 16


def test_the_context_tail_masks_the_newest_heard_frame() -> None:
    masked = [plan_cycle(M2L, Pace(FRAME, FRAME, 0, tail), 20 * FRAME, None).masked_frames for tail in (0, 1536)]
    assert masked == [2, 3]
