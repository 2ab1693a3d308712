# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A GPU without a GPU: doubles of `cuda.bindings.driver` and of a TensorRT library, on host memory.

They record every call in order (`calls.py`) and really compute: device and pinned memory are memory with bounds
(`memory.py`), what is enqueued on a stream runs when the stream is waited for and not before (`driver.py`), a plan
runs its stage's ONNX graph through ONNX Runtime on the arrays at the addresses it was given, and a capture records
what is enqueued and replays it at launch (`library.py`). `rules.py` holds the rules that the calls must keep.

So the TensorRT backend runs whole, with real audio, on a machine without a driver, and a wait that is missing, a
stale address or a copy of the wrong size gives wrong audio or an error here too.

Not covered: what a GPU does by itself (timing, several streams at once, kernels), numerical differences of float16
kernels, JIT compilation. That the real modules behave as their documentation says is assumed, not shown; that they
have every name used here is tested where they are installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from anacrusis.benchmarks.device_double.calls import Call, Calls
from anacrusis.benchmarks.device_double.driver import DriverDouble
from anacrusis.benchmarks.device_double.library import LibraryDouble
from anacrusis.benchmarks.device_double.memory import DoubleError
from anacrusis.engine.bundle import Bundle

__all__ = ["Call", "Calls", "DeviceDouble", "DoubleError"]


class DeviceDouble:
    """One machine: `driver`, `library`, and `calls` of both.

    rtx: the library has a runtime cache, a graph strategy and `is_stream_capturable`, as TensorRT-RTX has.
    """

    def __init__(self, *, rtx: bool = True, capability: tuple[int, int] = (8, 9), aux_streams: int = 0) -> None:
        self.calls = Calls()
        self.driver = DriverDouble(self.calls, capability)
        self.library = LibraryDouble(self.calls, self.driver, rtx=rtx, aux_streams=aux_streams)

    def plans(self, bundle: Bundle) -> Callable[[str, Mapping[str, int]], bytes]:
        """What stands for built plans: bytes that name the bundle's graph and its dims."""

        def plan(stage: str, dims: Mapping[str, int]) -> bytes:
            return json.dumps({"stage": stage, "onnx": str(bundle.stage(stage)), "dims": dict(dims)}).encode()

        return plan
