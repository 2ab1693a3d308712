# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A pipeline bound and warmed up: what a cycle plays through, and may exchange for another between two steps.

Made on any thread and then used by one thread at a time, which need not be the one that made it: a backend whose
library has a current device or context per thread sets it in every call.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.bundle import Manifest
from anacrusis.engine.errors import BackendError
from anacrusis.engine.pipeline import Backend, Binding, Pipeline
from anacrusis.engine.sampler import SamplerTable
from anacrusis.engine.window import Pace

F32 = NDArray[np.float32]
TRIES: Final = 3  # cycles of which the shortest counts


@dataclass(frozen=True, slots=True)
class Prepared:
    """silence [C, frames] float32: the latent of silence, what this rung's encoder makes of zeros.

    cycle_ms: the shortest of a few cycles of the pace that it was warmed up with, host work left out; None where it was
    not measured.
    """

    backend: Backend
    pipeline: Pipeline
    stems: tuple[str, ...]
    table: SamplerTable
    silence: F32
    cycle_ms: float | None = None

    def decodes(self, pace: Pace) -> bool:
        """Whether steps of this pace can be decoded without preparing anything more."""
        geometry = self.backend.bundle.manifest.geometry
        try:
            self.pipeline.decode_frames(pace.max_decoded_frames(geometry))
        except BackendError:
            return False
        return True


def prepare(
    backend: Backend, stems: Sequence[str], table: SamplerTable, pace: Pace, *, measure: bool = False
) -> Prepared:
    """Bind and run a cycle nobody hears: memory pools and lazily loaded code must not make the first step late.

    measure: run more of them, time the shortest (something else plays meanwhile), and look at what they give:
    BackendError where that is no number. Raises what binding raises. Any thread; may take seconds.
    """
    manifest = backend.bundle.manifest
    geometry = manifest.geometry
    sizes = pace.decode_sizes(geometry)
    # A change of pace may need the largest decode there is; memory is bound once.
    pipeline = backend.bind(Binding(one_hot(manifest, stems), table, geometry.window_frames, sizes))
    inputs = pipeline.inputs
    inputs.audio[...] = 0.0
    inputs.heard[...] = 1.0
    silence = pipeline.encode()[0].copy()
    if manifest.context_channels is not None:  # the encoder speaks of the context only
        silence = np.zeros((manifest.latent_channels, geometry.window_frames), np.float32)
    cycle_ms: float | None = None
    frames = pipeline.decode_frames(sizes[0])
    for tried in range(1 + TRIES * measure):
        begin = time.perf_counter()
        outputs = pipeline.cycle(generate=True, decode_first=geometry.window_frames - frames, decode_frames=frames)
        took_ms = 1e3 * (time.perf_counter() - begin)
        if tried:
            cycle_ms = took_ms if cycle_ms is None else min(cycle_ms, took_ms)
            if not (np.isfinite(outputs.audio).all() and np.isfinite(outputs.latents).all()):
                raise BackendError(f"{backend.name} makes of silence what is no number; play on another rung")
    return Prepared(backend, pipeline, tuple(stems), table, silence, cycle_ms)


def one_hot(manifest: Manifest, stems: Sequence[str]) -> F32:
    """[stems asked for, stems of the model] float32, a row each. Raises StemError."""
    labels = np.zeros((len(stems), len(manifest.stems)), np.float32)
    labels[np.arange(len(stems)), [manifest.stem_index(stem) for stem in stems]] = 1.0
    return labels


def binds_at_once(backend: Backend) -> bool:
    """Whether another stem set may be bound where a step waits for it.

    A backend that captures graphs or loads a plan for every shape says so: `binds_at_once = False`.
    """
    return bool(getattr(backend, "binds_at_once", True))


def let_go(unused: Pipeline | Backend) -> None:
    """Close what has a `close`; a pipeline before its backend. May take as long as freeing gigabytes does."""
    close = getattr(unused, "close", None)
    if close is not None:
        with contextlib.suppress(Exception):  # nobody uses it any more
            close()
