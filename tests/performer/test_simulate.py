# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The offline performer: the released client's placement, and a song through networks that copy exactly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anacrusis.engine import Engine
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.cycle import Step
from anacrusis.engine.errors import AudioError
from anacrusis.engine.pipeline import StageTimes
from anacrusis.performer.simulate import Simulation, StepRecord, place, simulate

F32 = NDArray[np.float32]
FRAME, PERIOD, FADE = 4096, 8 * 4096, 882
PACE = {"step_frames": 4, "lead_frames": 1, "fade_samples": FADE}
STEP = 4 * FRAME
# A whole period of whole frames was heard, generated from, and played with its crossfade.
WARM = PERIOD + 3 * FRAME + 2 * STEP

_rng = np.random.default_rng(7)
CLICKS = np.zeros(PERIOD, np.float32)
CLICKS[_rng.choice(PERIOD, 60, replace=False)] = _rng.uniform(0.2, 1.0, 60)


def clicks(length: int) -> F32:
    return CLICKS[np.arange(length) % PERIOD]


def step_of(audio: Any, start: int, fade: int = FADE, stems: int = 1) -> Step:
    audio = np.broadcast_to(np.float32(audio), (stems, np.shape(audio)[-1]))
    headroom = np.ones((stems, fade), np.float32)
    return Step(audio, headroom, start, start, ("bass",) * stems, 2, 4, 4, 0, StageTimes())


# -- placement ----------------------------------------------------------------------------------------------


def test_the_released_clients_crossfade() -> None:
    """Conformance case C-11."""
    timeline = np.full((1, 264600), 0.5, np.float32)
    place(timeline, step_of(np.ones(66150), 132300))
    assert timeline[0, 131417] == 0.5
    assert timeline[0, 131418] == 0.5
    assert timeline[0, 131859] == 0.75
    assert timeline[0, 132299] == pytest.approx(0.999433, abs=1e-6)
    assert timeline[0, 132300] == 1.0
    assert timeline[0, 198449] == 1.0
    assert timeline[0, 198450] == 0.5
    ramp = np.diff(timeline[0, 131418:132301])
    np.testing.assert_allclose(ramp, 0.5 / FADE, atol=1e-6)


@pytest.mark.parametrize(
    ("start", "length", "ones", "changed"),
    [
        (100, 50, (100, 150), (91, 150)),  # inside: the ramp's first weight is 0
        (0, 50, (0, 50), (0, 50)),  # no room for the fade
        (4, 50, (4, 54), (0, 54)),  # room for a part of it
        (-20, 50, (0, 30), (0, 30)),  # begins before the timeline
        (180, 50, (180, 200), (171, 200)),  # ends after it
        (205, 50, (200, 200), (196, 200)),  # only the fade is inside
        (-50, 50, (0, 0), (0, 0)),  # ends where the timeline begins
        (-500, 50, (0, 0), (0, 0)),
        (210, 50, (200, 200), (200, 200)),  # begins after it, fade and all
        (-10, 300, (0, 200), (0, 200)),  # covers it
    ],
)
def test_what_is_outside_is_dropped(start: int, length: int, ones: tuple[int, int], changed: tuple[int, int]) -> None:
    timeline = np.full((2, 200), 0.5, np.float32)
    place(timeline, step_of(np.ones(length), start, fade=10, stems=2))
    assert timeline.shape == (2, 200)
    for row in timeline:
        assert (row[slice(*ones)] == 1).all()
        touched = np.flatnonzero(row != 0.5)
        assert (touched.min(), touched.max() + 1) == changed if touched.size else changed[0] == changed[1]


def test_a_ramp_cut_at_the_left_goes_on_where_it_would_be() -> None:
    timeline = np.zeros((1, 20), np.float32)
    place(timeline, step_of(np.ones(5), 4, fade=10))
    np.testing.assert_allclose(timeline[0, :9], [0.6, 0.7, 0.8, 0.9, 1, 1, 1, 1, 1], atol=1e-6)


def test_no_fade_at_all() -> None:
    timeline = np.full((1, 20), 0.5, np.float32)
    place(timeline, step_of(np.ones(5), 4, fade=0))
    np.testing.assert_array_equal(timeline[0], [0.5] * 4 + [1] * 5 + [0.5] * 11)


def test_each_stem_has_its_row() -> None:
    timeline = np.zeros((2, 8), np.float32)
    step = step_of(np.ones(2), 3, fade=0, stems=2)
    place(timeline, Step(np.float32([[1, 2], [3, 4]]), step.headroom, 3, 3, ("a", "b"), 0, 0, 0, 0, StageTimes()))
    np.testing.assert_array_equal(timeline, [[0, 0, 0, 1, 2, 0, 0, 0], [0, 0, 0, 3, 4, 0, 0, 0]])


# -- a song -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(copying: Path) -> Bundle:
    return Bundle.open(copying)


@pytest.fixture
def engine(bundle: Bundle, silent: Any) -> Iterator[Engine]:
    with Engine.open(bundle, backend="onnxruntime", threads=1, noise=silent, **PACE) as opened:
        yield opened


