# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The TensorRT backend over a double that computes: what it plays is what the ONNX Runtime rung plays, bit for bit."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anacrusis.benchmarks.device_double import DeviceDouble
from anacrusis.engine import Engine
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError
from anacrusis.engine.ladder import open_backend
from anacrusis.engine.pipeline import Binding

from . import tensorrt_rig as rig

F32 = NDArray[np.float32]
STEP = 2 * 4096


@pytest.fixture(scope="module")
def bundles(tiny: Path, copying: Path) -> dict[str, Bundle]:
    return {"tiny": Bundle.open(tiny), "copying": Bundle.open(copying)}


def play(engine: Engine, samples: int, seed: int = 0) -> F32:
    s, heard = engine.step_samples, np.abs(0.1 * np.random.default_rng(seed).standard_normal(samples))
    steps = [engine.step(heard[at : at + s].astype(np.float32)) for at in range(0, samples, s)]
    return np.concatenate([step.audio for step in steps], axis=1)


@pytest.mark.parametrize(
    ("library", "name", "stems", "pace", "steps"),
    [
        ("tensorrt_rtx", "tiny", ["bass"], {"step_frames": 2, "lead_frames": 1}, 3),
        ("tensorrt", "tiny", ["drums", "bass"], {"step_frames": 1, "lead_frames": 2}, 2),
        ("tensorrt_rtx", "copying", ["bass"], {"step_samples": 66150, "lead_samples": 66150}, 4),
        ("tensorrt", "copying", ["bass"], {"step_samples": 66150, "lead_samples": 66150}, 4),
        # Steps below a frame: some generate nothing.
        ("tensorrt_rtx", "copying", ["piano", "bass"], {"step_samples": 3000, "lead_frames": 1}, 14),
    ],
)
def test_it_plays_what_onnx_runtime_plays(
    bundles: dict[str, Bundle], library: str, name: str, stems: list[str], pace: dict[str, int], steps: int
) -> None:
    bundle, double = bundles[name], DeviceDouble(rtx=library == "tensorrt_rtx", aux_streams=library == "tensorrt")
    assert double.library.__name__ == library
    outs = []
    for backend in (rig.open_on(double, bundle), rig.SameSizes(open_backend(bundle, "onnxruntime", threads=1))):
        engine = Engine.open(bundle, backend=backend, stems=stems, **pace)
        outs.append(play(engine, steps * engine.step_samples))
        engine.close()
    np.testing.assert_array_equal(outs[0], outs[1])
    assert np.abs(outs[0]).max() > 0.01


@pytest.mark.parametrize("apart", [False, True], ids=["one graph", "stages apart"])
def test_every_output_of_every_kind_of_cycle(bundles: dict[str, Bundle], apart: bool) -> None:
    bundle = bundles["tiny"]
    backend = rig.open_on(DeviceDouble(), bundle, profile=apart)
    assert backend.name == ("tensorrt-rtx-stages-apart" if apart else "tensorrt-rtx")
    ours = backend.bind(rig.binding(bundle))
    reference = open_backend(bundle, "onnxruntime", threads=1).bind(rig.binding(bundle))
    for seed, (frames, generate) in enumerate([(3, True), (5, True), (3, False), (5, False), (3, True)]):
        got = []
        for pipeline in (ours, reference):
            rig.fill(pipeline, seed)
            if not generate:
                pipeline.encode()
            got.append(rig.run(pipeline, frames, generate=generate))
        for array in ("latents", "audio", "context"):
            np.testing.assert_array_equal(got[0][array], got[1][array], err_msg=f"{array} of cycle {seed}")


def test_many_rows_of_a_sampler(bundles: dict[str, Bundle]) -> None:
    """Three evaluations: an odd number of rows, so that the last latents lie in the other set."""
    bundle = bundles["copying"]
    for steps in (1, 2, 3, 4):
        bound = rig.binding(bundle)
        table = bundle.manifest.sampler.table(steps)
        bound = Binding(bound.labels, table, bound.max_decode_frames, (3,))
        got = []
        for backend in (rig.open_on(DeviceDouble(), bundle), open_backend(bundle, "onnxruntime", threads=1)):
            pipeline = backend.bind(bound)
            rig.fill(pipeline, steps)
            got.append(rig.run(pipeline, 3))
        for name in got[0]:
            np.testing.assert_array_equal(got[0][name], got[1][name], err_msg=f"{name}, {steps} evaluations")


def test_stage_times_come_from_the_graph(bundles: dict[str, Bundle]) -> None:
    pipeline = rig.open_on(DeviceDouble(), bundles["tiny"]).bind(rig.binding(bundles["tiny"], sizes=(3,)))
    whole = pipeline.cycle(generate=True, decode_first=61, decode_frames=3).times
    assert min(whole.encode_ms, whole.denoise_ms, whole.decode_ms) > 1.0
    short = pipeline.cycle(generate=False, decode_first=61, decode_frames=3).times
    assert short.encode_ms < 1.0 < short.decode_ms


