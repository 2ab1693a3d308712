# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Work that must not make a step late: a thread or a child process that gives way to what plays.

A thread gives way on Linux and on Windows. Elsewhere (macOS) a thread has no priority of its own that it can lower
and raise, and keeps the process's. On Linux, threads that a lowered thread starts are lowered too and stay so: lower
none that makes a pool for later use. A child process gives way everywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from anacrusis.engine.errors import BackendError

NICENESS: Final = 10  # more than the process's own
TERMINATE_S: Final = 0.5  # for a child to leave nothing half-written
LONGEST_LINE: Final = 300


def lower_this_thread() -> bool:
    """False where a thread cannot be lowered; it then runs as everything else does."""
    if sys.platform == "win32":
        import ctypes

        below_normal = -1
        kernel = ctypes.windll.kernel32
        kernel.GetCurrentThread.restype = ctypes.c_void_p
        return bool(kernel.SetThreadPriority(ctypes.c_void_p(kernel.GetCurrentThread()), below_normal))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            # Linux takes a thread's id where POSIX has a process's.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _nicer())
            return True
    return False


def _nicer() -> int:
    """Than this process is."""
    return min(os.getpriority(os.PRIO_PROCESS, os.getpid()) + NICENESS, 19)


class Child:
    """One command at low priority, its output read line by line. `run` on one thread, `stop` from any, once each."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command, self._stopped = list(command), threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._starting = threading.Lock()

    def run(self, on_progress: Callable[[str], None]) -> None:
        """Until it ends. on_progress(text) for every line that says something.

        Raises BackendError with its last line where it fails, cannot be started or was stopped.
        """
        flags: int = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
        with self._starting:
            if self._stopped.is_set():
                raise BackendError("the build was stopped")
            try:
                self._process = process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    creationflags=flags,
                )
            except OSError as error:
                raise BackendError(f"the build cannot be started ({error}); run `anacrusis build` by hand") from None
        if hasattr(os, "setpriority"):
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, _nicer())
        last = ""
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if text := progress_text(line):
                    last = text
                    on_progress(text)
        code = process.wait()
        if self._stopped.is_set():
            raise BackendError("the build was stopped")
        if code:
            raise BackendError(f"the build ended with exit code {code}: {last or 'it said nothing'}")

    def stop(self) -> None:
        """Ask it to end, then end it. Blocks for at most half a second and a little."""
        self._stopped.set()
        with self._starting:
            process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(TERMINATE_S)
        except subprocess.TimeoutExpired:
            process.kill()


def progress_text(line: str) -> str:
    """What a line of `anacrusis build --json-progress` says; a line that is no JSON object says itself."""
    said: Any = None
    with contextlib.suppress(ValueError):
        said = json.loads(line)
    if not isinstance(said, dict):
        return " ".join(line.split())[:LONGEST_LINE]
    parts = [str(said["stage"])] if "stage" in said else []
    if {"plan", "plans"} <= said.keys():
        parts.append(f"plan {said['plan']} of {said['plans']}")
    if isinstance(fraction := said.get("fraction"), int | float):
        parts.append(f"{100 * fraction:.0f} %")
    if isinstance(left_s := said.get("remaining_s"), int | float):
        parts.append(f"about {left_s:.0f} s left")
    return ", ".join(parts)[:LONGEST_LINE]
