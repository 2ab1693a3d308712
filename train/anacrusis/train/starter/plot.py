# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a training run: its losses, and what it writes beside the truth. Needs matplotlib (extra `plot`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.errors import MissingExtraError
from anacrusis.train.codec.rows import FRAME_SAMPLES
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, CorpusError, Note, Song
from anacrusis.train.starter.pieces import NoteLatents
from anacrusis.train.starter.sample import Job

SHOWN: Final = 8  # stretches a picture: two songs of four stems
SMOOTHED: Final = 0.98


def _pyplot() -> Any:
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingExtraError("plots need matplotlib: pip install 'anacrusis[plot]'") from None
    return plt


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a run's log.jsonl; a line cut off by a power cut is left out. Raises CorpusError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error}") from None
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def plot_losses(log: Path, out: Path) -> None:
    """Training's loss, validation's by noise level and by stem, over windows seen. Raises MissingExtraError,
    CorpusError."""
    plt = _pyplot()
    records = read_log(log)
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    train = [(r["samples"], r["loss"]) for r in records if r["kind"] == "train"]
    checks = [r for r in records if r["kind"] == "validation"]
    if train:
        at, loss = np.array(train).T
        smooth, value = [], loss[0]
        for x in loss:
            value = SMOOTHED * value + (1 - SMOOTHED) * x
            smooth.append(value)
        axes[0].plot(at, loss, color="0.85", lw=0.8)
        axes[0].plot(at, smooth, color="#3b6fb6", label="training")
        axes[0].set_ylim(0.8 * min(smooth), 1.1 * max(smooth[len(smooth) // 50 :]))
    axes[0].plot([r["samples"] for r in checks], [r["loss"] for r in checks], "o-", color="#d9822b", label="validation")
    axes[0].legend()
    for axis, group, title in ((axes[1], "sigmas", "validation by sigma"), (axes[2], "stems", "validation by stem")):
        for key in checks[-1][group] if checks else ():
            axis.plot([r["samples"] for r in checks], [r[group][key] for r in checks], ".-", label=key)
        axis.set_title(title)
        axis.legend(fontsize=8)
    for axis in axes:
        axis.set_xlabel("windows seen")
    axes[0].set_title("loss (1: nothing known)")
    figure.savefig(out, dpi=90)
    plt.close(figure)


def plot_jobs(
    jobs: Sequence[Job], made: NDArray[np.float32], songs: Mapping[str, Song], codec: NoteLatents, out: Path
) -> None:
    """Piano rolls of some jobs: grey the song's own notes, coloured what was written; lines are beats, thick
    downbeats."""
    plt = _pyplot()
    names = list(dict.fromkeys(job.piece.name for job in jobs))
    chosen = [names[len(names) // 4], names[-1 - len(names) // 4]]
    rows = [next(i for i, j in enumerate(jobs) if j.piece.name == n and j.stem == s) for n in chosen for s in range(4)]
    figure, axes = plt.subplots(len(rows[:SHOWN]), 1, figsize=(14, 2.0 * len(rows[:SHOWN])), layout="constrained")
    for axis, row in zip(np.atleast_1d(axes), rows[:SHOWN], strict=True):
        job, frames = jobs[row], made.shape[2]
        song, stem = songs[job.piece.name], STEMS[job.stem]
        begin = job.start_frame * FRAME_SAMPLES - job.piece.offset_samples
        end = begin + frames * FRAME_SAMPLES
        past = begin - 32 * FRAME_SAMPLES
        part = song.parts.get(stem)
        _bars(axis, [n for n in (part.notes if part else ()) if past < n.start_samples < end], "0.6", 0.9)
        _bars(axis, codec.notes(made[row], stem, begin), "#d9822b", 0.5)
        for beat in song.beats:
            if past < beat.position_samples < end:
                axis.axvline(beat.position_samples / SAMPLE_RATE_HZ, color="k", lw=0.9 if beat.number == 1 else 0.2)
        axis.axvline(begin / SAMPLE_RATE_HZ, color="r", lw=1)
        axis.set_xlim(past / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ)
        axis.set_ylabel(stem, fontsize=8)
        axis.set_title(f"{song.name} {stem}: grey true, orange written after the red line", fontsize=8)
    figure.savefig(out, dpi=80)
    plt.close(figure)


def _bars(axis: Any, notes: Sequence[Note], colour: str, height: float) -> None:
    starts = [n.start_samples / SAMPLE_RATE_HZ for n in notes]
    widths = [max(0.03, (n.end_samples - n.start_samples) / SAMPLE_RATE_HZ) for n in notes]
    axis.barh([n.pitch for n in notes], widths, height, starts, color=colour, edgecolor="k", linewidth=0.3)
