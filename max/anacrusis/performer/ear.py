# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A listener at the buffer: copies what the playhead passes, so that what comes late is not in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from anacrusis.performer.events import ChunkWritten
from anacrusis.performer.placing import F32


class Ear:
    """heard [targets, n] float32: channels `targets` of buffer [n, channels], each sample as it was when it passed.

    concealed[k]: samples of step k's region [k * step + lead, (k + 1) * step + lead) that passed before their reply
    came. The crossfade before a region belongs to the region it lies in.
    """

    def __init__(self, buffer: F32, targets: Sequence[int], step_samples: int, lead_samples: int) -> None:
        self._buffer, self._targets = buffer, tuple(targets)
        self._step, self._lead = step_samples, lead_samples
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
        at = first
        while at < last:
            step = (at - self._lead) // self._step
            end = min((step + 1) * self._step + self._lead, last)
            self.concealed[step] += int(np.count_nonzero(~self._fresh[:, at:end]))
            at = end
        self.passed_samples = last

    def wrote(self, event: ChunkWritten) -> int:
        """A chunk is in the buffer; returns how many of its samples had already passed."""
        first = event.first_samples + event.offset_samples
        body, last = max(first + event.fade_samples, 0), min(first + event.length_samples, self._buffer.shape[0])
        if body < last:
            self._fresh[self._targets.index(event.stem), body:last] = True
        late: int = max(min(last, self.passed_samples) - max(first, 0), 0)
        return late
