# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The live cycle without sockets: the context is unheard beyond `now`, the reply lands where a player puts it.

The player is the released client's: each reply overwrites [start, start + step), and its headroom is blended
in linearly over the `fade` samples before. Offline, so nothing can be late; what is reported is how long each
step took to compute against how long it lasts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anacrusis.engine.cycle import Step
from anacrusis.engine.engine import Engine

F32 = NDArray[np.float32]


def place(timeline: F32, step: Step) -> None:
    """Write a step into timeline [stems, n] in place, as the released client does; what is outside is dropped."""
    _place(timeline, step.audio, step.start_samples, None)
    fade = step.headroom.shape[1]
    if fade:
        ramp = np.arange(fade, dtype=np.float32) / fade
        _place(timeline, step.headroom, step.start_samples - fade, ramp)


def _place(timeline: F32, audio: F32, start: int, ramp: F32 | None) -> None:
    first, last = max(start, 0), min(start + audio.shape[1], timeline.shape[1])
    if first >= last:
        return
    part = audio[:, first - start : last - start]
    target = timeline[:, first:last]
    if ramp is None:
        target[...] = part
    else:
        weight = ramp[first - start : last - start]
        target += weight * (part - target)


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What remains of one step: positions in samples, times in ms."""

    now_samples: int
    start_samples: int
    length_samples: int
    nfe: int
    generated_frames: int
    decoded_frames: int
    masked_frames: int
    times_ms: dict[str, float]
    total_ms: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """audio [stems, n] float32. latents [C, frames]: what the first stem generated, in order (empty if not kept)."""

    audio: F32
    steps: tuple[StepRecord, ...]
    latents: F32
    sample_rate_hz: int
    step_samples: int
    lead_samples: int
    fade_samples: int
    stems: tuple[str, ...]

    def report(self) -> dict[str, Any]:
        """Compute and deadline clocks, in ms; liveness needs a live run.

        A live step must be computed within lead - fade (it may start that late) and within a step (or steps
        pile up). With a lead within the fade no computation is in time: `steps_late_if_live` is then None.
        """
        totals = np.array([step.total_ms for step in self.steps])
        step_ms = 1e3 * self.step_samples / self.sample_rate_hz
        deadline_ms = 1e3 * (self.lead_samples - self.fade_samples) / self.sample_rate_hz
        stages = {name: quantiles([s.times_ms[name] for s in self.steps]) for name in self.steps[0].times_ms}
        return {
            "stems": list(self.stems),
            "steps": len(self.steps),
            "step_samples": self.step_samples,
            "step_ms": round(step_ms, 3),
            "lead_samples": self.lead_samples,
            "lead_ms": round(1e3 * self.lead_samples / self.sample_rate_hz, 3),
            "nfe": max(step.nfe for step in self.steps),
            "compute_ms": quantiles(totals),
            "stage_ms": stages,
            "deadline_ms": round(deadline_ms, 3),
            "steps_late_if_live": int((totals > deadline_ms).sum()) if deadline_ms > 0 else None,
            "steps_longer_to_compute_than_to_play": int((totals > step_ms).sum()),
            "peak": round(float(np.abs(self.audio).max()), 4),
            "nonfinite_samples": int((~np.isfinite(self.audio)).sum()),
        }


def quantiles(values: Any) -> dict[str, float]:
    """p50, p95, p99 and max of at least one number, to a thousandth."""
    points = np.percentile(np.asarray(values, np.float64), (50, 95, 99, 100))
    return dict(zip(("p50", "p95", "p99", "max"), (round(float(p), 3) for p in points), strict=True))


def simulate(
    engine: Engine, context: F32, *, on_step: Callable[[int, int], None] = lambda done, total: None
) -> Simulation:
    """Run context [n] float32 mono, at the model's rate, through the engine step by step.

    on_step(done, total) is called after each. Raises what `engine.step` raises.
    """
    step_samples, length = engine.step_samples, context.shape[0]
    total = -(-length // step_samples)
    stems = engine.cycle.stems
    timeline = np.zeros((len(stems), length), np.float32)
    records, columns = [], []
    for index in range(total):
        chunk = context[index * step_samples : (index + 1) * step_samples]
        if chunk.shape[0] < step_samples:
            chunk = np.pad(chunk, (0, step_samples - chunk.shape[0]))
        step = engine.step(chunk)
        place(timeline, step)
        if step.latents is not None and step.generated_frames:
            columns.append(step.latents[0, :, -step.generated_frames :])
        records.append(
            StepRecord(
                now_samples=step.now_samples,
                start_samples=step.start_samples,
                length_samples=step.audio.shape[1],
                nfe=step.nfe,
                generated_frames=step.generated_frames,
                decoded_frames=step.decoded_frames,
                masked_frames=step.masked_frames,
                times_ms=step.times.as_dict(),
                total_ms=step.times.total_ms,
            )
        )
        on_step(index + 1, total)
    manifest = engine.bundle.manifest
    latents = np.concatenate(columns, axis=1) if columns else np.zeros((manifest.latent_channels, 0), np.float32)
    return Simulation(
        audio=timeline,
        steps=tuple(records),
        latents=latents,
        sample_rate_hz=manifest.sample_rate_hz,
        step_samples=step_samples,
        lead_samples=engine.lead_samples,
        fade_samples=engine.cycle.pace.fade_samples,
        stems=tuple(stems),
    )
