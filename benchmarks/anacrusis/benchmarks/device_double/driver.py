# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A double of the functions of `cuda.bindings.driver` that the engine uses: same names, arguments and results.

Every function returns (code, values...). Work enqueued on a stream waits in it and runs when the stream is waited
for. A call that a capture forbids answers with the driver's code for it and spoils the capture, as in thread-local
mode.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

from anacrusis.benchmarks.device_double.calls import Call, Calls
from anacrusis.benchmarks.device_double.memory import DEVICE, PINNED, DoubleError, Memory

Work = Callable[[], None]
Result = tuple[Any, ...]


class CUresult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_INVALID_HANDLE = 400
    CUDA_ERROR_NOT_READY = 600
    CUDA_ERROR_ILLEGAL_ADDRESS = 700
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901
    CUDA_ERROR_UNKNOWN = 999


class CUdevice_attribute(IntEnum):  # noqa: N801
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76


class CUstream_flags(IntEnum):  # noqa: N801
    CU_STREAM_NON_BLOCKING = 1


class CUevent_flags(IntEnum):  # noqa: N801
    CU_EVENT_DEFAULT = 0


class CUevent_record_flags(IntEnum):  # noqa: N801
    CU_EVENT_RECORD_EXTERNAL = 1


class CUstreamCaptureMode(IntEnum):
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


class CUmemorytype(IntEnum):
    CU_MEMORYTYPE_HOST = 1
    CU_MEMORYTYPE_DEVICE = 2


class CUdeviceptr(int):
    """An address on the device."""


class CUDA_MEMCPY2D:  # noqa: N801
    """The fields that a copy between host and device uses; an unknown one is an error."""

    __slots__ = (
        *("srcMemoryType", "srcHost", "srcDevice", "srcPitch", "srcXInBytes"),
        *("dstMemoryType", "dstDevice", "dstPitch", "WidthInBytes", "Height"),
    )


class Stream:
    """pending: enqueued and not yet run. graph: what is being captured, None while nothing is."""

    def __init__(self) -> None:
        self.pending: list[Work] = []
        self.graph: list[Work] | None = None
        self.thread = 0
        self.spoiled = False


