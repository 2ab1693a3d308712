# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Memory with bounds: every access names an address, a size and a side, and must lie in one live allocation.

Pinned addresses are real, since the host reads them. Device addresses are shifted far out of any process, so that
the host cannot touch them by mistake. Fresh and freed memory is filled with bytes that are NaN as floats.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DEVICE, PINNED = "device", "pinned"
ALIGNMENT_BYTES = 256
POISON = 0xFF
_SHIFT = 1 << 60


class DoubleError(AssertionError):
    """The code under test broke a rule of the API that a real driver would answer with a crash or with garbage."""


class Memory:
    """All allocations of one double. Freed ones are kept, poisoned, so that a stale pointer reads NaN."""

    def __init__(self) -> None:
        self._live: dict[int, tuple[str, NDArray[np.uint8]]] = {}
        self._gone: list[NDArray[Any]] = []

    def allocate(self, side: str, size_bytes: int) -> int:
        if size_bytes < 1:
            raise DoubleError(f"an allocation of {size_bytes} bytes")
        whole = np.full(size_bytes + ALIGNMENT_BYTES, POISON, np.uint8)
        start = -whole.ctypes.data % ALIGNMENT_BYTES
        array = whole[start : start + size_bytes]
        address = array.ctypes.data + (_SHIFT if side == DEVICE else 0)
        self._live[address] = (side, array)
        return address

    def free(self, side: str, address: int) -> bool:
        """False for an address that is not the beginning of a live allocation of that side."""
        if self._live.get(address, ("", None))[0] != side:
            return False
        array = self._live.pop(address)[1]
        array[...] = POISON
        self._gone.append(array)
        return True

    def at(self, side: str, address: int, size_bytes: int) -> NDArray[np.uint8]:
        """A view. Raises DoubleError unless [address, address + size) lies in one live allocation of that side."""
        for base, (own, array) in list(self._live.items()):
            if base <= address and address + size_bytes <= base + array.size:
                if own != side:
                    raise DoubleError(f"{own} memory was given as {side} memory")
                return array[address - base : address - base + size_bytes]
        raise DoubleError(f"{size_bytes} bytes at {address:#x} are not in any live {side} allocation")

    def live(self) -> list[tuple[str, int, int]]:
        """(side, address, bytes) of everything not freed."""
        return [(side, address, array.size) for address, (side, array) in self._live.items()]
