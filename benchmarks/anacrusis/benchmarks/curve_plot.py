# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The curve's picture, in the form of the paper's Figure 6: quality against net look-ahead, harmony and rhythm.

    python -m anacrusis.benchmarks.curve_plot benchmarks/results/curve.jsonl --out curve.png

A line for each bundle, NFE (colour) and step (mark and dash); anchors as bands; whiskers are 95 % intervals over songs.
Drawn of a record alone. Points of one lead stand a little apart, or the whiskers would hide each other: by at most
`APART_S` s. Not covered: single stems (`music_plot.py`).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from anacrusis.benchmarks.curve_report import NAMES, as_interval
from anacrusis.benchmarks.music_clips import MusicError
from anacrusis.benchmarks.music_plot import COLOURS, MARKS
from anacrusis.engine.errors import AnacrusisError
from anacrusis.performer.plot import pyplot_of, save

LINES: Final = ("#000000", "#8172b3", "#da8bc3", "#937860", "#64b5cd")
DASHES: Final = ("-", "--", ":", "-.")
APART_S: Final = 0.03


def plot_curve(path: Path, record: Mapping[str, Any]) -> None:
    """PNG or SVG. Raises MissingExtraError, AudioError."""
    pyplot = pyplot_of(path)

    judges = [judge for judge in record["points"] if record["shown"][judge["panel"]] == judge["measure"]]
    figure, axes = pyplot.subplots(
        1, len(judges), figsize=(6.2 * len(judges), 5.4), layout="constrained", squeeze=False
    )
    handles: dict[str, Any] = {}
    for axis, judge in zip(axes[0], judges, strict=True):
        _panel(axis, judge, record, handles)
    figure.suptitle(
        f"{record['songs']} songs, {record['seconds']:g} s each, {record['corpus']} ({record['split']})", fontsize=10
    )
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    save(figure, path)


def _panel(axis: Any, judge: Mapping[str, Any], record: Mapping[str, Any], handles: dict[str, Any]) -> None:
    for name, figures in judge["anchors"].items():
        value = as_interval(figures)
        if math.isfinite(value.value):
            handles[name] = axis.axhline(value.value, color=COLOURS[name], linewidth=1.2)
            if math.isfinite(value.low):
                axis.axhspan(value.low, value.high, color=COLOURS[name], alpha=0.15, linewidth=0)
    players = record["players"]
    bundles = list(dict.fromkeys(player["bundle"] for player in players))
    steps = sorted({player["step_frames"] for player in players})
    lines = list(dict.fromkeys((player["bundle"], player["step_frames"]) for player in players))
    for place, (bundle, step) in enumerate(lines):
        mine = [p for p in players if (p["bundle"], p["step_frames"]) == (bundle, step)]
        mine.sort(key=lambda player: player["net_look_ahead_s"])
        values = [as_interval(judge["made"][player["label"]]) for player in mine]
        aside = APART_S * (place / max(len(lines) - 1, 1) - 0.5) * 2
        which = steps.index(step)
        handles[f"{bundle}, step {mine[0]['step_s']:.2f} s"] = axis.errorbar(
            [player["net_look_ahead_s"] + aside for player in mine],
            [value.value for value in values],
            yerr=[[_length(v.value - v.low) for v in values], [_length(v.high - v.value) for v in values]],
            color=LINES[bundles.index(bundle) % len(LINES)],
            linestyle=DASHES[which % len(DASHES)],
            marker=MARKS[which % len(MARKS)],
            markersize=4,
            capsize=2,
            linewidth=1.1,
            elinewidth=0.7,
        )
    axis.axvline(0, color="0.8", linewidth=0.7, zorder=0)
    axis.grid(axis="y", linewidth=0.3, alpha=0.6)
    axis.set_xlabel("net look-ahead [s]")
    axis.set_ylabel(NAMES[judge["measure"]])
    axis.set_title(f"{judge['panel']}: {', '.join(record['stems_' + judge['panel']])}", fontsize=10)


def _length(length: float) -> float:
    return max(length, 0.0) if math.isfinite(length) else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the last record of a file again. 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m anacrusis.benchmarks.curve_plot", description="draw the last recorded curve again"
    )
    parser.add_argument("records", type=Path, help="benchmarks/results/curve.jsonl, or a line that curve printed")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG")
    options = parser.parse_args(arguments)
    try:
        plot_curve(options.out, last_record(options.records))
    except AnacrusisError as error:
        print(f"curve_plot: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"wrote": str(options.out)}, separators=(",", ":")))
    return 0


def last_record(path: Path) -> dict[str, Any]:
    """Raises MusicError where the file holds no curve."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    except (OSError, ValueError) as error:
        raise MusicError(f"cannot read {path}: {error}") from None
    curves: list[dict[str, Any]] = [line for line in lines if line.get("benchmark") == "curve"]
    if not curves:
        raise MusicError(f"{path} holds no record of a curve; make one with python -m anacrusis.benchmarks.curve")
    return curves[-1]


if __name__ == "__main__":
    sys.exit(main())
