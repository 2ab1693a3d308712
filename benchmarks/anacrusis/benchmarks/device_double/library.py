# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A double of the runtime half of `tensorrt_rtx` (or, without its extras, of `tensorrt`).

A plan is JSON that names an ONNX graph and its dims. An engine is that graph in ONNX Runtime with its shapes
frozen; a context enqueues it on a stream of the driver's double with the addresses set at that moment.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from anacrusis.benchmarks.device_double.calls import Calls
from anacrusis.benchmarks.device_double.driver import DriverDouble
from anacrusis.benchmarks.device_double.memory import DEVICE, DoubleError

SCRATCH_BYTES = {"encode": 4096, "denoise": 65536, "decode": 8192}
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Severity(IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ExecutionContextAllocationStrategy(IntEnum):
    STATIC, ON_PROFILE_CHANGE, USER_MANAGED = range(3)


class CudaGraphStrategy(IntEnum):
    DISABLED, WHOLE_GRAPH_CAPTURE = range(2)


class ILogger:
    """Base of the caller's logger."""

    Severity = Severity

    def log(self, severity: int, message: str) -> None:
        raise NotImplementedError


class Machine:
    """What the objects of one library double share."""

    def __init__(self, calls: Calls, driver: DriverDouble, *, rtx: bool, aux_streams: int) -> None:
        self.calls, self.driver, self.rtx, self.aux_streams = calls, driver, rtx, aux_streams
        self.numbers = itertools.count(1)
        self.contexts: set[int] = set()
        self.engines: set[int] = set()

    def record(self, name: str, subject: int = 0, detail: Any = None, *, capturing: bool = False) -> bool:
        """False where the call is to fail."""
        return self.calls.record(name, subject, detail, capturing=capturing)[1] == 0


class LibraryDouble:
    """Stands for the module."""

    __version__ = "0.double"
    ILogger = ILogger
    ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy

    def __init__(self, calls: Calls, driver: DriverDouble, *, rtx: bool, aux_streams: int) -> None:
        self.__name__ = "tensorrt_rtx" if rtx else "tensorrt"
        self.machine = Machine(calls, driver, rtx=rtx, aux_streams=aux_streams)
        if rtx:
            self.CudaGraphStrategy = CudaGraphStrategy

    def Runtime(self, logger: Any) -> Runtime:  # noqa: N802
        return Runtime(self.machine, logger)

    @staticmethod
    def nptype(dtype: type[Any]) -> type[Any]:
        return dtype


class Runtime:
    def __init__(self, machine: Machine, logger: Any) -> None:
        self._machine, self._logger = machine, logger
        machine.record("Runtime")

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        try:
            named = json.loads(plan)
            if not self._machine.record("deserialize_cuda_engine", detail=named):
                raise ValueError("told to fail")
            return Engine(self._machine, named["stage"], named["onnx"], named["dims"])
        except (ValueError, KeyError) as error:
            self._logger.log(Severity.ERROR, f"the plan cannot be read:\n{error}")
            return None


class Engine:
    """An ONNX graph with its shapes frozen."""

    def __init__(self, machine: Machine, stage: str, onnx: str, dims: dict[str, int]) -> None:
        self.machine, self.stage, self.number = machine, stage, next(machine.numbers)
        self.session = _session(onnx)
        dims = {"window": dims.get("frames", 0), **dims}  # a plan encodes whole windows
        self.inputs = {i.name: (_frozen(i.shape, dims), np.dtype(_TYPES[i.type])) for i in self.session.get_inputs()}
        self.outputs = {o.name: (_frozen(o.shape, dims), np.dtype(_TYPES[o.type])) for o in self.session.get_outputs()}
        self.tensors = {**self.inputs, **self.outputs}
        self.device_memory_size_v2 = SCRATCH_BYTES[stage]
        self.num_aux_streams = machine.aux_streams
        self.num_io_tensors = len(self.tensors)
        machine.engines.add(self.number)

    def get_tensor_name(self, index: int) -> str:
        names: list[str] = list(self.tensors)
        return names[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name][0]

    def get_tensor_dtype(self, name: str) -> type[Any]:
        return self.tensors[name][1].type

    def create_runtime_config(self) -> RuntimeConfig:
        return RtxRuntimeConfig(self.machine) if self.machine.rtx else RuntimeConfig(self.machine)

    def create_execution_context(self, config: RuntimeConfig) -> Context | None:
        made = self.machine.record("create_execution_context", self.number)
        if made and getattr(config, "cuda_graph_strategy", 0) != 0:
            raise DoubleError("the library's own CUDA graph is on while ours is captured")
        kind = RtxContext if self.machine.rtx else Context
        return kind(self, config) if made else None

    def __del__(self) -> None:
        self.machine.engines.discard(self.number)
        self.machine.record("engine destroyed", self.number)


class RuntimeConfig:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.strategy = ExecutionContextAllocationStrategy.STATIC
        self.cache: RuntimeCache | None = None

    def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
        self.strategy = strategy


class RtxRuntimeConfig(RuntimeConfig):
    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.cuda_graph_strategy = CudaGraphStrategy.WHOLE_GRAPH_CAPTURE  # worse than the real default: say DISABLED

    def create_runtime_cache(self) -> RuntimeCache:
        return RuntimeCache(self.machine)

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        self.cache = cache
        return self.machine.record("set_runtime_cache")


class RuntimeCache:
    """Holds the names of the graphs that were run; takes back what it gave out, and nothing else."""

    MAGIC = b"double's runtime cache:"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.compiled: set[str] = set()

    def deserialize(self, blob: bytes) -> bool:
        good = self.machine.record("runtime cache read") and blob.startswith(self.MAGIC)
        if good:
            self.compiled |= set(json.loads(blob.removeprefix(self.MAGIC)))
        return good

    def serialize(self) -> bytes | None:
        if not self.machine.record("runtime cache written"):
            return None
        return self.MAGIC + json.dumps(sorted(self.compiled)).encode()


class Context:
    """An execution context. Destroyed when its last reference goes, as the binding's is."""

    def __init__(self, engine: Engine, config: RuntimeConfig) -> None:
        self._engine, self._machine, self._config = engine, engine.machine, config
        self.number = next(self._machine.numbers)
        self._addresses: dict[str, int] = {}
        self._scratch: tuple[int, int] | None = None
        self._aux: list[int] = []
        self._machine.contexts.add(self.number)

    def set_device_memory(self, address: int, size_bytes: int) -> None:
        self._machine.record("set_device_memory", self.number, (address, size_bytes))
        self._machine.driver.memory.at(DEVICE, address, size_bytes)
        if size_bytes < self._engine.device_memory_size_v2 or address % 256:
            raise DoubleError("the scratch memory is too small or not aligned")
        self._scratch = (address, size_bytes)

    def set_aux_streams(self, streams: list[int]) -> None:
        if 0 in streams or len(set(streams)) != len(streams):
            raise DoubleError("auxiliary streams must be distinct and not the default stream")
        self._aux = list(streams)

    def set_tensor_address(self, name: str, address: int) -> bool:
        if not self._machine.record("set_tensor_address", self.number, (name, address)):
            return False
        if name not in self._engine.tensors or address % 256:
            return False
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        engine, driver = self._engine, self._machine.driver
        capturing = stream in driver.streams and driver.capturing(stream)
        addresses = dict(self._addresses)
        detail = {"stream": stream, "addresses": addresses, "scratch": self._scratch, "stage": engine.stage}
        if not self._machine.record("execute_async_v3", self.number, detail, capturing=capturing):
            return False
        if self._config.strategy != ExecutionContextAllocationStrategy.USER_MANAGED or self._scratch is None:
            raise DoubleError("an enqueue without scratch memory of ours would allocate some")
        if set(addresses) != set(engine.tensors):
            raise DoubleError(f"{engine.stage} is enqueued without {sorted(set(engine.tensors) - set(addresses))}")
        driver.stream(stream)
        if self._config.cache is not None:
            self._config.cache.compiled.add(engine.stage)
        driver.enqueue(stream, self._work(addresses, self._scratch, self._aux))
        return True

    def _work(self, addresses: dict[str, int], scratch: tuple[int, int], aux: list[int]) -> Callable[[], None]:
        """What the stream runs. Holds no reference to the context, so that a graph does not keep it alive."""
        machine, number, inputs, outputs = self._machine, self.number, self._engine.inputs, self._engine.outputs
        session, memory = self._engine.session, machine.driver.memory

        def view(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
            return memory.at(DEVICE, addresses[name], math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)

        def work() -> None:
            if number not in machine.contexts:
                raise DoubleError("a stage runs after its context was destroyed")
            for stream in aux:
                machine.driver.stream(stream)
            memory.at(DEVICE, *scratch).fill(0xAB)
            feeds = {name: view(name, *what) for name, what in inputs.items()}
            made = session.run(list(outputs), feeds)
            for (name, what), array in zip(outputs.items(), made, strict=True):
                view(name, *what)[...] = array

        return work

    def __del__(self) -> None:
        self._machine.contexts.discard(self.number)
        self._machine.record("context destroyed", self.number)


class RtxContext(Context):
    def is_stream_capturable(self, stream: int) -> bool:
        return self._machine.record("is_stream_capturable", self.number, stream)


@lru_cache(maxsize=16)
def _session(onnx: str) -> Any:
    from anacrusis.engine.backends.onnxruntime import open_session

    return open_session(Path(onnx), provider="CPUExecutionProvider", threads=1)


def _frozen(shape: list[Any], dims: dict[str, int]) -> tuple[int, ...]:
    """Named dimensions and their sums of products ("4096*frames + 1536") as numbers."""
    return tuple(n if isinstance(n, int) else int(eval(n, {"__builtins__": {}}, dims)) for n in shape)
