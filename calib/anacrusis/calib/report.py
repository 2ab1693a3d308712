# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A calibration in words: a table of steps, r*, l*, and what to play at."""

from __future__ import annotations

from collections.abc import Sequence

from anacrusis.calib.calibration import Calibration
from anacrusis.calib.tail import EXPONENTIAL

HEAD = (
    "step",
    "r",
    "cycle",
    "encode",
    "denoise",
    "decode",
    "transfer",
    "d(r)",
    "T·r",
    "bound",
    "l* frames",
    "l* ms",
    "",
)


def lines(one: Calibration) -> list[str]:
    """For people. Times in ms; medians but for the bound."""
    text = [f"{one.stems} stem(s), NFE {one.nfe}: {one.bundle} on {one.rung}, {one.threads} thread(s)"]
    text += columns([HEAD, *_rows(one)])
    ratio, aligned, crossing = one.smallest_ratio(), one.aligned_frames(), one.crossing_ratio()
    line, frames = one.transfer_line(), one.geometry.window_frames
    text.append(
        f"r* = ({one.compute_ms():.1f} + {line.floor:.1f}) / (1000 x {one.window_s:.3f} - {line.slope:.1f}) = "
        + ("none: no step is real-time" if ratio is None else f"{ratio:.3f}; in whole frames {aligned}/{frames}")
        + ("" if crossing is None else f"; the measured d(r) meets T·r at {crossing:.3f}")
    )
    least, recommended = one.smallest(), one.recommended()
    if least is None or recommended is None:
        return [
            *text,
            "no measured step is real-time here: each cycle takes longer than its step, or needs more than the window",
        ]
    lead = one.lead(next(step for step in one.steps if step.step_frames == least.step_frames))
    client = f" + {one.interface_ms:g} ms of the interface" if one.interface_ms else ""
    text.append(
        f"smallest step {least.step_frames} frames, l* = {lead.samples} samples = {lead.ms:.1f} ms ({lead.frames} "
        f"frames){client}: the {100 * one.quantile:g}th percentile of wake + cycle + transfer, "
        f"at {one.confidence:.0%} confidence"
    )
    text.append(
        f"recommended: step {recommended.step_frames}, lead {recommended.lead_frames} frames ({recommended.why}): "
        f"anacrusis client IN.wav --step-frames {recommended.step_frames} --lead-frames {recommended.lead_frames}"
    )
    if any(step.total.method == EXPONENTIAL for step in one.steps):
        text.append("~ few values: the bound takes an exponential tail; without it, order statistics")
    return text


def _rows(one: Calibration) -> list[tuple[str, ...]]:
    rows = []
    for step in one.steps:
        lead, stages = one.lead(step), step.stages_ms
        mark = "~" if step.total.method == EXPONENTIAL else ""
        trip, compute = step.transfer.p50_ms, step.compute.p50_ms
        verdict = "real-time" if one.is_real_time(step) else "too slow" if not one.keeps_up(step) else "lead too long"
        rows.append(
            (
                str(step.step_frames),
                f"{one.ratio(step):.4f}",
                f"{compute:.1f}",
                *(f"{stages[name]:.1f}" for name in ("encode_ms", "denoise_ms", "decode_ms")),
                f"{trip:.1f}",
                f"{compute + trip:.1f}",
                f"{one.step_ms(step):.1f}",
                f"{mark}{step.total.bound_ms:.1f}",
                str(lead.frames),
                f"{lead.ms:.1f}",
                verdict,
            )
        )
    return rows


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