class DriverDouble:
    """Stands for the module: its functions are methods, its enumerations attributes."""

    CUresult, CUdevice_attribute, CUstream_flags = CUresult, CUdevice_attribute, CUstream_flags
    CUevent_flags, CUevent_record_flags = CUevent_flags, CUevent_record_flags
    CUstreamCaptureMode, CUmemorytype = CUstreamCaptureMode, CUmemorytype
    CUdeviceptr, CUDA_MEMCPY2D = CUdeviceptr, CUDA_MEMCPY2D

    def __init__(self, calls: Calls, capability: tuple[int, int]) -> None:
        self.calls, self.memory = calls, Memory()
        self._capability = capability
        self._handles = itertools.count(0x5000, 0x10)
        self.streams: dict[int, Stream] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.executables: dict[int, list[Work]] = {}
        self.events: dict[int, float | None] = {}
        self._recorded_on: dict[int, int] = {}  # event -> stream
        self.context_users = 0
        self._current = threading.local()

    # -- the device -----------------------------------------------------------------------------------------

    def cuInit(self, flags: int) -> Result:  # noqa: N802
        return self._answer(self._record("cuInit"))

    def cuDriverGetVersion(self) -> Result:  # noqa: N802
        return self._answer(self._record("cuDriverGetVersion"), 13000)

    def cuDeviceGetCount(self) -> Result:  # noqa: N802
        return self._answer(self._record("cuDeviceGetCount"), 1)

    def cuDeviceGet(self, ordinal: int) -> Result:  # noqa: N802
        return self._answer(self._record("cuDeviceGet"), ordinal)

    def cuDeviceGetName(self, length: int, device: int) -> Result:  # noqa: N802
        return self._answer(self._record("cuDeviceGetName"), b"double of a GPU".ljust(length, b"\0"))

    def cuDeviceGetAttribute(self, attribute: int, device: int) -> Result:  # noqa: N802
        minor = attribute == CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
        return self._answer(self._record("cuDeviceGetAttribute"), self._capability[minor])

    def cuDevicePrimaryCtxRetain(self, device: int) -> Result:  # noqa: N802
        code = self._record("cuDevicePrimaryCtxRetain")
        self.context_users += code == 0
        return self._answer(code, 0xC0)

    def cuDevicePrimaryCtxRelease(self, device: int) -> Result:  # noqa: N802
        self.context_users -= 1
        return self._answer(self._record("cuDevicePrimaryCtxRelease"))

    def cuCtxSetCurrent(self, context: int) -> Result:  # noqa: N802
        self._current.context = context
        return self._answer(self._record("cuCtxSetCurrent"))

    def cuCtxGetStreamPriorityRange(self) -> Result:  # noqa: N802
        return self._answer(self._record("cuCtxGetStreamPriorityRange", needs_context=True), 0, -5)

    def cuGetErrorName(self, error: int) -> Result:  # noqa: N802
        return 0, CUresult(error).name.encode()

    def cuGetErrorString(self, error: int) -> Result:  # noqa: N802
        return 0, CUresult(error).name.removeprefix("CUDA_ERROR_").replace("_", " ").lower().encode()

    # -- memory ---------------------------------------------------------------------------------------------

    def cuMemAlloc(self, size_bytes: int) -> Result:  # noqa: N802
        return self._allocate("cuMemAlloc", DEVICE, size_bytes)

    def cuMemAllocHost(self, size_bytes: int) -> Result:  # noqa: N802
        return self._allocate("cuMemAllocHost", PINNED, size_bytes)

    def cuMemFree(self, address: int) -> Result:  # noqa: N802
        return self._free("cuMemFree", DEVICE, int(address))

    def cuMemFreeHost(self, address: int) -> Result:  # noqa: N802
        return self._free("cuMemFreeHost", PINNED, int(address))

    def _allocate(self, name: str, side: str, size_bytes: int) -> Result:
        code = self._record(name, detail=size_bytes, forbidden=True, needs_context=True)
        address = 0 if code else self.memory.allocate(side, size_bytes)
        self._made.subject = address
        return self._answer(code, CUdeviceptr(address) if side == DEVICE else address)

    def _free(self, name: str, side: str, address: int) -> Result:
        code = self._record(name, address, forbidden=True, needs_context=True)
        if code == 0:
            self.finish_all()  # the driver waits for the device before it frees
            code = 0 if self.memory.free(side, address) else int(CUresult.CUDA_ERROR_INVALID_VALUE)
        return self._answer(code)

    # -- streams --------------------------------------------------------------------------------------------

    def cuStreamCreateWithPriority(self, flags: int, priority: int) -> Result:  # noqa: N802
        handle = next(self._handles)
        code = self._record("cuStreamCreateWithPriority", handle, (flags, priority), needs_context=True)
        if code == 0:
            self.streams[handle] = Stream()
        return self._answer(code, handle)

    def cuStreamDestroy(self, stream: int) -> Result:  # noqa: N802
        code = self._record("cuStreamDestroy", stream)
        self.stream(stream)
        del self.streams[stream]
        return self._answer(code)

    def cuStreamSynchronize(self, stream: int) -> Result:  # noqa: N802
        code = self._record("cuStreamSynchronize", stream, forbidden=True)
        if code == 0:
            self.finish(stream)
        return self._answer(code)

    def cuMemcpyHtoDAsync(self, device: int, host: int, count_bytes: int, stream: int) -> Result:  # noqa: N802
        return self._enqueue("cuMemcpyHtoDAsync", stream, lambda: self._copy(DEVICE, device, PINNED, host, count_bytes))

    def cuMemcpyDtoHAsync(self, host: int, device: int, count_bytes: int, stream: int) -> Result:  # noqa: N802
        return self._enqueue("cuMemcpyDtoHAsync", stream, lambda: self._copy(PINNED, host, DEVICE, device, count_bytes))

    def cuMemsetD8Async(self, device: int, value: int, count_bytes: int, stream: int) -> Result:  # noqa: N802
        return self._enqueue(
            "cuMemsetD8Async", stream, lambda: self.memory.at(DEVICE, int(device), count_bytes).fill(value)
        )

    def cuMemcpy2DAsync(self, copy: Any, stream: int) -> Result:  # noqa: N802
        # A struct is read when the call is made: what its owner changes later does not matter.
        p = SimpleNamespace(**{name: getattr(copy, name) for name in CUDA_MEMCPY2D.__slots__ if hasattr(copy, name)})
        from_host = p.srcMemoryType == CUmemorytype.CU_MEMORYTYPE_HOST
        source, side = (p.srcHost, PINNED) if from_host else (int(p.srcDevice), DEVICE)
        if p.srcXInBytes + p.WidthInBytes > p.srcPitch or p.WidthInBytes > p.dstPitch:
            raise DoubleError("a 2D copy is wider than its pitch")

        def work() -> None:
            for row in range(p.Height):
                of = source + row * p.srcPitch + p.srcXInBytes
                self._copy(DEVICE, int(p.dstDevice) + row * p.dstPitch, side, of, p.WidthInBytes)

        return self._enqueue("cuMemcpy2DAsync", stream, work)

    def _copy(self, to_side: str, to: int, of_side: str, of: int, count_bytes: int) -> None:
        self.memory.at(to_side, int(to), count_bytes)[...] = self.memory.at(of_side, int(of), count_bytes)

    # -- events ---------------------------------------------------------------------------------------------

    def cuEventCreate(self, flags: int) -> Result:  # noqa: N802
        handle = next(self._handles)
        self.events[handle] = None
        return self._answer(self._record("cuEventCreate", handle, needs_context=True), handle)

    def cuEventDestroy(self, event: int) -> Result:  # noqa: N802
        del self.events[event]
        return self._answer(self._record("cuEventDestroy", event))

    def cuEventRecordWithFlags(self, event: int, stream: int, flags: int) -> Result:  # noqa: N802
        external = flags == CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL
        if external and self.stream(stream).graph is None:
            self.calls.record("cuEventRecordWithFlags", stream)[0].failed = True
            return self._answer(int(CUresult.CUDA_ERROR_INVALID_VALUE))

        self._recorded_on[event] = int(stream)

        def work() -> None:
            if event not in self.events:
                raise DoubleError("an event is recorded after it was destroyed")
            self.events[event] = time.perf_counter()

        return self._enqueue("cuEventRecordWithFlags", stream, work, detail=event)

    def cuEventElapsedTime(self, start: int, end: int) -> Result:  # noqa: N802
        code = self._record("cuEventElapsedTime", start)
        begin, finish = self.events[start], self.events[end]
        if begin is None or finish is None:
            return self._answer(int(CUresult.CUDA_ERROR_INVALID_HANDLE), 0.0)
        if any(self.streams[self._recorded_on[event]].pending for event in (start, end)):
            return self._answer(int(CUresult.CUDA_ERROR_NOT_READY), 0.0)
        return self._answer(code, (finish - begin) * 1e3)

    # -- graphs ---------------------------------------------------------------------------------------------

    def cuStreamBeginCapture(self, handle: int, mode: int) -> Result:  # noqa: N802
        code = self._record("cuStreamBeginCapture", handle, mode)
        stream = self.stream(handle)
        if stream.graph is not None:
            raise DoubleError("a capture is begun in a capture")
        if code == 0:
            stream.graph, stream.spoiled, stream.thread = [], False, threading.get_ident()
        return self._answer(code)

    def cuStreamEndCapture(self, handle: int) -> Result:  # noqa: N802
        stream = self.stream(handle)
        if stream.graph is None or stream.thread != threading.get_ident():
            raise DoubleError("a capture is ended that was not begun on this stream and thread")
        work, stream.graph = stream.graph, None
        code = self._record("cuStreamEndCapture", handle)
        if stream.spoiled:
            return self._answer(int(CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED), 0)
        graph = next(self._handles)
        self.graphs[graph] = work
        self._made.detail = graph
        return self._answer(code, graph)

    def cuGraphInstantiate(self, graph: int, flags: int) -> Result:  # noqa: N802
        executable = next(self._handles)
        code = self._record("cuGraphInstantiate", executable, graph, needs_context=True)
        if code == 0:
            self.executables[executable] = list(self.graphs[graph])
        return self._answer(code, executable)

    def cuGraphUpload(self, executable: int, stream: int) -> Result:  # noqa: N802
        return self._enqueue("cuGraphUpload", stream, lambda: None, detail=executable)

    def cuGraphLaunch(self, executable: int, stream: int) -> Result:  # noqa: N802
        if executable not in self.executables:
            raise DoubleError("a graph is launched after it was destroyed")
        if self.stream(stream).pending:
            raise DoubleError("a graph is launched while the one before it is in flight")
        nodes = self.executables[executable]

        def work() -> None:
            for node in nodes:
                node()

        return self._enqueue("cuGraphLaunch", stream, work, detail=executable)

    def cuGraphExecDestroy(self, executable: int) -> Result:  # noqa: N802
        self.finish_all()
        del self.executables[executable]
        return self._answer(self._record("cuGraphExecDestroy", executable))

    def cuGraphDestroy(self, graph: int) -> Result:  # noqa: N802
        del self.graphs[graph]
        return self._answer(self._record("cuGraphDestroy", graph))

    # -- for the library double and for tests ---------------------------------------------------------------

    def stream(self, handle: int) -> Stream:
        if int(handle) not in self.streams:
            raise DoubleError(f"{int(handle):#x} is no live stream (0 is the default stream)")
        return self.streams[int(handle)]

    def enqueue(self, handle: int, work: Work) -> None:
        """Run when the stream is waited for, or with every launch of the graph that is being captured."""
        stream = self.stream(handle)
        (stream.pending if stream.graph is None else stream.graph).append(work)

    def finish(self, handle: int) -> None:
        stream = self.stream(handle)
        while stream.pending:
            stream.pending.pop(0)()

    def finish_all(self) -> None:
        for handle in list(self.streams):
            self.finish(handle)

    def capturing(self, handle: int) -> bool:
        return self.stream(handle).graph is not None

    # -- inside ---------------------------------------------------------------------------------------------

    @property
    def _made(self) -> Call:
        """This thread's newest call."""
        call: Call = self._current.call
        return call

    def _enqueue(self, name: str, stream: int, work: Work, detail: Any = None) -> Result:
        call, code = self.calls.record(name, int(stream), detail, capturing=self.capturing(stream))
        if not getattr(self._current, "context", 0):
            code = int(CUresult.CUDA_ERROR_INVALID_CONTEXT)
            call.failed = True
        if code == 0:
            self.enqueue(stream, work)
        return self._answer(code)

    def _record(
        self, name: str, subject: int = 0, detail: Any = None, *, forbidden: bool = False, needs_context: bool = False
    ) -> int:
        """Record; the code to answer with. forbidden: this thread's captures do not allow it."""
        own = [s for s in list(self.streams.values()) if s.graph is not None and s.thread == threading.get_ident()]
        call, code = self.calls.record(name, int(subject), detail, capturing=bool(own))
        self._current.call = call
        if own and forbidden:
            for stream in own:
                stream.spoiled = True
            code = int(CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
        if needs_context and not getattr(self._current, "context", 0):
            code = int(CUresult.CUDA_ERROR_INVALID_CONTEXT)
        call.failed = code != 0
        return code

    @staticmethod
    def _answer(code: int, *values: Any) -> Result:
        return (CUresult(code), *(None if code else value for value in values))
