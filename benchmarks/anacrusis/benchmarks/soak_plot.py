# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One picture of a soak: every round trip against the deadline, and the server's memory below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from anacrusis.performer.plot import HEARD, LEAD, STEP, pyplot_of, save


def plot_soak(path: Path, record: dict[str, Any], series: dict[str, Any]) -> None:
    """record, series: as `soak.py` writes them. Raises MissingExtraError, AudioError."""
    pyplot = pyplot_of(path)

    figure, (above, below) = pyplot.subplots(
        2, 1, figsize=(13, 6), layout="constrained", sharex=True, height_ratios=(2, 1)
    )
    sent = np.asarray(series["sent_s"], np.float64) / 60
    trips = np.asarray([np.nan if ms is None else ms for ms in series["round_trip_ms"]], np.float64)
    late = np.zeros(len(sent), np.bool_)
    late[series["late"]] = True
    whole = np.isfinite(trips)
    above.plot(sent[whole & ~late], trips[whole & ~late], ".", color=HEARD, markersize=3, label="round trip")
    if (whole & late).any():
        above.plot(sent[whole & late], trips[whole & late], "v", color="#c44e52", markersize=5, label="late")
    if (~whole).any():
        above.plot(sent[~whole], np.zeros(np.count_nonzero(~whole)), "x", color="#c44e52", label="not whole")
    deadline = record["deadline_ms"]
    above.axhline(deadline, color="k", linestyle="--", linewidth=0.9, label=f"deadline {deadline:.0f} ms")
    compute = record["compute_ms"]
    if compute:
        above.axhline(compute["p50"], color=LEAD, linewidth=0.9, label=f"compute p50 {compute['p50']:.0f} ms")
    above.set_ylim(bottom=0)
    above.set_ylabel("ms")
    above.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=7, ncols=5, frameon=False)
    memory = record["server_memory"]
    slope = memory["slope_mb_per_min"] if memory else None
    text = "not measured" if not memory else "too short for a slope" if slope is None else f"{slope:+.3f} MB a minute"
    below.plot(np.asarray(series["rss_at_s"], np.float64) / 60, series["rss_mb"], color=STEP)
    below.set_title(f"the server's resident memory: {text}", loc="left", fontsize=9)
    below.set_ylabel("MB")
    below.set_xlabel("time [min]")
    counted = f"{record['steps']} sent, {record['late']} late, {record['dropped']} dropped"
    what = f"{record['bundle']}, {', '.join(record['stems'])}: steps of {record['step_ms']:.0f} ms, {counted}"
    figure.suptitle(f"{what}; {record['machine']}, {record['threads']} thread(s)", fontsize=10)
    save(figure, path)
