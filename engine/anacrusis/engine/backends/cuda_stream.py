# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A stream, the copies on it, and the events that time it.

Everything but `wait` only enqueues: on an ordinary stream it runs when the GPU comes to it; while the stream is
being captured it becomes a node of the graph. Addresses are plain integers.
"""

from __future__ import annotations

from typing import Any

from anacrusis.engine.backends.cuda_device import CudaDevice


class CudaStream:
    """A stream of the highest priority that does not wait for the default stream. One thread at a time."""

    def __init__(self, device: CudaDevice) -> None:
        self.device = device
        self._flags = device.driver.CUstream_flags.CU_STREAM_NON_BLOCKING
        _, greatest = device.call("cuCtxGetStreamPriorityRange")
        self.handle: Any = device.call("cuStreamCreateWithPriority", int(self._flags), greatest)

    @property
    def address(self) -> int:
        """The handle as TensorRT takes it."""
        return int(self.handle)

    def upload(self, device_address: int, host_address: int, count_bytes: int) -> None:
        """Host (pinned) to device."""
        self.device.call("cuMemcpyHtoDAsync", device_address, host_address, count_bytes, self.handle)

    def download(self, host_address: int, device_address: int, count_bytes: int) -> None:
        """Device to host (pinned)."""
        self.device.call("cuMemcpyDtoHAsync", host_address, device_address, count_bytes, self.handle)

    def zero(self, device_address: int, count_bytes: int) -> None:
        self.device.call("cuMemsetD8Async", device_address, 0, count_bytes, self.handle)

    def columns(
        self,
        device_address: int,
        source_address: int,
        *,
        rows: int,
        row_bytes: int,
        last_bytes: int,
        from_host: bool,
    ) -> None:
        """Copy the last `last_bytes` of each of `rows` rows of `row_bytes` into a packed array on the device."""
        driver = self.device.driver
        copy = driver.CUDA_MEMCPY2D()
        if from_host:
            copy.srcMemoryType = driver.CUmemorytype.CU_MEMORYTYPE_HOST
            copy.srcHost = source_address
        else:
            copy.srcMemoryType = driver.CUmemorytype.CU_MEMORYTYPE_DEVICE
            copy.srcDevice = driver.CUdeviceptr(source_address)
        copy.srcPitch = row_bytes
        copy.srcXInBytes = row_bytes - last_bytes
        copy.dstMemoryType = driver.CUmemorytype.CU_MEMORYTYPE_DEVICE
        copy.dstDevice = driver.CUdeviceptr(device_address)
        copy.dstPitch = last_bytes
        copy.WidthInBytes = last_bytes
        copy.Height = rows
        self.device.call("cuMemcpy2DAsync", copy, self.handle)

    def wait(self) -> None:
        """Block until all that was enqueued is done. Raises BackendError for what failed on the GPU meanwhile."""
        self.device.call("cuStreamSynchronize", self.handle)

    def settle(self) -> None:
        """Wait on the way out, so that nothing is released under work in flight; a failure is a log line."""
        self.device.attempt("cuStreamSynchronize", self.handle)

    def close(self) -> None:
        handle, self.handle = self.handle, None
        if handle is not None:
            self.device.attempt("cuStreamDestroy", handle)


class StageEvents:
    """One event before the first stage and one after each: read after `CudaStream.wait`, they need no other wait."""

    def __init__(self, device: CudaDevice, count: int) -> None:
        self._device = device
        self._external = int(device.driver.CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL)
        self._handles: list[Any] = []
        try:
            for _ in range(count):
                self._handles.append(device.call("cuEventCreate", int(device.driver.CUevent_flags.CU_EVENT_DEFAULT)))
        except Exception:
            self.close()
            raise

    def capture(self, index: int, stream: CudaStream) -> None:
        """A node that stamps event `index` at every launch. Only while `stream` is captured."""
        self._device.call("cuEventRecordWithFlags", self._handles[index], stream.handle, self._external)

    def elapsed_ms(self, index: int) -> float:
        """From event `index` to the next, of the last finished launch; resolution about half a microsecond."""
        return float(self._device.call("cuEventElapsedTime", self._handles[index], self._handles[index + 1]))

    def close(self) -> None:
        while self._handles:
            self._device.attempt("cuEventDestroy", self._handles.pop())
