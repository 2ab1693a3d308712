# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One picture of a hog: what each reply took, and what there was for it, with the hog's time shaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from anacrusis.performer.plot import HEARD, LEAD, STEP, pyplot_of, save

MISSED = "#c44e52"


def plot_hog(path: Path, record: dict[str, Any], series: dict[str, Any]) -> None:
    """record, series: as `hog.py` makes them. Raises MissingExtraError, AudioError."""
    pyplot = pyplot_of(path)

    figure, axis = pyplot.subplots(figsize=(13, 4.5), layout="constrained")
    at = np.asarray(series["sent_s"], np.float64)
    trips, cycles = (
        np.asarray([np.nan if ms is None else ms for ms in series[name]], np.float64)
        for name in ("round_trip_ms", "cycle_ms")
    )
    missed = np.asarray(series["missed"], np.bool_)
    if record["hog_begin_s"] is not None:
        end = record["hog_end_s"] if record["hog_end_s"] is not None else record["seconds"]
        axis.axvspan(record["hog_begin_s"], end, color="0.9", label=f"{record['hogs']} other program(s)")
    axis.step(at, series["due_ms"], where="post", color="k", linestyle="--", linewidth=1, label="due (lead - fade)")
    axis.step(at, series["step_ms"], where="post", color=STEP, linewidth=0.9, label="until the next step")
    axis.plot(at, cycles, ".", color=LEAD, markersize=4, label="cycle")
    axis.plot(at[~missed], trips[~missed], ".", color=HEARD, markersize=4, label="reply, whole")
    if missed.any():
        shown = np.where(np.isfinite(trips), trips, 0.0)
        axis.plot(at[missed], shown[missed], "v", color=MISSED, markersize=6, label="late or missing")
    axis.set_xlim(0, record["seconds"])
    axis.set_ylim(bottom=0)
    axis.set_xlabel("time [s]")
    axis.set_ylabel("ms after its step was sent")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=7, ncols=6, frameon=False)
    paced = "paced" if record["pacing"] else "not paced"
    share = "unknown" if record["stolen_share"] is None else f"{record['stolen_share']:.1%}"
    figure.suptitle(
        f"{record['bundle']}, {paced}: {record['late']} late, {record['dropped']} dropped; "
        f"{record['machine']}, {record['threads']} thread(s), stolen {share}",
        fontsize=10,
        x=0.01,
        ha="left",
    )
    save(figure, path)
