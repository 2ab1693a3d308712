# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One CUDA device through its driver's API, every result checked.

`driver` is the module `cuda.bindings.driver` (13.x), whose functions return (CUresult, values...), or a double
of it. No function of it is called anywhere but through `CudaDevice.call`, so none goes unchecked.

Not covered: several devices (the first visible one is used; CUDA_VISIBLE_DEVICES chooses), peer copies, managed
memory. Never run on a GPU: signatures were read from the installed module, behaviour from its documentation.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

from anacrusis.engine.errors import BackendError

log = logging.getLogger("anacrusis.cuda")

OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY


class CudaDevice:
    """The first visible GPU with its primary context, which TensorRT uses too.

    Threading: `call` is what the driver's function is; the driver's own thread-safety applies. A context is
    current per thread: whoever enters from a thread of its own calls `make_current` first.
    """

    def __init__(self, driver: Any) -> None:
        """Raises BackendError without a driver, without a GPU, or where the context cannot be made."""
        self.driver = driver
        self._context: Any = None
        try:
            self.call("cuInit", 0)
            count = self.call("cuDeviceGetCount")
        except BackendError:
            raise
        except Exception as error:  # cuda.bindings raises its own where libcuda is not found
            raise BackendError(f"no NVIDIA driver here ({_one_line(error)}); install the display driver") from None
        if count < 1:
            raise BackendError("the NVIDIA driver sees no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES")
        self._handle = self.call("cuDeviceGet", 0)
        attribute = driver.CUdevice_attribute
        self.capability: tuple[int, int] = (
            self._attribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
            self._attribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
        )
        self.name = bytes(self.call("cuDeviceGetName", 128, self._handle)).split(b"\0")[0].decode("utf-8", "replace")
        self.driver_version = int(self.call("cuDriverGetVersion"))

    @classmethod
    def open(cls) -> CudaDevice:
        """The installed driver's first GPU. Raises BackendError, in one line, where there is none."""
        try:
            driver = importlib.import_module("cuda.bindings.driver")
        except ImportError:
            raise BackendError("cuda-bindings is not installed (pip install 'cuda-bindings>=13,<14')") from None
        return cls(driver)

    @property
    def target(self) -> str:
        """The card's compute capability as plans name it: sm89."""
        return f"sm{self.capability[0]}{self.capability[1]}"

    def retain(self) -> None:
        """Bring up the primary context and make it this thread's. Once."""
        if self._context is None:
            self._context = self.hold()
        self.make_current()

    def hold(self) -> Any:
        """One more reference to the primary context, which lives until the last `let_go`. Its handle."""
        return self.call("cuDevicePrimaryCtxRetain", self._handle)

    def let_go(self) -> None:
        self.attempt("cuDevicePrimaryCtxRelease", self._handle)

    def make_current(self) -> None:
        """This thread's calls go to this device. Cheap; allocates nothing. Raises BackendError after `close`."""
        if self._context is None:
            raise BackendError("the CUDA device is closed; open the backend again")
        self.call("cuCtxSetCurrent", self._context)

    def close(self) -> None:
        """Let go of the primary context. Everything made in it must be gone. A second call does nothing."""
        context, self._context = self._context, None
        if context is not None:
            self.let_go()

    def call(self, name: str, *arguments: Any) -> Any:
        """One driver call: its value (None, one, or a tuple). Raises BackendError unless it returned success."""
        function: Callable[..., tuple[Any, ...]] = getattr(self.driver, name)
        code, *values = function(*arguments)
        if int(code) != 0:
            raise BackendError(self._explain(name, code))
        return values[0] if len(values) == 1 else (tuple(values) or None)

    def attempt(self, name: str, *arguments: Any) -> None:
        """One driver call on the way out: a failure is a log line, so that the rest is still released."""
        try:
            self.call(name, *arguments)
        except Exception as error:
            log.warning("while releasing: %s", _one_line(error))

    def _attribute(self, which: Any) -> int:
        return int(self.call("cuDeviceGetAttribute", which, self._handle))

    def _explain(self, name: str, code: Any) -> str:
        texts = []
        for describe in ("cuGetErrorName", "cuGetErrorString"):
            found, text = getattr(self.driver, describe)(code)
            texts.append(text.decode() if int(found) == 0 and text else f"error {int(code)}")
        advice = (
            "close what else uses the GPU, or take another backend"
            if int(code) == OUT_OF_MEMORY
            else "start again; if it comes back take another backend (--backend onnxruntime)"
        )
        return f"CUDA {name} failed with {texts[0]} ({texts[1]}); {advice}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
