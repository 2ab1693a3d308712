# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Placement, measured: through networks that copy exactly, every emitted sample must be the signal's own.

The context is a train of clicks of period 8 frames (32,768 samples). The copying networks write into a frame
what was heard in the frame 8 k before it, so an emitted sample at position p must equal the signal at p, and
a sample placed one off is wrong (the clicks have random places and heights).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anacrusis.engine import Engine
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.cycle import Step
from anacrusis.engine.errors import GeometryError
from anacrusis.engine.ladder import open_backend
from anacrusis.engine.pipeline import Backend
from anacrusis.engine.upstream import UpstreamPace
from anacrusis.engine.window import Geometry, Pace

F32 = NDArray[np.float32]
FRAME, PERIOD = 4096, 8 * 4096
FADE = 882

_rng = np.random.default_rng(7)
CLICKS = np.zeros(PERIOD, np.float32)
CLICKS[_rng.choice(PERIOD, 60, replace=False)] = _rng.uniform(0.2, 1.0, 60)


def clicks(start: int, end: int) -> F32:
    return CLICKS[np.arange(start, end) % PERIOD]


@pytest.fixture(scope="module")
def backend(copying: Path) -> Backend:
    return open_backend(Bundle.open(copying), "onnxruntime", threads=1)


def engine_for(backend: Backend, silent: Any, **pace: Any) -> Engine:
    return Engine.open(backend.bundle, backend=backend, noise=silent, fade_samples=FADE, **pace)


def wrong_samples(step: Step) -> int:
    """Samples of a reply, headroom included, that are not the signal's at their place."""
    fade = step.headroom.shape[1]
    got = np.concatenate([step.headroom[0], step.audio[0]])
    return int((got != clicks(step.start_samples - fade, step.start_samples + step.audio.shape[1])).sum())


def play(engine: Engine, steps: int, heard_from: int = 0) -> tuple[int, int]:
    """(wrong, checked) over `steps` cycles; checked once a whole period was heard and generated from."""
    wrong = checked = 0
    for _ in range(steps):
        now = engine.cycle.now_samples
        step = engine.step(clicks(now, now + engine.step_samples))
        # 9 frames hold one whole period of whole frames; what was written before that is not a copy yet.
        written_since = heard_from + PERIOD + 2 * FRAME + engine.lead_samples + 2 * engine.step_samples
        if step.start_samples - FADE >= max(written_since, heard_from + FADE):
            wrong += wrong_samples(step)
            checked += step.audio.shape[1] + FADE
    return wrong, checked


