# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Two pictures of a run: every judge's anchors, and scores against net look-ahead (the form of the paper's Figure 6).

A panel is a judge (row) on a stem (column). Whiskers and bands are 95 % bootstrap intervals over songs. A panel whose
judge cannot tell the true stem from another song's is grey: what it shows means nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anacrusis.benchmarks.music_clips import ANCHORS
from anacrusis.benchmarks.music_live import Player
from anacrusis.benchmarks.music_report import Row, judged
from anacrusis.performer.plot import pyplot_of, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS: Final = {"ceiling": "#55a868", "late": "#dd8452", "codec": "#4c72b0", "floor": "#c44e52"}
LINES: Final = ("#000000", "#8172b3", "#937860", "#da8bc3", "#8c8c8c", "#ccb974", "#64b5cd")
MARKS: Final = "osD^vP*X"


def plot_anchors(path: Path, rows: Sequence[Row], title: str) -> None:
    """Each anchor's mean and interval. Raises MissingExtraError, AudioError."""

    def draw(axis: Axes, row: Row) -> None:
        for place, name in enumerate(ANCHORS):
            if name in row.values and math.isfinite(row.values[name].value):
                value = row.values[name]
                whiskers = _whiskers([value])
                axis.errorbar(
                    [place], [value.value], yerr=whiskers, fmt="o", color=COLOURS[name], capsize=3, markersize=5
                )
        axis.set_xticks(range(len(ANCHORS)), ANCHORS, fontsize=7)
        axis.set_xlim(-0.5, len(ANCHORS) - 0.5)
        axis.set_title(row.verdict.text, fontsize=6.5, color="0.35", wrap=True)

    _grid(path, judged(rows), title, draw, None, {})


def plot_look_ahead(path: Path, rows: Sequence[Row], players: Sequence[Player], title: str) -> None:
    """A line for each bundle and step, anchors as bands. Raises MissingExtraError, AudioError."""
    lines = sorted({(player.name, player.step_frames) for player in players})
    style = {line: (LINES[i % len(LINES)], MARKS[i % len(MARKS)]) for i, line in enumerate(lines)}
    there = [row for row in judged(rows) if any(player.label in row.values for player in players)]
    leads = [player.net_look_ahead_s for player in players]
    room = 0.08 * (max(leads) - min(leads)) or 0.5
    handles: dict[str, Any] = {}

    def draw(axis: Axes, row: Row) -> None:
        for name in ANCHORS:
            if name in row.values and math.isfinite(row.values[name].value):
                value = row.values[name]
                handles[name] = axis.axhline(value.value, color=COLOURS[name], linewidth=1.2, label=name)
                if math.isfinite(value.low):
                    axis.axhspan(value.low, value.high, color=COLOURS[name], alpha=0.15, linewidth=0)
        for name, step in lines:
            mine = [p for p in players if (p.name, p.step_frames) == (name, step) and p.label in row.values]
            mine = [p for p in mine if math.isfinite(row.values[p.label].value)]
            if mine:
                mine.sort(key=lambda player: player.net_look_ahead_s)
                values = [row.values[player.label] for player in mine]
                colour, mark = style[name, step]
                label = f"{name}, step {mine[0].step_s:.2f} s"
                handles[label] = axis.errorbar(
                    [player.net_look_ahead_s for player in mine],
                    [value.value for value in values],
                    yerr=_whiskers(values),
                    color=colour,
                    marker=mark,
                    capsize=2,
                    markersize=4,
                    linewidth=1.2,
                    label=label,
                )
        axis.axvline(0, color="0.8", linewidth=0.7, zorder=0)
        axis.set_xlim(min(leads) - room, max(leads) + room)

    _grid(path, there, title, draw, "net look-ahead [s]", handles)


def _whiskers(values: Sequence[Any]) -> list[list[float]]:
    """Lengths below and above; none where there is no interval."""
    below = [v.value - v.low if math.isfinite(v.low) else 0.0 for v in values]
    above = [v.high - v.value if math.isfinite(v.high) else 0.0 for v in values]
    return [[max(length, 0.0) for length in side] for side in (below, above)]


def _grid(
    path: Path,
    rows: Sequence[Row],
    title: str,
    draw: Callable[[Axes, Row], None],
    xlabel: str | None,
    handles: dict[str, Any],
) -> None:
    pyplot = pyplot_of(path)

    stems = list(dict.fromkeys(row.stem for row in rows))
    measures = list({row.measure.name: row.measure for row in rows}.values())
    by_place = {(row.measure.name, row.stem): row for row in rows}
    size = (max(4.5, 2.9 * len(stems) + 1), max(3.0, 1.9 * len(measures) + 1))
    figure, axes = pyplot.subplots(
        max(1, len(measures)), max(1, len(stems)), figsize=size, layout="constrained", squeeze=False
    )
    for down, measure in enumerate(measures):
        for across, stem in enumerate(stems):
            axis, row = axes[down, across], by_place.get((measure.name, stem))
            if row is None:
                axis.set_axis_off()
                axis.text(0.5, 0.5, "not judged", ha="center", va="center", fontsize=7, color="0.6")
            else:
                draw(axis, row)
                axis.grid(axis="y", linewidth=0.3, alpha=0.6)
                axis.tick_params(labelsize=7)
                if not row.verdict.has_range:
                    axis.set_facecolor("0.93")
                if xlabel is not None and down == len(measures) - 1:
                    axis.set_xlabel(xlabel, fontsize=8)
            if across == 0:
                arrow = "↑" if measure.sign > 0 else "↓"
                axis.text(
                    -0.24,
                    0.5,
                    f"{measure.label} {arrow}",
                    transform=axis.transAxes,
                    rotation=90,
                    fontsize=8,
                    va="center",
                )
            if down == 0:
                axis.text(0.5, 1.24, stem, transform=axis.transAxes, ha="center", fontsize=10, fontweight="bold")
    figure.suptitle(title, fontsize=10)
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=4, fontsize=8, frameon=False
        )
    save(figure, path)
