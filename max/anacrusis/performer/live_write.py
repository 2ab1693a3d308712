# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a performance leaves on disk: what was heard, as WAV, and its report and picture."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from anacrusis.engine.errors import AudioError, MissingExtraError
from anacrusis.performer.files import require_writable, write_recording
from anacrusis.performer.live_plot import plot_take
from anacrusis.performer.plot import require_drawable
from anacrusis.performer.take import Take

_log = logging.getLogger(__name__)


def prepare(out: Path) -> None:
    """Make the directory: better before a performance than after it. Raises AudioError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioError(f"{out} cannot be made ({error.strerror}); name a directory that can be written") from None
    require_writable(out / "mix.wav")
    probe = out / ".writable"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise AudioError(f"{out} cannot be written ({error.strerror}); name another directory") from None


def write_take(out: Path, take: Take, report: dict[str, Any], title: str) -> list[Path]:
    """context.wav, a WAV a stem, mix.wav, report.json and run.png; returns the files written.

    All at the server's rate. Without matplotlib there is no picture, and a line in the log
    says how to have one; nor is there one of a performance that ended before its first step.
    """
    rate_hz = take.pace.rate_hz
    written = []
    sounds = {"context": take.context, "mix": take.context + take.heard.sum(axis=0)}
    sounds.update(zip(take.stems, take.heard, strict=True))
    for name, samples in sounds.items():
        path = out / f"{name}.wav"
        write_recording(path, samples, rate_hz)
        written.append(path)
    path = out / "report.json"
    try:
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise AudioError(f"{path} cannot be written ({error.strerror}); name another directory") from None
    written.append(path)
    picture = out / "run.png"
    if not take.steps:
        return written
    try:
        require_drawable(picture)
    except MissingExtraError as error:
        _log.warning("no %s: %s", picture.name, error)
        return written
    plot_take(picture, take, title)
    return [*written, picture]
