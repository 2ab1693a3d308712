# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Where the tensors of an ONNX Runtime pipeline live: in host arrays, or in twins of them on a device.

ONNX Runtime copies a host array that is bound to a session on another device once, when it is bound, and never
again (microsoft/onnxruntime issues 5857 and 29782): a pipeline that binds once and then only fills its arrays
would go on computing the first cycle. So for a device every input gets a twin there, and `upload` says when.
Outputs may be bound to the host from any device: they are copied at the end of every run.

Not covered: pinned host memory (ONNX Runtime gives none to Python for its CUDA provider), streams of our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import BackendError

Array = NDArray[Any]

TYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Slot(Protocol):
    """One tensor: `array` is what the host reads and writes, `address` what a session does, on `device`."""

    array: Array
    device: str
    address: int

    def upload(self) -> None:
        """What the host wrote becomes what sessions read."""

    def download(self) -> None:
        """What sessions wrote becomes what the host reads."""


class HostSlot:
    """One memory for both."""

    device = "cpu"

    def __init__(self, array: Array) -> None:
        self.array, self.address = array, array.ctypes.data

    def upload(self) -> None:
        return None

    def download(self) -> None:
        return None


class DeviceSlot:
    """A twin on `device`; "cpu" is allowed, so that this can be tested where no device is."""

    def __init__(self, array: Array, device: str) -> None:
        import onnxruntime as ort

        self.array, self.device = array, device
        self._value = ort.OrtValue.ortvalue_from_shape_and_type(list(array.shape), array.dtype.type, device, 0)
        self.address = int(self._value.data_ptr())
        self.upload()  # its memory is not cleared

    def upload(self) -> None:
        self._value.update_inplace(self.array)

    def download(self) -> None:
        self.array[...] = self._value.numpy()


class Memory(Protocol):
    """Makes slots over host arrays. `moves`: whether uploads do anything."""

    moves: bool

    def slot(self, array: Array) -> Slot: ...


class HostMemory:
    """Sessions work on the host's arrays themselves."""

    moves = False

    def slot(self, array: Array) -> HostSlot:
        return HostSlot(array)


class DeviceMemory:
    """Sessions work on twins on `device` ("cuda")."""

    moves = True

    def __init__(self, device: str) -> None:
        self.device = device

    def slot(self, array: Array) -> DeviceSlot:
        return DeviceSlot(array, self.device)


def input_types(session: Any) -> dict[str, type[np.generic]]:
    """What type each input of a session wants. Raises BackendError for one this backend does not know."""
    return {given.name: numpy_type(given.name, given.type) for given in session.get_inputs()}


def numpy_type(name: str, declared: str) -> type[np.generic]:
    if declared not in TYPES:
        raise BackendError(f"the graph's {name} is a {declared}; this version knows {', '.join(TYPES)}")
    return TYPES[declared]


class Bound:
    """One session's IOBinding over slots it keeps alive. Outputs given as arrays are brought to the host."""

    def __init__(self, session: Any, inputs: Mapping[str, Slot], outputs: Mapping[str, Slot | Array]) -> None:
        self._session, self._keep_alive = session, (dict(inputs), dict(outputs))
        self._binding = session.io_binding()
        wanted = input_types(session)
        gives = {made.name: numpy_type(made.name, made.type) for made in session.get_outputs()}
        for name, slot in inputs.items():
            self._check(name, slot.array, wanted)
            array = slot.array
            self._binding.bind_input(name, slot.device, 0, array.dtype.type, array.shape, slot.address)
        for name, target in outputs.items():
            array = target if isinstance(target, np.ndarray) else target.array
            device, address = ("cpu", array.ctypes.data) if target is array else (target.device, target.address)  # type: ignore[union-attr]
            self._check(name, array, gives)
            self._binding.bind_output(name, device, 0, array.dtype.type, array.shape, address)

    @staticmethod
    def _check(name: str, array: Array, types: Mapping[str, type[np.generic]]) -> None:
        if types.get(name) is not array.dtype.type:
            declared = np.dtype(types[name]).name if name in types else "nothing of that name"
            raise BackendError(f"the graph has {declared} for {name}, not {array.dtype}: export the bundle again")

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)
