# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The cycle's state, on the shipped bundle: repeatable, deaf to the future, one batch for several stems."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anacrusis.engine import Engine
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AudioError, GeometryError, StemError
from anacrusis.engine.ladder import open_backend
from anacrusis.engine.pipeline import Backend
from anacrusis.engine.window import Pace

F32 = NDArray[np.float32]
FRAME = 4096
STEP = 2 * FRAME  # short steps: few frames to decode


@pytest.fixture(scope="module")
def backend(tiny: Path) -> Backend:
    return open_backend(Bundle.open(tiny), "onnxruntime", threads=1)


def open_engine(backend: Backend, stems: tuple[str, ...] = ("bass",), **changes: Any) -> Engine:
    return Engine.open(
        backend.bundle, backend=backend, stems=stems, **{"step_samples": STEP, "lead_frames": 1, **changes}
    )


def music(samples: int, seed: int = 0) -> F32:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def play(engine: Engine, context: F32) -> F32:
    s = engine.step_samples
    return np.concatenate([engine.step(context[at : at + s]).audio for at in range(0, len(context), s)], axis=1)


def test_a_run_repeats_bit_for_bit_and_after_a_reset(backend: Backend) -> None:
    context = music(3 * STEP)
    engine = open_engine(backend)
    first = play(engine, context)
    engine.reset()
    np.testing.assert_array_equal(play(engine, context), first)
    np.testing.assert_array_equal(play(open_engine(backend), context), first)
    assert not np.array_equal(play(open_engine(backend, seed=5), context), first)


def test_what_is_not_yet_heard_changes_nothing(backend: Backend) -> None:
    context = music(3 * STEP)
    other = context.copy()
    other[2 * STEP :] = music(STEP, seed=9)
    a, b = play(open_engine(backend), context), play(open_engine(backend), other)
    np.testing.assert_array_equal(a[:, : 2 * STEP], b[:, : 2 * STEP])
    assert not np.array_equal(a[:, 2 * STEP :], b[:, 2 * STEP :]), "the newest step must matter"


def test_several_stems_are_one_batch_and_each_is_what_it_would_be_alone(backend: Backend) -> None:
    context, stems = music(2 * STEP), ("drums", "bass", "piano")
    together = play(open_engine(backend, stems), context)
    assert together.shape[0] == 3
    for row, stem in enumerate(stems):
        alone = play(open_engine(backend, (stem,)), context)[0]
        np.testing.assert_allclose(together[row], alone, atol=2e-3)  # other batch sizes round otherwise
    assert np.abs(together[0] - together[1]).max() > 0.01


def test_a_stem_that_stays_keeps_its_history(backend: Backend) -> None:
    context = music(4 * STEP)
    steady = play(open_engine(backend), context)
    engine = open_engine(backend)
    before = play(engine, context[: 2 * STEP])
    engine.set_stems(["piano", "bass"])
    after = play(engine, context[2 * STEP :])
    np.testing.assert_array_equal(before, steady[:, : 2 * STEP])
    np.testing.assert_allclose(after[1], steady[0, 2 * STEP :], atol=2e-3)


def test_step_reports_what_it_did(backend: Backend) -> None:
    engine = open_engine(backend, step_samples=2048, keep_latents=True)
    steps = [engine.step(music(2048, seed=k)) for k in range(6)]
    assert [s.nfe for s in steps] == [2, 2, 0, 2, 0, 2], "every other step of half a frame needs no new frame"
    assert [s.start_samples for s in steps] == [2048 * (k + 1) + FRAME for k in range(6)]
    for s in steps:
        assert s.audio.shape == (1, 2048)
        assert s.headroom.shape == (1, 882)
        assert (s.times.denoise_ms > 0) == (s.nfe > 0)
        assert s.latents is not None
        assert s.latents.shape == (1, 64, 64)
    assert np.asarray(steps[0]).shape == (1, 2048)


def test_a_held_decode_continues_without_a_seam(backend: Backend) -> None:
    engine = open_engine(backend, step_samples=2048)
    steps = [engine.step(music(2048, seed=k)) for k in range(5)]
    held = [index for index, step in enumerate(steps) if step.nfe == 0]
    assert held == [2, 4]
    for index in held:
        np.testing.assert_array_equal(steps[index].headroom, steps[index - 1].audio[:, -882:])


def test_nothing_grows_with_the_song(backend: Backend) -> None:
    engine = open_engine(backend, step_samples=512)
    chunk = music(512)

    def run(steps: int) -> int:
        for _ in range(steps):
            engine.step(chunk)
        return tracemalloc.get_traced_memory()[0]

    run(16)
    tracemalloc.start()
    try:
        early = run(16)
        late = run(64)
    finally:
        tracemalloc.stop()
    assert late - early < 100_000, "a cycle of 512 samples holds on to memory"


@pytest.mark.parametrize(
    ("context", "says"),
    [
        (np.zeros(0, np.float32), "0 < n"),
        (np.zeros((2, 8), np.float32), "not of shape"),
        (np.zeros(262145, np.float32), "not of shape"),
        (np.full(STEP, np.nan, np.float32), "not finite"),
    ],
    ids=["empty", "two channels", "longer than the window", "NaN"],
)
def test_bad_context_changes_no_state(backend: Backend, context: F32, says: str) -> None:
    engine, same = open_engine(backend), open_engine(backend)
    good = music(STEP)
    with pytest.raises(AudioError, match=says):
        engine.step(context)
    np.testing.assert_array_equal(engine.step(good).audio, same.step(good).audio)


def test_bad_settings_change_no_state(backend: Backend) -> None:
    engine = open_engine(backend)
    before = engine.cycle.pace
    with pytest.raises(GeometryError):
        engine.set_pace(Pace(0, 0))
    with pytest.raises(GeometryError, match="run backwards"):
        engine.skip(-1)
    assert engine.cycle.pace == before


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"stems": ("flute",)}, StemError, "unknown stem 'flute'; this model writes bass, drums, guitar, piano"),
        ({"stems": ()}, StemError, "no stem asked for"),
        ({"stems": ("bass", "bass")}, StemError, "twice"),
        ({"r": 0.25}, GeometryError, "give the step once"),
        ({"lead_samples": 5}, GeometryError, "give the lead once"),
        ({"lead_frames": 63}, GeometryError, "leaves no heard frame"),
        ({"compat": "upstream"}, GeometryError, "paced by r and w only"),
    ],
    ids=["stem", "no stem", "stem twice", "two steps", "two leads", "lead beyond the window", "upstream in frames"],
)
def test_bad_settings_are_refused_before_anything_runs(
    backend: Backend, settings: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        open_engine(backend, **settings)
