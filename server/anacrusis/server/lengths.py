# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""How long a step is, told from what came of it. T is never on the wire; r, a total and the datagrams are.

264,600 and 262,144 mostly need the same number of datagrams, so the end of the last one tells them apart. Only a step
of which that came may change what is expected of the next.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from anacrusis.server.batch import Batch
from anacrusis.server.controls import Controls
from anacrusis.server.wire.extension import StepPosition

_log = logging.getLogger(__name__)


class StepLengths:
    """windows: the T that a client may have, the likelier first; stems: of the model. Receiving thread."""

    def __init__(self, windows: Sequence[int], stems: int, capacity_samples: int) -> None:
        self.windows, self._stems, self._capacity_samples = tuple(dict.fromkeys(windows)), stems, capacity_samples
        self._window: int | None = self.windows[0] if len(self.windows) == 1 else None
        self._observed: int | None = None  # a step that fits no T at _observed_r
        self._observed_r = math.nan

    def candidates(self, controls: Controls) -> tuple[int, ...]:
        """Steps that r allows, the likeliest first."""
        if self._observed is not None and self._observed_r == controls.r:
            return (self._observed,)
        windows = (self._window,) if self._window is not None else self.windows
        return tuple(step for step in (controls.step_samples(T) for T in windows) if step > 0)

    def possible(self, controls: Controls) -> set[int]:
        """The step of every T at this r, told or not."""
        return {controls.step_samples(window) for window in self.windows}

    def expected(self, batch: Batch, position: StepPosition | None) -> int:
        """The step, in samples, as far as can be told now."""
        if position is not None:
            return position.step_samples
        candidates = self.candidates(batch.controls)
        more_than, at_most = batch.bounds(self._stems)
        told = batch.told_length(self._stems)
        if told in candidates:
            return told
        for step in candidates:
            if more_than < step <= at_most:
                return step
        return candidates[0] if candidates else max(min(at_most, self._capacity_samples), 1)

    def whole(self, batch: Batch, position: StepPosition | None) -> int | None:
        """Length of a batch of which nothing is missing, else None."""
        if position is not None:
            length = min(position.step_samples, position.curr_samples)
            if not batch.covers(length, self._stems) or batch.distinct < batch.total:
                return None
            return length if batch.end <= length else None  # more than the position says: its own may be on the way
        candidates = self.candidates(batch.controls)
        observed = batch.observed_length(self._stems)
        # Where the total may count several targets, half a batch looks whole: the length must fit, or all be here.
        if observed is not None and (
            batch.chunks_declared(self._stems) == batch.total or observed in candidates or batch.received >= batch.total
        ):
            return observed
        if len(candidates) != 1 or not batch.covers(candidates[0], self._stems):
            return None
        more_than, _ = batch.bounds(self._stems)
        certain = more_than < candidates[0] or batch.received >= batch.total
        return candidates[0] if certain else None

    def is_expected(self, batch: Batch, position: StepPosition | None) -> bool:
        """Nothing is missing, and the length is no surprise; a surprise is given time to be contradicted."""
        length = self.whole(batch, position)
        return length is not None and (position is not None or length in self.candidates(batch.controls))

    def heard_and_step(self, batch: Batch, position: StepPosition | None, *, first: bool) -> tuple[int, int]:
        """(samples heard, samples to emit); learns from what is whole, or from the last datagram."""
        step = self.expected(batch, position)
        if position is not None:
            return min(step, position.curr_samples), step
        whole = self.whole(batch, position)
        if whole is None:
            _, at_most = batch.bounds(self._stems)
            if batch.told_length(self._stems) == step:
                self._learn(step, batch.controls)
            return (min(step, max(at_most, 1)) if first else step), step
        if first and whole < min(self.candidates(batch.controls), default=1):
            return whole, step  # the performer began in the middle of a step: right-aligned
        self._learn(whole, batch.controls)
        return whole, whole

    @property
    def window_samples(self) -> int | None:
        """T, once it was told."""
        return self._window

    def _learn(self, step: int, controls: Controls) -> None:
        """Settle which T the client has, or that its steps are of another length than r says."""
        for window in self.windows:
            if controls.step_samples(window) == step:
                if self._window != window and len(self.windows) > 1:
                    _log.info("steps of %d samples: the client's window is T = %d", step, window)
                    self._window = window
                self._observed = None
                return
        if self._observed != step or self._observed_r != controls.r:
            expected = self.candidates(controls)
            _log.warning("steps of %d samples, not %s at r = %g: following them", step, expected, controls.r)
        self._observed, self._observed_r = step, controls.r
