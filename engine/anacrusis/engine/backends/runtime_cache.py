# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT-RTX's runtime cache: the kernels it compiled on this machine, kept in one file for all plans of a bundle.

The first start on a machine compiles for seconds; the next one reads the file. The library itself rejects a file
of another version, card or driver. Nothing here is fatal but a library that refuses its own cache.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from anacrusis.engine.errors import BackendError

log = logging.getLogger("anacrusis.tensorrt")


class RuntimeCache:
    """TensorRT-RTX's compiled kernels, in one file for all plans of a bundle; does nothing for TensorRT.

    The library rejects a file of another version, card or driver: that costs a compilation and a log line.
    It must outlive every context that was made with it.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._cache: Any = None
        self._stored: bytes | None = None

    def attach(self, config: Any) -> None:
        """Make `config` use the cache; the first config makes it, and reads the file. Raises BackendError."""
        if not hasattr(config, "create_runtime_cache"):
            return
        if self._cache is None:
            self._cache = config.create_runtime_cache()
            if self._cache is None:
                raise BackendError("TensorRT-RTX made no runtime cache; take another backend")
            self._load()
        if not config.set_runtime_cache(self._cache):
            raise BackendError("TensorRT-RTX refused its runtime cache; take another backend")

    def _load(self) -> None:
        if self._file is None or not self._file.is_file():
            return
        try:
            blob = self._file.read_bytes()
            accepted = bool(blob) and bool(self._cache.deserialize(blob))
        except (BufferError, OSError, RuntimeError, TypeError, ValueError) as error:
            log.warning("runtime cache %s was not read (%s); kernels are compiled anew", self._file, error)
            return
        if accepted:
            self._stored = blob
        else:
            log.warning("runtime cache %s is of another version or card; kernels are compiled anew", self._file)

    def save(self) -> None:
        """Write the file if the contents changed; under a name of its own, then renamed. Never raises."""
        if self._cache is None or self._file is None:
            return
        temporary = self._file.with_name(f"{self._file.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            memory = self._cache.serialize()
            blob = b"" if memory is None else bytes(memoryview(memory))
            if not blob or blob == self._stored:
                return
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(blob)
            os.replace(temporary, self._file)
            self._stored = blob
        except (BufferError, OSError, RuntimeError, TypeError, ValueError) as error:
            log.warning("runtime cache %s was not written (%s); the next start compiles again", self._file, error)
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def close(self) -> None:
        self._cache = None
