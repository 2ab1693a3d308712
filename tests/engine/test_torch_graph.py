# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The prepared cycle gives what eager float32 gives, from fixed memory, and prepares before it runs.

On a CPU a lane's capture is the call itself; all else is what runs on CUDA. The order that CUDA needs (warm-up on the
stream, capture, then only replays and one wait) is checked against a lane and a torch.cuda that note what is done.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine import Engine  # noqa: E402
from anacrusis.engine.backends import torch_lane  # noqa: E402
from anacrusis.engine.backends.torch import FAST, ORACLE, TorchBackend, TorchOptions, TorchPipeline, ours  # noqa: E402
from anacrusis.engine.backends.torch_graph import ALIGNED_VALUES, GraphPipeline, Stages  # noqa: E402
from anacrusis.engine.backends.torch_lane import CudaLane, HostLane, Numerics  # noqa: E402
from anacrusis.engine.bundle import Bundle  # noqa: E402
from anacrusis.engine.engine import make_pace  # noqa: E402
from anacrusis.engine.errors import BackendError  # noqa: E402
from anacrusis.engine.pipeline import Binding, Pipeline  # noqa: E402

FRAMES, SIZES = 64, (2, 5)


def binding_of(bundle: Bundle, rows: int, sizes: tuple[int, ...] = SIZES) -> Binding:
    labels = np.eye(len(bundle.manifest.stems), dtype=np.float32)[:rows]
    return Binding(labels, bundle.manifest.sampler.table(), FRAMES, sizes)


