# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Is the calibrated lead neither timid nor hopeful? It is played in real time, and half of it as well.

    anacrusis calibrate BUNDLE && anacrusis bench lead --bundle BUNDLE [--minutes 5] [--lead auto --lead 1 --lead .5]

The physics: l* is where the 99.9th percentile of wake + cycle + transfer meets the fade's begin, so of a thousand steps
at l* one may be late, and more than that must not. `--lead auto` of `serve` and `client` rounds l* up to whole frames,
which leaves more. At half of l* something must be late, or l* was longer than it had to be. Each plays the smallest
step that the calibration calls real-time, without pacing, over UDP: `anacrusis serve` is a process, the client this
one.

A lead shorter than l* plays for a minute at most: a miss shows at once.

Not covered: quality. A model that was trained with other masks plays in time and may not play well (`calib/choice.py`).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from anacrusis.benchmarks import soak
from anacrusis.benchmarks.pair import add_pair_options, ready, stems_of
from anacrusis.benchmarks.record import append_jsonl
from anacrusis.benchmarks.soak_pace import calibrated
from anacrusis.calib.tail import CONFIDENCE, most_above
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.paths import REPOSITORY
from anacrusis.performer.plan import Plan

if TYPE_CHECKING:
    from anacrusis.calib.calibration import Calibration

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "least_lead.jsonl"
SHORT_MINUTES: Final = 1.0
AUTO: Final = "auto"
Lead = Literal["auto"] | float  # what `--lead auto` plays, or a share of l*


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


def pace_of(found: Calibration, lead: Lead) -> tuple[int, int]:
    """(step, lead) in samples, of the smallest real-time step. Raises AnacrusisError where there is none."""
    least = found.smallest()
    if least is None:
        raise AnacrusisError("no step that was measured is real-time here; there is no lead to play")
    step = next(one for one in found.steps if one.step_frames == least.step_frames)
    frame, shortest = found.geometry.frame_samples, found.lead(step)
    samples = shortest.frames * frame if lead == AUTO else int(float(lead) * shortest.samples)
    return step.step_frames * frame, samples


def misses(records: Sequence[dict[str, Any]]) -> list[str]:
    """What speaks against the calibrated lead; [] where nothing does."""
    out = []
    for record in records:
        lead, bad, steps = record["lead_is"], record["late"] + record["dropped"], record["steps"]
        may = most_above(steps, record["calibration"]["quantile"], CONFIDENCE)
        if (lead == AUTO or lead >= 1) and bad > may:
            out.append(f"hopeful: at {name_of(lead)} {bad} of {steps} steps were late or dropped, {may} may be")
        if lead != AUTO and lead <= 0.5 and not bad:
            out.append(f"timid: at {name_of(lead)} nothing was late")
    return out


def name_of(lead: Lead) -> str:
    """ "l* in whole frames", "l*", "0.5 l*"."""
    return "l* in whole frames" if lead == AUTO else "l*" if lead == 1 else f"{lead:g} l*"


def lead_of(text: str) -> Lead:
    """Of the command line. Raises ValueError, as argparse wants it."""
    if text == AUTO:
        return AUTO
    share = float(text)
    if not 0 < share < math.inf:
        raise ValueError(text)
    return share


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anacrusis bench lead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--lead",
        type=lead_of,
        action="append",
        metavar="auto|X",
        help="l* in whole frames, or X times l*; repeatable (default: auto, 1 and .5)",
    )
    add_pair_options(parser, 5.0, RESULTS, "how long replies took, against what there was for them")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """0 neither timid nor hopeful, 1 one of them; 2 bad input; 130 interrupted."""
    options = build_parser().parse_args(arguments)
    records: list[dict[str, Any]] = []
    try:
        stems, found = stems_of(options.stems), calibrated(options)
        for lead_is in options.lead or [AUTO, 1.0, 0.5]:
            before = ready(options, ("numpy", "onnxruntime", "torch", "psutil"))
            step, lead = pace_of(found, lead_is)
            whole = lead_is == AUTO or lead_is >= 1
            seconds = 60.0 * (options.minutes if whole else min(options.minutes, SHORT_MINUTES))
            plan = Plan(stems, step_samples=step, lead_samples=lead, seconds=seconds, loop=True)
            run = soak.play(options, plan)
            record = {**soak.record_of(run), "benchmark": "least_lead", "lead_is": lead_is, **before}
            record |= {"lead_ms": 1e3 * lead / found.rate_hz, "calibration": summary_of(found)}
            record["round_trips_ms"] = sorted(ms for ms in soak.series_of(run)["round_trip_ms"] if ms is not None)
            records.append(record)
            print(f"{name_of(lead_is)}: {lead} samples, {record['lead_ms']:.1f} ms")
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
    counts = ("lead_is", "lead_samples", "steps", "late", "dropped", "concealed", "p50_ms", "p99_ms", "max_ms")
    runs = [{name: record[name] for name in counts} for record in records]
    print(json.dumps({"benchmark": "least_lead", "runs": runs, "missed": missed}, separators=(",", ":")))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
