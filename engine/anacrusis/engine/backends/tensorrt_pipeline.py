# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One binding on a GPU: all its memory, one CUDA graph a kind of cycle, one wait a cycle.

    generate, D frames   inputs to the device, encode, denoise x NFE, the last D columns, decode, outputs back
    decode, D frames     the last D columns of the host's source, decode, audio back
    encode               audio to the device, encode, context back

`inputs` and all outputs are pinned host memory; context, the u/b pair, noise, the rows' coefficients and their
conditioning are on the device. The host makes u = b = source * keep + noise[0], so that no kernel of ours is
needed. There is one output slot: the address of a graph's copy back is baked in, and `CycleOutputs` are promised
until the next call only.

Invariants, proved by the tests on a double that records every call: each context ran twice and was waited for
before it is captured; after binding nothing is allocated, freed, given another address or captured, and a cycle
waits once; graphs go before contexts, contexts before plans, plans before memory.

Threading: bound on any thread (another pipeline may run on its own), then used by one thread at a time.
`cuMemFree` and `cuMemAlloc` may wait for what runs on the device, so binding and closing can delay another
pipeline's cycle by as long.

`stages_apart` runs the same work without a graph and waits after every stage: slower, for profiling only.

Never run on a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import numpy as np

from anacrusis.engine.backends.cuda_device import CudaDevice
from anacrusis.engine.backends.cuda_graph import CudaGraph
from anacrusis.engine.backends.cuda_stream import CudaStream, StageEvents
from anacrusis.engine.backends.tensorrt_library import StageContext, TensorRtRuntime, wanted_tensors
from anacrusis.engine.backends.tensorrt_memory import BindingMemory, Conditioning
from anacrusis.engine.bundle import Manifest
from anacrusis.engine.errors import BackendError
from anacrusis.engine.pipeline import F32, Binding, CycleOutputs, StageTimes

WARM_UPS = 2  # the first compiles and loads, the second shows that nothing is left to
NETWORKS = ("encode", "denoise", "decode")

Kind = tuple[str, int]  # ("generate" or "decode", frames), ("encode", 0)
Chain = dict[str, list[Callable[[], None]]]  # upload, the networks, download: what each enqueues, in order


