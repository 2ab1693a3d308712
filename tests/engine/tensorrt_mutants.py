# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Careless changes to the TensorRT backend, one a function: what the rules and the double must notice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from anacrusis.benchmarks.device_double import DeviceDouble
from anacrusis.engine.backends import (
    cuda_graph,
    cuda_memory,
    cuda_stream,
    tensorrt_library,
    tensorrt_memory,
    tensorrt_pipeline,
)
from anacrusis.engine.errors import BackendError

Patch = pytest.MonkeyPatch
Pipeline = tensorrt_pipeline.TensorRtPipeline
Memory = tensorrt_memory.BindingMemory


def no_warm_up(patch: Patch) -> None:
    patch.setattr(Pipeline, "_warm_up", lambda self, chain: None)


def one_warm_up(patch: Patch) -> None:
    patch.setattr(tensorrt_pipeline, "WARM_UPS", 1)


def unwaited_warm_up(patch: Patch) -> None:
    def warm_up(self: Any, chain: Any) -> None:
        for action in [action for _ in range(2) for actions in chain.values() for action in actions]:
            action()

    patch.setattr(Pipeline, "_warm_up", warm_up)


def _around_a_cycle(patch: Patch, extra: Callable[[Any], None]) -> None:
    whole = Pipeline._run

    def run(self: Any, kind: Any) -> Any:
        extra(self)
        return whole(self, kind)

    patch.setattr(Pipeline, "_run", run)


def allocates_in_a_cycle(patch: Patch) -> None:
    def extra(self: Any) -> None:
        self._device.call("cuMemFree", self._device.call("cuMemAlloc", 256))

    _around_a_cycle(patch, extra)


def waits_before_the_launch(patch: Patch) -> None:
    _around_a_cycle(patch, lambda self: self._stream.device.call("cuStreamSynchronize", self._stream.handle))


def waits_twice(patch: Patch) -> None:
    whole = cuda_stream.CudaStream.wait
    patch.setattr(cuda_stream.CudaStream, "wait", lambda self: (whole(self), whole(self))[0])


def does_not_wait(patch: Patch) -> None:
    whole = Pipeline._run

    def run(self: Any, kind: Any) -> Any:
        self._stream.wait = lambda: None
        return whole(self, kind)

    patch.setattr(Pipeline, "_run", run)


def captures_in_a_cycle(patch: Patch) -> None:
    _around_a_cycle(patch, lambda self: cuda_graph.CudaGraph(self._stream, lambda: None).close())


def gives_another_address(patch: Patch) -> None:
    made: list[Any] = []
    whole = tensorrt_library.StageContext.check

    def check(self: Any, given: Any) -> Any:
        made.append((self, next(iter(given.items()))))
        return whole(self, given)

    patch.setattr(tensorrt_library.StageContext, "check", check)

    def extra(self: Any) -> None:
        context, (name, tensor) = made[-1]
        context._context.set_tensor_address(name, tensor.address)

    _around_a_cycle(patch, extra)


def one_context_for_all_graphs(patch: Patch) -> None:
    made: dict[tuple[int, str], Any] = {}

    def shared(runtime: Any, engine: Any, stage: str, *args: Any, **more: Any) -> Any:
        key = (id(engine), stage)
        if key not in made:
            made[key] = tensorrt_library.StageContext(runtime, engine, stage, *args, **more)
        return made[key]

    patch.setattr(tensorrt_pipeline, "StageContext", shared)


def allocates_in_a_capture(patch: Patch) -> None:
    whole = cuda_stream.StageEvents.capture

    def capture(self: Any, index: int, stream: Any) -> None:
        with suppress(BackendError):
            self._device.call("cuMemAlloc", 256)
        whole(self, index, stream)

    patch.setattr(cuda_stream.StageEvents, "capture", capture)


def waits_in_a_capture(patch: Patch) -> None:
    whole = cuda_stream.StageEvents.capture

    def capture(self: Any, index: int, stream: Any) -> None:
        with suppress(BackendError):
            stream.wait()
        whole(self, index, stream)

    patch.setattr(cuda_stream.StageEvents, "capture", capture)


def frees_memory_under_graphs(patch: Patch) -> None:
    blocks: list[Any] = []
    made, close = cuda_memory.DeviceBlock.__init__, Pipeline.close

    def init(self: Any, *args: Any) -> None:
        made(self, *args)
        blocks.append(self)

    def early(self: Any) -> None:
        while blocks:
            blocks.pop().close()
        close(self)

    patch.setattr(cuda_memory.DeviceBlock, "__init__", init)
    patch.setattr(Pipeline, "close", early)


