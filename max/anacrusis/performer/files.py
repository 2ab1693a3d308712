# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Audio files in and out: any rate, any channel count, always the same length back."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from anacrusis.engine.errors import AudioError

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recording:
    """samples [n, channels] float32 at the file's own rate_hz."""

    samples: F32
    rate_hz: int

    def mono(self, rate_hz: int) -> F32:
        """[m] float32, the mean of the channels, at another rate; at least one sample."""
        mean = self.samples.mean(axis=1, dtype=np.float32)
        out = _resample(mean, self.rate_hz, rate_hz)
        return out if out.shape[0] else np.zeros(1, np.float32)

    def channels(self, rate_hz: int) -> F32:
        """[m, channels] float32, each channel at another rate; at least one sample."""
        out = np.ascontiguousarray(_resample(self.samples, self.rate_hz, rate_hz))
        return out if out.shape[0] else np.zeros((1, self.samples.shape[1]), np.float32)

    def fit(self, mono: F32, rate_hz: int) -> F32:
        """[n] float32: a mono signal at `rate_hz` brought to this recording's rate and exact length."""
        back = _resample(mono, rate_hz, self.rate_hz)
        length = self.samples.shape[0]
        return np.pad(back[:length], (0, max(length - back.shape[0], 0)))


def _resample(signal: F32, from_hz: int, to_hz: int) -> F32:
    if from_hz == to_hz:
        return signal
    out: F32 = soxr.resample(signal, from_hz, to_hz, quality="VHQ")
    return out


def read_recording(path: Path) -> Recording:
    """Raises AudioError for a file that is missing, empty, not audio, or has samples that are not finite."""
    if not path.is_file():
        raise AudioError(f"{path}: no such file")
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise AudioError(f"{path} is not audio that can be read ({reason}); give a WAV, FLAC or AIFF file") from None
    if samples.shape[0] == 0:
        raise AudioError(f"{path} holds no samples")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path} holds samples that are not finite; export it again from its source")
    return Recording(samples, int(rate_hz))


def require_writable(path: Path) -> None:
    """Raise AudioError where `write_recording` could not write: better before a run than after it."""
    if not path.parent.is_dir():
        raise AudioError(f"{path.parent} is not a directory; make it first")
    if path.is_dir():
        raise AudioError(f"{path} is a directory; name a file in it")
    if _format(path) not in soundfile.available_formats():
        raise AudioError(f"{path} cannot be written ({path.suffix} is no audio format known here); use .wav or .flac")


def _format(path: Path) -> str:
    suffix = path.suffix.removeprefix(".").upper() or "WAV"
    return "AIFF" if suffix == "AIF" else suffix


def write_recording(path: Path, samples: F32, rate_hz: int) -> None:
    """Write [n] or [n, channels] float32: float WAV, or by the suffix. Whole or not at all.

    Raises AudioError where the directory is missing or the format is unknown.
    """
    require_writable(path)
    form = _format(path)
    subtype = "FLOAT" if form in ("WAV", "AIFF") else None
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        soundfile.write(temporary, samples, rate_hz, format=form, subtype=subtype)
        temporary.chmod(0o644)
        temporary.replace(path)
    except (soundfile.LibsndfileError, TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise AudioError(f"{path} cannot be written ({reason}); use .wav or .flac") from None
    finally:
        temporary.unlink(missing_ok=True)
