# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What pacing does with a processor that somebody else needs: a song in real time, and a core kept busy in its middle.

The physics: a cycle that shares its core takes up to twice as long. With the smallest lead that is a miss at once; what
pacing can do is to make it one or two steps, not twenty seconds of them, and to come back afterwards. `anacrusis serve
--pacing` is one process, the client is this one, the hog a third that counts (and one more for each `--hogs`).

    python -m anacrusis.benchmarks.hog --bundle B --minutes 2 --step-frames 8 --lead-frames 4 --png out/hog.png

late: steps of which some audio came after the playhead. gap, repeated: samples between one reply's end and the next
one's start, or in both, by the client's own count. concealed: samples heard before their reply came. returned_s: from
the hog's end until what was asked for was chosen again; None where it was not. to_react_s: from the hog's start to the
first longer choice. stolen_share: processor time that the machine's host gave to others, over all cores.

A hog takes whichever core the kernel gives it: where there are more cores than the pair needs, it takes nothing. With
`--cores 1` all three share one.

Not covered: what is heard (the tests do it with networks that copy).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from tqdm import tqdm

from anacrusis.benchmarks.pair import HOST, ServerProcess, add_pair_options, interrupts, ready, stems_of
from anacrusis.benchmarks.record import append_jsonl
from anacrusis.benchmarks.watch import CpuTime
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.paths import REPOSITORY
from anacrusis.performer.connection import Connection
from anacrusis.performer.files import read_recording
from anacrusis.performer.live import perform
from anacrusis.performer.live_report import report
from anacrusis.performer.plan import Plan
from anacrusis.performer.take import Take

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "hog.jsonl"
BUSY: Final = "while True:\n    pass"
# What the issue asks for, with --pacing.
MOST_LATE: Final = 2
MOST_RETURN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Burst:
    """When the hog was there, in seconds of the music; None where it never came."""

    begin_s: float | None
    end_s: float | None


class Hog:
    """Processes that count, between two moments of the music. One thread, the client's."""

    def __init__(self, at_s: float, for_s: float, count: int) -> None:
        self._at_s, self._until_s, self._count = at_s, at_s + for_s, count
        self._running: list[subprocess.Popen[bytes]] = []
        self._begin_s: float | None = None
        self._end_s: float | None = None

    def follow(self, music_s: float) -> None:
        """Begin or end, if it is time."""
        if self._begin_s is None and self._at_s <= music_s < self._until_s:
            self._running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(self._count)]
            self._begin_s = music_s
        elif self._running and music_s >= self._until_s:
            self.stop()
            self._end_s = music_s

    def stop(self) -> None:
        """Harmless twice."""
        for process in self._running:
            process.kill()
        for process in self._running:
            process.wait()
        self._running = []

    @property
    def burst(self) -> Burst:
        return Burst(self._begin_s, self._end_s)


@contextlib.contextmanager
def hog(at_s: float, for_s: float, count: int) -> Iterator[Hog]:
    one = Hog(at_s, for_s, count)
    try:
        yield one
    finally:
        one.stop()


def play(options: argparse.Namespace) -> tuple[Take, Burst, dict[str, Any] | None, float | None]:
    """(take, when the hog was there, the server's counters, stolen share). Raises AnacrusisError."""
    plan = plan_of(options)
    plan.validate()
    recording = read_recording(options.clip)
    serve = ["--bundle", str(options.bundle), "--backend", options.backend, "--upgrade-to", "none"]
    serve += ["--pacing"] if options.pacing else ["--no-pacing"]
    serve += [] if options.threads is None else ["--threads", str(options.threads)]
    with Connection(HOST, client_port=0) as connection:
        server = ServerProcess(serve, connection.port)
        with interrupts(), tqdm(unit="step", desc="hog", file=sys.stderr) as bar, server:
            connection.set_server(*server.address)
            processor = CpuTime()
            with hog(options.hog_at, options.hog_s, options.hogs) as one:
                began_s: list[float] = []

                def on_step(done: int, total: int) -> None:
                    began_s.append(connection.clock())
                    # The first step was sent one step after the music began.
                    one.follow(connection.clock() - began_s[0])
                    bar.total = total
                    bar.set_postfix_str("")
                    bar.update(done - bar.n)

                take = perform(recording, connection, plan, on_wait=bar.set_postfix_str, on_step=on_step)
                burst = one.burst
            share = processor.stolen_share()
    first_s = take.steps[0].sent_s if take.steps else 0.0
    at = [None if t is None else first_s + t for t in (burst.begin_s, burst.end_s)]
    return take, Burst(*at), server.counted, share


