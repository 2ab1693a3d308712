# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Three pictures of a calibration: d(r) against T·r, the distribution of cycle times, the stages of a cycle by r."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anacrusis.calib.calibration import STAGES, Calibration
from anacrusis.calib.errors import CalibrationError
from anacrusis.calib.latency import Rows
from anacrusis.engine.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#937860", "#8172b3", "#64b5cd")
LATE = "#c44e52"


def require_drawable(directory: Path) -> None:
    """Raise MissingExtraError or CalibrationError where `draw` could not: better now than after minutes."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("plots need matplotlib: pip install 'anacrusis[plot]'")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CalibrationError(f"cannot make {directory} ({error.strerror}); choose another --plots") from None


def draw(directory: Path, measured: Sequence[Calibration], rows: Rows) -> list[Path]:
    """ratio.png, cycles.png and stages.png in `directory`; a panel for each number of stems. Raises as above."""
    require_drawable(directory)
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    counts = sorted({one.stems for one in measured})
    written = []
    for name, panel in (("ratio", _ratio), ("cycles", _cycles), ("stages", _stages)):
        across = min(len(counts), 2)
        down = -(-len(counts) // across)
        size = (max(6.5 * across, 8), 3.9 * down + 0.5)
        figure, axes = pyplot.subplots(down, across, figsize=size, layout="constrained", squeeze=False)
        for axis, stems in zip(axes.flat, counts, strict=False):
            panel(axis, [one for one in measured if one.stems == stems], rows)
            axis.set_title(f"{stems} stem{'s' * (stems > 1)}", loc="left", fontsize=9)
        for axis in axes.flat[len(counts) :]:
            axis.set_axis_off()
        one = measured[0]
        figure.suptitle(f"{one.bundle} on {one.rung}, {one.threads} thread(s); {one.machine}", fontsize=10)
        written.append(_save(figure, directory / f"{name}.png"))
    return written


def _ratio(axis: Axes, measured: Sequence[Calibration], rows: Rows) -> None:
    """d(r), median and bound, against the step it must be shorter than; logarithmic, for the crossing is at small r."""
    ratios = sorted({one.ratio(step) for one in measured for step in one.steps})
    frames = measured[0].geometry.window_frames
    ends = (ratios[0] / 3, ratios[-1] * 1.3)
    axis.plot(ends, [1000 * measured[0].window_s * r for r in ends], "k--", linewidth=0.9, label="T·r")
    for colour, one in zip(COLOURS, measured, strict=False):
        at = [one.ratio(step) for step in one.steps]
        cycle = [step.compute.p50_ms + step.transfer.p50_ms for step in one.steps]
        axis.plot(at, cycle, "o-", color=colour, markersize=3, label=f"d(r), NFE {one.nfe}")
        axis.plot(at, [step.total.bound_ms for step in one.steps], ":", color=colour, label=f"bound, NFE {one.nfe}")
        crossing, star = one.crossing_ratio(), one.smallest_ratio()
        star_text = "none" if star is None else f"{star:.3f}, {one.aligned_frames()}/{one.geometry.window_frames}"
        if crossing is not None:
            text = f"NFE {one.nfe}: d(r) meets T·r at {crossing:.3f}; r* {star_text}"
            axis.plot(crossing, 1000 * one.window_s * crossing, "X", color=colour, mec=LATE, markersize=8, label=text)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(ratios, [f"{round(r * frames)}/{frames}" for r in ratios])
    axis.minorticks_off()
    axis.set(xlabel="r", ylabel="ms", xlim=ends)
    axis.legend(fontsize=7, frameon=False)


def _cycles(axis: Axes, measured: Sequence[Calibration], rows: Rows) -> None:
    """How much of the repeats took longer than so long, on a logarithmic scale: the tail is what is asked for."""
    one = next((m for m in measured if m.nfe == m.bundle_nfe), measured[-1])
    for colour, step in zip(COLOURS, one.steps, strict=False):
        total = sorted(rows[one.stems, one.nfe, step.step_frames].total)
        longer = [1 - i / len(total) for i in range(len(total))]
        axis.step(
            total, longer, where="post", color=colour, linewidth=1.1, label=f"step {step.step_frames}, n {len(total)}"
        )
        axis.plot(step.total.bound_ms, 1 - one.quantile, "|", color=colour, markersize=11)
    axis.set_yscale("log")
    axis.set(xlabel=f"wake + cycle + transfer [ms], NFE {one.nfe}; | is the bound", ylabel="share of repeats that long")
    axis.legend(fontsize=7, frameon=False)


def _stages(axis: Axes, measured: Sequence[Calibration], rows: Rows) -> None:
    """Medians of each stage, one on the other, and the step as a line where it is near."""
    one = next((m for m in measured if m.nfe == m.bundle_nfe), measured[-1])
    at = range(len(one.steps))
    below = [0.0] * len(one.steps)
    parts = [(name.removesuffix("_ms"), [step.stages_ms[name] for step in one.steps]) for name in STAGES]
    parts.append(("transfer", [step.transfer.p50_ms for step in one.steps]))
    for colour, (name, heights) in zip(COLOURS, parts, strict=False):
        axis.bar(at, heights, bottom=below, color=colour, label=name, width=0.65)
        below = [b + h for b, h in zip(below, heights, strict=True)]
    for x, step in enumerate(one.steps):
        axis.hlines(one.step_ms(step), x - 0.45, x + 0.45, color="k", linewidth=1.2, label="step" if x == 0 else "_")
    axis.set_xticks(at, [f"{step.step_frames}/{one.geometry.window_frames}" for step in one.steps])
    axis.set(xlabel=f"r, NFE {one.nfe}", ylabel="ms, medians", ylim=(0, 1.35 * max(below)))
    axis.legend(fontsize=7, frameon=False, loc="upper left", ncols=3)


def _save(figure: Figure, path: Path) -> Path:
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise CalibrationError(f"cannot write {path} ({error.strerror}); choose another --plots") from None
    finally:
        from matplotlib import pyplot

        pyplot.close(figure)
    return path
