# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One picture of the calibrated lead: how long replies took, and what l* and a share of it left for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anacrusis.benchmarks.least_lead import name_of
from anacrusis.performer.plot import HEARD, LEAD, STEP, pyplot_of, save


def plot_least_lead(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """records: as `least_lead.py` writes them, one a lead. Raises MissingExtraError, AudioError."""
    pyplot = pyplot_of(path)

    figure, axis = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    for record, color in zip(records, (HEARD, LEAD, STEP, "0.5"), strict=False):
        trips = np.asarray(record["round_trips_ms"], np.float64)
        name = name_of(record["lead_is"])
        late = f"{record['late']} of {record['steps']} late"
        axis.step(trips, 1 - np.arange(len(trips)) / max(len(trips), 1), color=color, label=f"{name}: {late}")
        axis.axvline(record["deadline_ms"], color=color, linestyle="--", linewidth=1)
        at = {"color": color, "fontsize": 8, "rotation": 90, "va": "top", "ha": "right"}
        axis.text(record["deadline_ms"], 0.98, f"due, {name} ", transform=axis.get_xaxis_transform(), **at)
    axis.set_yscale("log")
    axis.set_xlim(left=0)
    axis.set_xlabel("round trip of a step [ms]; dashed: lead - fade")
    axis.set_ylabel("share of steps that took longer")
    axis.legend(loc="lower left", fontsize=8, frameon=False)
    some = records[0]
    where = f"{some['machine']}, {some['threads']} thread(s)"
    figure.suptitle(f"{some['bundle']}, step {some['step_ms']:.0f} ms, no pacing; {where}", fontsize=10)
    save(figure, path)