def share_cores(count: int | None) -> int | None:
    """Keep this process, and what it starts, on so many cores; how many they are. Raises AnacrusisError."""
    if count is None:
        return os.cpu_count()
    if not hasattr(os, "sched_setaffinity"):
        raise AnacrusisError("--cores needs Linux; leave it out")
    allowed = sorted(os.sched_getaffinity(0))
    if not 1 <= count <= len(allowed):
        raise AnacrusisError(f"--cores is {count}; this process may use 1 to {len(allowed)}")
    os.sched_setaffinity(0, allowed[:count])
    return count


def plan_of(options: argparse.Namespace) -> Plan:
    """Raises AnacrusisError for a hog that does not fit the song."""
    if (
        options.hogs < 0
        or options.hog_s <= 0
        or not 0 < options.hog_at < options.hog_at + options.hog_s < 60 * options.minutes
    ):
        raise AnacrusisError(
            f"a hog from {options.hog_at:g} s for {options.hog_s:g} s is not within {60 * options.minutes:g} s of song"
        )
    return Plan(
        stems=stems_of(options.stems),
        step_frames=options.step_frames,
        lead_frames=options.lead_frames,
        seconds=60.0 * options.minutes,
        loop=True,
    )


def record_of(take: Take, burst: Burst, counted: dict[str, Any] | None, share: float | None) -> dict[str, Any]:
    """What is known of a run, without its series. A figure that was not measured is None, never zero."""
    told, steps = report(take), take.steps
    live, asked = told["liveness"], (take.pace.step_samples, take.pace.lead_samples)
    ends = [(a.start_samples + a.length_samples, b.start_samples) for a, b in pairwise(steps)]
    during = [s for s in steps if _within(s.sent_s, burst)]
    changes = [change for change in take.paces if change.follow]
    return {
        "benchmark": "hog",
        "complete": told["complete"],
        "seconds": told["seconds"],
        "hog_begin_s": _rounded(burst.begin_s),
        "hog_end_s": _rounded(burst.end_s),
        **{name: live[name] for name in ("steps", "answered", "late", "dropped", "concealed_samples", "lost_chunks")},
        "late_at_s": [round(step.sent_s, 3) for step in steps if step.late_samples > 0],
        "missed_during": sum(step.late_samples > 0 or not step.answered for step in during),
        "steps_during": len(during),
        "gap_samples": sum(max(start - end, 0) for end, start in ends),
        "repeated_samples": sum(max(end - start, 0) for end, start in ends),
        "pace_changes": [
            {"at_s": round(c.at_s, 3), "step": c.step_samples, "lead": c.lead_samples, "text": c.text} for c in changes
        ],
        "to_react_s": to_react_s(take, burst),
        "returned_s": returned_s(take, burst),
        "round_trip_ms": told["deadline"]["round_trip_ms"],
        "compute_ms": told["compute"]["total_ms"] if told["compute"] else None,
        "step_samples": asked[0],
        "lead_samples": asked[1],
        "fade_samples": take.pace.fade_samples,
        "stems": told["stems"],
        "bundle": told["server"]["bundle"] if told["server"] else None,
        "server_late": None if counted is None else counted.get("late"),
        "server_dropped": None if counted is None else counted.get("dropped"),
        "stolen_share": share,
    }


def to_react_s(take: Take, burst: Burst) -> float | None:
    """From the hog's start to the first choice that came after it; None without one while it lasted."""
    after = [c.at_s for c in take.paces if c.follow and _within(c.at_s, burst)]
    return None if not after or burst.begin_s is None else round(after[0] - burst.begin_s, 3)


def returned_s(take: Take, burst: Burst) -> float | None:
    """From the hog's end until what was asked for is played again; 0 where it was then, None where it never is."""
    if burst.end_s is None:
        return None
    asked = (take.pace.step_samples, take.pace.lead_samples)
    changes = [(c.at_s, (c.step_samples, c.lead_samples) == asked) for c in take.paces if c.follow]
    before = [as_asked for at_s, as_asked in changes if at_s < burst.end_s]
    if not before or before[-1]:
        return 0.0
    return next((round(at_s - burst.end_s, 3) for at_s, as_asked in changes if at_s >= burst.end_s and as_asked), None)


