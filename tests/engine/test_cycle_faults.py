# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Steps that are heard and not answered, answered twice, or answered with what cannot be played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.engine import Engine
from anacrusis.engine.errors import AudioError
from anacrusis.engine.pipeline import CycleOutputs

STEP = 8 * 4096


@pytest.fixture
def engine(copying: Path, silent: Any) -> Engine:
    return Engine.open(copying, threads=1, step_frames=8, lead_frames=8, fade_samples=882, noise=silent)


def clicks(start: int, length: int = STEP) -> np.ndarray:
    """Period 8 frames, as the copying networks need."""
    return np.random.default_rng(3).uniform(0.1, 0.9, STEP).astype(np.float32)[np.arange(start, start + length) % STEP]


def spoil(engine: Engine, rows: list[int], value: float) -> None:
    """Make the next cycle of these rows give `value` somewhere in its audio."""
    pipeline = engine.cycle._pipeline
    run = pipeline.cycle

    def once(**arguments: Any) -> CycleOutputs:
        pipeline.cycle = run
        outputs = run(**arguments)
        audio = outputs.audio.copy()
        audio[rows, 5000] = value
        return CycleOutputs(outputs.latents, audio, outputs.context, outputs.times)

    pipeline.cycle = once  # type: ignore[method-assign]


def test_a_step_heard_and_not_answered_is_remembered(engine: Engine) -> None:
    with engine:
        engine.step(clicks(0))
        for _ in range(3):
            engine.hear(clicks(engine.cycle.now_samples))
        step = engine.step(clicks(engine.cycle.now_samples))
        assert (step.now_samples, step.start_samples) == (5 * STEP, 6 * STEP)
        np.testing.assert_array_equal(step.audio[0], clicks(step.start_samples))
        recent = engine.cycle.recent()
        np.testing.assert_array_equal(recent["context_audio"][-4 * STEP :], clicks(STEP, 4 * STEP))


@pytest.mark.parametrize("context", [np.zeros(0), np.full(9, np.nan), np.zeros((2, 9)), np.zeros(10**6)])
def test_what_cannot_be_heard_changes_nothing(engine: Engine, context: np.ndarray) -> None:
    with engine:
        engine.step(clicks(0))
        with pytest.raises(AudioError):
            engine.hear(context.astype(np.float32))
        assert engine.cycle.now_samples == STEP


def test_again_is_the_same_step_without_time(engine: Engine) -> None:
    with engine:
        for _ in range(3):
            first = engine.step(clicks(engine.cycle.now_samples))
        again = engine.again()
        assert (again.now_samples, again.start_samples, again.nfe) == (first.now_samples, first.start_samples, 2)
        np.testing.assert_array_equal(again.audio, first.audio)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 4.1, -4.1])
@pytest.mark.parametrize("at", [0, 3], ids=["first step", "later step"])
def test_what_cannot_be_played_is_silence_and_the_next_step_is_good(engine: Engine, value: float, at: int) -> None:
    with engine:
        for _ in range(at):
            engine.step(clicks(engine.cycle.now_samples))
        spoil(engine, [0], value)
        bad = engine.step(clicks(engine.cycle.now_samples))
        assert bad.concealed == ("bass",)
        assert not bad.audio.any()
        assert not bad.headroom.any()
        for _ in range(3):
            good = engine.step(clicks(engine.cycle.now_samples))
        assert good.concealed == ()
        assert good.start_samples == (at + 5) * STEP
        np.testing.assert_array_equal(good.audio[0], clicks(good.start_samples))


def test_the_step_after_generates_what_the_bad_one_owed(engine: Engine) -> None:
    with engine:
        for _ in range(4):
            engine.step(clicks(engine.cycle.now_samples))
        spoil(engine, [0], np.nan)
        engine.step(clicks(engine.cycle.now_samples))
        good = engine.step(clicks(engine.cycle.now_samples))
        assert good.generated_frames == 16  # history fell back to the last good latents
        np.testing.assert_array_equal(good.audio[0], clicks(good.start_samples))
        # What leads into it is music again: the player's crossfade brings it back from the silence.
        np.testing.assert_array_equal(good.headroom[0], clicks(good.start_samples - 882, 882))


def test_one_stem_gone_astray_does_not_silence_the_band(copying: Path, silent: Any) -> None:
    stems = ["bass", "drums", "piano"]
    with Engine.open(copying, threads=1, stems=stems, step_frames=8, lead_frames=8, noise=silent) as band:
        for _ in range(3):
            band.step(clicks(band.cycle.now_samples))
        spoil(band, [1], np.inf)
        step = band.step(clicks(band.cycle.now_samples))
        assert step.concealed == ("drums",)
        expected = clicks(step.start_samples)
        for row, stem in enumerate(stems):
            np.testing.assert_array_equal(step.audio[row], expected * (stem != "drums"))
        after = band.step(clicks(band.cycle.now_samples))
        np.testing.assert_array_equal(after.audio, np.tile(clicks(after.start_samples), (3, 1)))
