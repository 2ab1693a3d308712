# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""How much of a window the encoder must read, where the window ends in silence because nothing was heard yet.

Pure; any thread. Not covered: silence anywhere else, and what an encoder makes of it (`networks/pause.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.window import Geometry

F32 = NDArray[np.float32]

# What an `encode` graph that takes fewer frames than the window says of itself: how many frames of silence it must
# get, at least, where it does not get them all.
SILENT_FRAMES = "silent_frames"


def frames_to_encode(geometry: Geometry, audio: F32, heard: F32, silent_frames: int) -> int:
    """Frames of audio [1, n] to read under heard [1, 1, frames]: the window's, or fewer where it ends in zeros.

    Only frames that are masked count as silent, whatever was played: so a pace has its few lengths, and a cycle is
    no longer because a musician starts to play. Looks at the masked end only; allocates nothing.
    """
    frame, window = geometry.frame_samples, geometry.window_frames
    mask = heard[0, 0]
    if audio[0, window * frame :].any():
        return window
    silent_from = window
    while silent_from and not mask[silent_from - 1]:
        if audio[0, (silent_from - 1) * frame : silent_from * frame].any():
            break
        silent_from -= 1
    return min(silent_from + silent_frames, window)
