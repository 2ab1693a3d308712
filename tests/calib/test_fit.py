# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of r* and l*: the paper's own numbers, edges, and what must hold for every machine."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.calib import fit

from .made import GEOMETRY, RATE_HZ, calibration

FRAME = GEOMETRY.frame_samples
STEP_MS = 1000 * FRAME / RATE_HZ
MS = st.floats(0.01, 5_000)
# Not floats from 0: where a network has switched the smallest floats off, hypothesis cannot draw them.
LATER = st.integers(0, 200_000).map(lambda n: n / 1000)
FEW = settings(max_examples=40, deadline=None)

# arXiv 2604.07612 has T = 6 s (264,600 samples at 44.1 kHz) and reports r* = 0.100 for its diffusion model and 0.034
# for the consistency model, 7/64 and 3/64 of a window. What is known here of the timings they come from: on the RTX
# A6000 a network evaluation takes 48 ms (of the 10 that the paper counts) and 44 ms (of 2); the codec's fastest encode
# and decode are 40 and 72 ms; one way to a server on the same machine takes 17 to 25 ms at r = .25, which is c = 68 to
# 100 ms per unit of r. Both ends of that range give the paper's numbers; counted both ways (c = 200) the frames are the
# same. Which set-up the paper derives them for is not known here: that these timings fit is our inference.
DIFFUSION_MS, CONSISTENCY_MS = 40 + 10 * 48 + 72, 40 + 2 * 44 + 72
PAPER_T_S = 264_600 / 44_100


@pytest.mark.parametrize("c_ms", [17 / 0.25, 25 / 0.25])
@pytest.mark.parametrize(("compute_ms", "says", "frames"), [(DIFFUSION_MS, "0.100", 7), (CONSISTENCY_MS, "0.034", 3)])
def test_the_paper_s_timings_give_the_paper_s_numbers(compute_ms: float, c_ms: float, says: str, frames: int) -> None:
    ratio = fit.smallest_ratio(compute_ms, PAPER_T_S, c_ms)
    assert ratio is not None
    assert f"{ratio:.3f}" == says
    assert fit.aligned_frames(ratio, 64) == frames
    both_ways = fit.smallest_ratio(compute_ms, PAPER_T_S, 200.0)
    assert both_ways is not None
    assert fit.aligned_frames(both_ways, 64) == frames


@pytest.mark.parametrize(
    ("ratio", "frames"), [(0.100, 7), (0.034, 3), (7 / 64, 7), (7 / 64 + 1e-6, 8), (1e-9, 1), (1.0, 64)]
)
def test_a_ratio_in_whole_frames(ratio: float, frames: int) -> None:
    assert fit.aligned_frames(ratio, 64) == frames


@pytest.mark.parametrize(
    ("compute_ms", "window_s", "c_ms", "floor_ms", "ratio"),
    [
        (500, 5.0, 0, 0, 0.1),
        (450, 5.0, 0, 50, 0.1),  # a floor counts as computing does
        (450, 5.0, 500, 0, 0.1),
        (0, 6.0, 0, 0, 0.0),
        (6001, 6.0, 0, 0, None),  # no step is long enough
        (1, 6.0, 6000, 0, None),  # the transfer alone takes as long as the music
    ],
)
def test_the_smallest_ratio(
    compute_ms: float, window_s: float, c_ms: float, floor_ms: float, ratio: float | None
) -> None:
    got = fit.smallest_ratio(compute_ms, window_s, c_ms, floor_ms)
    assert got == ratio if ratio is None else got == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("cycles_ms", "crossing"),
    [
        ([50, 50, 50], 0.05),  # below the line from the first on: level before it
        ([150, 150, 150], 0.15),  # between two points
        ([100, 100, 100], 0.1),  # on a point
        ([150, 210, 290], 0.2 + 0.1 * 10 / 20),
        ([400, 400, 400], None),
    ],
)
def test_where_the_measured_cycles_meet_the_step(cycles_ms: list[float], crossing: float | None) -> None:
    got = fit.crossing_ratio([0.1, 0.2, 0.3], cycles_ms, 1.0)
    assert got == crossing if crossing is None else got == pytest.approx(crossing)


