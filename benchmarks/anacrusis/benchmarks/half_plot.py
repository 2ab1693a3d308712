# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One picture of a float16 report: SNR of every stage and sampler row, one colour a signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from anacrusis.benchmarks.half import GOAL_DB, HalfReport
from anacrusis.benchmarks.half_subjects import SIGNALS
from anacrusis.performer.plot import pyplot_of, save

COLOURS = dict(zip(SIGNALS, ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860"), strict=True))


def plot_half(path: Path, report: HalfReport) -> None:
    """Filled: a stage alone, fed float32. Hollow: all stages so far. Raises MissingExtraError, AudioError."""
    pyplot = pyplot_of(path)

    rows = [row for row in report.rows() if row["stage"] != "embed"]
    columns = list(dict.fromkeys((row["stage"], row["run"], row["row"]) for row in rows))
    figure, axis = pyplot.subplots(figsize=(max(7.0, 0.42 * len(columns) + 3), 5.2), layout="constrained")
    named: set[str] = set()
    for row in rows:
        at = columns.index((row["stage"], row["run"], row["row"]))
        for signal, snr_db in row["by_signal_db"].items():
            if snr_db is None:
                continue
            colour, alone = COLOURS[signal], row["fed"] == "float32"
            aside = (SIGNALS.index(signal) - (len(SIGNALS) - 1) / 2) * 0.12
            label = None if signal in named else signal
            named.add(signal)
            face = colour if alone else "none"
            axis.plot(at + aside, snr_db, "o", color=colour, markerfacecolor=face, markersize=4, label=label)
    axis.axhline(GOAL_DB, color="k", linestyle="--", linewidth=0.9, label=f"goal for the final latent, {GOAL_DB:g} dB")
    axis.set_xticks(np.arange(len(columns)), [_name(*column) for column in columns], rotation=90, fontsize=8)
    axis.set_ylabel("dB from float32")
    axis.set_ylim(bottom=min(GOAL_DB - 10, axis.get_ylim()[0]), top=axis.get_ylim()[1] + 6)  # the legend's room
    axis.grid(axis="y", linewidth=0.4, alpha=0.6)
    axis.legend(fontsize=7, ncols=4, loc="upper left", frameon=False)
    what = "filled: the stage alone; hollow: all stages so far in float16"
    axis.set_title(f"{report.source}: float16, emulated; {report.nonfinite} values not finite\n{what}", fontsize=9)
    save(figure, path)


def _name(stage: str, run: str, row: int | None) -> str:
    if stage == "encode":
        return "encode"
    return f"{run}: {stage}" + ("" if row is None else f" {row + 1}")
