# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the machine did while something ran: memory of a process, and time that a hypervisor gave to others.

Nothing here has a thread: whoever measures calls `Memory.sample` when it has a moment.

Not covered: memory that a GPU holds; stolen time anywhere but on Linux (None there, never zero).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

SAMPLE_S: Final = 1.0
SETTLED_FROM: Final = 0.25  # of the run: the slope is taken after it, when caches and arenas have grown
LEAST_FOR_SLOPE: Final = 8  # samples; fewer tell nothing
_STAT: Final = Path("/proc/stat")
_STEAL: Final = 7  # user nice system idle iowait irq softirq steal; guest time is part of user


class CpuTime:
    """Stolen and total processor time since it was made, in the kernel's ticks, over all cores."""

    def __init__(self) -> None:
        self._before = _ticks()

    def stolen_share(self) -> float | None:
        """0 to 1; None where the system does not say, or where no tick has passed."""
        return share(self._before, _ticks())


def share(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    """Of (stolen, all) ticks, the fraction stolen between two moments."""
    if before is None or after is None or after[1] <= before[1]:
        return None
    return round((after[0] - before[0]) / (after[1] - before[1]), 5)


def parse_ticks(text: str) -> tuple[int, int] | None:
    """(stolen, all) of the first line of /proc/stat; None where it is not one."""
    words = text.partition("\n")[0].split()
    if len(words) <= _STEAL + 1 or words[0] != "cpu" or not all(word.isdecimal() for word in words[1:]):
        return None
    ticks = [int(word) for word in words[1 : _STEAL + 2]]
    return ticks[_STEAL], sum(ticks)


def _ticks() -> tuple[int, int] | None:
    try:
        return parse_ticks(_STAT.read_text(encoding="ascii"))
    except OSError:
        return None


class Memory:
    """Resident memory of a process, sampled at most once a second. Without psutil there are no samples. One thread."""

    def __init__(self, pid: int) -> None:
        self.at_s: list[float] = []  # since the first sample
        self.megabytes: list[float] = []
        self._process: Any = None
        self._began_s = 0.0
        try:
            import psutil

            self._process = psutil.Process(pid)
        except Exception:  # not installed, or the process has ended: memory is then not known
            return

    def sample(self) -> None:
        """Take one if it is time. Never raises."""
        if self._process is None:
            return
        now_s = time.perf_counter()
        if self.at_s and now_s - self._began_s < self.at_s[-1] + SAMPLE_S:
            return
        try:
            megabytes = self._process.memory_info().rss / 1e6
        except Exception:  # it ended
            self._process = None
            return
        if not self.at_s:
            self._began_s = now_s
        self.at_s.append(now_s - self._began_s)
        self.megabytes.append(megabytes)

    def summary(self) -> dict[str, float | int | None] | None:
        return memory_summary(self.at_s, self.megabytes)


def memory_summary(at_s: Sequence[float], megabytes: Sequence[float]) -> dict[str, float | int | None] | None:
    """First, last, largest, and the slope after the first quarter; None without samples. MB are 1e6 bytes."""
    if not megabytes:
        return None
    slope = slope_per_minute(at_s, megabytes)
    return {
        "first_mb": round(megabytes[0], 2),
        "last_mb": round(megabytes[-1], 2),
        "max_mb": round(max(megabytes), 2),
        "slope_mb_per_min": None if slope is None else round(slope, 4),
        "n": len(megabytes),
    }


def slope_per_minute(at_s: Sequence[float], values: Sequence[float]) -> float | None:
    """Least squares over what came after the first quarter of the time; None where that is too little."""
    if not at_s:
        return None
    times, points = np.asarray(at_s, np.float64), np.asarray(values, np.float64)
    settled = times >= times[0] + SETTLED_FROM * (times[-1] - times[0])
    if np.count_nonzero(settled) < LEAST_FOR_SLOPE:
        return None
    slope: float = np.polyfit(times[settled], points[settled], 1)[0]
    return 60.0 * float(slope)
