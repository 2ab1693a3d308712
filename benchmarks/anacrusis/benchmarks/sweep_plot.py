# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One picture of a sweep: a cycle's median against r, a line for every rung, number of stems and of evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anacrusis.benchmarks.tables_plot import against_r
from anacrusis.performer.plot import pyplot_of, save


def plot_sweep(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows without times are left out; of several leads the first (a lead costs next to nothing).

    Raises MissingExtraError, AudioError.
    """
    pyplot = pyplot_of(path)
    measured = [row for row in rows if "refused" not in row]
    lines: dict[tuple[str, str, int, int], dict[float, dict[str, Any]]] = {}
    for row in measured:
        key = (row["bundle"], row["backend"], row["stems"], row["nfe"])
        lines.setdefault(key, {}).setdefault(row["r"], row)
    figure, axis = pyplot.subplots(figsize=(8.5, 5), layout="constrained")
    for index, ((bundle, backend, stems, nfe), by_r) in enumerate(lines.items()):
        mine = [by_r[r] for r in sorted(by_r)]
        r = [row["r"] for row in mine]
        label = f"{bundle}, {backend}, {stems} stem(s), {nfe} NFE"
        colour = f"C{index % 10}"
        axis.plot(r, [_p50(row, "ours_ms") for row in mine], "-o", color=colour, markersize=4, label=label)
        if stems == 1 and all(row["yardstick_ms"] for row in mine):
            axis.plot(r, [_p50(row, "yardstick_ms") for row in mine], ":", color=colour, label=f"yardstick, {nfe} NFE")
    against_r(axis, {row["r"]: row["step_ms"] for row in measured}, measured[0])
    axis.set_ylabel("a cycle's compute, ms (median)")
    save(figure, path)


def _p50(row: dict[str, Any], side: str) -> float:
    value: float = row[side]["compute"]["p50"]
    return value
