# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What server and client cost per step outside the networks. Goal: p99 at most 2 ms for each.

The physics: a step of s samples is 5 s bytes up and 5 (s + F) bytes down, per stem. Each is turned over a few times
(byte order, copies, bitmaps): bandwidth, a few hundred microseconds at r = .25. The rest is per datagram and per call:
interpreter, and at r = 1/64 nothing else is left. Our client sends the context once, however many stems it asks for;
the released external sends it once for each, which costs the receiving thread as many times as much (not in here).

The networks only wait (20 ms, off the interpreter's lock, as in `cpu.py`), and everything else is the real thing in one
process: client, session, assembler, engine thread, cycle, sending thread. Datagrams are handed over in memory; the
system calls for the same datagrams are timed on a loopback socket of the same process and listed apart.

wall: clock time around the part; where it begins on one thread and ends on another, the switch is in it. Where the next
thread begins before one has ended, each waits for the interpreter within its own part: a sum of walls counts that
twice. cpu: the thread's own time, which a busy machine hardly lengthens; on Windows that clock ticks in 16 ms and tells
nothing.
The cycle's own work (`cycle host`) is listed, and in no total: `cpu.py` measures it by itself.

    python -m anacrusis.benchmarks.overhead [--steps N] [--bundle DIR] [--no-record]

Not covered: the performer's listener and agenda (`live.py`), the pauses between datagrams, a real network card.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from anacrusis.benchmarks.overhead_rig import PACKAGE, WARM_UP_STEPS, Rig
from anacrusis.benchmarks.overhead_seams import Spans
from anacrusis.benchmarks.record import conditions, publish, quantiles_ms
from anacrusis.benchmarks.watch import CpuTime
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.paths import REPOSITORY, TINY_BUNDLE

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "overhead.jsonl"
GOAL_MS: Final = 2.0
RATIOS: Final = (0.25, 1 / 64)
STEMS: Final = (1, 4)
# What a side's total is made of, and the system calls that a run on a network has besides.
SIDES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "server": (("receive: parse, assemble", "engine: to step", "engine: to submit", "send: build"), "server sockets"),
    "client": (("predict", "receive"), "client sockets"),
}
APART: Final = "cycle host"
QUANTILES: Final = ("p50", "p95", "p99", "max")


def summarise(spans: Sequence[Spans]) -> dict[str, Any]:
    """spans: one dict a step, part -> (wall, cpu) seconds. Quantiles in ms of each part and of each side's total.

    A total is the sum of a step's parts, so its p99 is not the sum of theirs.
    """
    out: dict[str, Any] = {"parts": {}, "totals": {}}
    for name in spans[0]:
        out["parts"][name] = _quantiles([step[name] for step in spans])
    for side, (parts, sockets) in SIDES.items():
        sums = [_sum(step, parts) for step in spans]
        with_sockets = [_sum(step, (*parts, sockets)) for step in spans]
        total = _quantiles(sums)
        met = {kind: figures["p99"] <= GOAL_MS for kind, figures in total.items()}
        out["totals"][side] = {
            **total,
            "with_sockets": _quantiles(with_sockets),
            "goal_ms": GOAL_MS,
            "goal_met": met,
        }
    return out


def _sum(step: Spans, parts: Sequence[str]) -> tuple[float, float]:
    return sum(step[name][0] for name in parts), sum(step[name][1] for name in parts)


def _quantiles(pairs: Sequence[tuple[float, float]]) -> dict[str, dict[str, float]]:
    return {"wall_ms": quantiles_ms([wall for wall, _ in pairs]), "cpu_ms": quantiles_ms([cpu for _, cpu in pairs])}


def measure(
    bundle: Bundle, r: float, stems: int, steps: int, package: int = PACKAGE, *, progress: bool = True
) -> dict[str, Any]:
    """One row: `steps` steps after the warm-up. Raises AnacrusisError where a step is not answered."""
    processor = CpuTime()
    with Rig(bundle, r, stems, package) as rig:
        bar = tqdm(total=steps, desc=f"r {r:.4g}, {stems} stem(s)", unit="step", file=sys.stderr, disable=not progress)
        with bar:
            spans = rig.measure(steps, on_step=bar.update)
        facts = rig.facts()
    share = processor.stolen_share()
    return {"benchmark": "overhead", **facts, **summarise(spans), "steps": len(spans), "stolen_share": share}


def lines(row: dict[str, Any]) -> list[str]:
    """One row's table, for people."""
    out = [
        f"r {row['r']:.4g}, {row['stems']} stem(s): step {row['step_samples']} samples, {row['package']} floats a "
        f"datagram, {row['datagrams_up']} up, {row['datagrams_down']} down; {row['nfe']} NFE, {row['steps']} steps",
        f"{'ms per step':<26} {'wall  p50 / p95 / p99 / max':>34} {'cpu  p50 / p95 / p99 / max':>34}",
    ]
    for name, part in row["parts"].items():
        note = "  (in no total)" if name == APART else ""
        out.append(f"{name:<26} {_cells(part)}{note}")
    for side, total in row["totals"].items():
        wall, cpu = ("met" if total["goal_met"][kind] else "not met" for kind in ("wall_ms", "cpu_ms"))
        out.append(f"{side + ' total':<26} {_cells(total)}  goal p99 {total['goal_ms']:g}: {wall} (cpu: {cpu})")
        out.append(f"{side + ' total, sockets too':<26} {_cells(total['with_sockets'])}")
    return out


def _cells(part: dict[str, Any]) -> str:
    cells = [" / ".join(f"{part[kind][q]:.3f}" for q in QUANTILES) for kind in ("wall_ms", "cpu_ms")]
    return " ".join(f"{cell:>34}" for cell in cells)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=TINY_BUNDLE, help="only its geometry and sampler are used")
    parser.add_argument("--steps", type=int, default=300, help=f"measured, after {WARM_UP_STEPS} to warm up")
    parser.add_argument("--r", type=float, action="append", help="repeatable (default: .25 and 1/64)")
    parser.add_argument("--stems", type=int, action="append", help="repeatable (default: 1 and 4)")
    parser.add_argument("--package", type=int, default=PACKAGE, help=f"floats a datagram (default {PACKAGE})")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSONL to append to")
    parser.add_argument("--no-record", action="store_true", help="append to no file")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """0 whether the goal is met or not, 2 on bad input."""
    options = build_parser().parse_args(arguments)
    rows = []
    try:
        if options.steps < 1:
            raise AnacrusisError(f"--steps is {options.steps}; it must be at least 1")
        bundle = Bundle.open(options.bundle, verify=False)
        for r in options.r or RATIOS:
            for stems in options.stems or STEMS:
                before = conditions(1)
                row = {**measure(bundle, r, stems, options.steps, options.package), **before}
                rows.append(row)
                print("\n".join(lines(row)), end="\n\n", flush=True)
    except AnacrusisError as error:
        print(f"overhead: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("overhead: interrupted; nothing was recorded", file=sys.stderr)
        return 130
    publish(None if options.no_record else options.out, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
