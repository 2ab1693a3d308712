# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Where samples go in a buffer that ends or loops: pure functions on one channel.

`first` is the frame of a reply's sample 0, any integer; what lies outside is dropped, or in a loop comes round, at
both ends (the released external comes round at the right end only).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def spans(first: int, length: int, frames: int, *, loop: bool) -> Iterator[tuple[int, int, int]]:
    """Where [first, first + length) lies in a buffer: (frame, offset from `first`, count), in order."""
    if frames < 1:
        return
    if not loop:
        low, high = max(first, 0), min(first + length, frames)
        if low < high:
            yield low, low - first, high - low
        return
    offset = 0
    while offset < length:
        frame = (first + offset) % frames
        count = min(frames - frame, length - offset)
        yield frame, offset, count
        offset += count


def ramp(start: int, stop: int, fade: int) -> F32:
    """o / F for o in [start, stop), float32."""
    weights: F32 = np.arange(start, stop, dtype=np.float32) / np.float32(fade)
    return weights


def blend(channel: F32, first: int, audio: F32, offset: int, fade: int, *, loop: bool) -> None:
    """Write reply samples [offset, offset + n) into channel [frames]: linear from what is there for o < fade.

    `old * (1 - t) + new * t`, t = o / fade, all float32, as the released external computes it.
    """
    for frame, skip, count in spans(first + offset, audio.shape[0], channel.shape[0], loop=loop):
        part, o = audio[skip : skip + count], offset + skip
        faded = min(max(fade - o, 0), count)
        if faded:
            t = ramp(o, o + faded, fade)
            zone = channel[frame : frame + faded]
            zone[...] = zone * (np.float32(1) - t) + part[:faded] * t
        channel[frame + faded : frame + count] = part[faded:]


def silence(channel: F32, first: int, length: int, *, loop: bool) -> None:
    """Zero [first, first + length)."""
    for frame, _, count in spans(first, length, channel.shape[0], loop=loop):
        channel[frame : frame + count] = 0
