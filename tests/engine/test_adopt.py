# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Another rung takes over between two steps, and nothing is forgotten."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.engine import Engine
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError, PlanMissingError
from anacrusis.engine.ladder import RUNGS, Rung, open_backend
from anacrusis.engine.pipeline import Backend
from anacrusis.engine.prepared import prepare
from anacrusis.engine.window import Pace

FRAME, STEP = 4096, 8 * 4096
CLICKS = np.random.default_rng(3).uniform(0.1, 0.9, STEP).astype(np.float32)


def clicks(start: int, length: int = STEP) -> np.ndarray:
    """Period 8 frames, as the copying networks need."""
    return CLICKS[np.arange(start, start + length) % STEP]


def opened(copying: Path, silent: Any, **more: Any) -> Engine:
    pace = {"step_frames": 8, "lead_frames": 8} | more
    return Engine.open(copying, backend="onnxruntime", threads=1, fade_samples=882, noise=silent, **pace)


def another(engine: Engine, stems: tuple[str, ...] = ("bass",), pace: Pace | None = None) -> Any:
    """A second rung, loaded anew, and bound as the first is."""
    backend = open_backend(engine.bundle, "onnxruntime", 1)
    backend.name = "another"
    return prepare(backend, stems, engine.cycle.prepared.table, pace or engine.cycle.pace)


def spoil_memory(prepared: Any) -> None:
    """What a pipeline that is closed may do to the arrays that it lent."""
    pipeline = prepared.pipeline
    pipeline.inputs.source[...] = np.nan
    pipeline._decode_audio[...] = np.nan
    pipeline._decode_latent[...] = np.nan


@pytest.mark.parametrize(
    ("pace", "steps", "at"),
    [
        ({}, 8, (3,)),
        ({}, 8, (1, 2, 3, 4, 5)),
        ({}, 4, (0,)),
        (
            {"step_frames": None, "lead_frames": None, "step_samples": 1000, "lead_samples": 5000},
            60,
            (50, 51, 52, 53, 54),
        ),
    ],
    ids=["once", "at every step", "before the first", "while steps come from the decode that is held"],
)
def test_no_sample_is_lost(copying: Path, silent: Any, pace: dict[str, Any], steps: int, at: tuple[int, ...]) -> None:
    """The copying networks write what was heard 8 frames before: after that long, every sample is known."""
    with opened(copying, silent, **pace) as plain, opened(copying, silent, **pace) as engine:
        rungs = [another(engine), engine.cycle.prepared]
        nfe = []
        for k in range(steps):
            if k in at:
                before = engine.adopt(rungs[0])
                assert before is rungs[1]
                rungs.reverse()
                spoil_memory(before)
            context = clicks(engine.cycle.now_samples, engine.step_samples)
            expected, step = plain.step(context), engine.step(context)
            np.testing.assert_array_equal(step.audio, expected.audio)
            np.testing.assert_array_equal(step.headroom, expected.headroom)
            assert (step.start_samples, step.now_samples, step.nfe) == (
                *(expected.start_samples, expected.now_samples),
                expected.nfe,
            )
            nfe.append(step.nfe)
            if step.start_samples >= 3 * STEP:
                np.testing.assert_array_equal(step.audio[0], clicks(step.start_samples, engine.step_samples))
        assert engine.backend is engine.cycle.prepared.backend
        if len(at) == 5 and 0 in nfe:
            assert 0 in [nfe[k] for k in at]  # a step right after an exchange ran no network


def test_noise_and_history_go_on(tiny: Path) -> None:
    """With networks that listen to noise: what is played is bit for bit what would have been without the exchange."""
    options: dict[str, Any] = {"backend": "onnxruntime", "threads": 1, "step_frames": 2, "lead_frames": 2}
    with Engine.open(tiny, **options) as plain, Engine.open(tiny, **options) as engine:
        for k in range(3):
            context = 0.1 * np.random.default_rng(k).standard_normal(2 * FRAME, np.float32)
            if k == 1:
                engine.adopt(another(engine))
            np.testing.assert_array_equal(engine.step(context).audio, plain.step(context).audio)


def test_it_takes_far_less_than_a_step(copying: Path, silent: Any) -> None:
    with opened(copying, silent) as engine:
        rungs = [another(engine), another(engine)]
        engine.step(clicks(0))
        took = []
        for k in range(20):
            begin = time.perf_counter()
            engine.adopt(rungs[k % 2])
            took.append(time.perf_counter() - begin)
        assert sorted(took)[10] < 0.01