def series_of(take: Take) -> dict[str, Any]:
    """What the picture is drawn from, a value a step: seconds of the music, and ms."""
    rate = take.pace.rate_hz
    cycle = [
        None if (s := step.status) is None else s.encode_ms + s.denoise_ms + s.decode_ms + s.host_ms
        for step in take.steps
    ]
    return {
        "sent_s": [_rounded(step.sent_s) for step in take.steps],
        "due_ms": [_rounded(1e3 * (step.deadline_s - step.curr_samples / rate)) for step in take.steps],
        "round_trip_ms": [_rounded(step.round_trip_ms) for step in take.steps],
        "cycle_ms": [_rounded(ms) for ms in cycle],
        "step_ms": [_rounded(1e3 * step.until_next_samples / rate) for step in take.steps],
        "missed": [step.late_samples > 0 or not step.answered for step in take.steps],
    }


def misses(record: dict[str, Any]) -> list[str]:
    """What the issue asks for and this run did not do; [] where all of it was."""
    out = []
    missed = record["late"] + record["dropped"]
    if missed > MOST_LATE:
        out.append(f"{missed} steps late or dropped, at most {MOST_LATE} were to be")
    if record["gap_samples"] or record["repeated_samples"]:
        out.append(f"{record['gap_samples']} samples of gaps, {record['repeated_samples']} twice; none were to be")
    if record["returned_s"] is None or record["returned_s"] > MOST_RETURN_S:
        out.append(f"back after {record['returned_s']} s, {MOST_RETURN_S:g} s were to be enough")
    if record["to_react_s"] is None:
        out.append("the pace never changed with the hog: it took nothing, or there is much room; ask for less of it")
    return out


def lines(record: dict[str, Any]) -> list[str]:
    """For people."""
    share = record["stolen_share"]
    out = [
        f"{record['bundle']}: {record['seconds']:.0f} s; the hog: {record['hog_begin_s']} to {record['hog_end_s']} s",
        f"liveness    {record['steps']} steps, {record['late']} late, {record['dropped']} dropped, "
        f"{record['missed_during']} of {record['steps_during']} missed while the hog was there",
        f"samples     {record['gap_samples']} missing between replies, {record['repeated_samples']} twice, "
        f"{record['concealed_samples']} heard before they came",
        f"pace        reacted after {record['to_react_s']} s, back {record['returned_s']} s after the hog",
    ]
    out += [
        f"  {change['at_s']:8.2f} s  step {change['step']}, lead {change['lead']}: {change['text']}"
        for change in record["pace_changes"]
    ]
    out.append(f"stolen      {'not known here' if share is None else f'{share:.2%} of the processor time'}")
    return out


def _within(at_s: float, burst: Burst) -> bool:
    return burst.begin_s is not None and burst.begin_s <= at_s < (float("inf") if burst.end_s is None else burst.end_s)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step-frames", type=int, default=8)
    parser.add_argument(
        "--lead-frames", type=int, default=8, help="as asked for; the less room, the harder (default 8)"
    )
    parser.add_argument("--hog-at", type=float, default=30.0, metavar="S", help="seconds into the song (default 30)")
    parser.add_argument("--hog-s", type=float, default=20.0, metavar="S", help="how long it stays (default 20)")
    parser.add_argument("--hogs", type=int, default=1, help="processes that count (default 1; 0 for none)")
    parser.add_argument(
        "--cores", type=int, metavar="N", help="server, client and hogs share this many (Linux; default: all)"
    )
    parser.add_argument("--pacing", action=argparse.BooleanOptionalAction, default=True)
    add_pair_options(parser, 2.0, RESULTS, "lead, cycles and deadlines over time")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """0 it did what was asked for (or pacing was off), 1 it did not; 2 bad input; 130 interrupted."""
    options = build_parser().parse_args(arguments)
    try:
        before = {**ready(options, ("numpy", "onnxruntime", "torch")), "cores_shared": share_cores(options.cores)}
        take, burst, counted, share = play(options)
        record = {**record_of(take, burst, counted, share), "pacing": options.pacing, "hogs": options.hogs, **before}
        print("\n".join(lines(record)))
        missed = misses(record) if options.pacing and options.hogs else []
        for text in missed:
            print(f"missed      {text}")
        if options.png:
            from anacrusis.benchmarks.hog_plot import plot_hog

            plot_hog(options.png, record, series_of(take))
            print(f"wrote {options.png}")
        if not options.no_record:
            append_jsonl(options.out, {**record, "series": series_of(take)})
        print(json.dumps(record, separators=(",", ":")))
    except AnacrusisError as error:
        print(f"hog: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 130 if not take.complete else 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
