# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the engine thread can be asked to do, in the order in which it is asked."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from anacrusis.engine.standby import News
from anacrusis.server.assembler import ReadyStep
from anacrusis.server.controls import Controls


@dataclass(frozen=True, slots=True)
class Load:
    """Open the engine if it is not open; begin an epoch with these controls."""

    epoch: int
    controls: Controls


@dataclass(frozen=True, slots=True)
class Begin:
    """A new epoch: silence behind."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """Bind these stems before a step needs them."""

    controls: Controls


@dataclass(frozen=True, slots=True)
class Again:
    """Answer the newest step once more (`/predict`)."""

    epoch: int
    batch: int
    controls: Controls


@dataclass(frozen=True, slots=True)
class Dump:
    """Write what is remembered into a directory (`/print`)."""

    directory: Path


@dataclass(frozen=True, slots=True)
class Fence:
    """Set `done` when everything before it was computed and sent."""

    done: threading.Event


Work = Fence | Load | Begin | Prepare | Again | Dump | ReadyStep | News | None
