# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""How far a build is: the library's phase, and a share and seconds left that come from how long builds took here.

The steps that TensorRT-RTX 1.7.1 reports say nothing of time: by them a build stands at 83 % after a twentieth of it
and stays there for four fifths, one step of one phase. So the share is of an expected time: what the same stage took
before on this machine, else what it took on ours, scaled by how other stages compared. Beyond it no seconds left are
named.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

# Full size, float16, portable plan, TensorRT-RTX 1.7.1 on two cores of an AMD EPYC. Only where there is no history.
REFERENCE_S = {"encode": 1.8, "denoise": 9.0, "decode": 5.8}


@dataclass(frozen=True, slots=True)
class Progress:
    """phase: the library's own name. fraction: 0 to 1 of this plan. remaining_s: None where it cannot be known."""

    phase: str
    fraction: float
    elapsed_s: float
    remaining_s: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PastBuild:
    """One plan that was built on this machine. graph: what tells whether it was the same network."""

    stage: str
    graph: str
    seconds: float


def expected_seconds(stage: str, graph: str, past: Sequence[PastBuild]) -> float:
    """How long a build will take, about. past: oldest first.

    The newest build of the same graph, else of the same stage, else the reference times the median of how much slower
    or faster this machine built other stages.
    """
    same = [build for build in past if build.stage == stage]
    exact = [build for build in same if build.graph == graph]
    if exact or same:
        return (exact or same)[-1].seconds
    ratios = sorted(build.seconds / REFERENCE_S[build.stage] for build in past if build.stage in REFERENCE_S)
    return REFERENCE_S.get(stage, max(REFERENCE_S.values())) * (ratios[len(ratios) // 2] if ratios else 1.0)


class BuildWatch:
    """Between the thread that builds, which tells phases, and the one that shows them and may cancel. Any thread."""

    def __init__(self, expected_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._expected_s, self._clock = max(expected_s, 0.1), clock
        self._lock = threading.Lock()
        self._open: list[tuple[str, bool]] = []
        self._phase, self._finished = "", False
        self._start_s = clock()
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the build to end; it does at the library's next step, which may be seconds away."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def start(self, name: str, parent: str | None) -> None:
        """A phase began. parent: None for the whole build."""
        with self._lock:
            self._open.append((name, parent is None))
            self._phase = name

    def finish(self, name: str) -> None:
        """A phase ended, early or not."""
        with self._lock:
            self._finished = self._finished or (name, True) in self._open
            self._open = [phase for phase in self._open if phase[0] != name]
            self._phase = self._open[-1][0] if self._open else name

    def progress(self) -> Progress:
        """Where the build is now. The fraction never falls, and is 1 only when the library is done."""
        with self._lock:
            elapsed_s = self._clock() - self._start_s
            if self._finished:
                return Progress(self._phase, 1.0, elapsed_s, 0.0)
            left_s = self._expected_s - elapsed_s
            return Progress(
                self._phase, min(0.99, elapsed_s / self._expected_s), elapsed_s, left_s if left_s > 0 else None
            )
