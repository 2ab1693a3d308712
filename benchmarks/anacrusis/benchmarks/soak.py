# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The live system for minutes or hours, in real time, under three clocks: compute, deadline, liveness.

The physics: a step is sent every s samples, and its reply must be there lead - fade later. What breaks that after the
first minute is what grows (memory), what piles up (a cycle longer than a step) and what comes now and then (another
process, a hypervisor, a collector's pause): so the whole distribution counts, its maximum first, and the processor time
that the machine's host took away is reported beside it. Nothing is left out as a warm-up: a listener hears that too.

`anacrusis serve` is one process, the client is this one; the demo clip is the context, over and over.

    anacrusis bench soak --bundle DIR --minutes 30 [--step auto|FRAMES] [--lead auto|FRAMES] [--png FILE]

auto: what `anacrusis calibrate` found for this machine, bundle and rung. The last line is the record as JSON.

steps: sent. answered: every chunk came, in time or not. late: some of it after the playhead. dropped: the server said
so. concealed: samples of silence in place of audio, the client's and the server's together. p50_ms, p99_ms, max_ms: of
the round trip, from `predict` to the reply's last chunk. memory_spread: of the server's resident memory, most less
least over the median, after the first quarter of the time.

Not covered: a network (see `net.py`), the memory of the client, which holds the whole song.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from anacrusis.benchmarks.pair import HOST, ServerProcess, add_pair_options, interrupts, ready, stems_of
from anacrusis.benchmarks.record import append_jsonl
from anacrusis.benchmarks.soak_pace import frames_or_auto, resolve
from anacrusis.benchmarks.watch import SETTLED_FROM, CpuTime, Memory
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.paths import REPOSITORY
from anacrusis.performer.connection import Connection
from anacrusis.performer.files import read_recording
from anacrusis.performer.live import perform
from anacrusis.performer.live_report import report
from anacrusis.performer.plan import Plan
from anacrusis.performer.take import Take

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "soak.jsonl"
LIVENESS: Final = ("steps", "answered", "silent", "late", "dropped", "late_samples", "lost_chunks", "duplicates")
SERVER: Final = ("answered", "late", "dropped", "concealed_context_samples", "concealed_replies", "failed", "resent")


@dataclass(frozen=True, slots=True)
class Run:
    """One performance and what was seen beside it. counted: the server's counters, None where it was killed.

    rss_at_s: on the music's clock, as the steps' times are.
    """

    take: Take
    counted: dict[str, Any] | None = None
    memory: dict[str, Any] | None = None
    stolen_share: float | None = None
    rss_at_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


def play(options: argparse.Namespace, plan: Plan) -> Run:
    """Start both, perform, stop both. Raises AnacrusisError. Interrupted, the run has what was heard until then."""
    plan.validate()
    recording = read_recording(options.clip)
    serve = ["--bundle", str(options.bundle), "--backend", options.backend]
    serve += [] if options.threads is None else ["--threads", str(options.threads)]
    with Connection(HOST, client_port=0) as connection:
        server = ServerProcess(serve, connection.port)
        bar = tqdm(unit="step", desc="soak", file=sys.stderr)
        with interrupts(), bar, server:
            connection.set_server(*server.address)
            memory, processor = Memory(server.pid), CpuTime()

            def on_step(done: int, total: int) -> None:
                memory.sample()
                bar.total = total
                bar.set_postfix_str("")
                bar.update(done - bar.n)

            take = perform(recording, connection, plan, on_wait=bar.set_postfix_str, on_step=on_step)
            share = processor.stolen_share()
    first_s = take.steps[0].sent_s if take.steps else 0.0
    at_s = [first_s + t for t in memory.at_s]
    return Run(take, server.counted, memory.summary(), share, at_s, memory.megabytes)


def plan_of(options: argparse.Namespace) -> Plan:
    """Raises AnacrusisError for a count of stems that no model has."""
    return Plan(
        stems=stems_of(options.stems),
        r=options.r,
        w=options.w,
        step_frames=options.step_frames,
        lead_frames=options.lead_frames,
        package=options.package_size,
        seconds=60.0 * options.minutes,
        loop=True,
    )


def record_of(run: Run) -> dict[str, Any]:
    """What is known of a run, without its series. A figure that was not measured is None, never zero."""
    told = report(run.take)
    live, times, counted = told["liveness"], told["deadline"]["round_trip_ms"], run.counted
    concealed = live["concealed_samples"] + (counted or {}).get("concealed_context_samples", 0)
    return {
        "benchmark": "soak",
        "complete": told["complete"],
        "seconds": told["seconds"],
        **{name: live[name] for name in LIVENESS},
        "concealed": concealed,
        "client_concealed_samples": live["concealed_samples"],
        "client_concealed_steps": live["concealed_steps"],
        **{f"{q}_ms": times[q] if times else None for q in ("p50", "p95", "p99", "max")},
        "p999_ms": p999_ms(run.take),
        "deadline_ms": told["deadline"]["budget_ms"],
        "least_margin_ms": told["deadline"]["least_margin_ms"],
        "compute_ms": told["compute"]["total_ms"] if told["compute"] else None,
        "nfe": told["compute"]["nfe"] if told["compute"] else None,
        "warm_up_steps": 0,
        "server": None if counted is None else {name: counted.get(name) for name in SERVER},
        "server_memory": run.memory,
        "memory_spread": memory_spread(run.rss_at_s, run.rss_mb),
        "stolen_share": run.stolen_share,
        "epochs": live["epochs"],
        "losses": live["losses"],
        "stems": told["stems"],
        "bundle": told["server"]["bundle"] if told["server"] else None,
        **{name: told[name] for name in ("step_samples", "step_ms", "lead_samples", "fade_samples", "window_samples")},
    }


def p999_ms(take: Take) -> float | None:
    """p99.9 of the round trips, interpolated: of fewer than a thousand, next to their maximum."""
    trips = [ms for step in take.steps if (ms := step.round_trip_ms) is not None]
    return round(float(np.percentile(trips, 99.9)), 3) if trips else None


def memory_spread(at_s: Sequence[float], megabytes: Sequence[float]) -> float | None:
    """(most - least) / median of what was seen after the first quarter of the time; None without any."""
    if not megabytes:
        return None
    times, values = np.asarray(at_s, np.float64), np.asarray(megabytes, np.float64)
    settled = values[times >= times[0] + SETTLED_FROM * (times[-1] - times[0])]
    return round(float((settled.max() - settled.min()) / np.median(settled)), 5)


def series_of(run: Run) -> dict[str, Any]:
    """What the plot is drawn from: per step when it was sent and its round trip (None: not whole), memory over time."""
    steps = run.take.steps
    trips = [None if (ms := step.round_trip_ms) is None else round(ms, 2) for step in steps]
    return {
        "sent_s": [round(step.sent_s, 3) for step in steps],
        "round_trip_ms": trips,
        "late": [index for index, step in enumerate(steps) if step.late_samples > 0],
        "rss_at_s": [round(t, 1) for t in run.rss_at_s],
        "rss_mb": [round(value, 2) for value in run.rss_mb],
    }


def lines(record: dict[str, Any]) -> list[str]:
    """For people: one line a clock."""
    memory, share, server = record["server_memory"], record["stolen_share"], record["server"]
    compute = _quantiles(record["compute_ms"] or {})
    trip = _quantiles({q: record.get(f"{q}_ms") for q in ("p50", "p95", "p99", "p999", "max")})
    said = "unknown" if server is None else ", ".join(f"{name} {value}" for name, value in server.items() if value)
    out = [
        f"{record['bundle']}, {', '.join(record['stems'])}: {record['seconds']:.0f} s in steps of "
        f"{record['step_ms']:.0f} ms",
        f"compute     {compute}, {record['nfe']} NFE a stem",
        f"round trip  {trip}; the deadline is {record['deadline_ms']:.0f} ms",
        f"liveness    {record['steps']} steps, {record['answered']} answered, {record['late']} late, "
        f"{record['dropped']} dropped, {record['client_concealed_samples']} samples concealed",
        f"server      {said}",
    ]
    if memory:
        slope = memory["slope_mb_per_min"]
        rate = "too short for a slope" if slope is None else f"{slope:+.3f} MB a minute after the first quarter"
        out.append(
            f"memory      first {memory['first_mb']}, last {memory['last_mb']}, max {memory['max_mb']} MB; {rate}"
            + ("" if record["memory_spread"] is None else f"; spread {record['memory_spread']:.2%}")
        )
    else:
        out.append("memory      not measured (needs psutil)")
    out.append(f"stolen      {'not known here' if share is None else f'{share:.2%} of the processor time'}")
    return out


def _quantiles(values: dict[str, Any]) -> str:
    names = {"p999": "p99.9"}
    order = ("p50", "p95", "p99", "p999", "max")
    known = [f"{names.get(q, q)} {values[q]:.1f}" for q in order if values.get(q) is not None]
    return f"{', '.join(known)} ms" if known else "not known"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anacrusis bench soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--r", type=float, default=0.125, help="step = trunc(r * T) (default .125)")
    parser.add_argument("--w", type=float, default=1.0, help="lead = trunc(w * r * T) (default 1)")
    for name in ("step", "lead"):
        parser.add_argument(
            f"--{name}", type=frames_or_auto, metavar="auto|FRAMES", help=f"the {name} in frames, or as calibrated"
        )
    parser.add_argument("--step-frames", type=int, help="instead of --r")
    parser.add_argument("--lead-frames", type=int, help="instead of --w")
    parser.add_argument("--package-size", type=int, default=4410, metavar="P", help="floats a datagram (default 4410)")
    add_pair_options(parser, 10.0, RESULTS, "round trip and memory over time")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """0 it ran, however late; 2 bad input; 130 interrupted (what was heard until then is reported)."""
    options = build_parser().parse_args(arguments)
    try:
        before = ready(options, ("numpy", "onnxruntime", "torch", "psutil"))
        why = resolve(options)
        run = play(options, plan_of(options))
        record = {**record_of(run), "pace": why, **before}
        print("\n".join(lines(record)))
        if options.png:
            from anacrusis.benchmarks.soak_plot import plot_soak

            plot_soak(options.png, record, series_of(run))
            print(f"wrote {options.png}")
    except AnacrusisError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("soak: interrupted before the music began; nothing was recorded", file=sys.stderr)
        return 130
    if not options.no_record and run.take.steps:
        append_jsonl(options.out, {**record, "series": series_of(run)})
    print(json.dumps(record, separators=(",", ":")))
    return 0 if run.take.complete else 130


if __name__ == "__main__":
    sys.exit(main())
