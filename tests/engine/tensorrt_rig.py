# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of the TensorRT backend share: the backend over the double, and a performance to put it through."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.device_double import DeviceDouble
from anacrusis.engine.backends.cuda_device import CudaDevice
from anacrusis.engine.backends.tensorrt import TensorRtBackend
from anacrusis.engine.backends.tensorrt_pipeline import TensorRtPipeline
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.pipeline import Backend, Binding, Pipeline
from anacrusis.engine.prepared import one_hot
from anacrusis.engine.sampler import Mix, Row, SamplerTable

F32 = NDArray[np.float32]


def open_on(double: DeviceDouble, bundle: Bundle, **changes: Any) -> TensorRtBackend:
    settings: dict[str, Any] = {"name": "tensorrt-rtx", "plans": double.plans(bundle), **changes}
    return TensorRtBackend(bundle, device=CudaDevice(double.driver), library=double.library, **settings)


def binding(bundle: Bundle, stems: Sequence[str] = ("bass",), sizes: tuple[int, ...] = (3, 5)) -> Binding:
    manifest = bundle.manifest
    return Binding(one_hot(manifest, stems), manifest.sampler.table(), manifest.geometry.window_frames, sizes)


def fill(pipeline: Pipeline, seed: int, generated: int = 4) -> None:
    """Inputs as a cycle would leave them, from one seed."""
    rng, inputs = np.random.default_rng(seed), pipeline.inputs
    for array in (inputs.audio, inputs.source, inputs.noise, inputs.decoder_noise):
        array[...] = 0.1 * rng.standard_normal(array.shape).astype(np.float32)
    for mask, ones in ((inputs.heard, -2 * generated), (inputs.keep, -generated)):
        mask[...] = 0.0
        mask[..., :ones] = 1.0


def run(pipeline: Pipeline, frames: int, *, generate: bool = True) -> dict[str, F32]:
    """Copies of one cycle's outputs."""
    window = pipeline.inputs.source.shape[-1]
    out = pipeline.cycle(generate=generate, decode_first=window - frames, decode_frames=frames)
    assert out.context is not None
    return {"latents": out.latents.copy(), "audio": out.audio.copy(), "context": out.context.copy()}


def perform(double: DeviceDouble, bundle: Bundle, marks: list[int]) -> None:
    """All a session does: bind, play, bind other stems while the first still play, play on, close.

    marks: gets, for each stretch of cycles, the numbers of calls before and after it.
    """
    backend = open_on(double, bundle)
    first = second = None
    try:
        first = backend.bind(binding(bundle))
        _play(double, first, marks)
        second = backend.bind(binding(bundle, ("bass", "drums"), (3,)))
        _play(double, first, marks)
        first.close()
        _play(double, second, marks)
    finally:
        for pipeline in (first, second):
            if pipeline is not None:
                pipeline.close()
        backend.close()
        first = second = None
        gc.collect()


def _play(double: DeviceDouble, pipeline: TensorRtPipeline, marks: list[int]) -> None:
    marks.append(len(double.calls))
    try:
        for seed in range(2):
            fill(pipeline, seed)
            run(pipeline, 3)
        run(pipeline, 3, generate=False)
        pipeline.encode()
    finally:
        marks.append(len(double.calls))


class SameSizes:
    """Another backend, made to decode the sizes that a prepared one would: rungs are compared on equal decodes."""

    def __init__(self, backend: Backend) -> None:
        self.name, self.bundle, self._backend = backend.name, backend.bundle, backend

    def bind(self, wanted: Binding) -> Pipeline:
        pipeline = self._backend.bind(wanted)
        pipeline.decode_frames = lambda frames: min(n for n in wanted.decode_frames if n >= frames)  # type: ignore[method-assign]
        return pipeline


def with_rows_that_mix(bound: Binding) -> Binding:
    """Three evaluations that each read what the one before wrote, u and b apart, and inject noise of their own."""
    rows = tuple(
        Row(sigma=2.0 - i, cb=0.2, cu=0.3, cd=0.5, newbase=i == 1, mix=Mix(keep=((i + 1, 0.5),))) for i in range(3)
    )
    table = SamplerTable("consistency", rows, Mix(generate=((0, 1.0),)), draws=4)
    return replace(bound, table=table)