@pytest.mark.parametrize("length", [1, STEP - 1, STEP, STEP + 1, 3 * STEP + 12345])
def test_the_output_is_as_long_as_the_input(engine: Engine, length: int) -> None:
    done = []
    result = simulate(engine, clicks(length), on_step=lambda *at: done.append(at))
    steps = -(-length // STEP)
    assert result.audio.shape == (1, length)
    assert done == [(index + 1, steps) for index in range(steps)]
    assert [step.now_samples for step in result.steps] == [STEP * (index + 1) for index in range(steps)]
    assert {(step.start_samples - step.now_samples, step.length_samples) for step in result.steps} == {(FRAME, STEP)}
    assert np.isfinite(result.audio).all()


@pytest.mark.parametrize("length", [WARM + 4 * STEP, WARM + 4 * STEP + 777])
def test_the_timeline_is_the_signal(engine: Engine, length: int) -> None:
    result = simulate(engine, clicks(length))
    wanted = clicks(length)
    assert np.count_nonzero(wanted[WARM:]) > 50
    np.testing.assert_array_equal(result.audio[0, WARM:], wanted[WARM:])
    assert not np.array_equal(result.audio[0, :WARM], wanted[:WARM])  # it was not heard before it was played
    assert not result.audio[0, : STEP + FRAME - FADE].any()


def test_nothing_is_heard_before_its_time(bundle: Bundle, silent: Any) -> None:
    """Change the song from sample n on: what was written for the time up to then stays the same."""
    song, changed = clicks(8 * STEP), clicks(8 * STEP)
    changed[5 * STEP :] = 0.75
    audios = []
    for context in (song, changed):
        with Engine.open(bundle, backend="onnxruntime", threads=1, noise=silent, **PACE) as opened:
            audios.append(simulate(opened, context).audio)
    until = 6 * STEP + FRAME - FADE  # the first step that heard it starts at 6 steps + lead
    np.testing.assert_array_equal(audios[0][:, :until], audios[1][:, :until])
    assert not np.array_equal(audios[0], audios[1])


@pytest.mark.parametrize("stems", [["drums"], ["bass", "piano"]])
def test_stems_and_latents(bundle: Bundle, silent: Any, stems: list[str]) -> None:
    with Engine.open(
        bundle, backend="onnxruntime", threads=1, noise=silent, stems=stems, keep_latents=True, **PACE
    ) as opened:
        result = simulate(opened, clicks(6 * STEP))
    assert result.stems == tuple(stems)
    assert result.audio.shape == (len(stems), 6 * STEP)
    generated = sum(step.generated_frames for step in result.steps)
    assert generated >= 6 * 4
    assert result.latents.shape == (FRAME, generated)
    # A latent frame is its samples: the columns are the song, in order.
    first = result.steps[0]
    origin = first.start_samples + first.length_samples - first.generated_frames * FRAME
    begin = WARM - WARM % FRAME
    got = result.latents.T.reshape(-1)[begin - origin :][:STEP]
    np.testing.assert_array_equal(got, clicks(begin + STEP)[begin:])


def test_latents_are_not_kept_unasked(engine: Engine) -> None:
    assert simulate(engine, clicks(100)).latents.shape == (FRAME, 0)


def test_an_error_of_the_engine_comes_through(engine: Engine) -> None:
    with pytest.raises(AudioError, match="not finite"):
        simulate(engine, np.full(100, np.nan, np.float32))


# -- the report ---------------------------------------------------------------------------------------------


def test_the_report_of_a_run(engine: Engine) -> None:
    report = simulate(engine, clicks(3 * STEP)).report()
    assert (report["stems"], report["steps"], report["nfe"]) == (["bass"], 3, 2)
    assert (report["step_samples"], report["lead_samples"]) == (STEP, FRAME)
    assert (report["step_ms"], report["lead_ms"]) == (371.519, 92.88)
    assert set(report["stage_ms"]) == {"encode_ms", "denoise_ms", "decode_ms", "host_ms"}
    for quantiles in (report["compute_ms"], *report["stage_ms"].values()):
        values = list(quantiles.values())
        assert list(quantiles) == ["p50", "p95", "p99", "max"]
        assert values == sorted(values)
        assert values[-1] > 0
    assert report["nonfinite_samples"] == 0
    assert 0 < report["peak"] <= 1


@pytest.mark.parametrize(
    ("lead", "late", "longer"),
    [
        (4410 + 882, 2, 1),  # 100 ms to compute in: 150 and 250 are late
        (8820 + 882, 1, 1),
        (44100, 0, 1),  # steps still pile up
        (882, None, 1),  # never in time
        (-4410, None, 1),
    ],
)
def test_late_and_long_steps_are_counted(lead: int, late: int | None, longer: int) -> None:
    """Times are given, not measured: a step lasts 200 ms."""
    times = (50.0, 150.0, 250.0)
    steps = tuple(StepRecord(8820, 8820 + lead, 8820, 2, 4, 4, 1, {"encode_ms": ms}, ms) for ms in times)
    audio = np.float32([[0.25, -0.5, np.nan]])
    run = Simulation(audio, steps, np.zeros((64, 0), np.float32), 44100, 8820, lead, 882, ("bass",))
    report = run.report()
    assert (report["steps_late_if_live"], report["steps_longer_to_compute_than_to_play"]) == (late, longer)
    assert report["compute_ms"] == {"p50": 150.0, "p95": 240.0, "p99": 248.0, "max": 250.0}
    assert report["nonfinite_samples"] == 1
