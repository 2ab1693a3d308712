# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Is the calibrated lead neither timid nor hopeful? It is played in real time, and half of it as well.

    anacrusis calibrate BUNDLE && anacrusis bench lead --bundle BUNDLE [--minutes 5] [--share .5 ...]

The physics: l* is where the 99.9th percentile of wake + cycle + transfer meets the fade's begin. Played at l*, nothing
may be late; at a lead that is much shorter something must be, or l* was longer than it had to be. Both runs play the
smallest step that the calibration calls real-time, without pacing, over UDP: `anacrusis serve` is a process, the client
this one.

A share of l* plays for --minutes where it is 1 or more, else for a minute at most: a miss shows at once.

Not covered: quality. A model that was trained with other masks plays in time and may not play well (`calib/choice.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from anacrusis.benchmarks import soak
from anacrusis.benchmarks.pair import add_pair_options, ready, stems_of
from anacrusis.benchmarks.record import append_jsonl
from anacrusis.benchmarks.soak_pace import calibrated
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.paths import REPOSITORY
from anacrusis.performer.plan import Plan

if TYPE_CHECKING:
    from anacrusis.calib.calibration import Calibration

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "least_lead.jsonl"
SHORT_MINUTES: Final = 1.0


def summary_of(found: Calibration) -> dict[str, Any]:
    """What of a calibration is worth keeping beside the runs: r*, and each step's bound and l*."""
    steps = [
        {
            "step_frames": step.step_frames,
            "r": found.ratio(step),
            "compute_ms": step.compute.p50_ms,
            "transfer_ms": step.transfer.p50_ms,
            "bound_ms": step.total.bound_ms,
            "bound_is": step.total.method,
            "least_lead_samples": found.lead(step).samples,
            "least_lead_ms": found.lead(step).ms,
            "real_time": found.is_real_time(step),
        }
        for step in found.steps
    ]
    return {
        "measured_at": found.measured_at,
        "smallest_r": found.smallest_ratio(),
        "aligned_frames": found.aligned_frames(),
        "crossing_r": found.crossing_ratio(),
        "window_frames": found.geometry.window_frames,
        "quantile": found.quantile,
        "confidence": found.confidence,
        "steps": steps,
    }


def pace_of(found: Calibration, share: float) -> tuple[int, int]:
    """(step, lead) in samples: the smallest real-time step, and that share of its l*. Raises AnacrusisError."""
    least = found.smallest()
    if least is None:
        raise AnacrusisError("no step that was measured is real-time here; there is no lead to play")
    step = next(one for one in found.steps if one.step_frames == least.step_frames)
    return step.step_frames * found.geometry.frame_samples, int(share * found.lead(step).samples)


def misses(records: Sequence[dict[str, Any]]) -> list[str]:
    """What speaks against the calibrated lead; [] where nothing does."""
    out = []
    for record in records:
        bad = record["late"] + record["dropped"]
        if record["share"] >= 1 and bad:
            out.append(f"hopeful: at {record['share']:g} l* {bad} of {record['steps']} steps were late or dropped")
        if record["share"] <= 0.5 and not bad:
            out.append(f"timid: at {record['share']:g} l* nothing was late")
    return out


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anacrusis bench lead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--share", type=float, action="append", metavar="X", help="of l*; repeatable (default: 1 and .5)"
    )
    add_pair_options(parser, 5.0, RESULTS, "how long replies took, against what there was for them")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """0 it held at l* and not at half of it, 1 otherwise; 2 bad input; 130 interrupted."""
    options = build_parser().parse_args(arguments)
    records: list[dict[str, Any]] = []
    try:
        stems, found = stems_of(options.stems), calibrated(options)
        for share in options.share or [1.0, 0.5]:
            before = ready(options, ("numpy", "onnxruntime", "torch", "psutil"))
            step, lead = pace_of(found, share)
            seconds = 60.0 * (options.minutes if share >= 1 else min(options.minutes, SHORT_MINUTES))
            plan = Plan(stems, step_samples=step, lead_samples=lead, seconds=seconds, loop=True)
            run = soak.play(options, plan)
            record = {**soak.record_of(run), "benchmark": "least_lead", "share": share, **before}
            record |= {"lead_ms": 1e3 * lead / found.rate_hz, "calibration": summary_of(found)}
            record["round_trips_ms"] = sorted(ms for ms in soak.series_of(run)["round_trip_ms"] if ms is not None)
            records.append(record)
            print(f"{share:g} l*: {lead} samples, {record['lead_ms']:.1f} ms")
            print("\n".join(f"  {line}" for line in soak.lines(record)))
            if not run.take.complete:
                return 130
        missed = misses(records)
        for text in missed:
            print(f"missed      {text}")
        if options.png:
            from anacrusis.benchmarks.least_lead_plot import plot_least_lead

            plot_least_lead(options.png, records)
            print(f"wrote {options.png}")
    except AnacrusisError as error:
        print(f"lead: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lead: interrupted", file=sys.stderr)
        return 130
    if not options.no_record:
        for record in records:
            append_jsonl(options.out, record)
    counts = ("share", "lead_samples", "steps", "late", "dropped", "concealed", "p50_ms", "p99_ms", "max_ms")
    runs = [{name: record[name] for name in counts} for record in records]
    print(json.dumps({"benchmark": "least_lead", "runs": runs, "missed": missed}, separators=(",", ":")))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
