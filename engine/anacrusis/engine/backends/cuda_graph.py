# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Capture what a function enqueues into one CUDA graph, launched with one call.

The addresses and contexts of the moment of capture are baked in: whatever they belong to must outlive the graph.
The capture is thread-local: other threads may go on working with the GPU, and a call on this thread that a graph
cannot hold (an allocation, a wait) is an error of the capture instead of a silent fault of the replay.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from anacrusis.engine.backends.cuda_device import CudaDevice
from anacrusis.engine.backends.cuda_stream import CudaStream
from anacrusis.engine.errors import BackendError


class CudaGraph:
    """An executable graph. Launch from one thread at a time, one launch in flight."""

    def __init__(self, stream: CudaStream, enqueue: Callable[[], None]) -> None:
        """Capture `enqueue`. Raises what it raises, or BackendError; the capture is ended either way."""
        self._stream, self._device = stream, stream.device
        graph = _captured(stream.device, stream, enqueue)
        try:
            self._executable: Any = self._device.call("cuGraphInstantiate", graph, 0)
        finally:
            self._device.attempt("cuGraphDestroy", graph)
        try:
            # The first launch must not pay for the upload.
            self._device.call("cuGraphUpload", self._executable, stream.handle)
        except Exception:
            self.close()
            raise

    def launch(self) -> None:
        """Enqueue the whole graph; returns at once. Raises BackendError."""
        self._device.call("cuGraphLaunch", self._executable, self._stream.handle)

    def close(self) -> None:
        executable, self._executable = self._executable, None
        if executable is not None:
            self._device.attempt("cuGraphExecDestroy", executable)


def _captured(device: CudaDevice, stream: CudaStream, enqueue: Callable[[], None]) -> Any:
    mode = device.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    device.call("cuStreamBeginCapture", stream.handle, mode)
    try:
        enqueue()
    except BaseException:
        # A stream left in capture is lost to everything else: end it, and drop what there is.
        with suppress(BackendError):  # a capture that was invalidated ends with an error of its own
            device.attempt("cuGraphDestroy", device.call("cuStreamEndCapture", stream.handle))
        raise
    return device.call("cuStreamEndCapture", stream.handle)
