# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Which machine this is, as far as its speed goes. Two of the same kind are taken for one.

Not covered: clocks, power plans, cooling, memory, and who else is using it; see `busy`.
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from anacrusis.engine.plans.device import find_cards

_CPUINFO: Final = Path("/proc/cpuinfo")
BUSY_SHARE: Final = 0.5  # of the cores


@dataclass(frozen=True, slots=True)
class Machine:
    """gpu: "" where there is none. cores: that this process may use."""

    system: str
    cpu: str
    cores: int
    gpu: str

    def __str__(self) -> str:
        return f"{self.system}, {self.cpu}, {self.cores} cores" + (f", {self.gpu}" if self.gpu else "")

    def to_dict(self) -> dict[str, str | int]:
        return asdict(self)


def this_machine() -> Machine:
    """Never raises. About 0.2 s where an NVIDIA driver is asked."""
    card = find_cards().first
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(f"{platform.system()} {platform.machine()}", _cpu(), cores, "" if card is None else card.name)


def busy() -> str | None:
    """A warning where others use this machine while it is measured, else None. Windows does not say."""
    load = load_1min()
    cores = os.cpu_count() or 1
    if load is None or load <= BUSY_SHARE * cores:
        return None
    return f"load {load:.1f} on {cores} cores: somebody else computes here, and what is measured now is theirs too"


def load_1min() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _cpu() -> str:
    try:
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
