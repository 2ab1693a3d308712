# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis calibrate BUNDLE`"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anacrusis.cli.common import add_backend_options

if TYPE_CHECKING:
    from anacrusis.calib.latency import Progress, Wanted

DESCRIPTION = """Measures what this machine can play: cycles of every step, number of stems and NFE, each with the
transfer of its datagrams over UDP; r*, the paper's smallest step ratio, and l*, the smallest lead, with the confidence
it holds at. Kept in calibration.json, which `--step auto --lead auto` of demo, client and serve read. Measure on a
quiet machine. Exit codes: 0 done, 1 no step is real-time here, 2 bad input, 130 interrupted (nothing is kept)."""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "calibrate", help="how small a step and how short a lead this machine can play", description=DESCRIPTION
    )
    parser.add_argument(
        "bundle", type=Path, nargs="?", metavar="BUNDLE", help="(default: ANACRUSIS_BUNDLE, else shipped)"
    )
    add_backend_options(parser)
    what = parser.add_argument_group("what to measure")
    what.add_argument("--stems", type=int, nargs="+", default=(), metavar="N", help="stems at once (default: 1 to all)")
    what.add_argument("--steps", type=int, nargs="+", metavar="FRAMES", help="(default: 1 2 3 4 8 16)")
    what.add_argument(
        "--nfe",
        type=int,
        nargs="+",
        metavar="N",
        help="network evaluations (default: consistency 1 2, else the bundle's)",
    )
    what.add_argument("--fade-samples", type=int, default=882, help="crossfade of the player (default 882, 20 ms)")
    what.add_argument("--package-size", type=int, default=4410, metavar="P", help="floats a datagram (default 4410)")
    what.add_argument(
        "--interface-ms",
        type=float,
        default=0.0,
        help="latency of the client's audio interface, in and out (default 0)",
    )
    how = parser.add_argument_group("how long")
    how.add_argument("--repeats", type=int, default=40, help="of each row (default 40)")
    how.add_argument("--row-seconds", type=float, default=20.0, help="at most, but 5 repeats (default 20)")
    how.add_argument(
        "--tail-seconds", type=float, default=60.0, help="more for the steps that matter, at most (default 60; 0: none)"
    )
    how.add_argument("--quantile", type=float, default=0.999, help="of wake + cycle + transfer (default .999)")
    how.add_argument("--confidence", type=float, default=0.95, help="that the bound holds (default .95)")
    away = parser.add_argument_group("a client on another machine")
    away.add_argument(
        "--client-host", metavar="HOST[:PORT]", help="measure the transfer to there, where `calibrate --echo` runs"
    )
    away.add_argument("--echo", action="store_true", help="be that client's end: answer until Ctrl-C, measure nothing")
    away.add_argument("--echo-port", type=int, default=8001, metavar="PORT", help="(default 8001)")
    away.add_argument("--server-ip", metavar="IP", help="with --echo: answer nobody else")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: calibration.json in the user's cache)")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="also write ratio.png, cycles.png and stages.png")
    parser.add_argument("--json", action="store_true", help="last line of stdout: what was measured, as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.echo:
        return _echo(options)
    from anacrusis.calib.latency import calibrate
    from anacrusis.calib.machine import busy
    from anacrusis.calib.plot import draw, require_drawable
    from anacrusis.calib.report import lines
    from anacrusis.calib.store import Store
    from anacrusis.calib.transfer import client_peer, open_link
    from anacrusis.engine.bundle import Bundle
    from anacrusis.engine.paths import calibration_file, default_bundle

    wanted = _wanted(options)
    bundle = Bundle.open(options.bundle or default_bundle())
    wanted.validate(bundle)
    store = Store(options.out or calibration_file())
    store.check()
    if options.plots is not None:
        require_drawable(options.plots)
    print(f"{bundle.manifest.name}: {bundle.manifest.licence.notice}", file=sys.stderr)
    if (warning := busy()) is not None:
        print(f"warning: {warning}", file=sys.stderr)
    with client_peer(options.client_host) as peer, open_link(peer, wanted.package) as link, _bar() as progress:
        measured, rows = calibrate(bundle, wanted, link, progress)
    store.put(measured)
    for one in measured:
        print("\n".join(lines(one)), end="\n\n")
    written = [store.path, *(draw(options.plots, measured, rows) if options.plots is not None else [])]
    for path in written:
        print(f"wrote {path}")
    if options.json:
        record = {"calibrations": [one.to_dict() for one in measured], "files": [str(path) for path in written]}
        print(json.dumps(record, separators=(",", ":")))
    return 0 if any(one.smallest() is not None for one in measured) else 1


def _wanted(options: argparse.Namespace) -> Wanted:
    from anacrusis.calib.latency import STEPS, Wanted

    return Wanted(
        steps=tuple(options.steps or STEPS),
        stems=tuple(dict.fromkeys(options.stems)),
        nfes=None if options.nfe is None else tuple(dict.fromkeys(options.nfe)),
        backend=options.backend,
        threads=options.threads,
        repeats=options.repeats,
        row_s=options.row_seconds,
        tail_s=options.tail_seconds,
        fade_samples=options.fade_samples,
        package=options.package_size,
        interface_ms=options.interface_ms,
        quantile=options.quantile,
        confidence=options.confidence,
        client=options.client_host or "this machine",
    )


def _echo(options: argparse.Namespace) -> int:
    from anacrusis.calib.echo import open_echo, serve
    from anacrusis.server.wire.sockets import resolve

    only = None if options.server_ip is None else resolve(options.server_ip)
    with open_echo("0.0.0.0", options.echo_port) as sock:
        whom = only or "anyone"
        print(f"answering {whom} on port {options.echo_port} until Ctrl-C", file=sys.stderr, flush=True)
        try:
            serve(sock, only)
        except KeyboardInterrupt:
            return 130
    return 0


@contextmanager
def _bar() -> Iterator[Progress]:
    from tqdm import tqdm

    with tqdm(unit="row", desc="calibrate", file=sys.stderr) as bar:

        def progress(text: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(text, refresh=False)
            bar.update(done - bar.n)
            bar.refresh()

        yield progress
