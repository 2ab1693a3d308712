# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a run leaves on disk: one file a stem, and the mix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anacrusis.performer.files import Recording, require_writable, write_recording
from anacrusis.performer.simulate import Simulation


def stem_paths(out: Path, stems: Sequence[str]) -> list[Path]:
    """OUT for one stem, OUT-<stem> for several. Raises AudioError where one cannot be written."""
    one = len(stems) == 1
    paths = [out] if one else [out.with_name(f"{out.stem}-{stem}{out.suffix or '.wav'}") for stem in stems]
    for path in paths:
        require_writable(path)
    return paths


def write_outputs(
    recording: Recording, simulation: Simulation, paths: Sequence[Path], *, mix: Path | None = None
) -> list[Path]:
    """Write each stem at the recording's rate and length, and recording + stems; returns the files written."""
    fitted = [recording.fit(audio, simulation.sample_rate_hz) for audio in simulation.audio]
    written = []
    for path, audio in zip(paths, fitted, strict=True):
        write_recording(path, audio, recording.rate_hz)
        written.append(path)
    if mix is not None:
        together = recording.samples + np.stack(fitted).sum(axis=0)[:, None]
        write_recording(mix, together, recording.rate_hz)
        written.append(mix)
    return written
