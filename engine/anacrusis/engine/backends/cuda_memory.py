# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Two blocks of memory a pipeline: one on the device, one pinned on the host, each laid out before it is allocated.

Every array is a named region of a `Layout`, 256-byte aligned as TensorRT asks. Nothing is allocated afterwards.

Invariants: a device block is freed by `close` and by nothing else, after what uses it is gone. A pinned block is
freed when it is closed AND the last numpy view on it is gone, so that no view ever points at freed memory.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.backends.cuda_device import CudaDevice
from anacrusis.engine.errors import BackendError

ALIGNMENT_BYTES = 256


@dataclass(frozen=True, slots=True)
class Region:
    """An array's place in its block."""

    offset_bytes: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Layout:
    """Names to regions, in the order they are reserved. Pure."""

    def __init__(self) -> None:
        self.regions: dict[str, Region] = {}
        self.total_bytes = 0

    def reserve(self, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> None:
        if name in self.regions:
            raise ValueError(f"region {name!r} is reserved twice")
        region = Region(self.total_bytes, tuple(shape), np.dtype(dtype))
        self.regions[name] = region
        self.total_bytes = region.offset_bytes + -(-region.size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES

    def copy(self) -> Layout:
        """A layout that begins with the same regions at the same offsets: one memcpy moves them all."""
        other = Layout()
        other.regions, other.total_bytes = dict(self.regions), self.total_bytes
        return other


class DeviceBlock:
    """A layout's memory on the device. The contents are undefined until something is copied there."""

    def __init__(self, device: CudaDevice, layout: Layout) -> None:
        self._device, self.layout = device, layout
        self._base = int(device.call("cuMemAlloc", max(layout.total_bytes, ALIGNMENT_BYTES)))
        if self._base % ALIGNMENT_BYTES:
            self.close()
            raise BackendError(f"the driver's memory is not {ALIGNMENT_BYTES}-byte aligned; take another backend")

    def address(self, name: str) -> int:
        return self._base + self.layout.regions[name].offset_bytes

    def close(self) -> None:
        base, self._base = self._base, 0
        if base:
            self._device.attempt("cuMemFree", base)


class PinnedBlock:
    """A layout's memory on the host, page-locked and zeroed, as numpy arrays."""

    def __init__(self, device: CudaDevice, layout: Layout) -> None:
        self.layout = layout
        size = max(layout.total_bytes, ALIGNMENT_BYTES)
        self._base = int(device.call("cuMemAllocHost", size))
        # Every view's chain of bases ends in this buffer: its end is the end of the last view. The memory is the
        # context's, so the context is held as long.
        buffer = (ctypes.c_uint8 * size).from_address(self._base)
        finalizer = weakref.finalize(buffer, _free_pinned, device, device.hold(), self._base)
        finalizer.atexit = False  # at the end of the process the driver takes everything back
        self._bytes: NDArray[np.uint8] | None = np.frombuffer(memoryview(buffer).cast("B"), np.uint8)
        self._bytes[...] = 0

    def array(self, name: str) -> NDArray[Any]:
        if self._bytes is None:
            raise BackendError("the pipeline is closed; bind again")
        region = self.layout.regions[name]
        part = self._bytes[region.offset_bytes : region.offset_bytes + region.size_bytes]
        return part.view(region.dtype).reshape(region.shape)

    def address(self, name: str) -> int:
        return self._base + self.layout.regions[name].offset_bytes

    def close(self) -> None:
        self._bytes = None


def _free_pinned(device: CudaDevice, context: Any, base: int) -> None:
    device.attempt("cuCtxSetCurrent", context)  # the last view may go on any thread
    device.attempt("cuMemFreeHost", base)
    device.let_go()
