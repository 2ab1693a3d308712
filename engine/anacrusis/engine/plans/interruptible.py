# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Run a library's long call in a thread, so that Ctrl-C is answered while it runs.

A build is one call into C++ that returns after many seconds and looks for a wish to end only between its steps. The
caller's thread waits in short pieces, ticks, and on Ctrl-C asks the call to end, waits a moment, and leaves it behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class AbandonedError(KeyboardInterrupt):
    """Interrupted, and the library is still inside its call: after tidying up, end the process with os._exit."""


def run_interruptibly(
    work: Callable[[], T],
    cancel: Callable[[], None],
    tick: Callable[[], None],
    *,
    period_s: float = 0.1,
    grace_s: float = 0.5,
) -> T:
    """What work() returns or raises; tick() is called every `period_s` in the caller's thread.

    On KeyboardInterrupt, or what tick() raises: cancel(), then the same again if work() ends within `grace_s`, else
    AbandonedError. Main thread.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    # Not Thread.is_alive: until Python 3.13 an interrupt within join marks a running thread as ended (bpo-45274), and
    # the interpreter then shuts down under the library.
    ended = threading.Event()

    def target() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=target, name="plan-build", daemon=True)
    try:
        thread.start()
        while not ended.wait(period_s):  # a wait without end would not see a signal on Windows
            tick()
    except BaseException as error:
        cancel()
        if not ended.wait(grace_s):
            raise AbandonedError from error
        raise
    if errors:
        raise errors[0]
    return results[0]