def steps_to_hear(samples: int, step: int) -> int:
    return -(-samples // step)


RATIOS = (1 / 64, 0.0625, 0.1, 0.125, 0.2, 0.25, 0.5)
LOOK_AHEADS = (-1.0, 0.0, 1 / 16, 0.5, 1.0)


@pytest.mark.parametrize("w", LOOK_AHEADS)
@pytest.mark.parametrize("r", RATIOS)
@pytest.mark.parametrize("window", [262144, 264600])
def test_every_ratio_and_look_ahead(backend: Backend, silent: Any, window: int, r: float, w: float) -> None:
    if (r, w) == (0.5, 1.0):
        with pytest.raises(GeometryError, match="leaves no heard frame"):
            engine_for(backend, silent, r=r, w=w, window_samples=window)
        return
    engine = engine_for(backend, silent, r=r, w=w, window_samples=window)
    s, lead = engine.step_samples, engine.lead_samples
    warm = steps_to_hear(PERIOD + 2 * FRAME + max(lead, 0) + 2 * s + FADE, s)
    wrong, checked = play(engine, warm + 6)
    assert wrong == 0
    assert checked >= 3 * s


@pytest.mark.parametrize(
    "pace",
    [
        {"step_samples": 2048, "lead_frames": 1},
        {"step_samples": 512, "lead_frames": 1},
        {"step_frames": 1, "lead_frames": 1},
        {"step_frames": 16, "lead_frames": 1},
        {"r": 0.25, "window_samples": 264600, "lead_frames": 1},
        {"r": 0.1, "window_samples": 264600, "lead_frames": 1},
        {"step_samples": 1000, "lead_samples": 3},
    ],
    ids=str,
)
def test_steps_below_a_frame_and_leads_of_one_frame(backend: Backend, silent: Any, pace: dict[str, Any]) -> None:
    engine = engine_for(backend, silent, **pace)
    s = engine.step_samples
    wrong, checked = play(engine, steps_to_hear(PERIOD + 6 * FRAME + 2 * s, s) + max(6, 3 * FRAME // s))
    assert wrong == 0
    assert checked > 2 * FRAME


CHANGES: list[tuple[str, list[Pace]]] = [
    ("r .25 -> .125 -> .25", [Pace(66150, 66150, FADE), Pace(33075, 33075, FADE), Pace(66150, 66150, FADE)]),
    ("w 1 -> 0 -> -1", [Pace(33075, 33075, FADE), Pace(33075, 0, FADE), Pace(33075, -33075, FADE)]),
    ("w -1 -> 1", [Pace(33075, -33075, FADE), Pace(33075, 33075, FADE)]),
    ("lead a step -> a frame", [Pace(16 * FRAME, 16 * FRAME, FADE), Pace(16 * FRAME, FRAME, FADE)]),
    ("step 16 -> 1 -> 512 samples", [Pace(16 * FRAME, FRAME, FADE), Pace(FRAME, FRAME, FADE), Pace(512, FRAME, FADE)]),
    ("fade 882 -> 6000", [Pace(8 * FRAME, FRAME, FADE), Pace(8 * FRAME, FRAME, 6000)]),
]


@pytest.mark.parametrize("paces", [p for _, p in CHANGES], ids=[name for name, _ in CHANGES])
@pytest.mark.parametrize("contiguous", [False, True])
def test_across_a_change(backend: Backend, silent: Any, paces: list[Pace], contiguous: bool) -> None:
    first = paces[0]
    engine = engine_for(
        backend, silent, step_samples=first.step_samples, lead_samples=first.lead_samples, contiguous=contiguous
    )
    play(engine, steps_to_hear(PERIOD + 4 * FRAME + abs(first.lead_samples), first.step_samples) + 3)
    end = None
    for pace in paces:
        engine.set_pace(pace)
        for _ in range(4):
            now = engine.cycle.now_samples
            step = engine.step(clicks(now, now + pace.step_samples))
            assert wrong_samples(step) == 0
            if contiguous:
                assert end is None or step.start_samples == end
                end = step.start_samples + step.audio.shape[1]


@pytest.mark.parametrize(
    "pace", [{"r": 0.125, "window_samples": 264600}, {"step_frames": 4, "lead_frames": 1}], ids=str
)
def test_across_a_skipped_step(backend: Backend, silent: Any, pace: dict[str, Any]) -> None:
    engine = engine_for(backend, silent, **pace)
    s = engine.step_samples
    play(engine, steps_to_hear(PERIOD + 4 * FRAME + engine.lead_samples, s) + 4)
    engine.skip(s)
    # The gap is silence in the context; a whole period before it is still in the window.
    wrong, checked = play(engine, 8, heard_from=-10 * PERIOD)
    assert wrong == 0
    assert checked >= 8 * s


def test_across_a_reset(backend: Backend, silent: Any) -> None:
    engine = engine_for(backend, silent, r=0.125, window_samples=264600)
    first, checked_before = play(engine, 8)
    engine.reset()
    assert engine.cycle.now_samples == 0
    again, checked = play(engine, 8)
    assert (first, again) == (0, 0)
    assert checked == checked_before > 0


@pytest.mark.parametrize(("r", "late"), [(0.25, 1804), (0.125, 2111)])
def test_upstream_is_late_as_the_original(backend: Backend, silent: Any, r: float, late: int) -> None:
    """The signal is found in the reply at one shift only, and that is the original's lateness."""
    engine = Engine.open(backend.bundle, backend=backend, noise=silent, compat="upstream", r=r, w=1.0)
    s = engine.step_samples
    for _ in range(-(-264600 // s) + 2):  # until the original's context buffer is full of clicks
        now = engine.cycle.now_samples
        step = engine.step(clicks(now, now + s))
    got = step.audio[0][:-800]  # the last samples of a reply lie in the STFT's taper
    starts = {shift: step.start_samples - shift for shift in range(3000)}
    found = [shift for shift, at in starts.items() if np.array_equal(got, clicks(at, at + got.shape[0]))]
    assert found == [late]


@pytest.mark.parametrize(("r", "late"), [(0.25, 1804), (0.125, 2111), (0.0625, 2265), (1 / 64, 2380), (0.5, 1190)])
def test_lateness_the_original_states(r: float, late: int) -> None:
    geometry = Geometry(FRAME, 64, 1536, 1536)
    assert UpstreamPace(r, -1.0).late_samples(geometry) == late
