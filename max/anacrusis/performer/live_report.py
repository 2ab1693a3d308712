# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A performance under three clocks, kept apart: compute, deadline, liveness. JSON-able."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from anacrusis.performer.simulate import quantiles
from anacrusis.performer.take import LiveStep, Take

STAGES = ("assemble_ms", "encode_ms", "denoise_ms", "decode_ms", "host_ms")


def report(take: Take) -> dict[str, Any]:
    """Positions in samples, times in ms. A value that was not measured is None, never zero."""
    pace, server = take.pace, take.server
    return {
        "complete": take.complete,
        "seconds": round(take.heard.shape[1] / pace.rate_hz, 3),
        "stems": list(take.stems),
        "rate_hz": pace.rate_hz,
        "window_samples": pace.window_samples,
        "step_samples": pace.step_samples,
        "step_ms": _ms(pace.step_samples, pace.rate_hz),
        "lead_samples": pace.lead_samples,
        "lead_ms": _ms(pace.lead_samples, pace.rate_hz),
        "fade_samples": pace.fade_samples,
        "server": None if server is None else asdict(server),
        "compute": _compute(take.steps),
        "deadline": _deadline(take),
        "liveness": _liveness(take),
        "paces": [{**asdict(change), "at_s": round(change.at_s, 3)} for change in take.paces],
        "rungs": [{**asdict(change), "at_s": round(change.at_s, 3)} for change in take.rungs],
        "switches": _switches(take),
        "steps": [_step(step) for step in take.steps],
    }


def summary(take: Take) -> str:
    """One line: what was heard, and where another rung took over."""
    live, round_trip = _liveness(take), _deadline(take)["round_trip_ms"]
    concealed_s = live["concealed_samples"] / take.pace.rate_hz
    times = f", round trip p50 {round_trip['p50']:.0f} ms, max {round_trip['max']:.0f} ms" if round_trip else ""
    step_ms = _ms(take.pace.step_samples, take.pace.rate_hz)
    return (
        f"{live['steps']} steps of {step_ms:.0f} ms: {live['answered']} answered, "
        f"{live['late']} late, {concealed_s:.2f} s concealed{times}{''.join(map(_switch_text, _switches(take)))}"
    )


def _ms(samples: int, rate_hz: int) -> float:
    return round(1e3 * samples / rate_hz, 3)


def _compute(steps: tuple[LiveStep, ...]) -> dict[str, Any] | None:
    """What the server said each stage took; None where it said nothing (a released server)."""
    said = [step.status for step in steps if step.status is not None]
    if not said:
        return None
    totals = [sum(getattr(status, name) for name in STAGES[1:]) for status in said]
    return {
        "steps": len(said),
        "nfe": max(status.nfe for status in said),
        "total_ms": quantiles(totals),
        **{name: quantiles([getattr(status, name) for status in said]) for name in STAGES},
    }


def _switches(take: Take) -> list[dict[str, Any]]:
    """Where another rung took over: when, after which batch, and what a step took until then and until the next."""
    marks = [change.batch for change in take.switches]
    out = []
    for index, change in enumerate(take.switches):
        begin, end = ([-math.inf, *marks][index], [*marks, math.inf][index + 1])
        before = tuple(step for step in take.steps if begin < step.batch <= change.batch)
        after = tuple(step for step in take.steps if change.batch < step.batch <= end)
        out.append(
            {
                "rung": change.rung,
                "at_s": round(change.at_s, 3),
                "after_batch": change.batch,
                "text": change.text,
                "before": _compute(before),
                "after": _compute(after),
            }
        )
    return out


def _switch_text(switch: dict[str, Any]) -> str:
    took = ""
    if switch["before"] and switch["after"]:
        before, after = (switch[side]["total_ms"]["p50"] for side in ("before", "after"))
        took = f", a step took p50 {before:.0f} ms before and {after:.0f} after"
    return f"; {switch['rung']} took over after batch {switch['after_batch']}, at {switch['at_s']:.1f} s{took}"


def _deadline(take: Take) -> dict[str, Any]:
    """A reply must be there when its crossfade begins: lead - fade after its step was sent."""
    pace = take.pace
    return {
        "budget_ms": _ms(pace.lead_samples - pace.fade_samples, pace.rate_hz),
        "round_trip_ms": _quantiles(step.round_trip_ms for step in take.steps),
        "margin_ms": _quantiles(step.margin_ms for step in take.steps),
        "least_margin_ms": min((round(m, 3) for step in take.steps if (m := step.margin_ms) is not None), default=None),
        "server_margin_ms": _quantiles(step.status.margin_ms if step.status else None for step in take.steps),
    }


def _quantiles(values: Iterable[float | None]) -> dict[str, float] | None:
    measured = [value for value in values if value is not None]
    return quantiles(measured) if measured else None


def _liveness(take: Take) -> dict[str, Any]:
    steps = take.steps
    return {
        "steps": len(steps),
        "answered": sum(step.answered for step in steps),
        "silent": sum(step.silent for step in steps),
        "late": sum(step.late_samples > 0 for step in steps),
        "dropped": sum(step.dropped for step in steps),
        "late_samples": sum(step.late_samples for step in steps),
        "concealed_samples": sum(step.concealed_samples for step in steps),
        "concealed_steps": sum(step.concealed_samples > 0 for step in steps),
        "lost_chunks": sum(step.lost_chunks for step in steps),
        "duplicates": sum(step.duplicates for step in steps),
        **asdict(take.counters),
    }


def _step(step: LiveStep) -> dict[str, Any]:
    out = asdict(step)
    out.update(answered=step.answered, round_trip_ms=step.round_trip_ms, margin_ms=step.margin_ms)
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in out.items()}
