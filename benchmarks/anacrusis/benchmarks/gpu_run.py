# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the items of a GPU run share: recording as they go, and cycles of one way of running a model.

Nothing here raises for a measurement that fails: it becomes a record with its reason, and the item goes on.

Not covered: what is measured (`gpu_items.py`), what is run (`gpu_subjects.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from anacrusis.benchmarks.gpu_subjects import NotRunError, Setting, Subject, bind_way, open_way
from anacrusis.benchmarks.record import append_jsonl
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.pipeline import Backend, CycleOutputs, Pipeline
from anacrusis.engine.sampler import SamplerTable

T = TypeVar("T")
STAGES = ("encode", "denoise", "decode")


@dataclass(slots=True)
class Run:
    """One item's run. facts: what every record says. seconds: how long it may take, from `began`."""

    item: str
    setting: Setting
    out: Path
    facts: dict[str, Any]
    seconds: float
    began: float = field(default_factory=time.monotonic)
    records: int = 0

    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.began)

    def count(self, wanted: int) -> int:
        """A number of repeats; one in a dry run."""
        return min(wanted, 1) if self.setting.dry_run else wanted

    def warm_ups(self, wanted: int) -> int:
        return 0 if self.setting.dry_run else wanted

    def ways(self, ways: Sequence[T], dry: Sequence[T]) -> Sequence[T]:
        """Those of a dry run: the others are walked in another item."""
        return dry if self.setting.dry_run else ways

    def record(self, status: str, **figures: Any) -> None:
        """Append at once: what is measured survives whatever comes next."""
        mark = {"dry_run": True} if self.setting.dry_run else {}
        append_jsonl(
            self.out, {"benchmark": "gpu", "item": self.item, "status": status, **mark, **figures, **self.facts}
        )
        self.records += 1

    def attempt(self, way: str, work: Callable[[], dict[str, Any]], **about: Any) -> bool:
        """Run one thing and record it, or why not. An error of any kind is a record, never the end of an item."""
        try:
            figures = work()
        except NotRunError as reason:
            self.record("not run", way=way, **about, reason=str(reason))
        except AnacrusisError as reason:
            self.record("failed", way=way, **about, reason=str(reason))
        except Exception as error:
            line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            self.record("failed", way=way, **about, reason=line)
        else:
            self.record("ok", way=way, **about, **figures)
            return True
        return False


def quantiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """p50 to max in ms, and how many."""
    points = np.percentile(np.asarray(milliseconds), (50, 95, 99, 99.9, 100))
    named = zip(("p50", "p95", "p99", "p99_9", "max"), (round(float(p), 4) for p in points), strict=True)
    return {**dict(named), "n": len(milliseconds)}


def snr_db(reference: np.ndarray[Any, Any], value: np.ndarray[Any, Any]) -> float:
    """Signal to noise of `value` in dB; 300 where nothing differs."""
    error = float(np.sum((reference.astype(np.float64) - value) ** 2))
    power = float(np.sum(reference.astype(np.float64) ** 2))
    return round(10 * float(np.log10(power / error)), 2) if error > 0 else 300.0


@dataclass(slots=True)
class Bound:
    """A way bound to a shape, and its cycle."""

    backend: Backend
    pipeline: Pipeline
    decode_frames: int

    @classmethod
    def make(
        cls,
        run: Run,
        way: str,
        subject: Subject,
        table: SamplerTable,
        stems: int,
        decode_frames: int,
        backend: Backend | None = None,
    ) -> Bound:
        opened = open_way(way, subject, run.setting) if backend is None else backend
        return cls(opened, bind_way(opened, way, table, stems=stems, decode_frames=decode_frames), decode_frames)

    def cycle(self) -> CycleOutputs:
        frames = self.backend.bundle.manifest.geometry.window_frames
        return self.pipeline.cycle(
            generate=True, decode_first=frames - self.decode_frames, decode_frames=self.decode_frames
        )

    def timed(self) -> tuple[float, dict[str, float]]:
        """(milliseconds of the whole cycle, copies and wait included; per stage as the way itself tells)."""
        begin = time.perf_counter()
        made = self.cycle()
        whole = (time.perf_counter() - begin) * 1e3
        return whole, {stage: getattr(made.times, f"{stage}_ms") for stage in STAGES}

    def warm(self, count: int) -> None:
        for _ in range(count):
            self.cycle()

    def close(self) -> None:
        for owner in (self.pipeline, self.backend):
            close = getattr(owner, "close", None)
            if close is not None:
                close()


def measure(run: Run, bound: Bound, cycles: int, warm_ups: int, seconds: float) -> dict[str, Any]:
    """Quantiles of the cycle and its stages: so many cycles, or as many as fit into `seconds`, at least one."""
    begin = time.monotonic()
    bound.warm(warm_ups)
    wholes: list[float] = []
    stages: list[dict[str, float]] = []
    while len(wholes) < cycles and (not wholes or run.setting.dry_run or time.monotonic() - begin < seconds):
        whole, each = bound.timed()
        wholes.append(whole)
        stages.append(each)
    per_stage = {stage: quantiles([each[stage] for each in stages]) for stage in STAGES}
    return {"cycle_ms": quantiles(wholes), "stages_ms": per_stage, "warm_ups": warm_ups}
