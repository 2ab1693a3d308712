# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`/print`: what the engine remembers, as files in the one directory that was chosen for it."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np

from anacrusis.server.batch import F32

_NAME = "dump"
_log = logging.getLogger("anacrusis.server")


def write_dump(directory: Path, arrays: dict[str, F32], rate_hz: int) -> None:
    """Audio [n] or [stems, n] as float WAV, latents as .npy; on a thread, so that no step waits for a disk."""
    threading.Thread(target=_write, args=(directory, arrays, rate_hz), name=_NAME, daemon=True).start()


def is_writing() -> bool:
    """One at a time: two would write the same files."""
    return any(thread.name == _NAME for thread in threading.enumerate())


def _write(directory: Path, arrays: dict[str, F32], rate_hz: int) -> None:
    import soundfile

    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, values in arrays.items():
            if name.endswith("_audio"):
                soundfile.write(directory / f"{name}.wav", values.T, rate_hz, subtype="FLOAT")
            else:
                np.save(directory / f"{name}.npy", values)
    except (OSError, soundfile.LibsndfileError) as error:
        _log.error("/print could not write to %s: %s", directory, error)
        return
    _log.info("/print wrote %s to %s", ", ".join(arrays), directory)