def fill(pipeline: Pipeline, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name, scale in (("audio", 0.1), ("source", 1.0), ("noise", 1.0), ("decoder_noise", 1.0)):
        array = getattr(pipeline.inputs, name)
        array[...] = scale * rng.standard_normal(array.shape, dtype=np.float32)
    pipeline.inputs.heard[...], pipeline.inputs.keep[...] = 1.0, 1.0
    pipeline.inputs.heard[..., 40:], pipeline.inputs.keep[..., 60:] = 0.0, 0.0


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(Path(__file__).resolve().parents[2] / "bundles" / "tiny-cd")


@pytest.fixture(scope="module")
def oracle(bundle: Bundle) -> Pipeline:
    return TorchBackend(bundle).bind(binding_of(bundle, 2))


CASES = [  # generate, decode_first, decode_frames
    (True, FRAMES - 2, 2),  # prepared
    (True, FRAMES - 5, 5),  # prepared, the other size
    (False, FRAMES - 2, 2),  # prepared, decode only
    (True, FRAMES - 3, 3),  # a size that was not
    (False, 10, 2),  # a place that was not
]


@pytest.mark.parametrize(
    ("options", "cases", "tolerance"),
    [
        pytest.param(TorchOptions(graph=True), CASES, 0.0, id="graph"),
        pytest.param(TorchOptions(graph=True, channels_last=True), CASES[:1], 1e-3, id="graph, channels_last"),
    ],
)
def test_every_cycle_is_the_oracle_s(
    bundle: Bundle, oracle: Pipeline, options: TorchOptions, cases: list[tuple[bool, int, int]], tolerance: float
) -> None:
    pipeline = TorchBackend(bundle, options=options).bind(binding_of(bundle, 2))
    for seed, (generate, first, frames) in enumerate(cases):
        results = []
        for each in (oracle, pipeline):
            fill(each, seed)
            made = each.cycle(generate=generate, decode_first=first, decode_frames=frames)
            assert (made.context is not None) is generate
            results.append([x.copy() for x in (made.latents, made.audio, made.context) if x is not None])
        for wanted, got in zip(*results, strict=True):
            assert wanted.shape == got.shape
            np.testing.assert_allclose(got, wanted, atol=tolerance * np.abs(wanted).max())
        assert np.abs(results[1][1]).max() > 0.01
    np.testing.assert_allclose(pipeline.encode(), oracle.encode(), atol=1e-3)


def test_a_narrower_type_changes_little_and_something(bundle: Bundle, oracle: Pipeline) -> None:
    # bfloat16, because float16 convolutions take minutes on a CPU; the casts it passes through are the same.
    narrow = TorchBackend(bundle, options=TorchOptions(torch.bfloat16, graph=True)).bind(binding_of(bundle, 2))
    latents = []
    for each in (oracle, narrow):
        fill(each, 0)
        latents.append(each.cycle(generate=True, decode_first=FRAMES - 2, decode_frames=2).latents.copy())
    error = np.abs(latents[0] - latents[1]).max() / np.abs(latents[0]).max()
    assert latents[1].dtype == np.float32
    assert 0 < error < 0.05


def test_an_engine_plays_through_it_as_through_the_oracle(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = make_pace(bundle.manifest.geometry, step_frames=2, lead_frames=1)
    sizes = pace.decode_sizes(bundle.manifest.geometry)
    snap = lambda self, wanted: min((size for size in sizes if size >= wanted), default=wanted)  # noqa: E731
    monkeypatch.setattr(TorchPipeline, "decode_frames", snap)
    context = (0.1 * np.random.default_rng(1).standard_normal(8192)).astype(np.float32)
    outs = []
    for options in (ORACLE, TorchOptions(graph=True)):
        backend = TorchBackend(bundle, options=options)
        with Engine.open(bundle, backend=backend, stems=["bass"], step_frames=2, lead_frames=1) as engine:
            outs.append([np.asarray(engine.step(context)) for _ in range(2)])
    np.testing.assert_array_equal(outs[0], outs[1])


@pytest.mark.parametrize(("wanted", "given"), [(1, 2), (2, 2), (3, 5), (5, 5), (6, 6)])
def test_the_smallest_prepared_size_that_holds_it(bundle: Bundle, wanted: int, given: int) -> None:
    assert copier(bundle, Noting()).decode_frames(wanted) == given


def test_what_was_not_prepared_is_said_once(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = copier(bundle, Noting())
    with caplog.at_level(logging.WARNING, "anacrusis.torch"):
        for frames in (2, 3, 4):
            pipeline.cycle(generate=True, decode_first=FRAMES - frames, decode_frames=frames)
    assert [record.getMessage() for record in caplog.records] == [
        "a decode of 3 frames was not prepared for: it runs without a graph, and slower"
    ]


# -- the order of things ------------------------------------------------------------------------------------


class Noting(HostLane):
    """A lane that writes down what it is asked for, and whether it was asked inside itself."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.inside = 0

    def host(self, count: int) -> Any:
        self.calls.append("allocate")
        return super().host(count)

    def prepare(self, run: Callable[[], None]) -> Callable[[], None]:
        self.calls.append("prepare")
        run()

        def replay() -> None:
            self.calls.append(f"replay{' inside' if self.inside else ''}")
            run()

        return replay

    def wait(self) -> None:
        self.calls.append("wait")

    def __enter__(self) -> None:
        self.inside += 1

    def __exit__(self, *_: object) -> None:
        self.inside -= 1


def copier(bundle: Bundle, lane: HostLane) -> GraphPipeline:
    """Networks that copy: the latents are the source, the audio is zeros."""
    geometry = bundle.manifest.geometry
    binding = binding_of(bundle, 1)
    stages = Stages(
        encode=lambda audio, heard: torch.zeros(1, bundle.manifest.latent_channels, FRAMES) + audio[0, 0],
        denoise=lambda u, b, *_: (u, b),
        decode=lambda latent, noise: torch.zeros(1, geometry.decoded_samples(latent.shape[2])) + latent[0, 0, 0],
        cond=[[] for _ in binding.table.rows],
    )
    return GraphPipeline(stages, lane, bundle.manifest, binding, Numerics())


def test_a_prepared_cycle_is_one_replay_and_one_wait(bundle: Bundle) -> None:
    lane = Noting()
    pipeline = copier(bundle, lane)
    assert lane.calls == ["allocate"] * 2 + ["prepare"] * 2 * len(SIZES)
    addresses = {name: getattr(pipeline.inputs, name).ctypes.data for name in ("audio", "source", "decoder_noise")}
    lane.calls.clear()
    for frames in (*SIZES, *SIZES):
        pipeline.inputs.source[...] = frames
        made = pipeline.cycle(generate=False, decode_first=FRAMES - frames, decode_frames=frames)
        assert made.audio[0, -1] == frames
    assert lane.calls == ["replay inside", "wait"] * 2 * len(SIZES)
    assert addresses == {name: getattr(pipeline.inputs, name).ctypes.data for name in addresses}


def test_inputs_are_aligned_and_apart(bundle: Bundle) -> None:
    inputs = copier(bundle, Noting()).inputs
    arrays = [inputs.audio, inputs.heard, inputs.keep, inputs.source, inputs.noise, inputs.decoder_noise]
    base = inputs.audio.ctypes.data
    assert all((array.ctypes.data - base) % (4 * ALIGNED_VALUES) == 0 for array in arrays)
    for value, array in enumerate(arrays):
        array[...] = value
    assert [float(array.min()) for array in arrays] == [float(array.max()) for array in arrays] == [0, 1, 2, 3, 4, 5]


class Graph:
    def __init__(self, said: list[str]) -> None:
        self._said = said

    def replay(self) -> None:
        self._said.append("replay")

    def pool(self) -> str:
        return "pool"


def test_cuda_warms_up_on_its_stream_before_it_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    stream = SimpleNamespace(
        synchronize=lambda: said.append("synchronize"),
    )

    @contextlib.contextmanager
    def on(what: str) -> Iterator[None]:
        said.append(f"enter {what}")
        yield
        said.append(f"leave {what}")

    def graph(made: Graph, *, pool: object, stream: object, capture_error_mode: str) -> Any:
        assert capture_error_mode == "thread_local"
        return on(f"capture into {pool}")

    cuda = SimpleNamespace(
        Stream=lambda device: stream,
        synchronize=lambda device: said.append("settle"),
        stream=lambda s: on("stream"),
        CUDAGraph=lambda: Graph(said),
        graph=graph,
    )
    monkeypatch.setattr(torch_lane.torch, "cuda", cuda)
    lane = CudaLane("cuda:0")
    replay = lane.prepare(lambda: said.append("run"))
    warm = ["settle", "enter stream", *["run"] * 3, "leave stream", "synchronize"]
    assert said == [*warm, "enter capture into None", "run", "leave capture into None"]
    said.clear()
    replay()
    assert said == ["replay"]
    lane.prepare(lambda: None)
    assert "enter capture into pool" in said  # graphs of one lane share their memory


# -- options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("tf32", "held"), [(True, (True, True)), (False, (False, False)), (None, (True, False))])
def test_switches_are_put_back(tf32: bool | None, held: tuple[bool, bool], fails: bool) -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark)
    assert before == (True, False, False)
    with contextlib.suppress(ZeroDivisionError), Numerics(tf32, autotune=True).hold():
        assert (cudnn.allow_tf32, matmul.allow_tf32) == held
        assert cudnn.benchmark
        if fails:
            raise ZeroDivisionError
    assert (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark) == before


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (TorchOptions(torch.int8), "computes in float32, float16 or bfloat16, not torch.int8"),
        (TorchOptions(graph=True, compile_mode="max-autotune"), "makes graphs of its own; take it without graph"),
    ],
)
def test_what_cannot_be_combined_is_refused(options: TorchOptions, text: str) -> None:
    with pytest.raises(BackendError, match=text):
        options.validate()


def test_torch_s_errors_become_one_line() -> None:
    with pytest.raises(BackendError) as caught, ours("prepare a cycle"):
        raise RuntimeError("CUDA error: out of memory\n  Compile with")
    assert str(caught.value) == "torch could not prepare a cycle: CUDA error: out of memory Compile with"


def test_the_fast_form_is_half_one_graph_and_channels_last() -> None:
    assert (FAST.compute, FAST.graph, FAST.channels_last, FAST.compile_mode) == (torch.float16, True, True, None)
