# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What is counted, and log lines that a flood cannot multiply.

Each counter has one writing thread (named below); any thread may read.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, fields

LONGEST_LINE = 300
_log = logging.getLogger("anacrusis.server")


@dataclass(slots=True)
class Counters:
    """Since the server started. Datagrams unless named."""

    # receiving thread
    received: int = 0
    malformed: int = 0
    strangers: int = 0  # from an address that is neither the client's nor admitted
    refused: int = 0  # well-formed, but what they ask cannot be
    unknown: int = 0  # addresses that nobody has
    duplicate: int = 0
    stale: int = 0  # of a step that was handed over already
    aside: int = 0  # kept with a challenger that may start a new epoch
    unloaded: int = 0  # context before /load_model, or while loading
    steps: int = 0  # handed to the engine
    steps_never_came: int = 0
    concealed_context_samples: int = 0  # of steps of which at least one datagram came
    # engine thread
    dropped: int = 0
    concealed_replies: int = 0  # stems replaced by silence
    failed: int = 0  # cycles that raised
    # sending thread
    answered: int = 0
    late: int = 0
    resent: int = 0  # stems sent again from chunk 0
    abandoned: int = 0  # replies that no client would take any more
    send_errors: int = 0

    def as_dict(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Recent:
    """The newest durations, for an estimate that errs on the long side. One writing thread."""

    def __init__(self, size: int = 16) -> None:
        self._values: deque[float] = deque(maxlen=size)

    def add(self, seconds: float) -> None:
        self._values.append(seconds)

    def worst_s(self) -> float:
        return max(tuple(self._values), default=0.0)


class Narrator:
    """One line now, then at most one a second per kind, with how many were held back. One thread."""

    def __init__(self, interval_s: float = 1.0) -> None:
        self._interval_s = interval_s
        self._said: dict[str, tuple[float, int]] = {}

    def say(self, kind: str, text: str, level: int = logging.WARNING) -> None:
        now = time.monotonic()
        at, held = self._said.get(kind, (-1e9, 0))
        if now - at < self._interval_s:
            self._said[kind] = (at, held + 1)
            return
        self._said[kind] = (now, 0)
        shown = text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + "..."
        _log.log(level, "%s%s", shown, f" (and {held} more like it)" if held else "")