def drops_contexts_after_capture(patch: Patch) -> None:
    contexts: list[Any] = []
    check, capture = tensorrt_library.StageContext.check_capturable, Pipeline._capture

    def remember(self: Any) -> None:
        check(self)
        contexts.append(self)

    def forget(self: Any, chain: Any) -> Any:
        graph = capture(self, chain)
        contexts[0].close()
        return graph

    patch.setattr(tensorrt_library.StageContext, "check_capturable", remember)
    patch.setattr(Pipeline, "_capture", forget)


def destroys_events_after_capture(patch: Patch) -> None:
    capture = Pipeline._capture

    def forget(self: Any, chain: Any) -> Any:
        graph = capture(self, chain)
        self._events.close()
        return graph

    patch.setattr(Pipeline, "_capture", forget)


def default_stream(patch: Patch) -> None:
    patch.setattr(cuda_stream.CudaStream, "address", property(lambda self: 0))


def leaks_a_stream(patch: Patch) -> None:
    patch.setattr(cuda_stream.CudaStream, "close", lambda self: None)


def leaks_memory(patch: Patch) -> None:
    patch.setattr(cuda_memory.DeviceBlock, "close", lambda self: None)


def ignores_results(patch: Patch) -> None:
    def enqueue(self: Any, addresses: dict[str, int]) -> None:
        for name, address in addresses.items():
            self._context.set_tensor_address(name, address)
        self._context.execute_async_v3(self._stream.address)

    patch.setattr(tensorrt_library.StageContext, "enqueue", enqueue)


def forgets_to_end_the_capture(patch: Patch) -> None:
    def captured(device: Any, stream: Any, enqueue: Any) -> Any:
        device.call("cuStreamBeginCapture", stream.handle, 1)
        enqueue()
        return device.call("cuStreamEndCapture", stream.handle)

    patch.setattr(cuda_graph, "_captured", captured)


# -- refused by the double ----------------------------------------------------------------------------------------


def scratch_of_the_library_s_own(patch: Patch, double: DeviceDouble) -> None:
    patch.setattr(double.library, "ExecutionContextAllocationStrategy", SimpleNamespace(USER_MANAGED=0))


def the_library_s_own_graph(patch: Patch, double: DeviceDouble) -> None:
    patch.setattr(double.library, "CudaGraphStrategy", SimpleNamespace(DISABLED=1))


def scratch_too_small(patch: Patch, double: DeviceDouble) -> None:
    whole = Memory.scratch.fget
    assert whole is not None

    def half(self: Any) -> Any:
        tensor = whole(self)
        return tensorrt_library.Tensor(tensor.address, (tensor.shape[0] // 2,), tensor.dtype)

    patch.setattr(Memory, "scratch", property(half))


def tensor_beyond_the_block(patch: Patch, double: DeviceDouble) -> None:
    whole = Memory._tensor

    def shifted(self: Any, name: str) -> Any:
        tensor = whole(self, name)
        by = self._device.layout.total_bytes if name == "u.0" else 0
        return tensorrt_library.Tensor(tensor.address + by, tensor.shape, tensor.dtype)

    patch.setattr(Memory, "_tensor", shifted)


# -- heard --------------------------------------------------------------------------------------------------------


def _with_other_tensors(patch: Patch, change: Callable[[Any, int, dict[str, Any]], None]) -> None:
    whole = Memory.denoise_tensors

    def changed(self: Any, i: int) -> Any:
        tensors = whole(self, i)
        change(self, i, tensors)
        return tensors

    patch.setattr(Memory, "denoise_tensors", changed)


def rows_do_not_take_turns(patch: Patch) -> None:
    _with_other_tensors(patch, lambda self, i, tensors: tensors.update(u=self._tensor("start")))


def wrong_noise(patch: Patch) -> None:
    _with_other_tensors(patch, lambda self, i, tensors: tensors.update(noise=self._tensor("silent")))


def coefficients_of_another_row(patch: Patch) -> None:
    _with_other_tensors(patch, lambda self, i, tensors: tensors.update(row=self._constant("row.0")))


def wrong_columns(patch: Patch) -> None:
    whole = Memory._columns
    shift = 4

    def columns(self: Any, stream: Any, source_address: int, frames: int, *, from_host: bool) -> None:
        whole(self, stream, source_address - shift, frames, from_host=from_host)

    patch.setattr(Memory, "_columns", columns)


def stale_inputs(patch: Patch) -> None:
    patch.setattr(Memory, "upload_cycle", Memory.upload_decode)


def start_without_noise(patch: Patch) -> None:
    whole = Pipeline.cycle

    def cycle(self: Any, **asked: Any) -> Any:
        self.inputs.noise[0] = 0.0
        return whole(self, **asked)

    patch.setattr(Pipeline, "cycle", cycle)
