# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A listener at the buffer: copies what the playhead passes, so that what comes late is not in it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence

import numpy as np

from anacrusis.performer.events import ChunkWritten
from anacrusis.performer.placing import F32


class Ear:
    """heard [targets, n] float32: channels `targets` of buffer [n, channels], each sample as it was when it passed.

    concealed[id]: samples of batch id's region that passed before their reply came. The crossfade before a region
    belongs to the region it lies in. What passes outside of any is nobody's: concealed[0].
    """

    def __init__(self, buffer: F32, targets: Sequence[int]) -> None:
        self._buffer, self._targets = buffer, tuple(targets)
        self._starts, self._batches = [0], [0]
        self._fresh = np.zeros((len(self._targets), buffer.shape[0]), np.bool_)
        self.heard: F32 = np.zeros((len(self._targets), buffer.shape[0]), np.float32)
        self.passed_samples = 0
        self.concealed: Counter[int] = Counter()

    def listen(self, to_samples: int) -> None:
        """The playhead is at to_samples: everything before it has been heard."""
        first, last = self.passed_samples, min(to_samples, self._buffer.shape[0])
        if first >= last:
            return
        self.heard[:, first:last] = self._buffer[first:last, self._targets].T
        self._count(first, last, 1)
        self.passed_samples = last

    def expect(self, batch: int, start_samples: int, end_samples: int) -> None:
        """A reply of this batch is to cover [start, end); from there on no earlier one is waited for."""
        start = max(start_samples, 0)
        self._count(start, self.passed_samples, -1)  # a lead below zero: passed before its region was known
        index = bisect_left(self._starts, start)
        self._starts[index:], self._batches[index:] = [start, max(end_samples, start)], [batch, 0]
        self._count(start, self.passed_samples, 1)

    def _count(self, first: int, last: int, sign: int) -> None:
        at = first
        while at < last:
            index = bisect_right(self._starts, at)
            end = min(self._starts[index] if index < len(self._starts) else last, last)
            self.concealed[self._batches[index - 1]] += sign * int(np.count_nonzero(~self._fresh[:, at:end]))
            at = end

    def wrote(self, event: ChunkWritten) -> int:
        """A chunk is in the buffer; returns how many of its samples had already passed."""
        first = event.first_samples + event.offset_samples
        body, last = max(first + event.fade_samples, 0), min(first + event.length_samples, self._buffer.shape[0])
        if body < last:
            self._fresh[self._targets.index(event.stem), body:last] = True
        late: int = max(min(last, self.passed_samples) - max(first, 0), 0)
        return late