@pytest.mark.parametrize(("wanted", "runs"), [(1, 3), (3, 3), (4, 5), (5, 5), (6, None)])
def test_a_decode_is_the_smallest_that_was_prepared(bundles: dict[str, Bundle], wanted: int, runs: int | None) -> None:
    pipeline = rig.open_on(DeviceDouble(), bundles["copying"]).bind(rig.binding(bundles["copying"], sizes=(5, 3)))
    if runs is None:
        with pytest.raises(BackendError, match=r"no decode of 6 frames is prepared \(prepared: 3, 5\)"):
            pipeline.decode_frames(wanted)
    else:
        assert pipeline.decode_frames(wanted) == runs


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"decode_first": 60, "decode_frames": 4}, "no decode of 4 frames is prepared .prepared: 3, 5.; bind again"),
        ({"decode_first": 60, "decode_frames": 3}, "does not end at the window's right edge"),
    ],
)
def test_what_was_not_prepared_is_refused_and_nothing_runs(
    bundles: dict[str, Bundle], asked: dict[str, int], says: str
) -> None:
    double = DeviceDouble()
    pipeline = rig.open_on(double, bundles["copying"]).bind(rig.binding(bundles["copying"]))
    before = len(double.calls)
    with pytest.raises(BackendError, match=says):
        pipeline.cycle(generate=True, **asked)
    assert len(double.calls) == before


@pytest.mark.parametrize("sizes", [(0,), (65,), (3, 70)])
def test_sizes_beyond_the_window_are_refused(bundles: dict[str, Bundle], sizes: tuple[int, ...]) -> None:
    with pytest.raises(BackendError, match="do not fit a window of 64"):
        rig.open_on(DeviceDouble(), bundles["copying"]).bind(rig.binding(bundles["copying"], sizes=sizes))


def test_without_sizes_the_largest_is_prepared(bundles: dict[str, Bundle]) -> None:
    pipeline = rig.open_on(DeviceDouble(), bundles["copying"]).bind(rig.binding(bundles["copying"], sizes=()))
    assert pipeline.decode_frames(2) == 64


def test_stems_change_while_the_old_ones_play(bundles: dict[str, Bundle]) -> None:
    bundle, double = bundles["copying"], DeviceDouble()
    outs = []
    for backend in (rig.open_on(double, bundle), rig.SameSizes(open_backend(bundle, "onnxruntime", threads=1))):
        engine = Engine.open(bundle, backend=backend, stems=["bass"], step_samples=STEP, lead_frames=1)
        before = play(engine, 2 * STEP)
        engine.set_stems(["drums", "bass"])
        outs.append((before, play(engine, 2 * STEP, seed=1)))
        if backend.name == "tensorrt-rtx":
            live = [side for side, _, _ in double.driver.memory.live()]
            assert live.count("device") == live.count("pinned") == 1, "the old stems' memory went with their pipeline"
        engine.close()
    for ours, theirs in zip(*outs, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_pipeline_is_bound_on_one_thread_and_plays_on_another(bundles: dict[str, Bundle]) -> None:
    bundle, got = bundles["copying"], []
    pipeline = rig.open_on(DeviceDouble(), bundle).bind(rig.binding(bundle))
    thread = threading.Thread(target=lambda: got.append(rig.run(pipeline, 3)))
    thread.start()
    thread.join()
    assert len(got) == 1


def test_views_outlive_the_pipeline_and_the_backend(bundles: dict[str, Bundle]) -> None:
    bundle, double = bundles["copying"], DeviceDouble()
    backend = rig.open_on(double, bundle)
    pipeline = backend.bind(rig.binding(bundle))
    rig.fill(pipeline, 1)
    audio = pipeline.cycle(generate=True, decode_first=61, decode_frames=3).audio
    copy = audio.copy()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        pipeline.encode()
    np.testing.assert_array_equal(audio, copy)
    assert [side for side, _, _ in double.driver.memory.live()] == ["pinned"]
    assert double.driver.context_users == 1
    del audio
    assert double.driver.memory.live() == []
    assert double.driver.context_users == 0


def test_half_precision_conditioning_is_uploaded_as_the_plan_takes_it(
    bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An fp16 bundle's denoise takes float16 where embed gives float32: read from the plan, not assumed."""
    from anacrusis.benchmarks.device_double import library
    from anacrusis.engine.backends import tensorrt_memory

    seen: dict[str, Any] = {}
    made = tensorrt_memory.BindingMemory.denoise_tensors

    def spy(self: Any, i: int) -> Any:
        tensors = made(self, i)
        seen.update({name: tensor.dtype for name, tensor in tensors.items()})
        return tensors

    whole = library.Engine.__init__

    def half(self: Any, machine: Any, stage: str, onnx: str, dims: dict[str, int]) -> None:
        whole(self, machine, stage, onnx, dims)
        if stage == "denoise":
            shape = self.inputs["cond_00"][0]
            self.inputs["cond_00"] = self.tensors["cond_00"] = (shape, np.dtype(np.float16))

    class AsFloat:
        """The graph itself stays float32: cast where a real plan would take the half."""

        def __init__(self, session: Any) -> None:
            self._session = session

        def run(self, names: list[str], feeds: dict[str, Any]) -> Any:
            return self._session.run(names, {n: np.asarray(a, np.float32) for n, a in feeds.items()})

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

    real = library._session
    monkeypatch.setattr(library, "_session", lambda onnx: AsFloat(real(onnx)))
    monkeypatch.setattr(library.Engine, "__init__", half)
    monkeypatch.setattr(tensorrt_memory.BindingMemory, "denoise_tensors", spy)
    bundle = bundles["copying"]
    pipeline = rig.open_on(DeviceDouble(), bundle).bind(rig.binding(bundle, sizes=(3,)))
    rig.fill(pipeline, 3)
    ours = rig.run(pipeline, 3)
    assert seen["cond_00"] == np.float16
    assert {seen[name] for name in ("u", "b", "source", "noise", "context", "keep", "row")} == {np.dtype(np.float32)}
    reference = open_backend(bundle, "onnxruntime", threads=1).bind(rig.binding(bundle, sizes=(3,)))
    rig.fill(reference, 3)
    np.testing.assert_array_equal(ours["audio"], rig.run(reference, 3)["audio"])  # the label's 0 and 1 are exact
