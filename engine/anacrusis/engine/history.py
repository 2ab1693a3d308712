# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a stream remembers: a ring addressed by absolute position, and noise drawn ahead of time.

Positions are absolute, may be negative, and never wrap; the ring keeps the newest `capacity` of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.noise import NoiseSource
from anacrusis.engine.sampler import SamplerTable

F32 = NDArray[np.float32]


class Ring:
    """The last axis of [*shape, capacity] is time, addressed by absolute position. One thread at a time."""

    def __init__(self, shape: tuple[int, ...], capacity: int) -> None:
        self._data = np.zeros((*shape, capacity), np.float32)
        self.capacity = capacity

    def clear(self) -> None:
        self._data[...] = 0.0

    def _spans(self, start: int, length: int) -> list[tuple[int, int, int]]:
        """(offset in the ring, offset in the caller's array, length), at most two."""
        if length > self.capacity:
            raise ValueError(f"{length} positions do not fit a ring of {self.capacity}")
        head = start % self.capacity
        first = min(length, self.capacity - head)
        spans = [(head, 0, first), (0, first, length - first)]
        return [span for span in spans if span[2] > 0]

    def write(self, start: int, values: F32) -> None:
        """Store values [*shape, n] at [start, start + n)."""
        for ring, own, n in self._spans(start, values.shape[-1]):
            self._data[..., ring : ring + n] = values[..., own : own + n]

    def read(self, start: int, out: F32) -> None:
        """Fill out [*shape, n] from [start, start + n)."""
        for ring, own, n in self._spans(start, out.shape[-1]):
            out[..., own : own + n] = self._data[..., ring : ring + n]

    def copy_row(self, row: int, other: Ring, other_row: int) -> None:
        """Take one row of a ring of the same shape."""
        self._data[row] = other._data[other_row]

    def fill_zeros(self, start: int, length: int) -> None:
        """Silence at [start, start + length); lengths beyond the capacity are the whole ring."""
        for ring, _, n in self._spans(start, min(length, self.capacity)):
            self._data[..., ring : ring + n] = 0.0


class NoiseAhead:
    """Draws the next cycle's noise on a thread of its own while the current one runs.

    The source is a function of position, so what is drawn ahead equals what would be drawn in place.
    """

    def __init__(
        self,
        source: NoiseSource,
        stems: Sequence[int],
        table: SamplerTable,
        latent_shape: tuple[int, int],
        frame_shape: tuple[int, ...],
        frames: int,
    ) -> None:
        self._source, self._stems = source, tuple(stems)
        rows = len(self._stems)
        self._draws = np.zeros((2, table.draws, rows, *latent_shape), np.float32)
        self._scratch = np.zeros((table.draws, *latent_shape), np.float32)
        self._drawn: list[int | None] = [None, None]
        self._frame_shape = frame_shape
        self._frames = np.zeros((frames, rows, *frame_shape), np.float32)
        self._frame_of: list[int | None] = [None] * frames
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="noise")
        self._pending: Future[None] | None = None

    def latents(self, cycle: int) -> F32:
        """[draws, rows, C, frames] of one cycle, valid until the one after next is asked for."""
        self._wait()
        slot = cycle % 2
        self._draw_latents(cycle)
        drawn: F32 = self._draws[slot]
        return drawn

    def frames(self, first: int, out: F32) -> None:
        """Fill out [rows, n, *frame_shape] with the decoder noise of frames first ... first + n - 1."""
        self._wait()
        for i in range(out.shape[1]):
            out[:, i] = self._frames[self._draw_frame(first + i)]

    def prepare(self, cycle: int, first_frame: int, frames: int) -> None:
        """Start drawing what the next cycle will most likely ask for. Returns at once."""
        self._wait()
        self._pending = self._pool.submit(self._prepare, cycle, first_frame, frames)

    def close(self) -> None:
        self._pool.shutdown(wait=True)

    def _prepare(self, cycle: int, first_frame: int, frames: int) -> None:
        self._draw_latents(cycle)
        if self._frame_shape:
            for frame in range(first_frame, first_frame + min(frames, len(self._frame_of))):
                self._draw_frame(frame)

    def _wait(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def _draw_latents(self, cycle: int) -> None:
        slot = cycle % 2
        if self._drawn[slot] != cycle:
            for row, stem in enumerate(self._stems):
                self._source.latents(stem, cycle, self._scratch)
                self._draws[slot, :, row] = self._scratch
            self._drawn[slot] = cycle

    def _draw_frame(self, frame: int) -> int:
        slot = frame % len(self._frame_of)
        if self._frame_of[slot] != frame:
            for row, stem in enumerate(self._stems):
                self._source.frames(stem, frame, self._frames[slot, row][None])
            self._frame_of[slot] = frame
        return slot
