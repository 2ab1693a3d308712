# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What was called, in order, and which call is to fail."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Call:
    """subject: the handle, address or object number that the call is about (a context, a stream, an address).

    detail: what a rule may ask of it. failed: it returned an error, or False. capturing: while its stream, or for
    a driver call its thread, was being captured.
    """

    name: str
    subject: int = 0
    detail: Any = None
    failed: bool = False
    capturing: bool = False
    thread: int = 0


class Calls:
    """Thread-safe; iterating copies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: list[Call] = []
        self._to_fail: dict[str, dict[int, int]] = {}
        self._counted: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._made)

    def since(self, start: int = 0, stop: int | None = None) -> list[Call]:
        with self._lock:
            return self._made[start:stop]

    def fail(self, name: str, *, at: int = 1, code: int = 999) -> None:
        """Let the at-th call from now of that name fail: with this code, or for the library with False or None."""
        with self._lock:
            self._to_fail.setdefault(name, {})[self._counted.get(name, 0) + at] = code

    def record(self, name: str, subject: int = 0, detail: Any = None, *, capturing: bool = False) -> tuple[Call, int]:
        """The call, and the code it is to fail with, else 0."""
        with self._lock:
            self._counted[name] = count = self._counted.get(name, 0) + 1
            code = self._to_fail.get(name, {}).pop(count, 0)
            call = Call(name, subject, detail, code != 0, capturing, threading.get_ident())
            self._made.append(call)
            return call, code