def test_other_stems_come_with_it(copying: Path, silent: Any) -> None:
    with opened(copying, silent) as engine:
        for _ in range(3):
            engine.step(clicks(engine.cycle.now_samples))
        engine.adopt(another(engine, ("piano", "bass")))
        assert engine.cycle.stems == ("piano", "bass")
        step = engine.step(clicks(engine.cycle.now_samples))
        np.testing.assert_array_equal(step.audio[1], clicks(step.start_samples))
        np.testing.assert_array_equal(step.headroom[1], clicks(step.start_samples - 882, 882))


class OneSize:
    """A rung that decodes only what it was bound for, and cannot bind at once."""

    binds_at_once = False

    def __init__(self, inner: Backend, name: str = "one size") -> None:
        self.inner, self.bundle, self.name = inner, inner.bundle, name

    def bind(self, binding: Any) -> Any:
        pipeline, size = self.inner.bind(binding), max(binding.decode_frames)

        def decode_frames(wanted: int) -> int:
            if wanted > size:
                raise BackendError(f"no decode of {wanted} frames")
            return size

        pipeline.decode_frames = decode_frames  # type: ignore[method-assign,attr-defined]
        return pipeline


def refusals(engine: Engine) -> dict[str, Any]:
    backend, pace = engine.backend, engine.cycle.pace
    table = engine.cycle.prepared.table
    return {
        "other stems": prepare(backend, ("piano",), table, pace),
        "another sampler": prepare(backend, ("bass",), engine.bundle.manifest.sampler.table(1), pace),
        "a shorter decode": prepare(OneSize(backend), ("bass",), table, Pace(FRAME, FRAME)),
    }


@pytest.mark.parametrize("what", ["other stems", "another sampler", "a shorter decode"])
def test_what_does_not_fit_changes_nothing(copying: Path, silent: Any, what: str) -> None:
    with opened(copying, silent) as engine:
        engine.step(clicks(0))
        before = engine.cycle.prepared
        with pytest.raises(BackendError, match="prepare"):
            engine.cycle.adopt(refusals(engine)[what])
        assert engine.cycle.prepared is before
        assert engine.step(clicks(STEP)).start_samples == 3 * STEP


def test_a_larger_decode_than_needed_lands_where_it_should(copying: Path, silent: Any) -> None:
    with opened(copying, silent) as engine:
        table = engine.cycle.prepared.table
        engine.adopt(prepare(OneSize(engine.backend), ("bass",), table, Pace(16 * FRAME, FRAME)))
        for _ in range(4):
            step = engine.step(clicks(engine.cycle.now_samples))
        np.testing.assert_array_equal(step.audio[0], clicks(step.start_samples))


def test_the_original_s_cycle_stays_where_it_is(copying: Path, silent: Any) -> None:
    with (
        Engine.open(copying, backend="onnxruntime", threads=1, compat="upstream", noise=silent) as engine,
        opened(copying, silent) as other,
        pytest.raises(BackendError, match="original"),
    ):
        engine.adopt(other.cycle.prepared)


def test_the_ladder_goes_on_where_a_rung_cannot_bind(copying: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoPlan:
        def __init__(self, bundle: Bundle) -> None:
            self.name, self.bundle, self.closed = "best", bundle, False

        def bind(self, binding: Any) -> Any:
            raise PlanMissingError("no plan for 1 stem; run `anacrusis build`")

    best = Rung("best", "", lambda: None, lambda bundle, threads: NoPlan(bundle))
    monkeypatch.setattr("anacrusis.engine.ladder.RUNGS", (best, *(r for r in RUNGS if r.name == "onnxruntime")))
    with Engine.open(copying, threads=1) as engine:
        assert engine.backend.name == "onnxruntime"
    with pytest.raises(PlanMissingError):
        Engine.open(copying, backend="best", threads=1)


def test_a_rung_that_makes_no_number_of_silence_is_refused(copying: Path, silent: Any) -> None:
    class Spoilt(OneSize):
        def bind(self, binding: Any) -> Any:
            pipeline = super().bind(binding)
            run = pipeline.cycle

            def cycle(**arguments: Any) -> Any:
                outputs = run(**arguments)
                outputs.audio[:, -1] = np.inf
                return outputs

            pipeline.cycle = cycle
            return pipeline

    with opened(copying, silent) as engine:
        table, pace = engine.cycle.prepared.table, engine.cycle.pace
        with pytest.raises(BackendError, match="no number"):
            prepare(Spoilt(engine.backend), ("bass",), table, pace, measure=True)
