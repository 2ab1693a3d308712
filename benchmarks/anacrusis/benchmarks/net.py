# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The live system over bad networks: what a listener loses, and what a round trip costs.

The physics: a step of s samples is 5 s bytes, sent as one burst, and its replies come back as another. Both, and the
cycle between them, must fit in lead - fade. So a rate that carries the audio is not enough; jitter adds once up and
once down, each time the worst of a step's datagrams; a lost datagram up is a span of context that the server hears as
silence when its patience ends, and one down is a span of the reply. Nothing is sent again.

`anacrusis serve` is a process, the client is this one, between them `relay.Relay` with the same faults in each
direction and a fixed seed, on real sockets. Where the kernel allows it, the server is in a network namespace of its own
(`namespaces.py`), else on loopback: the record says which. The networks are the copying bundle's, unless --bundle names
others: the cycle is short, and what is measured is the wire. One row after the other, each with a server of its own;
the faults begin when its first step has been sent, because the set-up is not what is measured.

    anacrusis bench net [--steps 40] [--quick | --losses] [--bundle DIR] [--between auto|loopback|namespaces]

whole: steps of which every chunk of the reply came, of all sent. server: samples of context concealed, and steps of
which nothing came. client: chunks lost of replies that came in part, and samples heard as silence. Round trips are of
whole steps only: what was lost has none.

Not covered: real links. A datagram is lost whole here; the rows "packets lost" do the arithmetic for links of 1,500
bytes, at two sizes of a datagram.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from anacrusis.benchmarks.faults import NO_FAULTS
from anacrusis.benchmarks.namespaces import Namespace, why_not
from anacrusis.benchmarks.net_rows import Row, rows
from anacrusis.benchmarks.pair import HOST, ServerProcess, interrupts
from anacrusis.benchmarks.record import conditions, publish
from anacrusis.benchmarks.relay import Relay, RelayCounts
from anacrusis.benchmarks.watch import CpuTime
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError, MissingExtraError
from anacrusis.engine.ladder import RUNGS, default_threads
from anacrusis.engine.paths import REPOSITORY
from anacrusis.performer.connection import Connection
from anacrusis.performer.files import Recording, read_recording
from anacrusis.performer.live import perform
from anacrusis.performer.live_report import report
from anacrusis.performer.plan import Plan
from anacrusis.performer.take import Take
from anacrusis.server.wire.messages import STEMS

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "net.jsonl"
CLIP: Final = REPOSITORY / "assets" / "clip" / "band.flac"
STEPS, QUICK_STEPS = 40, 12
FADE_S: Final = 0.02
UNKNOWN_PORT: Final = 9  # until the real one is known: nothing is sent there


