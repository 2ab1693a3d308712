# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of the two tables: a cycle's stages side by side, and the cycle against its step by r."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from anacrusis.performer.plot import pyplot_of, save

PARTS: Final = {
    "client -> server": "#8172b3",
    "encode": "#4c72b0",
    "sample": "#dd8452",
    "decode": "#55a868",
    "host": "#937860",
    "server -> client": "#c44e52",
}


def plot_stages(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Medians of table 1, a panel a model, its own scale, one bar a side. Raises MissingExtraError, AudioError."""
    pyplot = pyplot_of(path)
    figure, axes = pyplot.subplots(
        len(rows), 1, figsize=(10, 1.4 + 1.5 * len(rows)), layout="constrained", squeeze=False
    )
    for axis, row in zip(axes[:, 0], rows, strict=True):
        sides = [side for side in ("yardstick", "ours") if row.get(f"{side}_ms")]
        for place, side in enumerate(sides):
            left = 0.0
            for name, colour in PARTS.items():
                ms = {**row["transfer_ms"], **row[f"{side}_ms"]}[name]["p50"]
                axis.barh(place, ms, left=left, color=colour, label=name if place == 0 else None)
                left += ms
            axis.text(left, place, f" {row[f'{side}_ms']['full cycle']['p50']:.0f} ms", va="center", fontsize=8)
        axis.set_yticks(range(len(sides)), [row["backend"] if side == "ours" else side for side in sides], fontsize=8)
        axis.invert_yaxis()
        axis.set_xlim(right=axis.get_xlim()[1] * 1.08)
        axis.set_title(f"{row['bundle']}, {row['nfe']} NFE", fontsize=9, loc="right")
    axes[0, 0].legend(fontsize=7, ncols=len(PARTS), loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    axes[-1, 0].set_xlabel("ms: medians of the stages; the figure is the median of the full cycle")
    figure.suptitle(
        f"a cycle at r = {rows[0]['r']:g}; {rows[0]['machine']}, {rows[0]['threads']} thread(s)", fontsize=9
    )
    save(figure, path)


def plot_ratios(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Full cycles of table 2 against r, and the step that each must fit in. Raises MissingExtraError, AudioError."""
    pyplot = pyplot_of(path)
    figure, axis = pyplot.subplots(figsize=(8, 5), layout="constrained")
    names = list(dict.fromkeys(row["bundle"] for row in rows))
    for index, name in enumerate(names):
        mine = sorted((row for row in rows if row["bundle"] == name), key=lambda row: row["r"])
        for side, line in (("ours", "-"), ("yardstick", ":")):
            known = [row for row in mine if row.get(f"{side}_ms")]
            r = [row["r"] for row in known]
            full = [row[f"{side}_ms"]["full cycle"] for row in known]
            label = f"{name}, {mine[0]['nfe']} NFE, {mine[0]['backend'] if side == 'ours' else side}"
            axis.plot(r, [f["p50"] for f in full], line, marker="o", markersize=4, color=f"C{index}", label=label)
            if side == "ours" and full:
                axis.fill_between(r, [f["p50"] for f in full], [f["max"] for f in full], color=f"C{index}", alpha=0.15)
    against_r(axis, {row["r"]: 1e3 * rows[0]["window_s"] * row["r"] for row in rows}, rows[0])
    axis.set_ylabel("full cycle, ms (median; shaded to the maximum)")
    save(figure, path)


def against_r(axis: Any, step_ms: Mapping[float, float], conditions: Mapping[str, Any]) -> None:
    """Both scales logarithmic, a tick at every r, the step as a line, the machine as a title, a legend."""
    every = sorted(step_ms)
    axis.plot(every, [step_ms[r] for r in every], "k--", linewidth=0.9, label="the step, T·r")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(every, [f"{r:.4g}" for r in every])
    axis.minorticks_off()
    axis.set_xlabel("r")
    axis.grid(linewidth=0.4, alpha=0.6)
    axis.legend(fontsize=7, frameon=False)
    axis.set_title(f"{conditions['machine']}, {conditions['threads']} thread(s)", fontsize=9)
