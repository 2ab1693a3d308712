# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One picture of the history: a panel a benchmark and figure, a line a measurement, commits in the order of their days.

Not covered: measurements of one commit only, which have no trend (their figures are in the table).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anacrusis.benchmarks.history import Series
from anacrusis.engine.errors import AnacrusisError
from anacrusis.performer.plot import require_drawable, save


def plot_history(path: Path, series: Sequence[Series]) -> None:
    """Raises AnacrusisError where nothing was measured at two commits, MissingExtraError, AudioError."""
    require_drawable(path)
    moving = [one for one in series if len(one.points) > 1]
    if not moving:
        raise AnacrusisError("no measurement was recorded at two commits yet: there is no trend to draw")
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = list(dict.fromkeys((one.benchmark, one.figure) for one in moving))
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(13, 2.6 * len(panels)), layout="constrained", squeeze=False)
    for axis, (benchmark, name) in zip(axes[:, 0], panels, strict=True):
        mine = [one for one in moving if (one.benchmark, one.figure) == (benchmark, name)]
        days = {point.commit: point.date for one in mine for point in one.points}
        order = sorted(days, key=lambda commit: days[commit])
        for one in mine:
            places = [order.index(point.commit) for point in one.points]
            values = [point.value for point in one.points]
            axis.plot(places, values, "-o", markersize=4, linewidth=0.9, label=one.label)
        axis.set_xticks(range(len(order)), order, fontsize=7)
        most = max(point.value for one in mine for point in one.points)
        axis.set_ylim(bottom=0.0, top=1.15 * most if most > 0 else 1.0)
        axis.set_title(f"{benchmark}: {name}", loc="left", fontsize=9)
        axis.grid(axis="y", linewidth=0.4, alpha=0.6)
        axis.legend(fontsize=6, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, path)
