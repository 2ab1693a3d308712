# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis serve --bundle DIR`"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anacrusis.cli.auto import HERE, Playing, add_auto_options, auto_pace, step_costs, wants_calibration
from anacrusis.cli.common import add_backend_options, add_bundle_option, add_upgrade_options, bundle_of

if TYPE_CHECKING:
    from anacrusis.engine.bundle import Bundle
    from anacrusis.engine.standby import Wanted
    from anacrusis.server.pacer import Pacing
    from anacrusis.server.rungs import Upgrade

# The original's --device, as rungs of the ladder to try in order.
DEVICES = {
    "auto": ("auto",),
    "cpu": ("onnxruntime",),
    "cuda": ("tensorrt-rtx", "tensorrt", "torch-cuda", "onnxruntime-cuda"),
    "mps": ("torch-mps",),
}


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="the live server: the released Max external, or `anacrusis client`, talks to it",
        description="Listens for the released external's OSC over UDP and answers with the next step of each stem that "
        "is asked for. The first five options are the original server's, in both spellings.",
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every option of the server; the scripts in max/compat share them."""
    original = parser.add_argument_group("as the original server")
    original.add_argument(
        "--server_ip",
        "--server-ip",
        metavar="IP",
        help="address to bind (default: loopback, or all for a remote client)",
    )
    original.add_argument("--client_ip", "--client-ip", default="127.0.0.1", metavar="IP", help="where replies go")
    original.add_argument("--serverport", "--server-port", type=int, default=7000, metavar="PORT", help="(7000)")
    original.add_argument("--clientport", "--client-port", type=int, default=8000, metavar="PORT", help="(8000)")
    original.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:0 or mps (default auto: the ladder)")
    add_bundle_option(parser)
    add_backend_options(parser)
    add_upgrade_options(parser)
    parser.add_argument(
        "--window-samples",
        type=int,
        metavar="T",
        help="the client's T (default: 264600 or the bundle's, as its steps tell)",
    )
    parser.add_argument("--token", default="", help="a client that says hello with it is admitted from any address")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="NET",
        help="also admit this address or network; repeat for more",
    )
    parser.add_argument(
        "--print-dir", type=Path, metavar="DIR", help="let /print write there (default: it writes nothing)"
    )
    add_auto_options(parser.add_argument_group("pace", "what to be ready for; a client asks for its own"))
    parser.add_argument(
        "--pacing",
        action=argparse.BooleanOptionalAction,
        help="lengthen lead and step before a miss, for clients that follow (default: with auto)",
    )
    parser.add_argument("--sampler-steps", type=int, help="override the bundle's (consistency: 1 or 2)")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--context-tail-samples", type=int, default=0, help="must be heard beyond a frame to use it")
    parser.add_argument(
        "--compat", choices=("native", "upstream"), default="native", help="upstream: the original's cycle"
    )
    parser.add_argument("--json", action="store_true", help="last line of stdout: what was counted, as JSON")


def run(options: argparse.Namespace) -> int:
    from anacrusis.engine.bundle import Bundle
    from anacrusis.engine.engine import Engine
    from anacrusis.server.server import Server, ServerConfig

    logging.getLogger("anacrusis").setLevel(min(logging.INFO, logging.getLogger("anacrusis").level))
    bundle = Bundle.open(bundle_of(options))
    backend = backend_of(options)
    upgrade = upgrade_of(options, backend, bundle.path)
    window = options.window_samples
    upstream = options.compat == "upstream"
    pace = opening_pace(options, bundle, backend)

    def open_engine() -> Engine:
        return Engine.open(
            bundle,
            backend=backend,
            stems=bundle.manifest.stems[:1],
            **pace,
            window_samples=window if upstream else None,
            context_tail_samples=0 if upstream else options.context_tail_samples,
            sampler_steps=options.sampler_steps,
            seed=options.seed,
            threads=options.threads,
            compat=options.compat,
        )

    config = ServerConfig(
        bind_ip=options.server_ip,
        port=options.serverport,
        client_ip=options.client_ip,
        client_port=options.clientport,
        allow=tuple(options.allow),
        token=options.token,
        windows=() if window is None else (window,),
        dump=options.print_dir,
        context_tail_samples=options.context_tail_samples,
        positions=not upstream,
        pacing=pacing_of(options, bundle, backend),
    )
    server = Server(bundle, open_engine, config, upgrade)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: server.request_stop())
    manifest = bundle.manifest
    host, port = server.address
    print(f"{manifest.name}: {manifest.licence.notice}", file=sys.stderr)
    print(
        f"listening on {host}:{port}, replies to {options.client_ip}:{options.clientport}; loading the model",
        file=sys.stderr,
        flush=True,
    )
    ended = True
    try:
        server.start()
        while not server.wait(0.5):  # a wait without end would not see a signal on Windows
            pass
    finally:
        ended = server.stop()
    counted = server.report()
    print(
        f"stopped: {counted['answered']} steps answered, {counted['late']} late, {counted['dropped']} dropped, "
        f"{counted['concealed_context_samples']} samples of context concealed, {counted['malformed']} malformed",
        file=sys.stderr,
    )
    if options.json:
        print(json.dumps(counted, separators=(",", ":")), flush=True)
    if not ended:  # a cycle is still running in a library's code; nothing is left to save
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def opening_pace(options: argparse.Namespace, bundle: Bundle, backend: str) -> dict[str, Any]:
    """What the engine is warmed up for, as `Engine.open` takes it. Raises GeometryError, CalibrationError."""
    from anacrusis.engine.engine import make_pace
    from anacrusis.engine.errors import GeometryError
    from anacrusis.server.wire.sockets import is_loopback

    manifest, rung = bundle.manifest, None if backend == "auto" else backend
    nfe = None if options.sampler_steps is None else manifest.sampler.table(options.sampler_steps).nfe
    client = HERE if is_loopback(options.client_ip) else None
    step, lead = auto_pace(options, Playing(manifest.name, bundle.hash, 1, rung, options.threads, nfe, client))
    if step is None and lead is None:
        return {"r": 0.25}
    if options.compat == "upstream":
        raise GeometryError("the original is paced by r and w only; leave out --step and --lead")
    pace: dict[str, Any] = {"step_frames": 16 if step is None else step, "lead_frames": lead}
    make_pace(manifest.geometry, **pace)
    return pace


def pacing_of(options: argparse.Namespace, bundle: Bundle, backend: str) -> Pacing | None:
    """With --pacing, or with --step or --lead auto unless --no-pacing; by what was measured, where it was."""
    from anacrusis.server.pacer import Pacing
    from anacrusis.server.pacing import StepCost

    if not (wants_calibration(options) if options.pacing is None else options.pacing):
        return None
    nfe = None if options.sampler_steps is None else bundle.manifest.sampler.table(options.sampler_steps).nfe
    rung = None if backend == "auto" else backend
    costs = step_costs(Playing(bundle.manifest.name, bundle.hash, 1, rung, options.threads, nfe))
    return Pacing(tuple(StepCost(step, cycle_s) for step, cycle_s in costs))


def upgrade_of(options: argparse.Namespace, backend: str, bundle: Path) -> Upgrade:
    """What to prepare while the first rung plays. Raises BackendError where the rung named cannot be had here."""
    from anacrusis.engine.errors import BackendError
    from anacrusis.engine.ladder import RUNGS, default_threads
    from anacrusis.engine.standby import upgrades
    from anacrusis.server.rungs import Upgrade

    to = options.upgrade_to
    if to == "auto" and backend != "auto":
        to = "none"  # who names a rung gets that one
    if to not in ("auto", "none") and options.compat == "upstream":
        raise BackendError(f"--upgrade-to {to}: the original's cycle stays on its first backend; leave it out")
    for rung in RUNGS:
        # Before the song: what a library takes to import is spared the steps.
        if rung.name == to and (reason := rung.probe()) is not None:
            raise BackendError(f"--upgrade-to {to} cannot be had here ({reason}); leave it out")
    return Upgrade(
        candidates=lambda playing: upgrades(to, playing),
        threads=default_threads() if options.threads is None else options.threads,
        after_s=options.upgrade_after,
        build=lambda rung, wanted: build_command(bundle, rung, wanted),
    )


def build_command(bundle: Path, rung: str, wanted: Wanted) -> list[str]:
    """`anacrusis build` in this interpreter, of the plans that this rung misses."""
    pace = wanted.pace
    return [
        *(sys.executable, "-m", "anacrusis.cli.main", "build", str(bundle), "--json-progress"),
        *("--library", "tensorrt" if rung == "tensorrt" else "rtx", "--stems", str(len(wanted.stems))),
        *("--step-samples", str(pace.step_samples), f"--lead-samples={pace.lead_samples}"),
        *("--fade-samples", str(pace.fade_samples)),
    ]


def backend_of(options: argparse.Namespace) -> str:
    """--backend, or the first rung of --device that this machine has. Raises BackendError."""
    from anacrusis.engine.errors import BackendError
    from anacrusis.engine.ladder import RUNGS

    if options.backend != "auto":
        return str(options.backend)
    kind = options.device.split(":", 1)[0]
    if kind not in DEVICES:
        raise BackendError(f"--device {options.device} is not known; choose {', '.join(DEVICES)} (or see --backend)")
    reasons = []
    for name in DEVICES[kind]:
        reason = None if name == "auto" else next(rung for rung in RUNGS if rung.name == name).probe()
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    raise BackendError(f"--device {options.device} cannot be had here ({'; '.join(reasons)}); leave it out")