class TensorRtPipeline:
    """See `Pipeline`, and this module."""

    _stack: ExitStack | None = None

    def __init__(
        self,
        device: CudaDevice,
        runtime: TensorRtRuntime,
        manifest: Manifest,
        binding: Binding,
        conditioning: Conditioning,
        *,
        stages_apart: bool = False,
    ) -> None:
        """conditioning: for each row of the table the outputs of `embed` by name.

        Takes seconds. Raises BackendError; what was made until then is released.
        """
        self._device, self._window_frames = device, manifest.geometry.window_frames
        self.sizes = _sizes(binding, self._window_frames)
        self._apart = stages_apart
        self._graphs: dict[Kind, CudaGraph] = {}
        graphs: list[CudaGraph] = []
        self._chains: dict[Kind, Chain] = {}
        device.make_current()
        with ExitStack() as stack:
            self._stream = CudaStream(device)
            stack.callback(self._stream.close)
            self._events = StageEvents(device, len(NETWORKS) + 1)
            stack.callback(self._events.close)
            memory, engines, aux = self._allocate(runtime, manifest, binding, conditioning, stack)
            contexts: list[StageContext] = []
            stack.callback(_close_all, contexts)
            stack.callback(self._chains.clear)
            stack.callback(_close_all, graphs)
            stack.callback(self._stream.settle)

            def context(stage: str, frames: int) -> StageContext:
                # One a graph: scratch and addresses are baked in.
                made = StageContext(
                    runtime,
                    engines[stage, frames],
                    stage,
                    self._stream,
                    scratch=memory.scratch,
                    aux_streams=[stream.address for stream in aux],
                )
                contexts.append(made)
                return made

            memory.upload_constants(self._stream)
            for kind in _kinds(self.sizes):
                chain = _chain(kind, memory, self._stream, context, self._window_frames, binding.table.nfe)
                self._warm_up(chain)
                self._chains[kind] = chain
            runtime.cache.save()
            if not stages_apart:
                for each in contexts:
                    each.check_capturable()
                for kind, chain in self._chains.items():
                    graphs.append(self._capture(chain))
                    self._graphs[kind] = graphs[-1]
                self._stream.wait()  # for the graphs' own upload
                self._chains.clear()
            self.inputs = memory.inputs()
            names = ("start", "context", "latents")
            self._start, self._context, self._latents = (memory.pinned.array(name) for name in names)
            self._audio = {frames: memory.decoded(frames) for frames in self.sizes}
            self._stack = stack.pop_all()

    def decode_frames(self, wanted: int) -> int:
        """The smallest prepared decode of at least `wanted` frames. Raises BackendError where there is none."""
        for frames in self.sizes:
            if frames >= wanted:
                return frames
        raise BackendError(f"no decode of {wanted} frames is prepared ({self._prepared()}); bind again with one")

    def encode(self) -> F32:
        """Raises BackendError. The view is valid until the next call."""
        self._run(("encode", 0))
        return self._context

    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        """See `Pipeline`; the decode must end at the window's right edge. One launch, one wait.

        Raises BackendError for a size that was not prepared, and for whatever failed on the GPU; the outputs are
        then undefined and the pipeline should be closed.
        """
        if decode_frames not in self.sizes:
            raise BackendError(f"no decode of {decode_frames} frames is prepared ({self._prepared()}); bind again")
        if decode_first + decode_frames != self._window_frames:
            raise BackendError(f"a decode from column {decode_first} does not end at the window's right edge")
        self._alive()
        if generate:
            np.multiply(self.inputs.source, self.inputs.keep, out=self._start)
            self._start += self.inputs.noise[0]
        times = self._run(("generate" if generate else "decode", decode_frames))
        latents = self._latents if generate else self.inputs.source
        return CycleOutputs(latents, self._audio[decode_frames], self._context, times)

    def close(self) -> None:
        """Release everything; a second call does nothing. Views that are held keep the pinned memory they show."""
        stack, self._stack = self._stack, None
        if stack is None:
            return
        self._device.make_current()
        del self.inputs, self._start, self._context, self._latents, self._audio
        stack.close()

    def __del__(self) -> None:
        with suppress(Exception):  # at the end of the process the driver may be gone already
            self.close()

    # -- inside ---------------------------------------------------------------------------------------------

    def _allocate(
        self,
        runtime: TensorRtRuntime,
        manifest: Manifest,
        binding: Binding,
        conditioning: Conditioning,
        stack: ExitStack,
    ) -> tuple[BindingMemory, dict[tuple[str, int], Any], list[CudaStream]]:
        """Memory for what the plans ask, the plans by (stage, frames), and the streams they use besides ours.

        On the stack plans come after memory, so that they go before it.
        """
        with ExitStack() as leased:
            engines = {}
            for stage, dims in self._plans(binding):
                engines[stage, dims.get("frames", 0)] = runtime.lease(stage, dims)
                leased.callback(runtime.release, stage, dims)
            memory = BindingMemory(
                self._device,
                manifest,
                binding,
                _as_wanted(conditioning, wanted_tensors(runtime.library, engines["denoise", 0])),
                longest_decode_frames=self.sizes[-1],
                scratch_bytes=max(int(engine.device_memory_size_v2) for engine in engines.values()),
                stack=stack,
            )
            aux = []
            for _ in range(max(int(engine.num_aux_streams) for engine in engines.values())):
                aux.append(CudaStream(self._device))
                stack.callback(aux[-1].close)
            stack.callback(leased.pop_all().close)
        return memory, engines, aux

    def _plans(self, binding: Binding) -> list[tuple[str, dict[str, int]]]:
        decodes = [("decode", {"stems": binding.rows, "frames": frames}) for frames in self.sizes]
        return [("encode", {"frames": self._window_frames}), ("denoise", {"stems": binding.rows}), *decodes]

    def _prepared(self) -> str:
        return "prepared: " + ", ".join(str(frames) for frames in self.sizes)

    def _alive(self) -> None:
        if self._stack is None:
            raise BackendError("this pipeline is closed; bind again")

    def _run(self, kind: Kind) -> StageTimes:
        self._alive()
        self._device.make_current()
        if self._apart:
            return self._run_apart(self._chains[kind])
        self._graphs[kind].launch()
        self._stream.wait()
        return StageTimes(*(self._events.elapsed_ms(i) for i in range(len(NETWORKS))))

    def _run_apart(self, chain: Chain) -> StageTimes:
        times = {}
        for stage, actions in chain.items():
            begin = time.perf_counter()
            for action in actions:
                action()
            self._stream.wait()
            times[stage] = (time.perf_counter() - begin) * 1e3
        return StageTimes(*(times[stage] for stage in NETWORKS))

    def _warm_up(self, chain: Chain) -> None:
        for _ in range(WARM_UPS):
            for actions in chain.values():
                for action in actions:
                    action()
            self._stream.wait()

    def _capture(self, chain: Chain) -> CudaGraph:
        def enqueue() -> None:
            for boundary, (stage, actions) in enumerate(chain.items()):
                for action in actions:
                    action()
                if stage != "download":
                    self._events.capture(boundary, self._stream)

        return CudaGraph(self._stream, enqueue)