@pytest.mark.parametrize(
    ("xs", "ys", "floor", "slope"),
    [
        ([1, 2, 3], [12, 14, 16], 10, 2),
        ([1, 2, 3], [5, 4, 3], 4, 0),  # more never takes less: the mean
        ([1, 2], [1, 5], 0, 2.2),  # never below the origin
        ([2], [7], 7, 0),
        ([2, 2], [7, 9], 8, 0),
    ],
)
def test_a_line(xs: list[float], ys: list[float], floor: float, slope: float) -> None:
    line = fit.fit_line(xs, ys)
    assert (line.floor, line.slope) == (pytest.approx(floor), pytest.approx(slope))
    assert line.residual == pytest.approx(max(abs(y - floor - slope * x) for x, y in zip(xs, ys, strict=True)))


@FEW
@given(bound_ms=MS, fade=st.integers(0, 10_000))
def test_a_lead_is_the_smallest_that_meets_its_deadline(bound_ms: float, fade: int) -> None:
    lead = fit.smallest_lead(bound_ms, RATE_HZ, fade, FRAME)
    bound_samples = bound_ms * RATE_HZ / 1000
    assert bound_samples < lead.samples - fade
    assert not bound_samples < lead.samples - 1 - fade
    assert lead.frames == math.ceil(lead.samples / FRAME)


@pytest.mark.parametrize(
    ("bound_ms", "fade", "samples", "frames"),
    [(0.0, 0, 1, 1), (0.0, 882, 883, 1), (72.8, 882, 4093, 1), (73.0, 882, 4102, 2), (1000.0, 882, 44_983, 11)],
)
def test_leads(bound_ms: float, fade: int, samples: int, frames: int) -> None:
    lead = fit.smallest_lead(bound_ms, RATE_HZ, fade, FRAME)
    assert (lead.samples, lead.frames) == (samples, frames)


@FEW
@given(
    cycles=st.lists(MS, min_size=6, max_size=6),
    transfer=LATER,
    slower=st.floats(1, 10),
    later=LATER,
)
def test_a_slower_machine_has_no_smaller_lead_and_no_smaller_step(
    cycles: list[float], transfer: float, slower: float, later: float
) -> None:
    steps = (1, 2, 3, 4, 8, 16)
    fast = calibration(dict(zip(steps, cycles, strict=True)), transfer)
    slow = calibration({step: slower * ms + later for step, ms in zip(steps, cycles, strict=True)}, transfer)
    for a, b in zip(fast.steps, slow.steps, strict=True):
        assert fast.lead(a).samples <= slow.lead(b).samples
        assert fast.is_real_time(a) or not slow.is_real_time(b)
    least, most = fast.smallest(), slow.smallest()
    assert most is None or (least is not None and least.step_frames <= most.step_frames)
    left, right = fast.smallest_ratio(), slow.smallest_ratio()
    assert right is None or (left is not None and left <= right)
    near, far = fast.recommended(), slow.recommended()
    assert far is None or near is not None


@FEW
@given(interface_ms=LATER)
def test_an_interface_adds_its_latency_to_every_lead_and_to_no_cycle(interface_ms: float) -> None:
    without, one = calibration({4: 50.0}), calibration({4: 50.0}, interface_ms=interface_ms)
    more = one.lead(one.steps[0]).samples - without.lead(without.steps[0]).samples
    assert abs(more - interface_ms * RATE_HZ / 1000) <= 1
    assert one.keeps_up(one.steps[0])


@pytest.mark.parametrize(
    ("step", "ms", "real_time"),
    [
        (1, STEP_MS - 0.01, True),
        (1, STEP_MS, False),  # compute < s
        (40, 39 * STEP_MS, False),  # it keeps up, and the window has no room for so long a lead
        (16, 15.9 * STEP_MS, True),
        (61, 1.0, True),
        (62, 1.0, False),  # the window has no room for a lead
    ],
)
def test_what_is_real_time(step: int, ms: float, real_time: bool) -> None:
    one = calibration({step: ms})
    assert one.is_real_time(one.steps[0]) is real_time
