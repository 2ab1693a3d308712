# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Whole cycles of several engines, taking turns: stage times in seconds, so that a busy machine slows all of them.

The window is filled with music first (`hear`, no network runs), because a cycle's cost depends on where its silence
is; then some cycles warm up, then the rest count. Nothing is paced: a cycle begins when the one before has ended.

Not covered: a server, a network, a deadline (`transfer.py` and `soak.py` have those).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.record import quantiles_ms
from anacrusis.engine.bundle import Manifest
from anacrusis.engine.engine import Engine
from anacrusis.engine.errors import AnacrusisError, MissingExtraError
from anacrusis.engine.paths import SHIPPED_CLIP
from anacrusis.engine.pipeline import StageTimes
from anacrusis.performer.files import read_recording

F32 = NDArray[np.float32]
CLIP: Final = SHIPPED_CLIP / "band.flac"
# Of a cycle, in its order; "sample" is every evaluation together, "host" what is no network.
STAGES: Final = ("encode", "sample", "decode", "host")


def stage_s(times: StageTimes) -> dict[str, float]:
    """Seconds of each of STAGES, and of the whole as "compute"."""
    parts = (times.encode_ms, times.denoise_ms, times.decode_ms, times.host_ms)
    named = {name: ms / 1e3 for name, ms in zip(STAGES, parts, strict=True)}
    return {**named, "compute": sum(named.values())}


class Music:
    """The demo clip's band, over and over, in pieces of any length. One per engine."""

    def __init__(self, rate_hz: int, path: Path = CLIP) -> None:
        self._audio, self._at = read_recording(path).mono(rate_hz), 0

    def take(self, samples: int) -> F32:
        """The next `samples`, [samples] float32."""
        index = np.arange(self._at, self._at + samples) % self._audio.shape[0]
        self._at += samples
        out: F32 = self._audio[index]
        return out


def take_turns(
    engines: Mapping[str, Engine],
    cycles: int,
    warm_up: int,
    *,
    clip: Path = CLIP,
    on_cycle: Callable[[], object] = lambda: None,
) -> dict[str, list[dict[str, float]]]:
    """`cycles` cycles of each after `warm_up`: name -> one `stage_s` a cycle. Raises AnacrusisError for 0 cycles."""
    if cycles < 1 or warm_up < 0:
        raise AnacrusisError(f"{cycles} cycles after {warm_up} to warm up; give at least 1 and 0")
    music = {}
    for name, engine in engines.items():
        music[name] = Music(engine.bundle.manifest.sample_rate_hz, clip)
        for _ in range(-(-engine.bundle.manifest.geometry.window_samples // engine.step_samples)):
            engine.hear(music[name].take(engine.step_samples))
    out: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    for index in range(warm_up + cycles):
        for name, engine in engines.items():
            times = engine.step(music[name].take(engine.step_samples)).times
            if index >= warm_up:
                out[name].append(stage_s(times))
            on_cycle()
    return out


def quantiles_of(measured: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Stage -> quantiles in ms, of what `take_turns` gives for one engine."""
    return {name: quantiles_ms([one[name] for one in measured]) for name in measured[0]}


def sampler_choices(manifest: Manifest) -> tuple[int, ...]:
    """`sampler_steps` worth measuring: a distilled model's 1 and 2, any other's own number."""
    own = manifest.sampler.steps
    return tuple(sorted({1, 2, own})) if manifest.sampler.name == "consistency" else (own,)


def yardstick_module() -> ModuleType:
    """`yardstick.py`, which needs torch to be imported. Raises MissingExtraError."""
    try:
        return importlib.import_module("anacrusis.benchmarks.yardstick")
    except ImportError as error:
        raise MissingExtraError(f"the yardstick needs torch ({error}): pip install 'anacrusis[torch]'") from None


def spent(engine: Engine) -> dict[str, Any]:
    """What a record says of an engine's pace and rung."""
    return {
        "backend": engine.backend.name,
        "precision": engine.bundle.manifest.precision.compute,
        "nfe": engine.nfe,
        "step_samples": engine.step_samples,
        "lead_samples": engine.lead_samples,
    }
