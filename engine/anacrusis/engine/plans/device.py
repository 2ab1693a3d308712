# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The NVIDIA cards of this machine, asked of the driver. The one place that does.

No exception where there is no driver, no card or no cuda-bindings: the reason is a line of text instead. Full
TensorRT ends the process with a segmentation fault where its runtime is made without a driver, so this is asked
first. Any thread; about 0.2 s the first time, the import of cuda-bindings.

Not covered: memory, clocks, MIG slices. Only CUDA_VISIBLE_DEVICES chooses among several cards.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Card:
    """One card. sm: compute capability, major and minor as one number (8.9 is 89)."""

    name: str
    sm: int


@dataclass(frozen=True, slots=True)
class Cards:
    """What the driver told. reason: why `cards` is empty, else None. driver: the CUDA version it speaks (13000)."""

    cards: tuple[Card, ...]
    driver: int | None = None
    reason: str | None = None

    @property
    def first(self) -> Card | None:
        """The card that CUDA calls device 0, or None."""
        return self.cards[0] if self.cards else None


def find_cards(driver: Any = None) -> Cards:
    """Ask the driver. driver: stands in for `cuda.bindings.driver` in tests. Never raises."""
    try:
        cuda = driver if driver is not None else importlib.import_module("cuda.bindings.driver")
    except ImportError:
        return Cards((), reason="cuda-bindings is not installed (pip install 'anacrusis[tensorrt]')")
    try:
        _ask(cuda.cuInit(0))
        version = int(_ask(cuda.cuDriverGetVersion()))
        found = []
        for index in range(int(_ask(cuda.cuDeviceGetCount()))):
            device = _ask(cuda.cuDeviceGet(index))
            name = _ask(cuda.cuDeviceGetName(256, device)).split(b"\0")[0].decode("utf-8", "replace").strip()
            attribute = cuda.CUdevice_attribute
            major = _ask(cuda.cuDeviceGetAttribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device))
            minor = _ask(cuda.cuDeviceGetAttribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device))
            found.append(Card(name, 10 * int(major) + int(minor)))
    except Exception as error:  # a missing libcuda is a RuntimeError subclass whose type no public module exports
        said = (str(error) or type(error).__name__).splitlines()[0]
        return Cards((), reason=f"no NVIDIA driver answers ({said})")
    return Cards(tuple(found), version, None if found else "the NVIDIA driver sees no card")


def _ask(answer: tuple[Any, ...]) -> Any:
    """The value of a driver call, or RuntimeError with the code's name."""
    code = answer[0]
    if int(code) != 0:
        raise RuntimeError(getattr(code, "name", str(code)))
    return answer[1] if len(answer) > 1 else None
