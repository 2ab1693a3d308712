# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One picture of a run: what was heard, what was written and when, its latents, and what each step cost."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import AudioError, MissingExtraError
from anacrusis.performer.simulate import F32, Simulation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

F64 = NDArray[np.float64]

HEARD, LEAD, STEP = "#4c72b0", "#dd8452", "#55a868"
STAGES = {"encode_ms": "#4c72b0", "denoise_ms": "#dd8452", "decode_ms": "#55a868", "host_ms": "#937860"}
POINTS = 4000  # columns of a waveform; more cannot be seen


def require_drawable(path: Path) -> None:
    """Raise AudioError or MissingExtraError where `plot_simulation` could not draw: better before a run than after."""
    if not path.parent.is_dir():
        raise AudioError(f"{path.parent} is not a directory; make it first")
    if path.suffix.lower() not in (".png", ".svg"):
        raise AudioError(f"{path} cannot be written (a plot is a picture); use .png or .svg")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("a plot needs matplotlib: pip install 'anacrusis[plot]'")


def pyplot_of(path: Path) -> Any:
    """matplotlib's, drawing to files. Raises MissingExtraError, AudioError."""
    require_drawable(path)
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot


def plot_simulation(path: Path, simulation: Simulation, context: F32, title: str) -> None:
    """Write a PNG or SVG. Raises MissingExtraError without matplotlib, AudioError where it cannot be written."""
    pyplot = pyplot_of(path)

    rate = simulation.sample_rate_hz
    has_latents = simulation.latents.shape[1] > 0
    rows = 1 + len(simulation.stems) + has_latents + 1
    figure, axes = pyplot.subplots(rows, 1, figsize=(13, 1.9 * rows), layout="constrained", squeeze=False)
    remaining = iter(axes[:, 0])
    figure.suptitle(title, fontsize=11)

    marked = _marked_step(simulation)
    axis = next(remaining)
    waveform(axis, context, rate, "0.35")
    axis.set_title("context, as heard", loc="left", fontsize=9)
    now, start, end = (
        (marked.now_samples / rate),
        (marked.start_samples / rate),
        (marked.start_samples + marked.length_samples) / rate,
    )
    for stem, audio in zip(simulation.stems, simulation.audio, strict=True):
        axis = next(remaining)
        waveform(axis, audio, rate, STEP)
        axis.set_title(f"{stem}, as written", loc="left", fontsize=9)
    for axis in axes[: 1 + len(simulation.stems), 0]:
        for step in simulation.steps:
            axis.axvline(step.start_samples / rate, color="0.8", linewidth=0.5, zorder=0)
        mark_step(axis, now - simulation.step_samples / rate, now, start, end)
        axis.set_xlim(0, context.shape[0] / rate)
        axis.set_ylabel("amplitude")
    axes[0, 0].legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=7, ncols=4, frameon=False)
    axes[len(simulation.stems), 0].set_xlabel("time [s]")

    if has_latents:
        axis = next(remaining)
        spread = float(np.percentile(np.abs(simulation.latents), 99)) or 1.0
        image = axis.imshow(simulation.latents, aspect="auto", origin="lower", cmap="RdBu_r", vmin=-spread, vmax=spread)
        axis.set_title(f"{simulation.stems[0]}: latents generated", loc="left", fontsize=9)
        axis.set_xlabel("frame generated")
        axis.set_ylabel("channel")
        figure.colorbar(image, ax=axis, pad=0.01)
    _stage_times(next(remaining), simulation)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write and close. Raises AudioError where it cannot be written."""
    from matplotlib import pyplot

    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise AudioError(f"{path} cannot be written ({error}); use .png or .svg") from None
    finally:
        pyplot.close(figure)


def mark_step(axis: Axes, heard_from_s: float, now_s: float, start_s: float, end_s: float) -> None:
    """Shade one cycle's windows: what it heard last, its lead, what it wrote."""
    axis.axvspan(heard_from_s, now_s, color=HEARD, alpha=0.15, label="newest step heard")
    if start_s != now_s:
        axis.axvspan(min(now_s, start_s), max(now_s, start_s), color=LEAD, alpha=0.15, label="lead")
    axis.axvspan(start_s, end_s, color=STEP, alpha=0.2, label="step written")
    axis.axvline(now_s, color="k", linewidth=0.9, label="now")


def _marked_step(simulation: Simulation) -> Any:
    """The step whose windows are shaded: one in the middle, where the window is full of music."""
    return simulation.steps[len(simulation.steps) // 2]


def waveform(axis: Axes, samples: F32, rate_hz: int, color: str) -> None:
    """Minimum and maximum per column, so that no click is lost to decimation."""
    block = max(1, -(-samples.shape[0] // POINTS))
    padded = np.pad(samples, (0, -samples.shape[0] % block)).reshape(-1, block)
    at = np.arange(padded.shape[0]) * block / rate_hz
    axis.fill_between(at, padded.min(axis=1), padded.max(axis=1), color=color, linewidth=0.4)


def _stage_times(axis: Axes, simulation: Simulation) -> None:
    rate = simulation.sample_rate_hz
    at = np.array([step.now_samples for step in simulation.steps]) / rate
    times = {name: [step.times_ms[name] for step in simulation.steps] for name in STAGES}
    nfe = max(step.nfe for step in simulation.steps)
    stage_bars(axis, at, simulation.step_samples / rate, times, nfe)


def stage_bars(axis: Axes, at_s: F64, step_s: float, times_ms: Mapping[str, Sequence[float]], nfe: int) -> None:
    """Stacked bars, one a step at at_s [steps]: times_ms[stage][step], beside how long a step lasts."""
    bottom = np.zeros(len(at_s))
    for name, color in STAGES.items():
        height = np.array(times_ms[name])
        axis.bar(at_s, height, 0.8 * step_s, bottom=bottom, color=color, label=name.removesuffix("_ms"))
        bottom += height
    step_ms = 1e3 * step_s
    axis.axhline(step_ms, color="k", linestyle="--", linewidth=0.9, label=f"step lasts {step_ms:.0f} ms")
    axis.set_title(f"compute per step ({nfe} NFE a stem)", loc="left", fontsize=9)
    axis.set_xlabel("now [s]")
    axis.set_ylabel("ms")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=7, ncols=5, frameon=False)