class Unplugged:
    """The relay's cable, pulled when `at_step` has been sent and put back unplugged_s later by a timer's thread."""

    def __init__(self, relay: Relay, at_step: int, unplugged_s: float) -> None:
        self._relay, self._at_step = relay, at_step
        self._timer = threading.Timer(unplugged_s, relay.restore) if unplugged_s else None

    def on_step(self, done: int) -> None:
        if self._timer is not None and done == self._at_step:
            self._relay.cut()
            self._timer.start()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def play(
    row: Row,
    bundle: Path,
    options: argparse.Namespace,
    recording: Recording,
    bar: Any,
    namespace: Namespace | None = None,
) -> dict[str, Any]:
    """One row, alone: its own server (in `namespace`, if there is one), relay and client.

    Raises AnacrusisError; KeyboardInterrupt in mid-run.
    """
    manifest = Bundle.open(bundle, verify=False).manifest
    step_s = int(manifest.geometry.window_samples * options.r) / manifest.sample_rate_hz
    plan = Plan(
        stems=STEMS[: options.stems],
        r=options.r,
        fade=FADE_S,
        package=row.package,
        seconds=options.steps * step_s + step_s / 2,
        loop=True,
    )
    plan.validate()
    serve = ["--bundle", str(bundle), "--backend", options.backend]
    serve += [] if options.threads is None else ["--threads", str(options.threads)]
    near, far, prefix = (namespace.here, namespace.there, namespace.prefix) if namespace else (HOST, HOST, ())
    placeholder = (HOST, UNKNOWN_PORT)
    with (
        Connection(HOST, client_port=0) as connection,
        Relay((HOST, 0), (near, 0), placeholder, (HOST, connection.port)) as relay,
    ):
        server = ServerProcess(serve, relay.replies_address[1], host=far, client_host=near, prefix=prefix)
        cable = Unplugged(relay, options.steps // 2, row.unplugged_s)
        with server:
            relay.aim(server=server.address)
            connection.set_server(*relay.listen_address)
            processor = CpuTime()

            def on_step(done: int, total: int) -> None:
                if done == 1:
                    relay.change(up=row.up(), down=row.down())  # not before: the set-up is not what is measured
                cable.on_step(done)
                bar.set_postfix_str(f"{row.name}, {row.package} floats: {done}/{total}")
                bar.update()

            try:
                take = perform(recording, connection, plan, on_wait=bar.set_postfix_str, on_step=on_step)
            finally:
                cable.close()
            counts, share = relay.counts(), processor.stolen_share()
            relay.change(up=NO_FAULTS, down=NO_FAULTS)
    if not take.complete:
        raise KeyboardInterrupt
    between = "network namespaces" if namespace else "loopback"
    return {**row_of(row, take, server.counted, counts), "between": between, "stolen_share": share}


def row_of(row: Row, take: Take, counted: dict[str, Any] | None, counts: RelayCounts) -> dict[str, Any]:
    """A row's record. A figure that was not measured is None, never zero."""
    told = report(take)
    live, times = told["liveness"], told["deadline"]["round_trip_ms"]
    server = counted or {}
    return {
        "benchmark": "net",
        "name": row.name,
        "faults": str(row.faults),
        "package": row.package,
        "unplugged_s": row.unplugged_s,
        "steps": live["steps"],
        "whole_ratio": round(live["answered"] / live["steps"], 4) if live["steps"] else None,
        "silent": live["silent"],
        "late": live["late"],
        "dropped": live["dropped"],
        "lost_chunks": live["lost_chunks"],
        "client_concealed_samples": live["concealed_samples"],
        "server_concealed_samples": server.get("concealed_context_samples"),
        "server_steps_never_came": server.get("steps_never_came"),
        "server_late": server.get("late"),
        "server_dropped": server.get("dropped"),
        "loads": live["loads"],
        "losses": live["losses"],
        "epochs": live["epochs"],
        **{f"{q}_ms": times[q] if times else None for q in ("p50", "p95", "p99", "max")},
        "deadline_ms": told["deadline"]["budget_ms"],
        "compute_ms": told["compute"]["total_ms"] if told["compute"] else None,
        "nfe": told["compute"]["nfe"] if told["compute"] else None,
        "datagrams_lost": [way.lost + way.queue_dropped for way in (counts.up, counts.down)],
        "warm_up_steps": 0,
        "stems": told["stems"],
        "bundle": told["server"]["bundle"] if told["server"] else None,
        **{name: told[name] for name in ("step_samples", "step_ms", "lead_samples", "fade_samples")},
    }


COLUMNS: Final = (
    ("network", 26, "name"),
    ("floats", 6, "package"),
    ("whole", 6, "whole_ratio"),
    ("late", 4, "late"),
    ("dropped", 7, "dropped"),
    ("server concealed", 16, "server_concealed_samples"),
    ("never came", 10, "server_steps_never_came"),
    ("chunks lost", 11, "lost_chunks"),
    ("client concealed", 16, "client_concealed_samples"),
    ("p50 ms", 7, "p50_ms"),
    ("p95 ms", 7, "p95_ms"),
    ("p99 ms", 7, "p99_ms"),
)


def header() -> str:
    return " ".join(
        f"{title:<{width}}" if not i else f"{title:>{width}}" for i, (title, width, _) in enumerate(COLUMNS)
    )


def line(record: dict[str, Any]) -> str:
    """One row of the table for people."""
    cells = []
    for _, width, key in COLUMNS:
        value = record[key]
        text = "-" if value is None else f"{value:.1f}" if key.endswith("_ms") else f"{value}"
        cells.append(f"{text:<{width}}" if key == "name" else f"{text:>{width}}")
    return " ".join(cells)


def copying_bundle(directory: Path) -> Path:
    """The copying bundle, written. Raises MissingExtraError without the packages that export needs."""
    try:
        from anacrusis.export.copying import write_copying_bundle
    except ImportError as error:
        raise MissingExtraError(f"{error}: pip install 'anacrusis[export]', or give --bundle") from None
    out = directory / "copying"
    write_copying_bundle(out)
    return out


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anacrusis bench net", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, help=f"a row (default {STEPS}, with --quick {QUICK_STEPS})")
    parser.add_argument("--quick", action="store_true", help="four telling rows, fewer steps")
    parser.add_argument("--losses", action="store_true", help="only datagrams lost, 0, .1, 1 and 5 %%")
    parser.add_argument(
        "--between",
        choices=("auto", "loopback", "namespaces"),
        default="auto",
        help="where the server is (default: a network namespace of its own where the kernel allows, else loopback)",
    )
    parser.add_argument("--only", metavar="TEXT", help="rows whose name holds this")
    parser.add_argument("--bundle", type=Path, help="instead of the copying one")
    parser.add_argument("--r", type=float, default=0.125, help="step = lead = trunc(r * T) (default .125)")
    parser.add_argument("--stems", type=int, default=1, help="how many are asked for (default 1)")
    parser.add_argument("--clip", type=Path, default=CLIP, help="the context, repeated (default: the demo clip's band)")
    parser.add_argument("--backend", choices=("auto", *(rung.name for rung in RUNGS)), default="auto")
    parser.add_argument("--threads", type=int, help="the server's (default: half of the cores)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSONL to append to")
    parser.add_argument("--no-record", action="store_true", help="append to no file")
    return parser


def run(options: argparse.Namespace, directory: Path) -> list[dict[str, Any]]:
    """Every row, one after the other, printed as it ends. Raises AnacrusisError."""
    if options.steps is None:
        options.steps = QUICK_STEPS if options.quick else STEPS
    if options.steps < 2 or not 1 <= options.stems <= len(STEMS):
        raise AnacrusisError(f"--steps {options.steps} --stems {options.stems}: at least 2, and 1 to {len(STEMS)}")
    recording = read_recording(options.clip)
    bundle = options.bundle or copying_bundle(directory)
    manifest = Bundle.open(bundle).manifest
    step, fade = int(manifest.geometry.window_samples * options.r), int(FADE_S * manifest.sample_rate_hz)
    if step <= fade:
        raise AnacrusisError(f"--r {options.r}: a lead of {step} samples leaves nothing beyond the fade of {fade}")
    table = rows(step, step, fade, manifest.sample_rate_hz, options.stems, quick=options.quick)
    table = [row for row in table if not options.only or options.only in row.name]
    table = [row for row in table if not options.losses or row.only_loss]
    threads = default_threads() if options.threads is None else options.threads
    out = []
    print(header(), flush=True)
    apart = options.between == "namespaces" or (options.between == "auto" and why_not() is None)
    with (
        Namespace() if apart else contextlib.nullcontext() as namespace,
        tqdm(total=len(table) * options.steps, unit="step", desc="net", file=sys.stderr) as bar,
        interrupts(),
    ):
        for row in table:
            before = conditions(threads)
            out.append({**play(row, bundle, options, recording, bar, namespace), **before})
            bar.clear()
            print(line(out[-1]), flush=True)
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """0 it ran, whatever was lost; 2 bad input; 130 interrupted (nothing is recorded)."""
    options = build_parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="anacrusis-net-", ignore_cleanup_errors=True) as directory:
            records = run(options, Path(directory))
    except AnacrusisError as error:
        print(f"net: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("net: interrupted; nothing was recorded", file=sys.stderr)
        return 130
    if records:
        first = records[0]
        pace = f"step = lead = {first['step_ms']:.0f} ms, deadline {first['deadline_ms']:.0f} ms"
        print(f"{first['bundle']}, {pace}, over {first['between']}")
    publish(None if options.no_record else options.out, records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