def _sizes(binding: Binding, window_frames: int) -> tuple[int, ...]:
    sizes = tuple(sorted(set(binding.decode_frames or (binding.max_decode_frames,))))
    if not 1 <= sizes[0] <= sizes[-1] <= min(binding.max_decode_frames, window_frames):
        raise BackendError(f"decodes of {list(sizes)} frames do not fit a window of {window_frames}; choose others")
    return sizes


def _as_wanted(conditioning: Conditioning, wanted: Mapping[str, tuple[Any, np.dtype[Any]]]) -> Conditioning:
    """What the denoise plan takes of it, in the plan's types."""
    return [
        {name: np.ascontiguousarray(array, wanted[name][1]) for name, array in row.items() if name in wanted}
        for row in conditioning
    ]


def _kinds(sizes: tuple[int, ...]) -> list[Kind]:
    return [("encode", 0), *(("generate", n) for n in sizes), *(("decode", n) for n in sizes)]


def _chain(
    kind: Kind,
    memory: BindingMemory,
    stream: CudaStream,
    context: Callable[[str, int], StageContext],
    window_frames: int,
    nfe: int,
) -> Chain:
    """What one cycle of this kind enqueues. Checks every tensor against the plans; enqueues nothing yet."""
    what, frames = kind
    chain: Chain = {stage: [] for stage in ("upload", *NETWORKS, "download")}

    def network(stage: str, size: int, tensors: list[Any]) -> None:
        own = context(stage, size)
        chain[stage] += [partial(own.enqueue, own.check(each)) for each in tensors]

    if what in ("encode", "generate"):
        network("encode", window_frames, [memory.encode_tensors()])
        chain["download"].append(partial(memory.download_context, stream))
    if what == "encode":
        chain["upload"].append(partial(memory.upload_encode, stream))
        return chain
    if what == "generate":
        chain["upload"].append(partial(memory.upload_cycle, stream, frames))
        network("denoise", 0, [memory.denoise_tensors(i) for i in range(nfe)])
        chain["decode"].append(partial(memory.cut_latents, stream, frames))
        chain["download"].append(partial(memory.download_latents, stream))
    else:
        chain["upload"].append(partial(memory.upload_decode, stream, frames))
    network("decode", frames, [memory.decode_tensors(frames)])
    chain["download"].append(partial(memory.download_decoded, stream, frames))
    return chain


def _close_all(made: list[StageContext] | list[CudaGraph]) -> None:
    while made:
        made.pop().close()
