# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Leaving known silence out of the encoder's maps, exactly.

In a stretch of silence every column of a map (its values at one time) is the same, but for those that a convolution
lets see one of its ends. So a map may be computed without most of the stretch: nothing else changes if statistics
count one column of it as often as it stands for (`Pause`), and if its frames are put back before anything reads
further along time than `margins_frames` allows for.

Not covered: where the silence is. It ends at the right edge of what is encoded; `engine/silence.py` finds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Pause:
    """window - frames equal frames are left out of a map. column: int64 [1], which column stands for theirs.

    left, left_out: float [1], shares of the whole map's time. Of a map of frames: one column each.
    """

    column: Tensor
    left: Tensor
    left_out: Tensor
    frames: int
    window: int

    @classmethod
    def before(cls, after: int, frames: int, window: int) -> Pause:
        """The frame that stands for the others has `after` more behind it. window >= frames."""
        column = torch.full((1,), frames - 1 - after).clamp_min(0)  # none is left out of a map as short as that
        left = torch.ones(1) * frames / window
        return cls(column, left, 1 - left, frames, window)

    def widened(self, columns: int) -> Pause:
        """The same stretch in a map of so many columns a frame."""
        return replace(self, column=self.column * columns)

    def average(self, left: Tensor, column: Tensor) -> Tensor:
        """The average of the whole map, from that of what is left of it and that of the column."""
        return self.left * left + self.left_out * column

    def put_back(self, x: Tensor) -> Tensor:
        """x [..., frames] -> [..., window]."""
        window = torch.arange(self.window)
        after = torch.maximum(self.column, window - (self.window - self.frames))
        return x.index_select(-1, torch.minimum(window, after))


def margins_frames(convolutions: Iterable[tuple[int, int]], columns: int) -> tuple[int, int]:
    """(before, after): frames at the two ends of a stretch in which some map's columns are not all the same.

    convolutions: (kernel, stride) along time in their order, padded by half a kernel; columns: a frame's in the first
    map, and stride after stride fewer. The stretch begins with a frame and ends with the map. Where a first
    convolution pads with what silence is anyway, its reach at the end is counted all the same.
    """
    before = after = frames_before = frames_after = 0
    for kernel, stride in convolutions:
        reach = kernel // 2
        before, after = -(-(before + reach) // stride), -(-(after + reach + 1) // stride) - 1
        columns //= stride
        frames_before = max(frames_before, -(-before // columns))
        frames_after = max(frames_after, -(-after // columns))
    return frames_before, frames_after
