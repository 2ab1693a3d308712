# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What every benchmark records beside its figures, so that a figure can be believed later."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from anacrusis.engine.doctor import package_versions
from anacrusis.engine.paths import REPOSITORY
from anacrusis.engine.plans.device import find_cards

# What benchmarks append to and draw: changed by every run, and no part of what runs.
RECORDS: Final = (":!benchmarks/results", ":!benchmarks/RESULTS.md", ":!docs/verified.jsonl")


def quantiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and max, in milliseconds, and how many."""
    points = np.percentile(np.asarray(seconds) * 1e3, (50, 95, 99, 100))
    named = dict(zip(("p50", "p95", "p99", "max"), (round(float(p), 4) for p in points), strict=True))
    return {**named, "n": len(seconds)}


def conditions(threads: int, packages: Sequence[str] = ("numpy", "onnxruntime", "torch")) -> dict[str, Any]:
    """Commit, machine with its cards and driver (None where there are none), library versions, load before the run.

    changed_files: tracked files that differ from the commit, but for what benchmarks themselves write.
    """
    gpus, driver = _gpus()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_files": len(_git("status", "--porcelain", "--untracked-files=no", "--", ".", *RECORDS).splitlines()),
        "machine": f"{platform.system()} {platform.machine()}, {_cpu()}",
        "cores": os.cpu_count(),
        "gpus": gpus,
        "cuda_driver": driver,
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "threads": threads,
        **package_versions(packages),
    }


def columns(rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    """Rows as aligned lines, a rule under the first. right: indices of columns that end in line."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        return "  ".join(cells)

    head, *rest = map(line, rows)
    return [head, "  ".join("-" * width for width in widths), *rest]


def append_jsonl(path: Path, record: dict[str, Any]) -> None:
    """One line more; the directory is made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, separators=(",", ":")) + "\n")


def publish(path: Path | None, records: Sequence[dict[str, Any]]) -> None:
    """Append the records (path None: record nothing) and say them all on the last line of stdout, as one object."""
    if path is not None:
        for record in records:
            append_jsonl(path, record)
    said = {"records": len(records), "file": None if path is None else str(path), "results": list(records)}
    print(json.dumps(said, separators=(",", ":")))


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


@cache
def _gpus() -> tuple[list[str] | None, int | None]:
    """(names, the CUDA version that the driver speaks), asked once a process."""
    cards = find_cards()
    return [card.name for card in cards.cards] or None, cards.driver


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown CPU"
