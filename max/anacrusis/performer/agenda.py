# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Things to do at times to come, for a loop that must not wait for any of them."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class Agenda:
    """Entries at equal times run in the order they were made."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, when_s: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._entries, (when_s, next(self._order), what))

    @property
    def next_s(self) -> float | None:
        return self._entries[0][0] if self._entries else None

    def run_due(self, now_s: float) -> None:
        while self._entries and self._entries[0][0] <= now_s:
            heapq.heappop(self._entries)[2]()
