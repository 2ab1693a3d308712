# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One picture of a performance: what was played and heard, when each reply came, and what it cost."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anacrusis.performer.plot import HEARD, STAGES, STEP, mark_step, pyplot_of, save, stage_bars, waveform
from anacrusis.performer.take import Take

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_TITLE = 150
LATE = "#c44e52"
SWITCH = "#8172b3"


def plot_take(path: Path, take: Take, title: str) -> None:
    """Write a PNG or SVG. Raises MissingExtraError without matplotlib, AudioError where it cannot be written."""
    pyplot = pyplot_of(path)

    sounds = {"context, as sent": take.context}
    sounds.update((f"{stem}, as heard", audio) for stem, audio in zip(take.stems, take.heard, strict=True))
    has_stages = any(step.status for step in take.steps)
    rows = len(sounds) + 1 + has_stages
    figure, axes = pyplot.subplots(rows, 1, figsize=(13, 1.9 * rows), layout="constrained", squeeze=False)
    figure.suptitle(textwrap.fill(title, LONGEST_TITLE), fontsize=11)
    for row, (name, samples) in enumerate(sounds.items()):
        axis = axes[row, 0]
        waveform(axis, samples, take.pace.rate_hz, STEP if row else "0.35")
        axis.set_title(name, loc="left", fontsize=9)
        axis.set_ylabel("amplitude")
        _windows(axis, take)
    axes[0, 0].legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=7, ncols=4, frameon=False)
    _arrivals(axes[len(sounds), 0], take)
    if has_stages:
        _stages(axes[-1, 0], take)
    _switches(axes[:, 0], axes[len(sounds), 0], take)
    for axis in axes[:, 0]:
        axis.set_xlim(0, take.heard.shape[1] / take.pace.rate_hz)
    axes[-1, 0].set_xlabel("time [s]")
    save(figure, path)


def _windows(axis: Axes, take: Take) -> None:
    """Where each reply begins, and one step in the middle with its windows shaded."""
    rate, step_samples = take.pace.rate_hz, take.pace.step_samples
    for step in take.steps:
        axis.axvline(step.start_samples / rate, color="0.8", linewidth=0.5, zorder=0)
    if take.steps:
        marked = take.steps[(len(take.steps) - 1) // 2]
        curr, start = marked.curr_samples, marked.start_samples
        mark_step(axis, (curr - step_samples) / rate, curr / rate, start / rate, (start + step_samples) / rate)


def _arrivals(axis: Axes, take: Take) -> None:
    """Each step's chunks, from first to last, after it was sent, against the moment they begin to be heard."""
    came = [s for s in take.steps if s.first_chunk_s is not None and s.last_chunk_s is not None]
    silent = [step.sent_s for step in take.steps if step.first_chunk_s is None]
    for late, color, label in ((False, HEARD, "chunks of a reply"), (True, LATE, "of which some were late")):
        part = [step for step in came if (step.late_samples > 0) == late]
        at = np.array([step.sent_s for step in part])
        first = np.array([1e3 * ((step.first_chunk_s or 0.0) - step.sent_s) for step in part])
        last = np.array([1e3 * ((step.last_chunk_s or 0.0) - step.sent_s) for step in part])
        if part:
            axis.vlines(at, first, last, color=color, linewidth=3, label=label)
            axis.plot(at, last, "_", color=color, markersize=8)
    if silent:
        axis.plot(silent, np.zeros(len(silent)), "x", color=LATE, clip_on=False, label="no reply")
    budget_ms = 1e3 * (take.pace.lead_samples - take.pace.fade_samples) / take.pace.rate_hz
    if any(change.follow for change in take.paces):  # each step has its own
        due = [1e3 * (step.deadline_s - step.curr_samples / take.pace.rate_hz) for step in take.steps]
        sent = [step.sent_s for step in take.steps]
        axis.step(sent, due, where="post", color="k", linestyle="--", linewidth=0.9, label="deadline, as paced")
    else:
        axis.axhline(budget_ms, color="k", linestyle="--", linewidth=0.9, label=f"deadline {budget_ms:.0f} ms")
    axis.set_title("arrival after its step was sent", loc="left", fontsize=9)
    axis.set_ylabel("ms")
    axis.set_ylim(bottom=min(0.0, 1.1 * budget_ms))
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize=7, ncols=4, frameon=False)


def _switches(axes: Iterable[Axes], named: Axes, take: Take) -> None:
    """A thin line where another rung took over, with its name where replies arrive."""
    for change in take.switches:
        for axis in axes:
            axis.axvline(change.at_s, color=SWITCH, linewidth=0.9)
        text = f" {change.rung}"
        named.text(
            change.at_s, 0.02, text, color=SWITCH, fontsize=7, va="bottom", transform=named.get_xaxis_transform()
        )


def _stages(axis: Axes, take: Take) -> None:
    said = [(step.sent_s, step.status) for step in take.steps if step.status is not None]
    at = np.array([sent_s for sent_s, _ in said])
    times = {name: [float(getattr(status, name)) for _, status in said] for name in STAGES}
    nfe = max(status.nfe for _, status in said)
    stage_bars(axis, at, take.pace.step_samples / take.pace.rate_hz, times, nfe)
    axis.set_xlabel("")
