# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The runtime half of TensorRT-RTX or TensorRT, every result checked.

`library` is the module `tensorrt_rtx` (or `tensorrt_rtx_bindings`, its wheel's own name), `tensorrt`, or a double.
They differ here in two things: TensorRT-RTX compiles a plan's kernels on the user's machine and keeps them in a
runtime cache (`runtime_cache.py`), and it has a CUDA graph of its own that must be off while ours is captured.

Not covered: profiles of dynamic shapes (a plan's shapes are fixed), weight streaming, refitting, plugins.
Never run on a GPU. Names and signatures were read from tensorrt_rtx_bindings 1.7.1.116; that `tensorrt` 11 has
`create_runtime_config` and `create_execution_context(runtime_config)` is from its documentation.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from anacrusis.engine.backends.cuda_memory import ALIGNMENT_BYTES
from anacrusis.engine.backends.cuda_stream import CudaStream
from anacrusis.engine.backends.runtime_cache import RuntimeCache
from anacrusis.engine.errors import BackendError

log = logging.getLogger("anacrusis.tensorrt")

Plans = Callable[[str, Mapping[str, int]], bytes]


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a stage is given under one name."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@contextmanager
def ours(doing: str) -> Iterator[None]:
    """Turn what a third party's binding raises into a BackendError of one line, so that the ladder goes on."""
    try:
        yield
    except (
        ArithmeticError,
        AttributeError,
        BufferError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        log.debug("%s", doing, exc_info=True)
        line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BackendError(f"{doing} failed ({line}); run `anacrusis doctor`, or take another backend") from None


class TensorRtRuntime:
    """The library with its runtime and the plans that are loaded in it. Make one only where a driver answers.

    Plans are shared: each is loaded once and dropped with its last user. Threading: `lease` and `release` from any
    thread; what is leased from one thread at a time.
    """

    def __init__(self, library: Any, plans: Plans, cache: RuntimeCache) -> None:
        self.library, self.cache = library, cache
        self._plans = plans
        self.version = str(getattr(library, "__version__", "of unknown version"))
        self._log = _make_log(library)
        with ours(f"{library.__name__} {self.version}: making the runtime"):
            self._runtime = library.Runtime(self._log)
        self._lock = threading.Lock()
        self._engines: dict[tuple[Any, ...], tuple[Any, int]] = {}

    def lease(self, stage: str, dims: Mapping[str, int]) -> Any:
        """The engine of a stage at these dims, loaded if it is not. Give it back with `release`.

        Raises what `plans` raises, or BackendError for a plan that this library or card does not take.
        """
        key = _key(stage, dims)
        with self._lock:
            held = self._engines.get(key)
            if held is not None:
                self._engines[key] = (held[0], held[1] + 1)
                return held[0]
        engine = self._load(stage, dims)  # takes seconds; a pipeline that closes meanwhile must not wait for it
        with self._lock:
            engine, users = self._engines.get(key, (engine, 0))
            self._engines[key] = (engine, users + 1)
        return engine

    def _load(self, stage: str, dims: Mapping[str, int]) -> Any:
        plan = self._plans(stage, dims)
        with ours(f"loading the {stage} plan"):
            engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise BackendError(
                f"{self.library.__name__} {self.version} does not take the {stage} plan "
                f"({self.last_error()}); run `anacrusis build` again"
            )
        return engine

    def release(self, stage: str, dims: Mapping[str, int]) -> None:
        key = _key(stage, dims)
        with self._lock:
            engine, users = self._engines.pop(key)
            if users > 1:
                self._engines[key] = (engine, users - 1)

    def last_error(self) -> str:
        """The library's newest complaint, in one line."""
        text = " ".join(str(self._log.newest or "no reason given").split())
        return text[:200]

    def close(self) -> None:
        """Engines, then the runtime, then the cache. The contexts must be gone."""
        self._engines.clear()
        self._runtime = None
        self.cache.close()


def _key(stage: str, dims: Mapping[str, int]) -> tuple[Any, ...]:
    return (stage, *sorted(dims.items()))


def _make_log(library: Any) -> Any:
    """The library's ILogger writing into ours: its errors as warnings (what matters of them is raised), the rest
    for debugging."""

    class Log(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.newest: str | None = None

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(library.ILogger.Severity.ERROR):
                self.newest = message
                log.warning("%s", message)
            else:
                log.debug("%s", message)

    return Log()


class StageContext:
    """One execution context of a stage's plan, with scratch memory and streams of the caller's.

    Used in one graph only: the addresses given at capture are baked into it.
    """

    def __init__(
        self,
        runtime: TensorRtRuntime,
        engine: Any,
        stage: str,
        stream: CudaStream,
        *,
        scratch: Tensor,
        aux_streams: list[int],
    ) -> None:
        """scratch: bytes on the device, at least what the engine asks for. Contexts that never run at once may share
        it (NVIDIA/TensorRT issues 2040, 3276 and 3798): ours follow one another on one stream.
        """
        self._stage, self._stream, self._runtime = stage, stream, runtime
        library = runtime.library
        with ours(f"preparing the {stage} plan"):
            config = engine.create_runtime_config()
            if config is None:
                raise BackendError(f"{library.__name__} made no runtime config for {stage} ({runtime.last_error()})")
            config.set_execution_context_allocation_strategy(library.ExecutionContextAllocationStrategy.USER_MANAGED)
            if hasattr(config, "cuda_graph_strategy"):
                config.cuda_graph_strategy = library.CudaGraphStrategy.DISABLED
            runtime.cache.attach(config)
            self._context = engine.create_execution_context(config)
            if self._context is None:
                raise BackendError(
                    f"{library.__name__} made no context for {stage} ({runtime.last_error()}); take another backend"
                )
            if engine.device_memory_size_v2:
                self._context.set_device_memory(scratch.address, scratch.shape[0])
            if aux_streams and engine.num_aux_streams:
                self._context.set_aux_streams(aux_streams[: engine.num_aux_streams])
            self._wanted = wanted_tensors(library, engine)

    def close(self) -> None:
        """Drop the library's context. What is enqueued must be done, what is captured must be gone."""
        self._context = None

    def check(self, given: Mapping[str, Tensor]) -> dict[str, int]:
        """The addresses to enqueue with, once every tensor of the plan is given as the plan wants it."""
        addresses = {}
        for name, (shape, dtype) in self._wanted.items():
            tensor = given.get(name)
            if tensor is None or (tensor.shape, tensor.dtype) != (shape, dtype):
                have = "nothing" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
                raise BackendError(
                    f"the {self._stage} plan wants {name} as {dtype} {list(shape)}, the engine has {have}; "
                    "run `anacrusis build` again"
                )
            if tensor.address % ALIGNMENT_BYTES:
                raise BackendError(f"{name} of {self._stage} is not {ALIGNMENT_BYTES}-byte aligned; export again")
            addresses[name] = tensor.address
        return addresses

    def enqueue(self, addresses: Mapping[str, int]) -> None:
        """Set every address and enqueue once. Raises BackendError where the library returns False."""
        for name, address in addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise BackendError(f"the {self._stage} plan refused the address of {name}; run `anacrusis build` again")
        # A False here is silence in a capture and garbage in every replay.
        if not self._context.execute_async_v3(self._stream.address):
            raise BackendError(
                f"{self._runtime.library.__name__} did not enqueue {self._stage} "
                f"({self._runtime.last_error()}); take another backend"
            )

    def check_capturable(self) -> None:
        """Raises BackendError where the library says that a graph cannot hold this plan."""
        ask = getattr(self._context, "is_stream_capturable", None)
        if ask is not None and not ask(self._stream.address):
            raise BackendError(
                f"the {self._stage} plan cannot be captured in a CUDA graph; run `anacrusis build` again"
            )


def wanted_tensors(library: Any, engine: Any) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and type of every input and output of a plan. Raises BackendError for a type that numpy has not."""
    wanted = {}
    with ours("reading a plan's tensors"):
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            shape = tuple(int(n) for n in engine.get_tensor_shape(name))
            wanted[name] = (shape, np.dtype(library.nptype(engine.get_tensor_dtype(name))))
    return wanted
